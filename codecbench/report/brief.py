"""A run in short, for the terminal and for ``report.md``: which codec is best where, what failed, where the report is.

A codec is best on a dataset at a quality where it reaches at least that with the fewest bits, as the report says it too
(``codecbench.analysis.best``): read between measured points, never extrapolated. What does not compare is left
out and named: points over fewer images than the dataset has in the run, learned codecs on other data than theirs or on
their own training images, and ``none``, which measures the harness.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from codecbench.analysis import sets
from codecbench.analysis.best import OTHER_LEVELS_DB, best_rates, comparable_levels
from codecbench.analysis.points import HARNESS, TARGET_DB, annotate, overview
from codecbench.errors import UnknownNameError
from codecbench.report import markup
from codecbench.report.notes import Note, all_notes
from codecbench.report.tables import Column, Table, table_of, words
from codecbench.store.folder import StoredRun
from codecbench.text import count, format_significant, format_span

LOSSLESS = "lossless"
READ = "Bits are interpolated between measured points; times are per image, at the nearest measured point."
NOTHING = "Nothing was measured that could be compared."
Record = dict[Any, Any]


@dataclass(frozen=True)
class Brief:
    """A run, or several, in short."""

    runs: list[str]  # their folders
    report: str  # path of report.html; empty if there is none
    datasets: dict[str, int]  # number of images by label
    best: list[Record]  # one per dataset and quality, see best()
    codecs: list[Record]  # one per dataset and codec, see codecs()
    sets: list[Record]  # whole sets as one stream; not comparable to the others
    grave: list[Note]  # why results are missing
    notes: list[str]  # what does not compare, and how several runs differ, one line each
    summary: pd.DataFrame

    def to_json(self) -> dict[str, Any]:
        """The same as plain JSON values: null for NaN and infinity."""
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
        lines = [table.markdown(level) for table in (self.best_table(), *self.codec_tables(), *self.set_tables())]
        notes = [*self.grave, *([Note("Notes", self.notes)] if self.notes else [])]
        for note in notes:
            lines += [f"{'#' * level} {markup.markdown(note.title)}", ""]
            lines += [*(f"- {markup.markdown(line)}" for line in note.lines), ""]
        return "\n".join(lines)

    def best_table(self) -> Table:
        """The codecs with the fewest bits."""
        return _table("Best codec", BEST, self.best, READ)

    def codec_tables(self) -> list[Table]:
        """The codecs of each dataset."""
        return [
            _table(
                f"{label}, {count(images, 'image')}", CODECS, [one for one in self.codecs if one["dataset"] == label]
            )
            for label, images in self.datasets.items()
        ]

    def set_tables(self) -> list[Table]:
        """The table of whole sets as one stream, if there are any."""
        return [_table("Whole sets as one stream", SETS, self.sets)] if self.sets else []


def _table(title: str, columns: Sequence[Column], records: Sequence[Record], key: str = "") -> Table:
    if not records:
        return table_of(title, columns, (), lacking=(NOTHING,))
    return table_of(title, columns, records, keys=(key,) if key else ())


def _written(title: str, key: str, form: str) -> Column:
    """A column of numbers in one of the forms of ``markup.FILTERS``."""
    return Column(title, lambda record: markup.FILTERS[form](record[key]))


def _time(title: str, key: str) -> Column:
    def written(record: Record) -> str:
        tilde = " ~" if record["unsteady"] and not markup.absent(record[key]) else ""
        return markup.FILTERS["seconds"](record[key]) + tilde

    return Column(title, written)


def _next(record: Record) -> str:
    if not record["next_codec"]:
        return "– no other"
    percent = record["next_percent"]
    more = f"+{percent:.1f} %" if percent < 100 else f"{format_significant(1 + percent / 100)} times"
    return f"{record['next_codec']} {more}"


def _psnr(record: Record) -> str:
    ends = record["lowest_psnr_db"], record["highest_psnr_db"]
    return "–" if markup.absent(ends[0]) else format_span(*ends, "{:.1f}".format, "dB")


AT_TARGET = f"bits_per_pixel_at_{TARGET_DB:g}_db"
TIMES = (_time("encode", "encode_s"), _time("decode", "decode_s"))
BEST = (
    words("dataset", "dataset"),
    words("at least", "at"),
    words("fewest bits", lambda record: record["codec"] + " (learned)" * record["learned"]),
    _written("bits/pixel", "bits_per_pixel", "rate"),
    _written("bits/image", "bits_per_image", "whole"),
    words("next", _next),
    *TIMES,
)
CODECS = (
    words("codec", lambda record: f"{record['codec']}{record['mark']}"),
    _written(f"bits/pixel at {TARGET_DB:g} dB", AT_TARGET, "rate"),
    Column("PSNR", _psnr),
    _written("bits/pixel lossless", "bits_per_pixel_lossless", "rate"),
    *TIMES,
    _written("points", "points", "whole"),
)
SETS = (
    words("dataset", "dataset"),
    words("codec", "codec"),
    words("settings", "settings"),
    _written("images", "images", "whole"),
    _written("bytes", "set_bytes", "whole"),
    _written("bits/pixel", "bits_per_pixel", "rate"),
    words("status", "status"),
)


def brief(store: StoredRun, summary: pd.DataFrame, dataset: str | None = None) -> Brief:
    """A run folder in short, or several read as one; of a published run only ``run.json`` and its table are read.

    ``dataset`` narrows it to one of its datasets; an UnknownNameError if the run does not have it.
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
    found = all_notes(store, manifest, points, _failures(summary))
    whole = sets.table(store)
    page = store.sources[0] / "report.html"
    return Brief(
        runs=[str(path) for path in store.sources],
        report=str(page) if len(store.sources) == 1 and page.is_file() else "",
        datasets={label: manifest["datasets"][label]["images"] for label in labels},
        best=[record for label in labels for record in best(points[points["dataset"] == label], label)],
        codecs=[record for label in labels for record in codecs(points[points["dataset"] == label])],
        sets=whole[whole["dataset"].isin(labels)].to_dict("records"),
        grave=[note for note in found if note.grave],
        notes=[*store.notes, *(line for label in labels for line in _left_out(points, label))],
        summary=summary,
    )


