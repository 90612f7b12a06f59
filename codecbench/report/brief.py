"""A run in short, for the terminal and for ``report.md``: which codec is best where, what failed, where the report is.

A codec is best on a dataset at a quality where it reaches at least that with the fewest bits, as the report says it too
(``codecbench.analysis.best``): read between measured points, never extrapolated. What does not compare is left
out and named: points over fewer images than the dataset has in the run, learned codecs on other data than theirs or on
their own training images, and ``none``, which measures the harness.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pandas as pd

from codecbench.analysis.points import HARNESS, TARGET_DB, annotate, overview
from codecbench.errors import UnknownNameError
from codecbench.report import markup
from codecbench.report.notes import Note, all_notes
from codecbench.store import sets
from codecbench.store.folder import RunFolder
from codecbench.text import count, format_significant, format_span

if TYPE_CHECKING:
    pass

LOSSLESS = "lossless"


@dataclass(frozen=True)
class Shown:
    """What is told about a run or several.

    Attributes:
        runs: where they lie.
        best: one record per dataset and quality, see :func:`best`.
        codecs: one record per dataset and codec, see :func:`codecs`.
        grave: why results are missing.
        notes: what does not compare, and what several runs have apart, one line each.
        summary: the table of the run, see ``codecbench.analysis.summary``.
        report: path of ``report.html``; empty where there is none.
        datasets: how many images each dataset has in the run.
        sets: what whole sets take as one stream, one record a row of ``codecbench.store.sets.table``; such figures and
        those
            of single images do not compare.
    """

    runs: list[str]
    best: list[dict[str, Any]]
    codecs: list[dict[str, Any]]
    grave: list[Note]
    notes: list[str]
    summary: pd.DataFrame
    report: str = ""
    datasets: dict[str, int] = field(default_factory=dict)
    sets: list[dict[str, Any]] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """The same as plain JSON values: no NaN, no infinity, null in their place."""
        return {
            "runs": self.runs,
            "report": self.report or None,
            "best": [plain(record) for record in self.best],
            "codecs": [plain(record) for record in self.codecs],
            "sets": [plain(record) for record in self.sets],
            "failed": [{"what": note.title, "lines": note.lines} for note in self.grave],
            "notes": self.notes,
            "points": [plain(record) for record in self.summary.to_dict("records")],
        }

    def markdown(self, level: int = 2) -> str:
        """The same as GitHub's Markdown, with headings from ``level`` on; all names are escaped."""
        lines = [_heading("Best codec", level), *table(BEST, self.best), READ, ""]
        for label, images in self.datasets.items():
            own = [record for record in self.codecs if record["dataset"] == label]
            lines += [_heading(f"{label}, {count(images, 'image')}", level), *table(CODECS, own)]
        if self.sets:
            lines += [_heading("Whole sets as one stream", level), *table(SETS, self.sets)]
        for note in self.grave:
            lines += [_heading(note.title, level), *(f"- {markup.markdown(line)}" for line in note.lines), ""]
        if self.notes:
            lines += [_heading("Notes", level), *(f"- {markup.markdown(line)}" for line in self.notes), ""]
        return "\n".join(lines)


@dataclass(frozen=True)
class Column:
    """A column of a table for people.

    Attributes:
        title: its heading.
        write: what stands in it, of a record.
        numeric: right-aligned.
    """

    title: str
    write: Callable[[Mapping[str, Any]], str]
    numeric: bool = True


# ---- what is told ---------------------------------------------------------------------------------------------------


def content(store: RunFolder, summary: pd.DataFrame, dataset: str | None = None) -> Shown:
    """What is told about a run folder, or several read as one.

    Args:
        store: the run; of a published one only ``run.json`` is read.
        summary: its table.
        dataset: one of its datasets; None for all.

    Raises:
        UnknownNameError: the run has no such dataset.
    """
    manifest = store.manifest
    labels = [str(label) for label in manifest["datasets"]]
    if dataset is not None:
        if dataset not in labels:
            raise UnknownNameError("dataset of this run", dataset, labels)
        labels = [dataset]
        manifest = {**manifest, "planned": {key: value for key, value in manifest["planned"].items() if key == dataset}}
        summary = summary[summary["dataset"] == dataset].reset_index(drop=True)
    points = annotate(summary[(summary["images"] > 0) | (summary["failed"] > 0)].reset_index(drop=True), manifest)
    found = all_notes(manifest, points, _failures(summary), store.damaged(), [], store.metric_failures())
    members = getattr(store, "members", None)
    whole = sets.table(store)
    page = store.path / "report.html"
    return Shown(
        [str(member.store.path) for member in members] if members else [str(store.path)],
        [record for label in labels for record in best(points[points["dataset"] == label], label)],
        [record for label in labels for record in codecs(points[points["dataset"] == label])],
        [note for note in found if note.grave],
        [*getattr(store, "notes", ()), *(line for label in labels for line in _left_out(points, label))],
        summary,
        str(page) if page.is_file() else "",
        {label: manifest["datasets"][label]["images"] for label in labels},
        [_named(record) for record in whole[whole["dataset"].isin(labels)].to_dict("records")],
    )


