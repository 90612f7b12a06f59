"""Several runs read as one: what is the same in them is put together, what only has the same name gets two names.

- **A dataset** of one label is the same if its images have the same fingerprint; else it is shown as ``mnist (A)`` and
  ``mnist (B)``, with the runs' names.
- **A codec** of one name is the same if it has the same fingerprint: plugin, weights, libraries, device and
  measuring code. Else it is shown as ``jpeg (A)`` and ``jpeg (B)``.
- **A point** that several runs have is taken, with all its rows, from the one with the most images; of equals from the
  first. Its times are of the same run, else of the first that has some. Times of different machines stay apart by their
  column ``timed_on``.

Records get their names in the view as they are read; nothing is written.
"""

from __future__ import annotations

import copy
import dataclasses
import functools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from codecbench.errors import StoreError, UsageError
from codecbench.plugins.codec import Images
from codecbench.store import manifest
from codecbench.store.folder import RunFolder, StoredRun
from codecbench.store.io import Point, R, Record
from codecbench.store.pictures import WorstCase
from codecbench.store.tasks import TaskRecord
from codecbench.store.timings import TimingRecord
from codecbench.text import count

if TYPE_CHECKING:
    import pyarrow as pa

MADE_OF = "merged"
"""Key of ``run.json`` with the names of the runs that a published table was merged from."""


@dataclass
class Member:
    """One of the runs."""

    name: str  # a short one, different from the others'
    store: RunFolder
    datasets: dict[str, str] = field(default_factory=dict)  # labels in the view by those in the run
    codecs: dict[str, str] = field(default_factory=dict)  # names in the view by those in the run

    def renamed(self, records: Iterable[R]) -> list[R]:
        """Records of the run with the names of the view."""
        found = []
        for record in records:
            names = {"dataset": self.datasets[record.dataset], "codec": self.codecs[record.codec]}
            if isinstance(record, WorstCase):
                names["worst_of"] = self.codecs.get(record.worst_of, record.worst_of)
            found.append(dataclasses.replace(record, **names))
        return found


