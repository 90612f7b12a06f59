"""The run folder: what was measured, one file of rows per task, and where it came from.

    RUN/
      run.json              datasets and images chosen, codec fingerprints, and every command that measured into it
      parts/                rows and records of tasks, see ``codecbench.store.tasks``
      samples/ID.npz        reconstructions of the few images shown to people; samples/original-*.npz beside them
      kept/                 each codec's worst images, see ``codecbench.store.pictures``
      timings/              times of codec points, see ``codecbench.store.timings``
      latents/, training/   of learned codecs, see ``codecbench.store.latents`` and ``codecbench.store.weights``
      sets/                 what whole datasets take as one stream, see ``codecbench.store.sets``

Records count only while the codec's fingerprint in them equals the one in ``run.json``, so results of an edited codec
stay on disk but never show. Damaged rows are renamed to ``*.damaged``, named, and measured again by the next run.
"""

from __future__ import annotations

import abc
import contextlib
import dataclasses
import hashlib
import io
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from codecbench.columns import ROWS
from codecbench.errors import StoreError, UsageError
from codecbench.fingerprint import digest
from codecbench.measure.timing import Timing
from codecbench.plan.tasks import Task
from codecbench.plugins.codec import Images
from codecbench.store import manifest, timings
from codecbench.store.io import (
    DAMAGED,
    LEFTOVER,
    Point,
    R,
    Record,
    check_picture,
    dump_json,
    pack_images,
    read_file,
    read_json,
    read_records,
    set_aside,
    write_files,
    write_whole,
)
from codecbench.store.latents import Latents
from codecbench.store.lock import FOLDERS, check_own, check_usable, discard
from codecbench.store.schema import Misfit
from codecbench.store.tasks import TaskRecord, read_rows
from codecbench.store.timings import TimingRecord

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa


class StoredRun(abc.ABC):
    """What is read of a run, whether it is one folder or several."""

    manifest: dict[str, Any]  # the content of ``run.json``, see ``codecbench.store.manifest``
    sources: Sequence[Path]  # the folders that it is read from
    notes: Sequence[str] = ()  # what there is to say about reading several folders as one, one line each

    @property
    @abc.abstractmethod
    def without_parts(self) -> bool:
        """Whether this is a published run: its tables and figures, without the rows that they were made from."""

    @abc.abstractmethod
    def require_parts(self) -> None:
        """Raises a ``StoreError`` where the rows are missing, without which nothing can be drawn or measured."""

    @abc.abstractmethod
    def records(self, kind: type[R]) -> list[R]:
        """The records of a kind that count, in the order of their files' names."""

    @abc.abstractmethod
    def damaged(self, kind: type[Record] = TaskRecord) -> list[str]:
        """Names of files that were found damaged and set aside, and not made again since."""

    @abc.abstractmethod
    def timings(self) -> list[TimingRecord]:
        """The times that count, one record a codec point."""

    @abc.abstractmethod
    def rows_of(self, task: TaskRecord, columns: Sequence[str] | None = None) -> pa.Table | None:
        """The rows of a finished task, of all columns by default; None where they are damaged: they are set aside."""

    @abc.abstractmethod
    def originals(self, label: str) -> dict[int, Images]:
        """The originals of a dataset's shown images, by index."""

    @abc.abstractmethod
    def reconstructions_of(self, task_id: str) -> dict[int, Images]:
        """What a task made of the images shown, by index."""

    @abc.abstractmethod
    def training_file(self, name: str) -> bytes | None:
        """A training log or model card that was kept, by the name of its file."""

    def tasks(self) -> list[TaskRecord]:
        """All tasks that count."""
        return self.records(TaskRecord)

    def failures(self, kind: type[R]) -> list[R]:
        """The records of a kind that say why there is no result."""
        return [record for record in self.records(kind) if record.failed]

    def latents(self) -> list[Latents]:
        """The latents of learned codecs, those of the largest extent a codec point; by dataset, codec and settings."""
        largest: dict[Point, Latents] = {}
        for one in self.records(Latents):
            if one.point not in largest or one.extent > largest[one.point].extent:
                largest[one.point] = one
        return [largest[point] for point in sorted(largest)]

    def tables(self, columns: Sequence[str] | None = None) -> Iterator[tuple[TaskRecord, pa.Table]]:
        """The rows of every finished task, one task at a time, as :meth:`rows_of` reads them."""
        for task in self.tasks():
            if not task.failed and (table := self.rows_of(task, columns)) is not None:
                yield task, table

    def rows(self) -> pd.DataFrame:
        """One row an image and codec point, of the whole run at once; ``analysis.aggregate`` reads large runs.

        The columns are those of ``codecbench.columns.ROWS``, and behind them the plugin metrics that were measured.
        """
        import pandas as pd
        import pyarrow as pa

        tables = [table for _, table in self.tables()]
        if not tables:
            return pd.DataFrame(columns=[*ROWS, *self.manifest["metrics"]])
        frame: pd.DataFrame = pa.concat_tables(tables, promote_options="default").to_pandas()
        return frame

    def reconstructions(
        self, label: str, codec: str, settings: str, known: Mapping[Point, Sequence[str]] | None = None
    ) -> dict[int, Images]:
        """What a codec point made of a dataset's shown images, by index; ``known`` has ids of tasks by point."""
        point = (label, codec, settings)
        if known is None:
            known = {point: [task.task_id for task in self.tasks() if task.point == point]}
        found: dict[int, Images] = {}
        for task_id in known.get(point, ()):
            found |= self.reconstructions_of(task_id)
        return found


