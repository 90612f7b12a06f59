"""The run folder: what was measured, one part a task, and where it came from.

    RUN/
      run.json              datasets and images chosen, codec fingerprints, and every command that measured into it
      parts/ID.parquet      one row an image; written whole, then renamed
      parts/ID.json         the task and how it ended; written last, so a part without it does not count
      samples/ID.npz        reconstructions of the few images shown to people; samples/original-*.npz beside them
      kept/                 what ``codecbench.store.pictures`` keeps of each codec's worst images
      timings/ID.json       times of one codec point on one dataset, see ``codecbench.store.timings``
      latents/, training/   what ``codecbench.store.latents`` keeps of learned codecs
      sets/ID.json          what whole data sets take as one stream, see ``codecbench.store.sets``

Rows count only while the codec's fingerprint in the sidecar equals the one in ``run.json``, so rows of an edited codec
stay on disk but never show. A damaged part is renamed to ``*.damaged``, named, and measured again by the next run.
"""

from __future__ import annotations

import contextlib
import hashlib
import shutil
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from codecbench.columns import ROWS
from codecbench.errors import StoreError, UsageError
from codecbench.fingerprint import digest
from codecbench.measure.rows import row_table
from codecbench.measure.task import Measurement
from codecbench.measure.timing import Timing
from codecbench.plan.tasks import Task
from codecbench.plugins.codec import CodecSpec, Images
from codecbench.store import manifest, sets, timings
from codecbench.store.io import (
    LEFTOVER,
    TASK_ID,
    dump_json,
    is_sidecar,
    pack_images,
    read_json,
    set_aside,
    write_whole,
)

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa


