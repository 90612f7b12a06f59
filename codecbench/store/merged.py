"""Several runs read as one: what is the same in them stands together, what only has the same name is told apart.

- **A dataset** of one label is the same where its images have the same fingerprint; else it stands as ``mnist (A)`` and
  ``mnist (B)``, with the runs' names.
- **A codec** of one name is the same where it has the same fingerprint: plugin, weights, libraries, device and
  measuring code. Else it stands as ``jpeg (A)`` and ``jpeg (B)``.
- **A point** that several runs have is taken, with all its rows, from the one with the most images; of equals from the
  first. Its times are of the same run, else of the first that has some. Times of different machines stay apart by their
  column ``timed_on``.

Nothing is written into the runs. The view is read like a run folder, so that everything that reads one takes it.
"""

from __future__ import annotations

import contextlib
import functools
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from codecbench.errors import StoreError, UsageError
from codecbench.plugins.codec import Images
from codecbench.store import manifest
from codecbench.store.folder import RunFolder, check_usable, original_name
from codecbench.store.io import dump_json, read_json, write_whole
from codecbench.store.merging import (
    MADE_OF,
    Member,
    Point,
    bring,
    choose,
    distinct_names,
    merged_manifest,
    name_apart,
    point_of,
)
from codecbench.text import count

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

BESIDE = ("latents", "kept", "sets", "training")
"""Folders of a run with files of records that name their dataset and codec."""


