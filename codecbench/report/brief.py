"""A run in short, for the terminal and for ``report.md``: which codec is best where, what failed, where the report is.

A codec is best on a dataset at a quality where it reaches at least that with the fewest bits: these are the claims of
the report's answer (``codecbench.analysis.claims``). What does not compare is left out and named: points without some
of the images that others have, learned codecs on other data than theirs or on their own training images, and ``none``,
which measures the harness.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from codecbench.analysis import claims, sets
from codecbench.analysis.bd_rate import default_anchor
from codecbench.analysis.best import incomplete
from codecbench.analysis.claims import Claim
from codecbench.analysis.points import TARGET_DB, annotate, overview
from codecbench.analysis.same_images import SameImages
from codecbench.errors import UnknownNameError
from codecbench.report import markup
from codecbench.report.notes import CHOICE, Note, all_notes
from codecbench.report.tables import Column, Table, table_of, words
from codecbench.store.folder import StoredRun
from codecbench.text import count, format_significant, format_span

LOSSLESS = "lossless"
READ = (
    "Bits are interpolated between measured points; times are per image, at the nearest measured point. Level: the "
    "95 % interval of the difference contains 0, or it is below 0.5 %; not known: there is no interval."
)
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
    notes: list[str]  # on the choice of images, what does not compare, how several runs differ, one line each
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
    sure = "" if record["sure"] == "certain" else f" ({record['sure']})"
    return f"{record['next_codec']} {more}{sure}"


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
    same = SameImages(store, points, ["psnr_db"], replicates=200)
    found = all_notes(store, manifest, points, _failures(summary))
    chosen = [line for note in found if note.title == CHOICE for line in note.lines if not dataset or dataset in line]
    whole = sets.table(store)
    page = store.sources[0] / "report.html"
    return Brief(
        runs=[str(path) for path in store.sources],
        report=str(page) if len(store.sources) == 1 and page.is_file() else "",
        datasets={label: manifest["datasets"][label]["images"] for label in labels},
        best=[record for label in labels for record in best(same, label)],
        codecs=[record for label in labels for record in codecs(same, label)],
        sets=whole[whole["dataset"].isin(labels)].to_dict("records"),
        grave=[note for note in found if note.grave],
        notes=[*store.notes, *chosen, *(line for label in labels for line in _left_out(same, label))],
        summary=summary,
    )


def best(same: SameImages, dataset: str) -> list[Record]:
    """What the report's answer says of a dataset (``analysis.claims``), one record a claim.

    That is for each quality at which codecs compare the untrained one with the fewest bits, then that without loss,
    then of each learned codec at home here how it stands against the best untrained one at its quality.
    ``next_percent`` is how many per cent more bits the next codec takes, and ``sure`` how sure that is: ``certain``,
    ``level`` or why it is not known; settings and times are those of the measured point that is nearest to there.
    """
    points, over = same.of(dataset), same.of(dataset, "psnr_db")
    anchor = default_anchor(same.over("psnr_db"))
    lossless = claims.lossless(dataset, points, anchor, same.resampled)
    found = claims.by_quality(dataset, over, anchor, same.resampled) + ([lossless] if lossless else [])
    found += claims.learned(dataset, over, same.resampled)
    return [_best(claim, points if claim is lossless else over) for claim in found]


def _best(claim: Claim, points: pd.DataFrame) -> Record:
    first, (_, *others) = claim.first, [*claim.winners, *([claim.loser] if claim.loser else [])]
    measured = points[(points["codec"] == first.codec) & (points["settings"] == first.settings)].iloc[0]
    follower = claim.rates[others[0]] if others else None
    sure = claim.saving.unknown or "not known"
    if len(claim.winners) > 1 or claim.certain:
        sure = "level" if len(claim.winners) > 1 else "certain"
    learned = claim.kind == "learned"
    return {
        "dataset": claim.dataset,
        "at": LOSSLESS if math.isnan(claim.quality_db) else f"{claim.quality_db:{'.1f' if learned else 'g'}} dB",
        "quality_db": claim.quality_db,
        "codec": first.codec,
        "learned": first.learned,
        "bits_per_pixel": first.bits * float(measured["bits_per_pixel"] / measured["bits_per_image"]),
        "bits_per_image": first.bits,
        "images": claim.images,
        "next_codec": follower.codec if follower else "",
        "next_percent": 100.0 * (follower.bits / first.bits - 1.0) if follower else math.nan,
        "sure": sure if follower else "",
        **{key: measured[key] for key in ("settings", "encode_s", "decode_s", "unsteady", "timed_on")},
    }


def codecs(same: SameImages, dataset: str) -> list[Record]:
    """The codecs of a dataset by their rate at ``TARGET_DB``; times are those of the point nearest to it."""
    points, over = same.of(dataset), same.of(dataset, "psnr_db")
    if not (points["images"] > 0).any():
        return []
    keep = ["dataset", "codec", "mark", "points", "images", "lowest_psnr_db", "highest_psnr_db"]
    keep += [AT_TARGET, "bits_per_pixel_lossless"]
    keep += ["settings", "encode_s", "decode_s", "device", "timed_on", "unsteady"]
    names = {"rate_at_target": AT_TARGET, "rate_lossless": "bits_per_pixel_lossless"}
    return overview(points, over).rename(columns=names)[keep].to_dict("records")


def _left_out(same: SameImages, dataset: str) -> list[str]:
    lines = [same.note(dataset, "psnr_db")]
    points, over = same.of(dataset), same.of(dataset, "psnr_db")
    for codec, own in points[points["images"] > 0].groupby("codec", sort=True):
        short = own[incomplete(own) & (over["images"][own.index] == 0)]
        if len(short):
            some = "" if len(short) == len(own) else f" at {len(short)} of {count(len(own), 'point')}"
            lines.append(f"{codec} has results for only some images of {dataset}{some}: not compared there.")
        mark = own["mark"].iloc[0]
        if mark:
            why = f"other data than {dataset}" if mark == "†" else f"these very images of {dataset}"
            lines.append(f"{codec}{mark} was trained on {why}: not compared there.")
    return [line for line in lines if line]


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