class RunFolder:
    """A run folder, opened for reading and writing.

    Args:
        path: the folder; need not exist yet.

    Raises:
        StoreError: ``run.json`` is damaged or was written by a newer codecbench.
    """

    def __init__(self, path: Path):
        self.path = path
        self.manifest = self._read_manifest()

    @classmethod
    def existing(cls, path: Path) -> RunFolder:
        """Opens a run folder that must be there.

        Raises:
            UsageError: there is no run.
            StoreError: it is damaged or of a newer version.
        """
        if not (path / "run.json").is_file():
            raise UsageError(f"no run at {path}: it holds no run.json")
        return cls(path)

    @classmethod
    def for_writing(cls, path: Path, fresh: bool = False) -> RunFolder:
        """Opens a run folder to measure into; makes sure that nothing of anybody else's lies there.

        Args:
            path: the folder; need not exist yet.
            fresh: remove what codecbench wrote there, and nothing else.

        Raises:
            UsageError: a file, or a folder that holds other things and no run.
            StoreError: damaged, of a newer version, without its parts, or something cannot be removed.
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
        if found is None or not manifest.empty().keys() <= found.keys():
            raise StoreError(f"{file} is damaged; repair it, or measure anew with `codecbench run --fresh`")
        return found

    def join(self, addition: manifest.Addition) -> None:
        """Records that a command measures into this folder.

        Raises:
            UsageError: the folder already holds another choice of images of one of these datasets.
            StoreError: it is not writable.
        """
        present = self._read_manifest()  # another command may have joined since the folder was opened
        try:
            self.manifest = manifest.joined(present, addition)
        except UsageError as error:
            raise UsageError(f"{self.path} {error}; name another --out, or begin anew with --fresh") from None
        write_whole(self.path / "run.json", dump_json(self.manifest))

    @property
    def without_parts(self) -> bool:
        """Whether this is a published run: its tables and figures, without the parts that they were made from."""
        return bool(
            self.manifest["codecs"] and (self.path / "summary.csv").is_file() and not (self.path / "parts").is_dir()
        )

    def require_parts(self) -> None:
        """Makes sure that what ``summary.csv`` tells was measured here can be read here.

        Raises:
            StoreError: this is a published run without its parts, which cannot be drawn or measured into.
        """
        if self.without_parts:
            raise StoreError(
                f"{self.path} holds tables and figures without the parts they were made from, so they can be neither "
                "drawn again nor added to; measure into another folder with --out, or anew with --fresh"
            )

    def remove_leftovers(self) -> None:
        """Removes what commands that were killed left half written; for whoever holds the folder."""
        for folder in (".", "parts", timings.FOLDER, "samples", "kept", "latents", "training", sets.FOLDER):
            for file in (self.path / folder).glob("*.tmp"):
                if LEFTOVER.search(file.name):
                    with contextlib.suppress(OSError):
                        file.unlink()

    # ---- tasks --------------------------------------------------------------------------------------------------

    def write_task(self, task: Task, measurement: Measurement, seconds: float) -> None:
        """Stores the rows of a finished task.

        Raises:
            StoreError: the disk is full or the folder cannot be written.
        """
        self.write_into(self.path, task_files(task, measurement, seconds))

    def write_failure(self, task: Task, reason: str, details: str, seconds: float, attempts: int = 1) -> None:
        """Records that a task failed, and why."""
        self.write_into(self.path, failure_files(task, reason, details, seconds, attempts))

    @staticmethod
    def write_into(folder: Path, files: Mapping[str, bytes]) -> None:
        """Writes files of a run folder, each of them whole, in order.

        Args:
            folder: the run folder.
            files: content by path inside the folder.

        Raises:
            StoreError: the disk is full or the folder cannot be written.
        """
        for name, content in files.items():
            write_whole(folder / name, content)

    def finished(self) -> set[str]:
        """Identities of the tasks whose rows are stored whole."""
        return {sidecar["task_id"] for sidecar in self._sidecars() if not sidecar["failed"]}

    def sidecars(self) -> list[dict[str, Any]]:
        """The sidecars of all tasks that count: measured with the codecs as ``run.json`` knows them."""
        known = manifest.fingerprints_of(self.manifest)
        metrics = manifest.metrics_fingerprints_of(self.manifest)
        return [
            sidecar
            for sidecar in self._sidecars()
            if known.get(sidecar["codec"]) == sidecar["codec_fingerprint"]
            and metrics.get(sidecar["codec"]) == sidecar.get("metrics_fingerprint", "")
            and sidecar["dataset"] in self.manifest["datasets"]
        ]

    def tables(self, columns: Sequence[str] | None = None) -> Iterator[tuple[dict[str, Any], pa.Table]]:
        """The rows of every finished task, one part at a time; parts that are found damaged are set aside.

        Args:
            columns: names of those to be read, in the order of the parts; all where None.

        Yields:
            The task's sidecar and its rows, in the order of the parts' names.
        """
        for sidecar in self.sidecars():
            if not sidecar["failed"] and (table := self.part(sidecar, columns)) is not None:
                yield sidecar, table

    def part(self, sidecar: Mapping[str, Any], columns: Sequence[str] | None = None) -> pa.Table | None:
        """The rows of one finished task.

        Args:
            sidecar: one of :meth:`sidecars` that did not fail.
            columns: as for :meth:`tables`.

        Returns:
            Its rows; None where the part is damaged, which is set aside then.
        """
        import pyarrow as pa
        import pyarrow.parquet as pq

        file = self.path / "parts" / f"{sidecar['task_id']}.parquet"
        content = file.read_bytes()
        if hashlib.sha256(content).hexdigest() != sidecar["sha256"]:
            set_aside(file)
            return None
        # Not pq.read_table: it takes twice as long for a part of usual size, most of it on threads and discovery.
        table = pq.ParquetFile(pa.BufferReader(content)).read(columns=columns, use_threads=False)
        outdated = manifest.outdated_metrics(self.manifest, sidecar["codec"])
        return table.drop_columns([name for name in outdated if name in table.column_names])

    def rows(self) -> pd.DataFrame:
        """One row an image and codec point, of the whole run at once; ``analysis.aggregate`` reads large runs.

        Returns:
            Columns ``dataset, image, height, width, channels, codec, settings, num_bytes, container_bytes,
            estimated_bits, mse, mse_float, max_abs_error, exact_pixels, ssim, lossless``, and
            behind them the plugin metrics that were measured.
        """
        import pandas as pd
        import pyarrow as pa

        tables = [table for _, table in self.tables()]
        if not tables:
            return pd.DataFrame(columns=[*ROWS, *self.manifest["metrics"]])
        frame: pd.DataFrame = pa.concat_tables(tables, promote_options="default").to_pandas()
        return frame

    def metric_failures(self) -> list[dict[str, Any]]:
        """Plugin metrics that failed on a task: ``dataset``, ``codec``, ``settings``, ``metric``, ``reason``."""
        return [
            {name: sidecar[name] for name in ("dataset", "codec", "settings")} | {"metric": metric, "reason": reason}
            for sidecar in self.sidecars()
            for metric, reason in sidecar.get("metrics_failed", {}).items()
            if metric not in manifest.outdated_metrics(self.manifest, sidecar["codec"])
        ]

    def failures(self) -> list[dict[str, Any]]:
        """The sidecars of tasks that failed and were not finished since."""
        return [sidecar for sidecar in self.sidecars() if sidecar["failed"]]

    def damaged(self) -> list[str]:
        """Names of parts that were found damaged and set aside, and not measured again since."""
        return self._damaged("parts")

    def damaged_timings(self) -> list[str]:
        """Names of timings that were found damaged and set aside, and not taken again since."""
        return self._damaged(timings.FOLDER)

    def _damaged(self, folder: str) -> list[str]:
        set_aside = sorted((self.path / folder).glob("*.damaged"))
        return [file.name for file in set_aside if not file.with_name(f"{file.name.partition('.')[0]}.json").is_file()]

    def _sidecars(self) -> Iterator[dict[str, Any]]:
        for file in sorted((self.path / "parts").glob("*.json")):
            if not TASK_ID.fullmatch(file.stem):
                continue  # somebody else's
            sidecar = read_json(file)
            part = file.with_suffix(".parquet")
            if sidecar is None or sidecar.get("task_id") != file.stem or not is_sidecar(sidecar):
                set_aside(file)
            elif not sidecar["failed"] and not (part.is_file() and part.stat().st_size == sidecar["num_bytes"]):
                set_aside(part if part.is_file() else file)
            else:
                yield sidecar

    # ---- pictures -----------------------------------------------------------------------------------------------

    def write_samples(self, name: str, images: Mapping[int, Images]) -> None:
        """Keeps images to look at, losslessly, by index; large ones are cut to their middle 256×256 pixels."""
        write_whole(self.path / "samples" / name, pack_images(images))

    def samples(self, name: str) -> dict[int, Images]:
        """Images kept under a name, by index; empty where none are."""
        file = self.path / "samples" / name
        if not file.is_file():
            return {}
        try:
            with np.load(file, allow_pickle=False) as archive:
                return {int(key): archive[key] for key in archive.files}
        except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error):
            with contextlib.suppress(OSError):
                file.replace(file.with_name(file.name + ".damaged"))
            return {}

    def sample_indices(self, name: str) -> set[int]:
        """Indices of the images kept under a name, without reading their pixels."""
        try:
            with zipfile.ZipFile(self.path / "samples" / name) as archive:
                return {int(Path(member).stem) for member in archive.namelist()}
        except (OSError, ValueError, zipfile.BadZipFile):
            return set()

    def originals(self, label: str) -> dict[int, Images]:
        """The originals of a dataset's shown images, by index."""
        return self.samples(original_name(label))

    def reconstructions(
        self, label: str, codec: str, settings: str, tasks: Mapping[tuple[str, str, str], Sequence[str]] | None = None
    ) -> dict[int, Images]:
        """What a codec point made of a dataset's shown images, by index.

        Args:
            label: the dataset's label.
            codec: the codec's name.
            settings: its settings, in the spec syntax.
            tasks: identities of tasks by these three, where all sidecars were read already.
        """
        point = (label, codec, settings)
        if tasks is None:
            read = self.sidecars()
            tasks = {point: [s["task_id"] for s in read if (s["dataset"], s["codec"], s["settings"]) == point]}
        found: dict[int, Images] = {}
        for task_id in tasks.get(point, ()):
            found |= self.samples(f"{task_id}.npz")
        return found

    # ---- timings ------------------------------------------------------------------------------------------------

    def timing_file(self, label: str, codec: CodecSpec, fingerprint: str, threads: int) -> Path:
        """Where the times of a codec point on a dataset lie, or would."""
        return self.path / timings.file_name(self.manifest, label, codec, fingerprint, threads)

    def write_timing(self, label: str, codec: CodecSpec, fingerprint: str, timing: Timing) -> None:
        """Stores the times of a codec point on a dataset, also those that lack rounds yet."""
        file = self.timing_file(label, codec, fingerprint, timing.threads)
        write_whole(file, timings.content(label, codec, fingerprint, timing))

    def timing(self, label: str, codec: CodecSpec, fingerprint: str, threads: int) -> Timing | None:
        """The times of a codec point on a dataset, as many rounds as there are; None where there are none."""
        return timings.read(self.timing_file(label, codec, fingerprint, threads))

    def timings(self) -> list[dict[str, Any]]:
        """The times that count, one record a codec point; see ``codecbench.store.timings.records``."""
        return timings.records(self.path, self.manifest)

    # ---- whole sets ---------------------------------------------------------------------------------------------

    def sets(self) -> list[dict[str, Any]]:
        """The records of whole data sets coded as one stream that count; see ``codecbench.store.sets.records``."""
        return sets.records(self.path, self.manifest)

    # ---- writing ------------------------------------------------------------------------------------------------

    def write_file(self, name: str, content: bytes) -> Path:
        """Writes a file of the folder whole, or leaves the one that was there.

        Args:
            name: its path inside the folder.
            content: its bytes.

        Returns:
            Its path.

        Raises:
            StoreError: the disk is full or the folder cannot be written.
        """
        file = self.path / name
        write_whole(file, content)
        return file


