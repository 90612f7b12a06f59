"""Makes the tables of docs/learned-codecs.md from the reference run, the model cards and the ablations.

python docs/learned_tables.py            prints them
python docs/learned_tables.py --write    puts them between the marks in docs/learned-codecs.md

So no number in that page is typed by hand. What is not measured yet is said to be so.
"""

from __future__ import annotations

import csv
import itertools
import json
import math
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from codecbench.analysis.bd_rate import bd_rate

ROOT = Path(__file__).resolve().parents[1]
SUMMARY = ROOT / "results" / "reference" / "summary.csv"
ABLATIONS = ROOT / "results" / "ablations"
WEIGHTS = ROOT / "codecs" / "weights"
PAGE = ROOT / "docs" / "learned-codecs.md"
TARGET_MSE = 0.003653
"""What the source experiment quotes for SVD at rank 5 on MNIST."""
LOSSY = ("webp", "jpeg", "avif", "jxl", "jpeg2000", "jpegxr")
LOSSLESS = ("ar_lossless", "res_lossless", "png", "webp", "jxl", "jpegls", "jpeg2000", "ppmd")
DATASETS = {"mnist": "MNIST", "stl10": "STL-10 crops", "folder:kodak": "Kodak"}
CARDS = (
    "rd_ae-digits",
    "rd_ae-colour",
    "ar_lossless",
    "res_lossless",
    "gan_ae",
    "gan_ae-features",
    "gan_ae-judge",
)
NOT_YET = "Not measured yet."
WHOLE = "the whole"
"""The variant of the ablations that lacks nothing."""

Row = dict[str, str]


def digits(rows: list[Row]) -> str:
    """The fewest bits on MNIST at no more than ``TARGET_MSE``, codec by codec."""
    found = {}
    for row in _measured(rows, "mnist"):
        if row["lossless"] != "True" and float(row["mse"]) <= TARGET_MSE:
            held = found.setdefault(row["codec"], row)
            found[row["codec"]] = min(held, row, key=_bits)
    curve = _measured(rows, "mnist", "rd_ae")
    if not curve:
        return NOT_YET
    lines = [
        [f"`{_spec(row)}`", f"{_bits(row):,.1f}", f"{float(row['mse']):.5f}"]
        for row in sorted(found.values(), key=_bits)
    ]
    table = _table(["Smallest point", "Bits per image", "MSE"], lines)
    bits = _between(curve, TARGET_MSE)
    said = f"Between its points, along straight lines of log bits over log MSE, `rd_ae` takes {bits:,.1f} bits there."
    return table if math.isnan(bits) else f"{table}\n\n{said}"


def _between(curve: list[Row], mse: float) -> float:
    """Bits at an error, along straight lines of log bits over log MSE; NaN where the curve does not reach so far."""
    wanted = math.log(mse)
    points = [(math.log(float(row["mse"])), math.log(_bits(row))) for row in sorted(curve, key=_bits)]
    for (error, bits), (next_error, next_bits) in itertools.pairwise(points):
        if error >= wanted >= next_error and error > next_error:
            return math.exp(bits + (next_bits - bits) * (error - wanted) / (error - next_error))
    return math.nan


def crops(rows: list[Row]) -> str:
    """BD-rates of ``rd_ae`` on the STL-10 crops: whole files, and payload alone."""
    return _bd_rates(rows, "stl10")


def photographs(rows: list[Row]) -> str:
    """The same on the Kodak photographs."""
    return _bd_rates(rows, "folder:kodak")


def _bd_rates(rows: list[Row], dataset: str) -> str:
    own = _curve(_measured(rows, dataset, "rd_ae"))
    if not own:
        return NOT_YET
    lines = []
    for codec in LOSSY:
        cells, reach = [f"`{codec}`"], ""
        for column in ("bits_per_image", "payload_bits_per_image"):
            found = [_bd(curve, own, column) for curve in _curves(_measured(rows, dataset, codec))]
            best = max((one for one in found if math.isfinite(one.percent)), key=lambda one: one.percent, default=None)
            cells.append(f"{best.percent:+.1f} %" if best else "–")
            reach = reach or (f"{best.low_quality:.1f} to {best.high_quality:.1f}" if best else "")
        lines.append([*cells, reach or "–"])
    heads = ["Against", "BD-rate, whole files", "BD-rate, payload", "PSNR (dB)"]
    return _table(heads, lines)