class MergedRuns(StoredRun):
    """Several run folders, read as one; the first wins where both have a point with as many images.

    ``UsageError`` for fewer than two runs, or one of them twice.
    """

    def __init__(self, stores: Sequence[RunFolder]):
        self.sources = [store.path for store in stores]
        places = [path.resolve() for path in self.sources]
        twice = next((place for place in places if places.count(place) > 1), None)
        if twice is not None:
            raise UsageError(f"{twice} is given twice; name different runs")
        if len(stores) < 2:
            raise UsageError(f"{count(len(stores), 'run')} given to be read together; expected two or more")
        names = distinct_names(places)
        self.members = [Member(name, store) for name, store in zip(names, stores, strict=True)]
        self.notes = name_apart(self.members)
        self.manifest = merged_manifest(self.members, self.notes)

    @property
    def without_parts(self) -> bool:
        """Whether one of the runs is a published one, without its rows."""
        return any(member.store.without_parts for member in self.members)

    def require_parts(self) -> None:
        """Raises a ``StoreError`` where one of the runs is a published one."""
        for member in self.members:
            if member.store.without_parts:
                raise StoreError(
                    f"{member.store.path} has tables without the parts they were made from, so no report can be "
                    "drawn from it; `codecbench show` takes it"
                )

    # ---- tasks ------------------------------------------------------------------------------------------------------

    def records(self, kind: type[R]) -> list[R]:
        """The records of a kind that count; of tasks those of one run for each point."""
        if kind is TaskRecord:
            return [task for task, _, _ in self._tasks.values()]  # type: ignore[misc]
        found: list[R] = []
        for member in self.members:
            known = {record.subject for record in found}
            found += [one for one in member.renamed(member.store.records(kind)) if one.subject not in known]
        return found

    @functools.cached_property
    def _tasks(self) -> dict[str, tuple[TaskRecord, Member, TaskRecord]]:
        """By task: its record as the view has it, its run, and its record there."""
        found = []
        images: list[dict[Point, int]] = []
        for member in self.members:
            own = member.store.tasks()
            here = [(task, member, before) for task, before in zip(member.renamed(own), own, strict=True)]
            totals: dict[Point, int] = {}
            for task, _, _ in here:
                totals[task.point] = totals.get(task.point, 0) + (0 if task.failed else task.images)
            found.append(here)
            images.append(totals)
        winners = choose(images)
        return {
            entry[0].task_id: entry
            for number, here in enumerate(found)
            for entry in here
            if winners[entry[0].point] == number
        }

    def rows_of(self, task: TaskRecord, columns: Sequence[str] | None = None) -> pa.Table | None:
        """The rows of a finished task; None where they are damaged: they are set aside."""
        import pyarrow as pa

        _, member, own = self._tasks[task.task_id]
        table = member.store.rows_of(own, columns)
        if table is None:
            return None
        for name in ("dataset", "codec", "settings"):
            if name in table.column_names:
                # Written anew, since runs of different versions have them in different types.
                values = pa.array([getattr(task, name)] * table.num_rows, pa.string())
                table = table.set_column(table.column_names.index(name), name, values)
        for name in manifest.outdated_metrics(self.manifest, task.codec):
            if name in table.column_names:
                table = table.set_column(table.column_names.index(name), name, pa.nulls(table.num_rows, pa.float64()))
        return table

    def damaged(self, kind: type[Record] = TaskRecord) -> list[str]:
        """Names of files that were found damaged and set aside in any of the runs."""
        return [name for member in self.members for name in member.store.damaged(kind)]

    # ---- other records ----------------------------------------------------------------------------------------------

    def timings(self) -> list[TimingRecord]:
        """The times that count: of each point those of the run that its rows are from, else of the first with some."""
        owner = {task.point: member.name for task, member, _ in self._tasks.values()}
        found: dict[Point, TimingRecord] = {}
        ranks: dict[Point, tuple[bool, bool]] = {}
        for member in self.members:
            for record in member.renamed(member.store.timings()):
                rank = (not record.failed, owner.get(record.point) == member.name)
                if record.point not in found or rank > ranks[record.point]:
                    found[record.point], ranks[record.point] = record, rank
        return list(found.values())

    def originals(self, label: str) -> dict[int, Images]:
        """The originals of a dataset's shown images in any of the runs, by index; of one index those of the first."""
        found: dict[int, Images] = {}
        for member in self.members:
            for own in (own for own, here in member.datasets.items() if here == label):
                found = member.store.originals(own) | found
        return found

    def reconstructions_of(self, task_id: str) -> dict[int, Images]:
        """What a task made of the images shown in any of the runs, by index; of one index those of the first."""
        found: dict[int, Images] = {}
        for member in self.members:
            found = member.store.reconstructions_of(task_id) | found
        return found

    def training_file(self, name: str) -> bytes | None:
        """A training log or model card, from the first run that kept it."""
        files = (member.store.training_file(name) for member in self.members)
        return next((content for content in files if content is not None), None)


def choose(images: Sequence[Mapping[Point, int]]) -> dict[Point, int]:
    """Which of several runs, by number, each point is taken from: the one with the most images, of equals the first.

    ``images`` has, for each run, the images with a result by point; 0 where all failed.
    """
    winners: dict[Point, int] = {}
    for number, points in enumerate(images):
        for point, total in points.items():
            if point not in winners or total > images[winners[point]][point]:
                winners[point] = number
    return winners


def distinct_names(paths: Sequence[Path]) -> list[str]:
    """Short names that tell absolute paths apart: the folders' own, or with as many of those above as it takes."""
    longest = max(len(path.parts) for path in paths)
    names = [path.name for path in paths]
    for depth in range(1, longest + 1):
        names = ["/".join(path.parts[-depth:]) for path in paths]
        if len(set(names)) == len(names):
            break
    # A colon would end a codec's name in a spec, and a comma the spec.
    return [name.replace(":", "_").replace(",", "_") for name in names]


# ---- names ----------------------------------------------------------------------------------------------------------