LOCK = ".lock"
OWN = (
    LOCK,
    "run.json",
    "stamp.json",
    "summary.csv",
    "report.html",
    "report.md",
    "figures",
    "parts",
    "timings",
    "samples",
    "kept",
    "latents",
    "training",
    "sets",
    "sets.csv",
)
"""Everything that codecbench writes into a run folder."""


@contextlib.contextmanager
def hold(path: Path) -> Iterator[None]:
    """Keeps other commands from measuring into a run folder; makes the folder if it is not there.

    The lock belongs to the process: it ends with it, however that ends.

    Raises:
        UsageError: another command measures into the folder; or it is none for runs, see ``RunFolder.for_writing``.
        StoreError: the folder cannot be made or locked.
    """
    from filelock import FileLock, Timeout

    check_usable(path)
    try:
        path.mkdir(parents=True, exist_ok=True)
        lock = FileLock(path / LOCK, timeout=0)
        lock.acquire()
    except Timeout:
        raise UsageError(
            f"another codecbench command measures into {path}; wait until it has ended, or name another --out"
        ) from None
    except OSError as error:
        raise StoreError(f"cannot write {path}: {error.strerror or error}") from error
    except NotImplementedError as error:  # some network file systems
        raise StoreError(f"cannot lock {path}: {error}; name an --out on another file system") from error
    try:
        yield
    finally:
        lock.release()