class MergedRuns(RunFolder):
    """Several run folders, read as one; writing is refused.

    Args:
        stores: the runs, two or more, the first of which wins where both have a point.
        path: a folder with what readers look for beside the parts, see :func:`opened`; None where nothing is.

    Attributes:
        members: the runs, with the names that their datasets and codecs have here.
        notes: what was merged and what was told apart, one line each.

    Raises:
        UsageError: fewer than two runs, or one of them twice.
    """

    def __init__(self, stores: Sequence[RunFolder], path: Path | None = None):
        places = [store.path.resolve() for store in stores]
        twice = next((place for place in places if places.count(place) > 1), None)
        if twice is not None:
            raise UsageError(f"{twice} is given twice; name different runs")
        if len(stores) < 2:
            raise UsageError(f"{count(len(stores), 'run')} given to be read together; expected two or more")
        names = distinct_names(places)
        self.members = [Member(name, store) for name, store in zip(names, stores, strict=True)]
        self.notes = name_apart(self.members)
        self.path = path or stores[0].path / "run.json" / "none"  # below a file, so that nothing can ever lie there
        self.manifest = merged_manifest(self.members, self.notes)

    # ---- tasks ------------------------------------------------------------------------------------------------------

    @property
    def without_parts(self) -> bool:
        """Whether one of the runs is a published one, without its parts."""
        return any(member.store.without_parts for member in self.members)

    def require_parts(self) -> None:
        """Makes sure that all rows are there.

        Raises:
            StoreError: one of the runs is published without its parts.
        """
        for member in self.members:
            if member.store.without_parts:
                raise StoreError(
                    f"{member.store.path} holds tables without the parts they were made from, so no report can be "
                    "drawn from it; `codecbench show` takes it"
                )

    def sidecars(self) -> list[dict[str, Any]]:
        """The sidecars of all tasks that count, each point's of one run, with the names of the view."""
        return [sidecar for sidecar, _, _ in self._tasks.values()]

    @functools.cached_property
    def _tasks(self) -> dict[str, tuple[dict[str, Any], Member, dict[str, Any]]]:
        """By task: its sidecar as the view has it, its run, and its sidecar there."""
        found: list[list[tuple[dict[str, Any], Member, dict[str, Any]]]] = []
        images: list[dict[Point, int]] = []
        for member in self.members:
            here = [(member.renamed(sidecar), member, sidecar) for sidecar in member.store.sidecars()]
            totals: dict[Point, int] = {}
            for sidecar, _, _ in here:
                totals.setdefault(point_of(sidecar), 0)
                totals[point_of(sidecar)] += 0 if sidecar["failed"] else sidecar["images"]
            found.append(here)
            images.append(totals)
        winners = choose(images)
        return {
            str(task[0]["task_id"]): task
            for number, here in enumerate(found)
            for task in here
            if winners[point_of(task[0])] == number
        }

    def finished(self) -> set[str]:
        """Identities of the tasks whose rows are stored whole."""
        return {task_id for task_id, (sidecar, _, _) in self._tasks.items() if not sidecar["failed"]}

    def part(self, sidecar: Mapping[str, Any], columns: Sequence[str] | None = None) -> pa.Table | None:
        """The rows of one finished task; None where the part is damaged."""
        import pyarrow as pa

        _, member, own = self._tasks[sidecar["task_id"]]
        table = member.store.part(own, columns)
        for name in ("dataset", "codec", "settings"):
            if table is not None and name in table.column_names:
                place = table.column_names.index(name)
                # Written anew, since runs of different versions have them in different types.
                table = table.set_column(place, name, pa.array([sidecar[name]] * table.num_rows, pa.string()))
        for name in manifest.outdated_metrics(self.manifest, sidecar["codec"]):
            if table is not None and name in table.column_names:
                table = table.set_column(table.column_names.index(name), name, pa.nulls(table.num_rows, pa.float64()))
        return table

    def damaged(self) -> list[str]:
        """Names of parts that were found damaged and set aside in any of the runs."""
        return [name for member in self.members for name in member.store.damaged()]

    def damaged_timings(self) -> list[str]:
        """Names of timings that were found damaged and set aside in any of the runs."""
        return [name for member in self.members for name in member.store.damaged_timings()]

    def timings(self) -> list[dict[str, Any]]:
        """The times that count: of each point those of the run that its rows are from, else of the first with some."""
        owner = {point_of(sidecar): member.name for sidecar, member, _ in self._tasks.values()}
        found: dict[Point, dict[str, Any]] = {}
        ranks: dict[Point, tuple[bool, bool]] = {}
        for member in self.members:
            for record in map(member.renamed, member.store.timings()):
                point = point_of(record)
                rank = (not record["failed"], owner.get(point) == member.name)
                if point not in found or rank > ranks[point]:
                    found[point], ranks[point] = record, rank
        return list(found.values())

    # ---- pictures ---------------------------------------------------------------------------------------------------

    def samples(self, name: str) -> dict[int, Images]:
        """Images kept under a name in any of the runs, by index; of one index those of the first."""
        found: dict[int, Images] = {}
        for member in self.members:
            names = {original_name(new): original_name(old) for old, new in member.datasets.items()}
            if name not in names and name in names.values():
                continue  # originals of a dataset that has another name here
            found = member.store.samples(names.get(name, name)) | found
        return found

    # ---- tables -----------------------------------------------------------------------------------------------------

    def summary(self) -> pd.DataFrame:
        """The summaries of the runs as one; published runs give theirs as they are.

        Returns:
            The columns of ``codecbench.analysis.summary``, sorted as there.

        Raises:
            StoreError: one of the runs is damaged.
        """
        import numpy as np
        import pandas as pd

        from codecbench.analysis import summary as analysis
        from codecbench.api import Run

        tables, images = [], []
        for member in self.members:
            table = Run(member.store.path).summary()
            for column, names in (("dataset", member.datasets), ("codec", member.codecs)):
                table[column] = [names.get(name, name) for name in table[column]]
            tables.append(table)
            points = zip(table["dataset"], table["codec"], table["settings"], strict=True)
            images.append(dict(zip(points, table["images"].astype(int), strict=True)))
        winners = choose(images)
        chosen = [
            table[[winners[point] == number for point in points]]
            for number, (table, points) in enumerate(zip(tables, images, strict=True))
        ]
        merged = pd.concat([table for table in chosen if len(table)] or tables[:1], ignore_index=True)
        for codec in self.manifest["codecs"]:
            for metric in manifest.outdated_metrics(self.manifest, codec):
                if metric in merged:
                    merged.loc[merged["codec"] == codec, metric] = np.nan
        order = {label: number for number, label in enumerate(self.manifest["datasets"])}
        merged["order"] = merged["dataset"].map(order)
        merged = merged.sort_values(["order", "codec", "bits_per_image", "settings"], kind="stable")
        return merged[analysis.columns(list(self.manifest["metrics"]))].reset_index(drop=True)

    # ---- writing ----------------------------------------------------------------------------------------------------

    def join(self, addition: manifest.Addition) -> NoReturn:
        """Refused."""
        self._refuse()

    def write_file(self, name: str, content: bytes) -> NoReturn:
        """Refused: the runs are not the view's to write into."""
        self._refuse()

    def _refuse(self) -> NoReturn:
        raise StoreError("several runs that are read together cannot be written into; measure into one of them")