def _bd(anchor: list[Row], own: list[Row], column: str) -> Any:
    rates = [[float(row[column] or "nan") for row in curve] for curve in (anchor, own)]
    qualities = [[float(row["psnr_db"]) for row in curve] for curve in (anchor, own)]
    return bd_rate(rates[0], qualities[0], rates[1], qualities[1])


def _curve(rows: Iterable[Row]) -> list[Row]:
    return [row for row in rows if row["psnr_db"]]


def _curves(rows: Iterable[Row]) -> list[list[Row]]:
    """The lossy points of a codec, those with different chroma or effort apart."""
    curves: dict[str, list[Row]] = {}
    for row in _curve(rows):
        kind = [part for part in row["settings"].split(",") if part.startswith(("subsampling=", "method="))]
        curves.setdefault(",".join(kind), []).append(row)
    return list(curves.values())


def lossless(rows: list[Row]) -> str:
    """The smallest lossless point of some codecs on each dataset, in bits per pixel."""
    best: dict[tuple[str, str], float] = {}
    for dataset in DATASETS:
        for row in _measured(rows, dataset):
            if row["lossless"] == "True" and row["codec"] in LOSSLESS:
                key = row["codec"], dataset
                best[key] = min(best.get(key, math.inf), float(row["bits_per_pixel"]))
    if not any(codec in ("ar_lossless", "res_lossless") for codec, _ in best):
        return NOT_YET
    lines = []
    for codec in LOSSLESS:
        cells = [_number(best.get((codec, dataset)), ".3f") for dataset in DATASETS]
        lines.append([f"`{codec}`", *cells])
    return _table(["Bits per pixel", *DATASETS.values()], lines)


def speed(rows: list[Row]) -> str:
    """Times per image of the learned codecs, and of classical ones at a like rate."""
    lines = []
    for dataset in ("mnist", "stl10"):
        chosen = [_middle(_curve(_measured(rows, dataset, codec))) for codec in ("rd_ae", "webp", "avif")]
        for codec in ("ar_lossless", "res_lossless", "webp", "jxl"):
            exact = [row for row in _measured(rows, dataset, codec) if row["lossless"] == "True"]
            chosen.append(min(exact, key=_bits, default=None))
        for row in (row for row in chosen if row and row["encode_s"] and row["decode_s"]):
            times = [f"{1000 * float(row[way]):.3g}" for way in ("encode_s", "decode_s")]
            lines.append([DATASETS[dataset], f"`{_spec(row)}`", *times])
    if not any("rd_ae" in cells[1] or "_lossless" in cells[1] for cells in lines):
        return NOT_YET
    return _table(["Images", "Point", "Encode (ms)", "Decode (ms)"], lines)