def best(points: pd.DataFrame, dataset: str) -> list[dict[str, Any]]:
    """The codec with the fewest bits on a dataset, for at least each quality.

    Args:
        points: marked points of the dataset, see ``codecbench.analysis.points.annotate``.
        dataset: its label.

    Returns:
        One record for each quality at which the codecs can be compared, and one for lossless:
        ``dataset``, ``at``, ``quality_db`` (None for lossless), ``codec``, ``learned``, ``bits_per_pixel``,
        ``bits_per_image``, ``next_codec`` and how many per cent more bits it takes (``next_percent``), ``offers``
        (codecs that reach the quality), and of the best one's measured point nearest to there ``settings``,
        ``encode_s``, ``decode_s``, ``unsteady`` and ``timed_on``.
    """
    from codecbench.analysis.best import OTHER_LEVELS_DB, best_rates, comparable_levels

    members = points[_compare(points)]
    records = []
    for quality_db in [*(comparable_levels(members) or comparable_levels(members, OTHER_LEVELS_DB)), math.inf]:
        ranked = best_rates(members, quality_db)
        if not ranked:
            continue
        first, follower = ranked[0], ranked[1] if len(ranked) > 1 else None
        measured = members[(members["codec"] == first.codec) & (members["settings"] == first.settings)].iloc[0]
        finite = math.isfinite(quality_db)
        records.append(
            {
                "dataset": dataset,
                "at": f"{quality_db:g} dB" if finite else LOSSLESS,
                "quality_db": quality_db if finite else None,
                "codec": first.codec,
                "learned": first.learned,
                "bits_per_pixel": first.bits * float(measured["bits_per_pixel"] / measured["bits_per_image"]),
                "bits_per_image": first.bits,
                "next_codec": follower.codec if follower else "",
                "next_percent": 100.0 * (follower.bits / first.bits - 1.0) if follower else math.nan,
                "offers": len(ranked),
                **{key: measured[key] for key in ("settings", "encode_s", "decode_s", "unsteady", "timed_on")},
            }
        )
    return records


def codecs(points: pd.DataFrame) -> list[dict[str, Any]]:
    """The overview of a dataset's codecs, by their rate at ``TARGET_DB``.

    Args:
        points: marked points of the dataset.

    Returns:
        One record a codec: ``dataset``, ``codec``, ``mark``, ``points``, ``images``, ``bits_per_pixel_at_30_db``,
        ``lowest_psnr_db``, ``highest_psnr_db``, ``bits_per_pixel_lossless``, and of the point nearest to 30 dB
        ``settings``, ``encode_s``, ``decode_s``, ``device``, ``timed_on`` and ``unsteady``.
    """
    keep = ("dataset", "codec", "mark", "points", "images", "lowest_psnr_db", "highest_psnr_db")
    times = ("settings", "encode_s", "decode_s", "device", "timed_on", "unsteady")
    rows: list[dict[Any, Any]] = overview(points).to_dict("records") if (points["images"] > 0).any() else []
    return [
        {key: row[key] for key in keep}
        | {
            f"bits_per_pixel_at_{TARGET_DB:g}_db": row["rate_at_target"],
            "bits_per_pixel_lossless": row["rate_lossless"],
        }
        | {key: row[key] for key in times}
        for row in rows
    ]


def _compare(points: pd.DataFrame) -> pd.Series[bool]:
    """Which points compare: over all images, of codecs that are neither out of their domain nor flattered."""
    whole = (points["images"] > 0) & (points["images"] == points["total_images"])
    return whole & (points["mark"] == "") & (points["codec"] != HARNESS)


def _left_out(points: pd.DataFrame, dataset: str) -> list[str]:
    members = points[(points["dataset"] == dataset) & (points["images"] > 0)]
    lines = []
    for codec, own in members.groupby("codec", sort=True):
        short = own[own["images"] < own["total_images"]]
        if len(short):
            some = "" if len(short) == len(own) else f" at {len(short)} of {count(len(own), 'point')}"
            lines.append(f"{codec} has results for fewer images of {dataset} than there are{some}: not compared there.")
        mark = own["mark"].iloc[0]
        if mark:
            why = f"other data than {dataset}" if mark == "†" else f"these very images of {dataset}"
            lines.append(f"{codec}{mark} was trained on {why}: not compared there.")
    return lines


