"""Makes the tables of docs/results.md from results/reference/summary.csv and sets.csv, so that no number is typed.

python docs/results_tables.py            prints the tables
python docs/results_tables.py --write    puts them between the marks in docs/results.md
"""

from __future__ import annotations

import csv
import sys
import textwrap
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SUMMARY = ROOT / "results" / "reference" / "summary.csv"
SETS = SUMMARY.with_name("sets.csv")
PAGE = ROOT / "docs" / "results.md"
BEGIN, END = "<!-- reference-numbers -->", "<!-- /reference-numbers -->"
TARGET_DB = 30.0
LOSSY = ("rd_ae", "jpeg", "webp", "avif", "jxl", "jpeg2000")
LOSSLESS = ("res_lossless", "png", "webp", "jxl", "jpegls", "jpeg2000")
KODAK = "folder:kodak"
UNSTEADY = 0.25
"""As in codecbench/report/notes.py, which this script does without."""

Row = dict[str, str]


def chosen(rows: list[Row]) -> dict[str, list[tuple[Row, str]]]:
    """The points that the page shows.

    Args:
        rows: of ``summary.csv``.

    Returns:
        By dataset: rows, and why each was chosen.
    """
    mnist = [row for row in rows if row["dataset"] == "mnist"]
    stl10 = [row for row in rows if row["dataset"] == "stl10"]
    kodak = [row for row in rows if row["dataset"] == KODAK]
    lossy_ae = _point(mnist, "lossy_ae", "latent=float32,tiles=false")
    shown = [
        (lossy_ae, "32 floats"),
        (_point(mnist, "lossy_ae", "latent=int8,tiles=false"), "32 entropy-coded integers"),
        (_point(mnist, "svd", "rank=5"), "285 floats"),
        *(_no_worse(mnist, codec, lossy_ae) for codec in LOSSY),
        (_point(mnist, "lossless_ae", ""), "784 floats, nearly lossless"),
        (_point(mnist, "svd", "rank=13"), "741 floats"),
        *(_smallest_lossless(mnist, codec) for codec in ("ar_lossless", *LOSSLESS)),
    ]
    near = [_nearest(stl10, codec) for codec in (*LOSSY, "svd")]
    crops = [
        (_point(stl10, "stl10_ae", "latent=float64,tiles=false"), "384 float64"),
        (_point(stl10, "stl10_ae", "latent=float16,tiles=false"), "384 float16"),
        (_point(stl10, "stl10_ae", "latent=int8,tiles=false"), "384 entropy-coded integers"),
        *near,
        *(_smallest_lossless(stl10, codec) for codec in LOSSLESS),
    ]
    photographs = [
        *(_nearest(kodak, codec) for codec in LOSSY),
        *(_smallest_lossless(kodak, codec) for codec in LOSSLESS),
    ]
    return {"mnist": shown, "stl10": crops, KODAK: photographs}


def table(rows: list[Row], sets: list[Row]) -> str:
    """The page's tables as Markdown: one per dataset, then those below them.

    Args:
        rows: of ``summary.csv``.
        sets: of ``sets.csv``.
    """
    parts = []
    for dataset, points in chosen(rows).items():
        images = int(points[0][0]["images"])
        heads = ["Point", "", "Bits per image", "Bits per pixel", "Ratio", "Ratio to float32"]
        heads += ["MSE", "MSE before rounding", "PSNR (dB)", "SSIM", "Encode (ms)", "Decode (ms)"]
        lines = [
            f"`{dataset}`, {images:,} {'photographs' if dataset == KODAK else 'test images'}:",
            "",
            _line(heads),
            _line([":--", ":--", *["--:"] * 10]),
        ]
        parts.append("\n".join([*lines, *(_line(_cells(row, why)) for row, why in points)]))
    parts.append("A `~` marks a time whose interquartile range over the rounds exceeds a quarter of its median.")
    return "\n\n".join([*parts, whole_sets(sets), two_means(rows), nearly_lossless(rows), labels(rows)])


def whole_sets(sets: list[Row]) -> str:
    """What all MNIST test images take as one stream, the smallest of each codec.

    Args:
        sets: of ``sets.csv``.
    """
    smallest: dict[str, Row] = {}
    for row in sets:
        if row["dataset"] == "mnist" and not row["status"]:
            held = smallest.setdefault(row["codec"], row)
            smallest[row["codec"]] = min(held, row, key=lambda one: int(one["set_bytes"]))
    images = {int(row["images"]) for row in smallest.values()}
    lines = [
        _wrapped(
            f"All {images.pop():,} digits as one stream, the way papers often quote these compressors. Do not compare "
            "these sizes with those of single images:"
        ),
        "",
        _line(["Point", "Bytes", "Bits per pixel"]),
        _line([":--", "--:", "--:"]),
    ]
    for row in sorted(smallest.values(), key=lambda row: int(row["set_bytes"])):
        spec, size = f"`{row['codec']}:{row['settings']}`", f"{int(row['set_bytes']):,}"
        lines.append(_line([spec, size, _number(row["bits_per_pixel"], ".3f")]))
    return "\n".join(lines)


def two_means(rows: list[Row]) -> str:
    """A sentence about the point where the two ways of averaging PSNR differ most.

    Args:
        rows: of ``summary.csv``.
    """

    def gap(row: Row) -> float:
        return abs(float(row["psnr_db"]) - float(row["psnr_of_mean_mse_db"]))

    row = max((row for row in rows if row["psnr_db"]), key=gap)
    exact, images = int(row["exact_images"]), int(row["images"])
    sentence = (
        f"`psnr_db` and `psnr_of_mean_mse_db` differ most at `{row['codec']}:{row['settings']}` on `{row['dataset']}`: "
        f"{float(row['psnr_db']):.2f} dB and {float(row['psnr_of_mean_mse_db']):.2f} dB. There {exact:,} of {images:,} "
        f"images are restored exactly, and the first is the mean over the other {images - exact:,} alone."
    )
    return _wrapped(sentence)