def _middle(rows: list[Row]) -> Row | None:
    """The point in the middle of a curve."""
    return sorted(rows, key=_bits)[len(rows) // 2] if rows else None


def training(_: list[Row]) -> str:
    """What the model cards say of the training, and how large the weights are."""
    lines = []
    for name in CARDS:
        path = WEIGHTS / f"{name}.json"
        if not path.is_file():
            continue
        card = json.loads(path.read_text(encoding="utf-8"))
        judged = card.get("judged_by", "MSE")
        score = card.get("held_out_score", card.get("held_out_mse"))
        lines.append(
            [
                f"`{name}`",
                f"{card['parameters']:,}",
                f"{path.with_suffix('.safetensors').stat().st_size / 1e6:.1f}",
                f"{card['best_epoch']} of {card['recipe']['epochs']}",
                f"{card['training_seconds'] / 60:.0f}",
                f"{score:.4g} ({judged})",
            ]
        )
    heads = ["Weights", "Parameters", "MB", "Best epoch", "Minutes", "Held-out images"]
    return _table(heads, lines) if lines else NOT_YET


def ablations(_: list[Row]) -> str:
    """What ``docs/ablations.py`` found, a table a family."""
    parts = []
    for name, title, figure, compare in FAMILIES:
        variants: dict[str, list[Row]] = {}
        for row in read_rows(ABLATIONS / f"{name}.csv"):
            variants.setdefault(row["variant"], []).append(row)
        if WHOLE not in variants:
            continue
        lines = []
        for variant, rows in variants.items():
            told, percent = compare(rows, variants[WHOLE])
            more = f"{percent:+.1f} %" if math.isfinite(percent) else "not reached"
            lines.append([variant, told, "" if variant == WHOLE else more])
        some = variants[WHOLE][0]
        steps, size, images = (int(some[key]) for key in ("steps", "batch_size", "held_out_images"))
        head = f"{title}, {steps:,} steps of {size} images, judged by {images:,} training images that were held out:"
        parts.append(f"{head}\n\n" + _table(["Variant", figure, "More bits"], lines))
    return "\n\n".join(parts) or NOT_YET


def _at_target(rows: list[Row], whole: list[Row]) -> tuple[str, float]:
    """Bits at ``TARGET_MSE``, or, of a variant of one quality, at its own error."""
    wanted = TARGET_MSE if len(rows) > 1 else float(rows[0]["mse"])
    bits = _between(rows, wanted) if len(rows) > 1 else _bits(rows[0])
    told = "–" if math.isnan(bits) else f"{bits:.1f}" + f" at {wanted:.6f}" * (len(rows) == 1)
    return told, 100 * (bits / _between(whole, wanted) - 1)


def _by_curve(rows: list[Row], whole: list[Row]) -> tuple[str, float]:
    """The BD-rate, and the qualities that it is about."""
    found = _bd(whole, rows, "bits_per_image")
    return f"{found.low_quality:.1f} to {found.high_quality:.1f}", found.percent


def _by_pixel(rows: list[Row], whole: list[Row]) -> tuple[str, float]:
    """Bits per pixel."""
    bits, others = (float(points[0]["bits_per_pixel"]) for points in (rows, whole))
    return f"{bits:.3f}", 100 * (bits / others - 1)


FAMILIES = (
    ("digits", "`rd_ae` on digits", f"Bits at MSE {TARGET_MSE}", _at_target),
    ("colour", "`rd_ae` on colour crops", "BD-rate over PSNR (dB)", _by_curve),
    ("ar_lossless", "`ar_lossless`", "Bits per pixel", _by_pixel),
    ("res_lossless", "`res_lossless`", "Bits per pixel", _by_pixel),
)
"""Of the ablations: name of the CSV file, title, heading of the figure, and how a variant compares with the whole."""


BLOCKS: dict[str, Callable[[list[Row]], str]] = {
    function.__name__: function for function in (digits, crops, photographs, lossless, speed, training, ablations)
}


def with_blocks(page: str, rows: list[Row]) -> str:
    """The page with new tables between its marks, ``<!-- NAME -->`` and ``<!-- /NAME -->``.

    Args:
        page: its text.
        rows: of ``summary.csv``.
    """
    for name, made in BLOCKS.items():
        before, begin, rest = page.partition(f"<!-- {name} -->")
        _, end, after = rest.partition(f"<!-- /{name} -->")
        if not (begin and end):
            raise LookupError(f"{PAGE.name} has no marks for {name}")
        page = f"{before}{begin}\n\n{made(rows)}\n\n{end}{after}"
    return page


def read_rows(path: Path = SUMMARY) -> list[Row]:
    """The rows of a ``summary.csv``; none where there is no such file."""
    if not path.is_file():
        return []
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def _measured(rows: list[Row], dataset: str, codec: str | None = None) -> list[Row]:
    """Points of a dataset, and of one codec, that were measured as the codec's makers meant it or unmarked."""
    found = (row for row in rows if row["dataset"] == dataset and codec in (None, row["codec"]))
    return [row for row in found if row["images"] not in ("", "0") and row["bits_per_image"]]


def _bits(row: Row) -> float:
    return float(row["bits_per_image"])


def _spec(row: Row) -> str:
    return row["codec"] + (f":{row['settings']}" if row["settings"] else "")


def _number(value: float | None, form: str) -> str:
    return "–" if value is None else format(value, form)


def _table(heads: list[str], lines: list[list[str]]) -> str:
    """A Markdown table; all columns but the first are numbers."""
    rows = [heads, [":--", *["--:"] * (len(heads) - 1)], *lines]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in rows)


def main(arguments: list[str]) -> int:
    """Prints the tables, or writes them into the page."""
    if arguments not in ([], ["--write"]):
        print(__doc__)
        return 2
    page = with_blocks(PAGE.read_text(encoding="utf-8"), read_rows())
    if arguments:
        PAGE.write_text(page, encoding="utf-8")
    else:
        print("\n\n".join(f"{name}:\n\n{made(read_rows())}" for name, made in BLOCKS.items()))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