def _failures(summary: pd.DataFrame) -> list[dict[str, Any]]:
    """Failures as the sidecars of a run tell them, from its table alone, which published runs have too."""
    rows = summary[summary["failed"] > 0].to_dict("records")
    return [
        {"codec": row["codec"], "dataset": row["dataset"], "settings": row["settings"]}
        | {"images": int(row["failed"]), "failed": row["reason"] or "no reason is told"}
        for row in rows
    ]


# ---- how it is written ----------------------------------------------------------------------------------------------


def _seconds(key: str) -> Callable[[Mapping[str, Any]], str]:
    def write(record: Mapping[str, Any]) -> str:
        text = markup.FILTERS["seconds"](record[key])
        return f"{text} ~" if record["unsteady"] and not markup.absent(record[key]) else text

    return write


def _number(key: str, how: str) -> Callable[[Mapping[str, Any]], str]:
    return lambda record: markup.FILTERS[how](record[key])


def _next(record: Mapping[str, Any]) -> str:
    if not record["next_codec"]:
        return "– no other"
    percent = record["next_percent"]
    more = f"+{percent:.1f} %" if percent < 100 else f"{format_significant(1 + percent / 100)} times"
    return f"{record['next_codec']} {more}"


BEST = (
    Column("dataset", lambda record: str(record["dataset"]), numeric=False),
    Column("at least", lambda record: str(record["at"]), numeric=False),
    Column("fewest bits", lambda record: str(record["codec"]) + " (learned)" * record["learned"], numeric=False),
    Column("bits/pixel", _number("bits_per_pixel", "rate")),
    Column("bits/image", _number("bits_per_image", "whole")),
    Column("next", _next, numeric=False),
    Column("encode", _seconds("encode_s")),
    Column("decode", _seconds("decode_s")),
)
"""The table of the codecs with the fewest bits."""
CODECS = (
    Column("codec", lambda record: f"{record['codec']}{record['mark']}", numeric=False),
    Column(f"bits/pixel at {TARGET_DB:g} dB", _number(f"bits_per_pixel_at_{TARGET_DB:g}_db", "rate")),
    Column(
        "PSNR",
        lambda record: (
            "–"
            if markup.absent(record["lowest_psnr_db"])
            else format_span(record["lowest_psnr_db"], record["highest_psnr_db"], "{:.1f}".format, "dB")
        ),
    ),
    Column("bits/pixel lossless", _number("bits_per_pixel_lossless", "rate")),
    Column("encode", _seconds("encode_s")),
    Column("decode", _seconds("decode_s")),
    Column("points", _number("points", "whole")),
)
"""The table of a dataset's codecs."""
SETS = (
    Column("dataset", lambda record: str(record["dataset"]), numeric=False),
    Column("codec", lambda record: str(record["codec"]), numeric=False),
    Column("settings", lambda record: str(record["settings"]), numeric=False),
    Column("images", _number("images", "whole")),
    Column("bytes", _number("set_bytes", "whole")),
    Column("bits/pixel", _number("bits_per_pixel", "rate")),
    Column("status", lambda record: str(record["status"]), numeric=False),
)
"""The table of whole sets as one stream."""
READ = "Bits are read between measured points; times are an image's, at the measured point nearest to there."


def table(columns: Sequence[Column], records: Sequence[Mapping[str, Any]]) -> list[str]:
    """A table in GitHub's Markdown, with an empty line behind it; says so where there is nothing in it."""
    if not records:
        return ["Nothing was measured that could stand here.", ""]
    lines = [[markup.markdown(column.title) for column in columns]]
    lines.append(["--:" if column.numeric else ":--" for column in columns])
    lines += [[markup.markdown(column.write(record)) for column in columns] for record in records]
    return [*("| " + " | ".join(line) + " |" for line in lines), ""]


def _named(record: Mapping[Any, Any]) -> dict[str, Any]:
    return {str(key): value for key, value in record.items()}


def plain(record: Mapping[Any, Any]) -> dict[str, Any]:
    """A record as JSON values; what is no finite number is None."""

    def value(given: Any) -> Any:
        if markup.absent(given):
            return None
        found = given.item() if hasattr(given, "item") else given
        return None if isinstance(found, float) and not math.isfinite(found) else found

    return {str(key): value(given) for key, given in record.items()}


def _heading(text: str, level: int) -> str:
    return f"{'#' * level} {markup.markdown(text)}\n"