def best(points: pd.DataFrame, dataset: str) -> list[Record]:
    """The codec with the fewest bits on a dataset: one record for each quality at which codecs compare, and lossless.

    ``next_percent`` is how many per cent more bits the next codec takes, ``offers`` how many codecs reach the quality;
    settings and times are those of the measured point of the best one that is nearest to there.
    """
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


def codecs(points: pd.DataFrame) -> list[Record]:
    """The codecs of a dataset by their rate at ``TARGET_DB``; times are those of the point nearest to it."""
    if not (points["images"] > 0).any():
        return []
    keep = ["dataset", "codec", "mark", "points", "images", "lowest_psnr_db", "highest_psnr_db"]
    keep += [AT_TARGET, "bits_per_pixel_lossless"]
    keep += ["settings", "encode_s", "decode_s", "device", "timed_on", "unsteady"]
    table = overview(points).rename(columns={"rate_at_target": AT_TARGET, "rate_lossless": "bits_per_pixel_lossless"})
    return table[keep].to_dict("records")


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
            lines.append(f"{codec} has results for only some images of {dataset}{some}: not compared there.")
        mark = own["mark"].iloc[0]
        if mark:
            why = f"other data than {dataset}" if mark == "†" else f"these very images of {dataset}"
            lines.append(f"{codec}{mark} was trained on {why}: not compared there.")
    return lines


def _failures(summary: pd.DataFrame) -> list[Any]:
    """What failed, from the table alone, which published runs have too: one object a point, see ``all_notes``."""
    rows = summary[summary["failed"] > 0]
    rows = rows.assign(images=rows["failed"], failed=rows["reason"].replace("", "no reason was recorded"))
    return list(rows[["dataset", "codec", "settings", "images", "failed"]].itertuples(index=False))


def plain(record: Mapping[Any, Any]) -> dict[str, Any]:
    """A record as JSON values; what is no finite number is None."""

    def value(given: Any) -> Any:
        found = given.item() if hasattr(given, "item") else given
        return None if markup.absent(found) or found in (math.inf, -math.inf) else found

    return {str(key): value(given) for key, given in record.items()}
