"""What a reader of a report should know before trusting a number, in words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from codecbench.analysis.summary import LEAST_CPU_SHARE, UNSTEADY_SPREAD
from codecbench.store.folder import StoredRun
from codecbench.store.latents import LatentsRecord
from codecbench.store.manifest import outdated_metrics
from codecbench.store.timings import TimingRecord
from codecbench.text import count

CHOICE = "Choice of data and codecs"


@dataclass(frozen=True)
class Note:
    """A heading and its lines, as plain text."""

    title: str
    lines: list[str]
    grave: bool = False  # results are missing because something went wrong


def all_notes(
    store: StoredRun,
    manifest: Mapping[str, Any],
    points: pd.DataFrame,
    failures: Sequence[Any],
    timings: Sequence[TimingRecord] = (),
    latents: Sequence[LatentsRecord] = (),
) -> list[Note]:
    """Everything worth a note about a run, of whose datasets those of the manifest and the points; the gravest first.

    ``failures`` have ``dataset``, ``codec``, ``settings``, ``images`` and ``failed``, the reason; ``timings`` are all
    records of times, failed or not.
    """
    chosen = dict.fromkeys(str(note) for call in manifest["invocations"] for note in call.get("notes", ()))
    skipped = [
        f"{skip['codec']} on {skip['dataset']} ({count(skip['images'], 'image')}): {skip['reason']}"
        for skip in manifest["skipped"]
    ]
    without_latents = [f"{one.codec} on {one.dataset}: {one.failed}. Everything else was measured." for one in latents]
    notes = [
        Note("Failed", _failed(failures), grave=True),
        Note("Not timed", _not_timed(timings), grave=True),
        Note("Metrics that failed", _metrics(store), grave=True),
        Note("Damaged", _damaged(store.damaged()), grave=True),
        Note("Not measured (yet)", _missing(manifest, points), grave=True),
        Note(CHOICE, list(chosen)),
        Note("Skipped, because the codec does not take the images", skipped),
        Note("Trained on other data", _foreign(manifest, points)),
        Note("Their own training images", _own(points)),
        Note("Speed", _speed(points)),
        Note("Latents that could not be computed", without_latents),
    ]
    return [note for note in notes if note.lines]


def _metrics(store: StoredRun) -> list[str]:
    places: dict[tuple[str, str], dict[str, None]] = {}
    for task in store.tasks():
        outdated = outdated_metrics(store.manifest, task.codec)
        for metric, reason in task.metrics_failed.items():
            if metric not in outdated:
                places.setdefault((metric, reason), {})[f"{task.codec} on {task.dataset}"] = None
    return [f"{metric}: {reason} ({', '.join(where)})" for (metric, reason), where in places.items()]


def _failed(failures: Sequence[Any]) -> list[str]:
    groups: dict[tuple[str, str, str], list[Any]] = {}
    for failure in failures:
        groups.setdefault((failure.codec, failure.dataset, failure.failed), []).append(failure)
    lines = []
    for (codec, dataset, reason), members in groups.items():
        settings = list(dict.fromkeys(member.settings for member in members if member.settings))
        where = f" ({settings[0]})" if len(settings) == 1 else f" ({len(settings)} points)" if settings else ""
        images = sum(member.images for member in members)
        lines.append(f"{codec}{where} on {dataset}, {count(images, 'image')} without a result: {reason}")
    return sorted(lines)


def _not_timed(timings: Sequence[TimingRecord]) -> list[str]:
    failed = Counter((record.codec, record.dataset, record.failed) for record in timings if record.failed)
    return sorted(
        f"{codec} on {dataset}, {count(number, 'point')}: {why}" for (codec, dataset, why), number in failed.items()
    )


def _damaged(names: Sequence[str]) -> list[str]:
    parts = sorted({name.partition(".")[0] for name in names})
    if not parts:
        return []
    which = ", ".join(parts[:5]) + (f" and {len(parts) - 5} more" if len(parts) > 5 else "")
    return [
        f"{count(len(parts), 'part')} of this run {'was' if len(parts) == 1 else 'were'} found damaged and set aside "
        f"({which}); running the same command again measures it anew."
    ]


def _missing(manifest: Mapping[str, Any], points: pd.DataFrame) -> list[str]:
    skipped: Counter[tuple[str, str]] = Counter()
    for skip in manifest["skipped"]:
        skipped[skip["dataset"], skip["codec"]] += skip["images"]
    lines = []
    for dataset, codecs in manifest["planned"].items():
        for codec, settings in codecs.items():
            members = points[(points["dataset"] == dataset) & (points["codec"] == codec)].set_index("settings")
            got = (members["images"] + members["failed"]).reindex(settings).fillna(0)
            whole = manifest["datasets"][dataset]["images"] - skipped[dataset, codec]
            expected = pd.Series([whole - skipped[dataset, f"{codec}:{text}"] for text in settings], settings)
            if absent := int((got == 0).sum()):
                lines.append(f"{codec} on {dataset}: {count(absent, 'point')} of {len(settings)} without results yet")
            short = got[(got > 0) & (got < expected)]
            if len(short):
                lines.append(
                    f"{codec} on {dataset}: {count(len(short), 'point')} with fewer images than the others "
                    f"(at least {int(short.min())}); their means are not over the same images"
                )
    return lines


def _foreign(manifest: Mapping[str, Any], points: pd.DataFrame) -> list[str]:
    lines = []
    for codec, members in points[points["out_of_domain"]].groupby("codec", sort=True):
        names = " and ".join(dict.fromkeys(members["dataset"]))
        lines.append(
            f"{codec} was trained on {members['trained_on'].iloc[0]}. On {names} it is out of its domain: marked † "
            "in the tables, drawn hollow in the plots, curves dashed."
        )
    return lines


def _own(points: pd.DataFrame) -> list[str]:
    return [
        f"{codec} was trained on {' and '.join(dict.fromkeys(members['dataset']))}: its results there say nothing "
        "about other images. Marked ‡ in the tables."
        for codec, members in points[points["on_training_images"]].groupby("codec", sort=True)
    ]


def _speed(points: pd.DataFrame) -> list[str]:
    measured = points[points["images"] > 0]
    timed = measured[measured["encode_s"].notna()]
    if measured.empty:
        return []
    if timed.empty:
        return ["No times were measured, so nothing is said about speed."]
    lines = []
    if len(timed) < len(measured):
        lines.append(f"{len(measured) - len(timed)} of {count(len(measured), 'point')} have no timings.")
    noisy = int(timed["unsteady"].sum())
    if noisy:
        lines.append(
            f"{noisy} of {count(len(timed), 'timed point')} spread by more than {UNSTEADY_SPREAD:.0%} between rounds "
            f"(interquartile range over median), or had the processor for less than {LEAST_CPU_SHARE:.0%} of the "
            "time: the machine was not quiet. Those times are marked ~."
        )
    return lines + _machines(timed)


def _machines(timed: pd.DataFrame) -> list[str]:
    """Which codecs were timed on which machine, where there are several."""
    hosts = sorted(set(timed["timed_on"]), key=lambda host: (not host, host))
    if len(hosts) < 2:
        return []
    where = []
    for host in hosts:
        names = []
        for codec, members in timed.groupby("codec", sort=True):
            here = members[members["timed_on"] == host]
            whole = len(here) == len(members)
            names += [f"{codec}" if whole else f"{codec} on {on}" for on in dict.fromkeys(here["dataset"])]
        where.append(f"{', '.join(dict.fromkeys(names))} on {host or 'a machine that was not recorded'}")
    return [
        f"Times were taken on {len(hosts)} machines: {'; '.join(where)}. Times of different machines are not "
        "comparable: they are neither pooled nor drawn in one plot."
    ]
