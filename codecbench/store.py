"""The run folder: what was measured, one part a task, and where it came from.

    RUN/
      run.json              datasets and images chosen, codec fingerprints, and every command that measured into it
      parts/ID.parquet      one row an image; written whole, then renamed
      parts/ID.json         the task and how it ended; written last, so a part without it does not count
      samples/ID.npz        reconstructions of the few images shown to people; samples/original-*.npz beside them
      timings/ID.json       times of one codec point on one dataset
      latents/, training/   what ``codecbench.exhibits`` keeps of learned codecs

Rows count only while the codec's fingerprint in the sidecar equals the one in ``run.json``, so rows of an edited codec
stay on disk but never show. A damaged part is renamed to ``*.damaged``, named, and measured again by the next run.
"""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import hashlib
import io
import json
import secrets
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from codecbench import intact, manifests
from codecbench.codec import Images
from codecbench.errors import StoreError, UsageError
from codecbench.measure import Measurement
from codecbench.records import ROUNDS, CodecSpec, Task, Timing, digest
from codecbench.rows import COLUMNS, row_table

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

LOCK = ".lock"
OWN = (
    LOCK,
    "run.json",
    "stamp.json",
    "summary.csv",
    "report.html",
    "figures",
    "parts",
    "timings",
    "samples",
    "latents",
    "training",
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
                _discard(path)
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
            return manifests.empty()
        found = _read_json(file)
        schema = found.get("schema") if found else None
        if isinstance(schema, int) and schema > manifests.SCHEMA:
            known = f"schema {schema}, known {manifests.SCHEMA}"
            raise StoreError(f"{self.path} was written by a newer codecbench ({known})")
        if found is None or not manifests.empty().keys() <= found.keys():
            raise StoreError(f"{file} is damaged; repair it, or measure anew with `codecbench run --fresh`")
        return found

    def join(self, addition: manifests.Addition) -> None:
        """Records that a command measures into this folder.

        Raises:
            UsageError: the folder already holds another choice of images of one of these datasets.
            StoreError: it is not writable.
        """
        present = self._read_manifest()  # another command may have joined since the folder was opened
        try:
            self.manifest = manifests.joined(present, addition)
        except UsageError as error:
            raise UsageError(f"{self.path} {error}; name another --out, or begin anew with --fresh") from None
        _write(self.path / "run.json", _dump(self.manifest))

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
        for folder in (".", "parts", "timings", "samples", "latents", "training"):
            for file in (self.path / folder).glob("*.tmp"):
                if intact.LEFTOVER.search(file.name):
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
            _write(folder / name, content)

    def finished(self) -> set[str]:
        """Identities of the tasks whose rows are stored whole."""
        return {sidecar["task_id"] for sidecar in self._sidecars() if not sidecar["failed"]}

    def sidecars(self) -> list[dict[str, Any]]:
        """The sidecars of all tasks that count: measured with the codecs as ``run.json`` knows them."""
        known = manifests.fingerprints_of(self.manifest)
        return [
            sidecar
            for sidecar in self._sidecars()
            if known.get(sidecar["codec"]) == sidecar["codec_fingerprint"]
            and sidecar["dataset"] in self.manifest["datasets"]
        ]

    def tables(self, columns: Sequence[str] | None = None) -> Iterator[tuple[dict[str, Any], pa.Table]]:
        """The rows of every finished task, one part at a time; parts that are found damaged are set aside.

        Args:
            columns: names of those to be read, in the order of the parts; all where None. A part of an older version
                may lack some.

        Yields:
            The task's sidecar and its rows, in the order of the parts' names.
        """
        import pyarrow as pa
        import pyarrow.parquet as pq

        for sidecar in self.sidecars():
            if sidecar["failed"]:
                continue
            file = self.path / "parts" / f"{sidecar['task_id']}.parquet"
            content = file.read_bytes()
            if hashlib.sha256(content).hexdigest() != sidecar["sha256"]:
                self._set_aside(file)
                continue
            # Not pq.read_table: it takes twice as long for a part of usual size, most of it on threads and discovery.
            yield sidecar, pq.ParquetFile(pa.BufferReader(content)).read(columns=columns, use_threads=False)

    def rows(self) -> pd.DataFrame:
        """One row an image and codec point, of the whole run at once; ``codecbench.aggregation`` reads large runs.

        Returns:
            Columns ``dataset, image, height, width, channels, codec, settings, num_bytes, container_bytes,
            estimated_bits, mse, mse_float, max_abs_error, exact_pixels, ssim, lossless``.
        """
        import pandas as pd
        import pyarrow as pa

        tables = [table for _, table in self.tables()]
        if not tables:
            return pd.DataFrame(columns=list(COLUMNS))
        frame: pd.DataFrame = pa.concat_tables(tables, promote_options="default").to_pandas()
        return frame

    def failures(self) -> list[dict[str, Any]]:
        """The sidecars of tasks that failed and were not finished since."""
        return [sidecar for sidecar in self.sidecars() if sidecar["failed"]]

    def damaged(self) -> list[str]:
        """Names of parts that were found damaged and set aside, and not measured again since."""
        return self._damaged("parts")

    def damaged_timings(self) -> list[str]:
        """Names of timings that were found damaged and set aside, and not taken again since."""
        return self._damaged("timings")

    def _damaged(self, folder: str) -> list[str]:
        set_aside = sorted((self.path / folder).glob("*.damaged"))
        return [file.name for file in set_aside if not file.with_name(f"{file.name.partition('.')[0]}.json").is_file()]

    def _sidecars(self) -> Iterator[dict[str, Any]]:
        for file in sorted((self.path / "parts").glob("*.json")):
            if not intact.TASK_ID.fullmatch(file.stem):
                continue  # somebody else's
            sidecar = _read_json(file)
            part = file.with_suffix(".parquet")
            if sidecar is None or sidecar.get("task_id") != file.stem or not intact.is_sidecar(sidecar):
                self._set_aside(file)
            elif not sidecar["failed"] and not (part.is_file() and part.stat().st_size == sidecar["num_bytes"]):
                self._set_aside(part if part.is_file() else file)
            else:
                yield sidecar

    def _set_aside(self, file: Path) -> None:
        for twin in (file.with_suffix(".json"), file.with_suffix(".parquet")):
            with contextlib.suppress(OSError):  # in a folder that is only read, it is passed over
                if twin.is_file():
                    twin.replace(twin.with_name(twin.name + ".damaged"))

    # ---- pictures -----------------------------------------------------------------------------------------------

    def write_samples(self, name: str, images: Mapping[int, Images]) -> None:
        """Keeps images to look at, losslessly, by index; large ones are cut to their middle 256×256 pixels."""
        _write(self.path / "samples" / name, _pack(images))

    def samples(self, name: str) -> dict[int, Images]:
        """Images kept under a name, by index; empty where none are."""
        file = self.path / "samples" / name
        if not file.is_file():
            return {}
        with np.load(file, allow_pickle=False) as archive:
            return {int(key): archive[key] for key in archive.files}

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
        images = self.manifest["datasets"][label]["fingerprint"]
        name = digest([manifests.TIMING_PROTOCOL, label, str(codec), fingerprint, images, threads])
        return self.path / "timings" / f"{name}.json"

    def write_timing(self, label: str, codec: CodecSpec, fingerprint: str, timing: Timing) -> None:
        """Stores the times of a codec point on a dataset, also those that lack rounds yet."""
        record = {
            "dataset": label,
            "codec": codec.name,
            "settings": codec.settings_text,
            "codec_fingerprint": fingerprint,
            "protocol": manifests.TIMING_PROTOCOL,
        }
        file = self.timing_file(label, codec, fingerprint, timing.threads)
        _write(file, _dump(record | dataclasses.asdict(timing)))

    def timing(self, label: str, codec: CodecSpec, fingerprint: str, threads: int) -> Timing | None:
        """The times of a codec point on a dataset, as many rounds as there are; None where there are none."""
        record = _read_json(self.timing_file(label, codec, fingerprint, threads))
        names = [field.name for field in dataclasses.fields(Timing)]
        if record is None or not intact.is_timing(record) or not record.keys() >= set(names):
            return None
        values: dict[str, Any] = {
            name: tuple(record[name]) if isinstance(record[name], list) else record[name] for name in names
        }
        return Timing(**values)

    def timings(self) -> list[dict[str, Any]]:
        """The times that count, one record a codec point; those with a reason under ``failed`` could not be taken.

        Where a point was timed with several numbers of threads, the record is that of the last command that took times.
        """
        known = manifests.fingerprints_of(self.manifest)
        threads = [call.get("timing_threads") for call in self.manifest["invocations"]]
        wanted = next((number for number in reversed(threads) if number is not None), None)
        current: dict[tuple[str, str, str], tuple[tuple[int, bool], dict[str, Any]]] = {}
        for file in sorted((self.path / "timings").glob("*.json")):
            if not intact.TASK_ID.fullmatch(file.stem):
                continue  # somebody else's
            record = _read_json(file)
            if record is None or not intact.is_timing(record):
                self._set_aside(file)
                continue
            if known.get(record["codec"]) == record["codec_fingerprint"] and _is_whole(record):
                key = record["dataset"], record["codec"], record["settings"]
                rank = record.get("protocol", 1), record["threads"] == wanted
                if key not in current or rank > current[key][0]:
                    current[key] = rank, record
        return [record for _, record in current.values()]

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
        _write(file, content)
        return file


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
        "seconds": round(seconds, 6),
        "num_bytes": len(content),
        "sha256": hashlib.sha256(content).hexdigest(),
    }
    samples = {f"samples/{task.id}.npz": _pack(measurement.shown)} if measurement.shown else {}
    return samples | {f"parts/{task.id}.parquet": content, f"parts/{task.id}.json": _dump(sidecar)}


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
    return {f"parts/{task.id}.json": _dump(sidecar)}


