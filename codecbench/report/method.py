"""How it was measured: how to read the numbers, what they mean, what is missing and why, and how to do it again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from codecbench.analysis.points import TARGET_DB, nearest_quality
from codecbench.analysis.summary import UNSTEADY_SPREAD
from codecbench.plugins.metric import ALWAYS
from codecbench.report import markup
from codecbench.report.context import Context, Section
from codecbench.report.notes import Note
from codecbench.report.tables import Cell, Column, Table, file_bytes, numbers, row_of, table_of, words
from codecbench.text import format_significant, join_words

FRAMING = "the image's shape, and the compressor's own framing if it can be told apart"
HEADERS = {
    "avif": "every box but the data of mdat",
    "jpeg": "everything but the scans: markers, quantisation and Huffman tables",
    "jpeg2000": "everything but the packets",
    "htj2k": "everything but the packets",
    "jpegls": "everything but the scan",
    "jpegxr": "the file before its codestream, and that one's header",
    "jxl": "the image's header, up to the first frame",
    "none": "the image's shape",
    "png": "everything but the data of the IDAT chunks",
    "qoi": "the header and the end marker",
    "svd": "the image's shape",
    "webp": "everything but the data of the image's chunk",
} | dict.fromkeys(("deflate", "zstd", "brotli", "lzma", "bz2", "ppmd"), FRAMING)
"""What of a stream counts as headers, for built-in codecs; other codecs say so themselves."""


def section(context: Context) -> Section:
    """The last section of every page."""
    found: dict[str, Any] = {
        "reading": reading(context),
        "measuring": measuring(context.points),
        "notes": context.notes,
        "tables": [metrics(context.manifest, context.points), *headers(context)],
        "measured_with": markup.measured_with(context.manifest["invocations"]),
    }
    html = context.render("method.html.j2", manifest=context.manifest, **found)
    return Section("method", "How it was measured", html, _markdown(**found), style="words.css")


def _markdown(
    reading: list[str], measuring: str, notes: list[Note], tables: list[Table], measured_with: list[dict[str, Any]]
) -> str:
    """The same in Markdown, without the lists of versions, which ``run.json`` has."""
    lines = ["## How it was measured", ""]
    lines += [f"- {markup.prose_markdown(line)}" for line in reading]
    lines += ["", markup.markdown_marked(measuring), ""]
    for note in notes:
        lines += [f"### {markup.markdown_marked(note.title)}", ""]
        lines += [f"- {markup.markdown_marked(line)}" for line in note.lines] + [""]
    lines += [table.markdown(3) for table in tables]
    lines += ["### Commands", ""]
    for group in measured_with:
        lines += [
            f"- {markup.markdown_marked('`' + call['command'].replace('`', ' ') + '`')}" for call in group["commands"]
        ]
        facts = [f"{name} {thing}" for name, thing in group["facts"]]
        lines += ["", markup.markdown("; ".join(facts)), ""]
    return "\n".join(lines)


def reading(context: Context) -> list[str]:
    """How to read the page, in a few sentences."""
    found = [
        "A codec turns an image into bytes and back. **Rate** is the number of those bytes, every header and table "
        "included; the image was decoded from them alone. **PSNR** and **SSIM** say how close the decoded image is to "
        "the original.",
        "Compare codecs at equal quality or at equal rate, never at equal settings: the same number means different "
        "things to different codecs.",
        f"A value at {TARGET_DB:g} dB is interpolated between two measured points. Nothing is extrapolated: a codec "
        "that does not reach this quality has no value.",
        "An image that is restored exactly has no PSNR (it would be infinite) and is left out of the means.",
    ]
    marks = set(context.points["mark"])
    if "†" in marks:
        found.append("**†** trained on data of another kind: drawn hollow, curves dashed.")
    if "‡" in marks:
        found.append("**‡** measured on its own training images, which flatters it.")
    if bool(context.points["unsteady"].any()):
        found.append(
            f"**~** an unsteady time: something else was using the processor, or the rounds spread by more than "
            f"{UNSTEADY_SPREAD:.0%} of the median (interquartile range)."
        )
    return found


def measuring(points: pd.DataFrame) -> str:
    """How rates and times were taken, in a few sentences."""
    times = (
        " Times are medians over rounds, in which the points of all codecs come in a shuffled order, after a warm-up: "
        "from 8-bit pixels in memory to bytes and back, one point at a time and in a fresh process for each codec, "
        "after the parallel part of the run."
        if points["encode_s"].notna().any()
        else " No times were taken."
    )
    return (
        "Rates are the lengths of real bitstreams. They are decoded in another process, which never sees the original "
        f"image. A codec that claims to be lossless is checked on every pixel.{times} Intervals are 95 % confidence "
        "intervals from a bootstrap over the images: the same images are drawn for all codecs, so that differences "
        "between codecs are judged image by image."
    )


def metrics(manifest: dict[str, Any], points: pd.DataFrame) -> Table:
    """The exact names and meanings of the metrics of a run."""
    found = {
        name: metric.record() | {"title": ""}
        for name, metric in ALWAYS.items()
        if name in points and points[name].notna().any()
    }
    for name, record in manifest["metrics"].items():
        variants = record.get("variants", {}).items()
        exactly = [f"on {label}: {text}" for label, text in variants if text not in ("", record.get("title", ""))]
        meaning = record.get("description", "") + (f" ({'; '.join(exactly)})" if exactly else "")
        found[name] = record | {"description": meaning}
    columns = [
        words("Column", "name"),
        words("Title", lambda one: str(one.get("title") or "–")),
        words("Meaning", "description"),
        words("Unit", lambda one: str(one.get("unit") or "–")),
        words("", lambda one: f"{one.get('better', '')} is better"),
    ]
    if not any(one.get("title") for one in found.values()):
        del columns[1]
    return table_of("Metrics", columns, [one | {"name": name} for name, one in found.items()], open=False)


def headers(context: Context) -> list[Table]:
    """What of each codec's files is headers, at its point nearest to 30 dB; no table where no codec counts them."""
    points = context.points
    known = points[(points["images"] > 0) & points["container_bytes"].notna() & (points["bits_per_image"] > 0)]
    if known.empty:
        return []
    spread = known.groupby(["dataset", "codec"])["container_bytes"].agg(["min", "max"])
    rows = [
        row_of(point | spread.loc[(dataset, point["codec"])].to_dict(), HEADER_COLUMNS, mark=point["mark"])
        for dataset, members in known.groupby("dataset", sort=False)
        for point in nearest_quality(members).sort_values("codec").to_dict("records")
    ]
    silent = sorted(set(points.loc[points["images"] > 0, "codec"]) - set(known["codec"]))
    unknown = f"Unknown for {join_words([f'`{name}`' for name in silent])}: only the size of whole files is known."
    about = (
        f"At each codec's point nearest to {TARGET_DB:g} dB, or its smallest lossless one. Headers are what a format "
        "separates from the image data, counted in every stream by the codec itself; **payload** is the rest. A "
        "learned codec whose stream is nothing but coded numbers has none: its tables are part of the weights."
    )
    lacking = (unknown,) if silent else ()
    return [Table("Headers and payload", HEADER_COLUMNS, tuple(rows), about, lacking=lacking, open=False)]


def _share(point: Mapping[Any, Any]) -> Cell:
    share = point["container_bytes"] / (point["bits_per_image"] / 8)
    return Cell(f"{100 * share:.0f}\N{NO-BREAK SPACE}%", share)


HEADER_COLUMNS = (
    words("Codec", "codec"),
    words("Dataset", "dataset"),
    words("What counts", lambda point: HEADERS.get(point["codec"], "as the codec counts them")),
    numbers("Headers, bytes", "container_bytes", format_significant, "mean bytes of headers and tables in a file"),
    file_bytes("File, bytes", "mean bytes of a whole file"),
    Column("Share", _share, "headers over the whole file"),
    numbers("Least", "min", format_significant, "fewest mean bytes of headers among the codec's points"),
    numbers("Most", "max", format_significant, "most mean bytes of headers among the codec's points"),
)