class RunFolder(StoredRun):
    """A run folder, opened for reading and writing; it need not exist yet.

    ``StoreError`` where ``run.json`` is damaged or was written by another version of codecbench.
    """

    def __init__(self, path: Path):
        check_own(path)
        self.path = path
        self.sources = [path]
        self.manifest = self._read_manifest()

    @classmethod
    def existing(cls, path: Path) -> RunFolder:
        """Opens a run folder that must be there; ``UsageError`` where there is no run."""
        if not (path / "run.json").is_file():
            raise UsageError(f"no run at {path}: it has no run.json")
        return cls(path)

    @classmethod
    def for_writing(cls, path: Path, fresh: bool = False) -> RunFolder:
        """Opens a run folder to measure into; ``fresh`` first removes what codecbench wrote there, and nothing else.

        ``UsageError`` as by :func:`check_usable`; ``StoreError`` also where the rows or the right to remove are
        missing.
        """
        check_usable(path)
        if fresh:
            try:
                discard(path)
            except OSError as error:
                raise StoreError(f"cannot use {path}: {error.strerror or error}") from error
        store = cls(path)
        store.require_parts()
        store.remove_leftovers()
        return store

    # ---- the manifest -------------------------------------------------------------------------------------------

    def _read_manifest(self) -> dict[str, Any]:
        file = self.path / "run.json"
        if not file.is_file():
            return manifest.empty()
        found = read_json(file)
        schema = found.get("schema") if found else None
        if isinstance(schema, int) and schema != manifest.SCHEMA:
            known = f"schema {schema}, known {manifest.SCHEMA}"
            if schema > manifest.SCHEMA:
                raise StoreError(f"{self.path} was written by a newer codecbench ({known})")
            raise StoreError(f"{self.path} was written by an older codecbench ({known}); measure again with --fresh")
        try:
            return manifest.checked(found or {})
        except Misfit as error:
            again = "repair it, or measure anew with `codecbench run --fresh`"
            raise StoreError(f"{file} is damaged ({error}); {again}") from error

    def join(self, addition: manifest.Addition) -> None:
        """Records that a command measures into this folder.

        ``UsageError`` where the folder already has another choice of images of one of these datasets.
        """
        present = self._read_manifest()  # another command may have joined since the folder was opened
        try:
            self.manifest = manifest.joined(present, addition)
        except UsageError as error:
            raise UsageError(f"{self.path} {error}; name another --out, or begin anew with --fresh") from None
        write_whole(self.path / "run.json", dump_json(self.manifest))

    @property
    def without_parts(self) -> bool:
        """Whether this is a published run: its tables and figures, without the rows that they were made from."""
        measured = self.manifest["codecs"] and (self.path / "summary.csv").is_file()
        return bool(measured and not (self.path / TaskRecord.FOLDER).is_dir())

    def require_parts(self) -> None:
        """Raises a ``StoreError`` where this is a published run, which cannot be drawn or measured into."""
        if self.without_parts:
            raise StoreError(
                f"{self.path} has tables and figures without the parts they were made from, so they can be neither "
                "drawn again nor added to; measure into another folder with --out, or anew with --fresh"
            )

    # ---- tasks --------------------------------------------------------------------------------------------------

    def finished(self) -> set[str]:
        """Identities of the tasks whose rows are stored whole, of whatever codecs."""
        return {task.task_id for task in read_records(self.path, TaskRecord) if not task.failed}

    def records(self, kind: type[R]) -> list[R]:
        """The records of a kind that count, in the order of their files' names."""
        return read_records(self.path, kind, self.manifest)

    def damaged(self, kind: type[Record] = TaskRecord) -> list[str]:
        """Names of files that were found damaged and set aside, and not made again since."""
        aside = sorted((self.path / kind.FOLDER).glob("*.damaged"))
        return [file.name for file in aside if not file.with_name(f"{file.name.partition('.')[0]}.json").is_file()]

    def rows_of(self, task: TaskRecord, columns: Sequence[str] | None = None) -> pa.Table | None:
        """The rows of a finished task; None where they are damaged: they are set aside."""
        table = self.rows_left_in_place(task, columns)
        if table is None:
            set_aside(self.rows_file(task))
        return table

    def rows_left_in_place(self, task: TaskRecord, columns: Sequence[str] | None = None) -> pa.Table | None:
        """As :meth:`rows_of`, but damaged rows stay where they are."""
        try:
            content = read_file(self.rows_file(task))
            if hashlib.sha256(content).hexdigest() != task.sha256:
                return None
            table = read_rows(content, task, columns)
        except (OSError, ValueError, NotImplementedError):  # which those of Arrow derive from
            return None
        outdated = manifest.outdated_metrics(self.manifest, task.codec)
        return table.drop_columns([name for name in outdated if name in table.column_names])

    def rows_file(self, task: TaskRecord) -> Path:
        """The path for the rows of a task."""
        return self.path / TaskRecord.FOLDER / f"{task.task_id}.parquet"

    # ---- pictures -----------------------------------------------------------------------------------------------

    def write_samples(self, name: str, images: Mapping[int, Images]) -> None:
        """Keeps images to look at, losslessly, by index; large ones are cut to their middle 256×256 pixels."""
        self.write_file(f"samples/{name}", pack_images(images))

    def samples(self, name: str) -> dict[int, Images]:
        """Images kept under a name, by index; empty where none are."""
        file = self.path / "samples" / name
        if not file.exists():
            return {}
        try:
            with np.load(io.BytesIO(read_file(file)), allow_pickle=False) as archive:
                return {int(key): check_picture(archive[key]) for key in archive.files}
        except DAMAGED:
            with contextlib.suppress(OSError):
                file.replace(file.with_name(file.name + ".damaged"))
            return {}

    def sample_indices(self, name: str) -> set[int]:
        """Indices of the images kept under a name, without reading their pixels."""
        file = self.path / "samples" / name
        try:
            if file.is_symlink() or not file.is_file():
                return set()
            with zipfile.ZipFile(file) as archive:
                return {int(Path(member).stem) for member in archive.namelist()}
        except (OSError, ValueError, zipfile.BadZipFile, NotImplementedError):
            return set()

    def originals(self, label: str) -> dict[int, Images]:
        """The originals of a dataset's shown images, by index."""
        return self.samples(original_name(label))

    def reconstructions_of(self, task_id: str) -> dict[int, Images]:
        """What a task made of the images shown, by index."""
        return self.samples(f"{task_id}.npz")

    # ---- timings and training files -----------------------------------------------------------------------------

    def timing_file(self, task: Task, threads: int) -> Path:
        """The path for the times of a task's codec point on its dataset, whether or not there are any."""
        return self.path / timings.file_name(self.manifest, task, threads)

    def write_timing(self, task: Task, timing: Timing) -> None:
        """Stores the times of a task's codec point on its dataset; rounds may be missing."""
        fields = {field.name: getattr(timing, field.name) for field in dataclasses.fields(Timing)}
        record = TimingRecord(**fields | task.point, protocol=timings.PROTOCOL)
        write_whole(self.timing_file(task, timing.threads), record.content())

    def timing(self, task: Task, threads: int) -> Timing | None:
        """The times of a task's codec point on its dataset, as many rounds as there are; None where there are none."""
        return TimingRecord.read(self.timing_file(task, threads))

    def timings(self) -> list[TimingRecord]:
        """The times that count, one record a codec point; see ``codecbench.store.timings.read``."""
        return timings.read(self.path, self.manifest)

    def training_file(self, name: str) -> bytes | None:
        """A training log or model card that was kept, by the name of its file."""
        try:
            return read_file(self.path / "training" / name)
        except OSError:
            return None

    # ---- writing ------------------------------------------------------------------------------------------------

    def write_file(self, name: str, content: bytes) -> Path:
        """As :func:`write_whole`, a file of the folder by its path in it; returns its path."""
        file = self.path / name
        write_whole(file, content)
        return file

    def write_files(self, files: Mapping[str, bytes]) -> None:
        """Writes files of the folder by their paths in it, each of them whole, in order."""
        write_files(self.path, files)

    def record(self, record_class: type[R], key: str) -> R | None:
        """The record of a kind in the file of this name; None where there is none, or something else."""
        return record_class.read(self.path / record_class.FOLDER / f"{key}{record_class.SUFFIX}")

    def write_record(self, key: str, record: Record) -> None:
        """Writes a record whole into the file of this name."""
        self.write_file(f"{record.FOLDER}/{key}{record.SUFFIX}", record.content())

    def remove_record(self, record_class: type[Record], key: str) -> None:
        """Removes the record of a kind in the file of this name, if there is one."""
        (self.path / record_class.FOLDER / f"{key}{record_class.SUFFIX}").unlink(missing_ok=True)

    def remove_leftovers(self) -> None:
        """Removes what killed commands left half written; for a command that has the folder's lock."""
        for folder in (".", *FOLDERS):
            for file in (self.path / folder).glob("*.tmp"):
                if LEFTOVER.search(file.name):
                    with contextlib.suppress(OSError):
                        file.unlink()


def original_name(label: str) -> str:
    """The name under which the originals of a dataset's shown images are kept."""
    return f"original-{digest(label)}.npz"