def nearly_lossless(rows: list[Row]) -> str:
    """A sentence about how much ``lossless_ae`` restores exactly.

    Args:
        rows: of ``summary.csv``.
    """
    row = _point([row for row in rows if row["dataset"] == "mnist"], "lossless_ae", "")
    exact = float(row["exact_pixels"])
    sentence = (
        f"`lossless_ae` restores {exact:.2%} of all pixels exactly, and {int(row['exact_images']):,} "
        f"of {int(row['images']):,} images; its "
        f"largest error of any pixel is {int(float(row['max_abs_error']))} of 255 levels."
    )
    return _wrapped(sentence)


def labels(rows: list[Row]) -> str:
    """A table of what the label brings: ``cond_ae`` with it and without.

    Args:
        rows: of ``summary.csv``.
    """
    mnist = [row for row in rows if row["dataset"] == "mnist"]
    lines = [
        "Does it help to send the digit's label? `cond_ae` with the label and without, trained in the same way:",
        "",
        _line(["Numbers", "Label", "Bits as float32", "MSE", "Bits as int8", "MSE"]),
        _line(["--:", ":--", *["--:"] * 4]),
    ]
    for size in ("8", "32"):
        for told in ("true", "false"):
            cells = [size, "sent" if told == "true" else "none"]
            for latent in ("float32", "int8"):
                row = _point(mnist, "cond_ae", f"size={size},labels={told},latent={latent}")
                cells += [_number(row["bits_per_image"], ",.1f"), _number(row["mse_float"], ".5f")]
            lines.append(_line(cells))
    return "\n".join(lines)


def _wrapped(sentence: str) -> str:
    return textwrap.fill(sentence, 120, break_long_words=False, break_on_hyphens=False)


def with_table(page: str, content: str) -> str:
    """The page with new content between its marks."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n\n{content}\n\n{END}{after}"


def read_table(path: Path = SUMMARY) -> list[Row]:
    """The rows of a ``summary.csv`` or ``sets.csv``."""
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def _line(cells: list[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _cells(row: Row, why: str) -> list[str]:
    spec = row["codec"] + (f":{row['settings']}" if row["settings"] else "")
    return [
        f"`{spec}`",
        why,
        _number(row["bits_per_image"], ",.0f"),
        _number(row["bits_per_pixel"], ".3f"),
        _number(row["compression_ratio"], ".2f"),
        _number(row["compression_ratio_float32"], ".2f"),
        _number(row["mse"], ".3g"),
        _number(row["mse_float"], ".3g"),
        "exact" if row["lossless"] == "True" else _number(row["psnr_db"], ".2f"),
        _number(row["ssim"], ".4f"),
        _time(row, "encode"),
        _time(row, "decode"),
    ]


def _time(row: Row, way: str) -> str:
    """Milliseconds; marked as in the report where they are unsteady."""
    seconds, spread = row[f"{way}_s"], row.get(f"{way}_iqr_s", "")
    unsteady = bool(seconds and spread) and float(spread) > UNSTEADY * float(seconds)
    return "~ " * unsteady + _number(seconds, ".3g", 1000.0)


def _number(text: str, form: str, factor: float = 1.0) -> str:
    return format(float(text) * factor, form) if text else "–"


def _of(rows: list[Row], codec: str) -> list[Row]:
    found = [row for row in rows if row["codec"] == codec and int(row["images"])]
    if not found:
        raise LookupError(f"the reference run has no results of {codec}")
    return found


def _point(rows: list[Row], codec: str, settings: str) -> Row:
    (found,) = (row for row in _of(rows, codec) if row["settings"] == settings)
    return found


def _bits(row: Row) -> float:
    return float(row["bits_per_image"])


def _no_worse(rows: list[Row], codec: str, than: Row) -> tuple[Row, str]:
    good = [row for row in _of(rows, codec) if float(row["mse"]) <= float(than["mse"])]
    return min(good, key=_bits), f"smallest with an MSE no larger than `{than['codec']}`'s"


def _nearest(rows: list[Row], codec: str) -> tuple[Row, str]:
    lossy = [row for row in _of(rows, codec) if row["psnr_db"] and "subsampling=4:4:4" not in row["settings"]]
    several = any("subsampling=" in row["settings"] for row in lossy)
    why = f"nearest to {TARGET_DB:g} dB" + " of those at 4:2:0" * several
    return min(lossy, key=lambda row: abs(float(row["psnr_db"]) - TARGET_DB)), why


def _smallest_lossless(rows: list[Row], codec: str) -> tuple[Row, str]:
    return min((row for row in _of(rows, codec) if row["lossless"] == "True"), key=_bits), "smallest lossless"


def main(arguments: list[str]) -> int:
    """Prints the tables, or writes them into the page."""
    if arguments not in ([], ["--write"]):
        print(__doc__)
        return 2
    if not SUMMARY.is_file():
        print(f"no {SUMMARY.relative_to(ROOT)}: measure the reference run first", file=sys.stderr)
        return 1
    content = table(read_table(), read_table(SETS))
    if arguments:
        PAGE.write_text(with_table(PAGE.read_text(encoding="utf-8"), content), encoding="utf-8")
    else:
        print(content)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