def name_apart(members: Sequence[Member]) -> list[str]:
    """Gives every run's datasets and codecs their names in the view; returns notes for readers, one line each."""
    names = [member.name for member in members]
    notes = [f"Several runs are shown together: {' and '.join(names)}."]
    edited = _different_metrics(members)
    for kind, key in (("dataset", "datasets"), ("codec", "codecs")):
        groups: dict[str, dict[str, list[Member]]] = {}
        for member in members:
            for name, record in member.store.manifest[key].items():
                made = [record["fingerprint"], *(record.get("metrics", {}).get(metric) for metric in edited)]
                groups.setdefault(name, {}).setdefault(repr(made), []).append(member)
        taken = set(groups)
        for name, prints in groups.items():
            for holders in prints.values():
                new = name if len(prints) == 1 else _unused(f"{name} ({'+'.join(m.name for m in holders)})", taken)
                for member in holders:
                    getattr(member, key)[name] = new
            if len(prints) > 1:
                apart = " and ".join(getattr(holders[0], key)[name] for holders in prints.values())
                why = (
                    "the runs have different images of it"
                    if kind == "dataset"
                    else "its plugin, weights, libraries, device or the measuring code differ"
                )
                notes.append(f"{name} is shown as {apart}: {why}.")
    labels = [set(member.datasets.values()) for member in members]
    if not any(labels[a] & labels[b] for a in range(len(labels)) for b in range(a)):
        notes.append("The runs have no images in common: codecs compare within one data set only, never across two.")
    if edited:
        notes.append(f"{', '.join(edited)}: the runs computed this with different code; only values of one are shown.")
    return notes


def _unused(name: str, taken: set[str]) -> str:
    while name in taken:
        name += "'"
    taken.add(name)
    return name


def _different_metrics(members: Sequence[Member]) -> list[str]:
    """Plugin metrics that the runs computed with different code."""
    prints: dict[str, set[str]] = {}
    for member in members:
        for name, record in member.store.manifest["metrics"].items():
            prints.setdefault(name, set()).add(str(record.get("fingerprint")))
    return sorted(name for name, found in prints.items() if len(found) > 1)


def merged_manifest(members: Sequence[Member], notes: Sequence[str]) -> dict[str, Any]:
    """The ``run.json`` of several runs as one; the notes stand among those of the first command."""
    merged = manifest.empty()
    merged[MADE_OF] = [member.name for member in members]
    skips: dict[tuple[str, str], dict[str, Any]] = {}
    for member in members:
        own = copy.deepcopy(member.store.manifest)
        for label, record in own["datasets"].items():
            held = merged["datasets"].setdefault(member.datasets[label], record)
            _show_both(held, record)
        for name, record in own["codecs"].items():
            new = member.codecs[name]
            same = merged["codecs"][new] = manifest.with_weights_of(merged["codecs"].get(new, record), record)
            same["metrics"] = record["metrics"] | same["metrics"]
        for label, codecs in own["planned"].items():
            kept = merged["planned"].setdefault(member.datasets.get(label, label), {})
            for name, settings in codecs.items():
                new = member.codecs.get(name, name)
                kept[new] = list(dict.fromkeys([*kept.get(new, ()), *settings]))
        for skip in own["skipped"]:
            name, colon, settings = skip["codec"].partition(":")
            codec = member.codecs.get(name, name) + colon + settings
            label = member.datasets.get(skip["dataset"], skip["dataset"])
            skips.setdefault((label, codec), skip | {"dataset": label, "codec": codec})
        merged["invocations"] += [call | {"run": member.name} for call in own["invocations"]]
        for name, record in own["metrics"].items():
            variants = {member.datasets.get(label, label): text for label, text in record.get("variants", {}).items()}
            held = merged["metrics"].setdefault(name, record | {"variants": {}})
            if held["fingerprint"] == record["fingerprint"]:
                held["variants"] = variants | held["variants"]
    merged["skipped"] = list(skips.values())
    if merged["invocations"]:
        first = merged["invocations"][0]
        first["notes"] = [*notes, *first.get("notes", ())]
    return merged


def _show_both(held: dict[str, Any], record: Mapping[str, Any]) -> None:
    """Of images that two runs hold, those are shown that both kept, so that all codecs have them."""
    common = [image for image in held.get("shown", ()) if image in record.get("shown", ())]
    if common:
        held["shown"] = common
    if record.get("classes"):
        held["classes"] = record["classes"] | held.get("classes", {})