# ---- what lies beside the parts --------------------------------------------------------------------------------------


@contextlib.contextmanager
def opened(stores: Sequence[RunFolder], beside: Sequence[str] = BESIDE) -> Iterator[MergedRuns]:
    """Several runs as one, with what lies beside their parts in a folder for as long as they are read.

    Args:
        stores: the runs.
        beside: which of the folders ``BESIDE`` are wanted.

    Raises:
        UsageError: fewer than two runs, or one of them twice.
        StoreError: the folder cannot be written.
    """
    with tempfile.TemporaryDirectory(prefix="codecbench-") as folder:
        view = MergedRuns(stores, Path(folder))
        told: set[tuple[str, ...]] = set()
        for member in view.members:
            here: set[tuple[str, ...]] = set()
            for name in beside:
                for file in sorted((member.store.path / name).glob("*.*")):
                    if file.is_file() and file.suffix in (".npz", ".json", ".csv"):
                        bring(member, file, view.path / name / file.name, told, here)
            told |= here
        yield view


# ---- the report -----------------------------------------------------------------------------------------------------


def report(paths: Sequence[Path], out: Path | None = None, anchor: str | None = None) -> Path:
    """Draws one report from one run or several, without measuring.

    Several runs leave ``run.json`` beside it, so that the folder is a published run: it can be shown, matched and
    compared, and neither drawn again nor measured into.

    Args:
        paths: run folders.
        out: where the report goes; by default into the run, or of several to ``results/A+B``.
        anchor: the codec that others are compared with; None for the usual one.

    Returns:
        The path of ``report.html``.

    Raises:
        UsageError: no run there, one twice, an unknown anchor, or an ``out`` that holds something else.
        StoreError: a run without its parts, or a folder that cannot be read or written.
    """
    from codecbench.report import write_report

    stores = [RunFolder.existing(path) for path in paths]
    if len(stores) == 1:
        stores[0].require_parts()
        if out is None or out.resolve() == stores[0].path.resolve():
            return write_report(stores[0], anchor=anchor)
        _check_out(out)
        return write_report(stores[0], out=out, anchor=anchor)
    with opened(stores) as view:
        view.require_parts()
        target = out or Path("results") / "+".join(name.replace("/", "_") for name in view.manifest[MADE_OF])
        if target.resolve() in [path.resolve() for path in paths]:
            raise UsageError(f"{target} is one of the runs; name another --out")
        _check_out(target)
        page = write_report(view, out=target, anchor=anchor)
        write_whole(target / "run.json", dump_json(view.manifest))
        return page


def _check_out(out: Path) -> None:
    """Refuses a folder that holds a run which was measured, or anybody's files."""
    check_usable(out)
    if (out / "run.json").is_file() and MADE_OF not in (read_json(out / "run.json") or {}):
        raise UsageError(f"{out} holds another run; name an --out that is new or empty")