def original_name(label: str) -> str:
    """The name under which the originals of a dataset's shown images are kept."""
    return f"original-{digest(label)}.npz"


def _write(file: Path, content: bytes) -> None:
    temporary = file.with_name(f"{file.name}.{secrets.token_hex(4)}.tmp")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_bytes(content)
        temporary.replace(file)
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise StoreError(_why_not_written(file, error)) from error


def _why_not_written(file: Path, error: OSError) -> str:
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return f"no space left to write {file}; what was measured is kept, make room and run the same command again"
    return f"cannot write {file}: {error.strerror or error}"


def _pack(images: Mapping[int, Images]) -> bytes:
    buffer = io.BytesIO()
    arrays: dict[str, Any] = {str(index): _middle(image) for index, image in images.items()}
    np.savez_compressed(buffer, **arrays)
    return buffer.getvalue()


def _middle(image: Images, side: int = 256) -> Images:
    top, left = max(0, (image.shape[0] - side) // 2), max(0, (image.shape[1] - side) // 2)
    return image[top : top + side, left : left + side]


def _dump(content: Mapping[str, Any]) -> bytes:
    text = json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    return text.encode("utf-8", "backslashreplace")  # half a character, as in some file names, is JSON once escaped


def _is_whole(timing: Mapping[str, Any]) -> bool:
    """Whether times have all their rounds; those of protocol 1 were written at the end only."""
    return bool(timing["failed"]) or "protocol" not in timing or len(timing["encode_s"]) >= ROUNDS


def _read_json(file: Path) -> dict[str, Any] | None:
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return content if isinstance(content, dict) else None


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
    }


def _discard(path: Path) -> None:
    for name in OWN:
        entry = path / name
        if name == LOCK:
            continue  # held by whoever throws away
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink(missing_ok=True)