def check_usable(path: Path) -> None:
    """Makes sure that a path can be a run folder, and that nothing of anybody else's lies there.

    Raises:
        UsageError: a file, or a folder that holds other things and no run.
        StoreError: it cannot be read.
    """
    try:
        if path.exists() and not path.is_dir():
            raise UsageError(f"{path} is a file; a run needs a folder")
        others = path.is_dir() and any(entry.name not in OWN for entry in path.iterdir() if entry.suffix != ".tmp")
        if others and not (path / "run.json").is_file():
            raise UsageError(f"{path} is not empty and holds no run; name another --out")
    except OSError as error:
        raise StoreError(f"cannot use {path}: {error.strerror or error}") from error


def discard(path: Path) -> None:
    """Removes what codecbench wrote into a run folder, but for the lock, and nothing else.

    Raises:
        OSError: something cannot be removed.
    """
    for name in OWN:
        entry = path / name
        if name == LOCK:
            continue  # held by whoever throws away
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink(missing_ok=True)


def task_files(task: Task, measurement: Measurement, seconds: float, first_attempt: str = "") -> dict[str, bytes]:
    """The files of a finished task, by path in the run folder, in the order in which they must be written.

    Args:
        task: the task.
        measurement: what it gave.
        seconds: how long it took.
        first_attempt: why it did not succeed at once.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    buffer = pa.BufferOutputStream()
    names = ["dataset", "codec", "settings"]  # the other columns repeat little; nothing is ever searched in a part
    pq.write_table(
        row_table(task, measurement), buffer, compression="zstd", use_dictionary=names, write_statistics=False
    )
    content = buffer.getvalue().to_pybytes()
    sidecar = _describe_task(task) | {
        "lossless": bool(measurement.lossless),
        "failed": "",
        "first_attempt": first_attempt,
        "metrics_failed": measurement.metrics_failed,
        "seconds": round(seconds, 6),
        "num_bytes": len(content),
        "sha256": hashlib.sha256(content).hexdigest(),
    }
    samples = {f"samples/{task.id}.npz": pack_images(measurement.shown)} if measurement.shown else {}
    return samples | {f"parts/{task.id}.parquet": content, f"parts/{task.id}.json": dump_json(sidecar)}


def failure_files(task: Task, reason: str, details: str, seconds: float, attempts: int = 1) -> dict[str, bytes]:
    """The file that records a failed task, by path in the run folder.

    Args:
        task: the task.
        reason: why it failed, in one line.
        details: a traceback, or the end of what the codec's process wrote.
        seconds: how long it took, with all attempts.
        attempts: how often it was tried.
    """
    sidecar = _describe_task(task) | {
        "failed": reason,
        "details": details,
        "attempts": attempts,
        "seconds": round(seconds, 6),
    }
    return {f"parts/{task.id}.json": dump_json(sidecar)}


def original_name(label: str) -> str:
    """The name under which the originals of a dataset's shown images are kept."""
    return f"original-{digest(label)}.npz"


def _describe_task(task: Task) -> dict[str, Any]:
    return {
        "task_id": task.id,
        "dataset": task.dataset,
        "codec": task.codec.name,
        "settings": task.codec.settings_text,
        "images": len(task.indices),
        "shape": list(task.shape),
        "codec_fingerprint": task.codec_fingerprint,
        "data_fingerprint": task.data_fingerprint,
        "metrics_fingerprint": task.metrics_fingerprint,
    }
