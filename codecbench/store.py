"""The run folder: what was measured, one part a task, and where it came from.

    RUN/
      run.json              datasets and images chosen, codec fingerprints, and every command that measured into it
      parts/ID.parquet      one row an image; written whole, then renamed
      parts/ID.json         the task and how it ended; written last, so a part without it does not count
      samples/ID.npz        reconstructions of the few images shown to people; samples/original-*.npz beside them
      timings/ID.json       times of one codec point on one dataset

Rows count only while the codec's fingerprint in the sidecar equals the one in ``run.json``, so rows of an edited codec
stay on disk but never show. A damaged part is renamed to ``*.damaged``, named, and measured again by the next run.
"""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import hashlib
import json
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from codecbench.codec import Images
from codecbench.errors import StoreError
from codecbench.measure import Measurement
from codecbench.records import CodecSpec, Selection, Task, Timing, digest

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

SCHEMA = 1


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
            StoreError: no run there, damaged, or of a newer version.
        """
        if not (path / "run.json").is_file():
            raise StoreError(f"no run at {path}: it holds no run.json")
        return cls(path)

    # ---- the manifest -------------------------------------------------------------------------------------------

    def _read_manifest(self) -> dict[str, Any]:
        empty: dict[str, Any] = {"schema": SCHEMA, "datasets": {}, "codecs": {}, "skipped": [], "invocations": []}
        file = self.path / "run.json"
        if not file.is_file():
            return empty
        found = _read_json(file)
        schema = found.get("schema") if found else None
        if isinstance(schema, int) and schema > SCHEMA:
            raise StoreError(f"{self.path} was written by a newer codecbench (schema {schema}, known {SCHEMA})")
        if found is None or not empty.keys() <= found.keys():
            raise StoreError(f"{file} is damaged; repair it, or begin anew with --fresh")
        return found

    def join(
        self,
        selections: Mapping[str, Selection],
        codecs: Mapping[str, Mapping[str, Any]],
        skipped: list[dict[str, Any]],
        invocation: Mapping[str, Any],
    ) -> None:
        """Records that a command measures into this folder.

        Args:
            selections: the images chosen, by dataset label.
            codecs: fingerprint and description of every codec measured, by name.
            skipped: pairs of codec and dataset that do not fit.
            invocation: command, versions, machine, threads, seed and commit.

        Raises:
            StoreError: the folder already holds another choice of images of one of these datasets, or is not writable.
        """
        self.manifest = self._read_manifest()  # another command may have joined since the folder was opened
        datasets = self.manifest["datasets"]
        for label, selection in selections.items():
            record = {
                key: value for key, value in dataclasses.asdict(selection).items() if key not in ("label", "indices")
            }
            record |= {"shown": list(selection.shown), "images": len(selection.indices)}
            if label in datasets and datasets[label] != record:
                held = datasets[label]
                raise StoreError(
                    f"{self.path} already holds {held['images']} images of {label} (seed {held['seed']}), and not the "
                    f"same as the {len(selection.indices)} asked for (seed {selection.seed}); "
                    "name another --out, or begin anew with --fresh"
                )
            datasets[label] = record
        self.manifest["codecs"].update(codecs)
        concerned = {(skip["dataset"], skip["codec"].partition(":")[0]) for skip in skipped}
        kept = [
            skip
            for skip in self.manifest["skipped"]
            if (skip["dataset"], skip["codec"].partition(":")[0]) not in concerned
        ]
        self.manifest["skipped"] = kept + skipped
        self.manifest["invocations"].append(dict(invocation))
        self._write(self.path / "run.json", _dump(self.manifest))

    # ---- tasks --------------------------------------------------------------------------------------------------

    def write_task(self, task: Task, measurement: Measurement, seconds: float) -> None:
        """Stores the rows of a finished task.

        Raises:
            StoreError: the disk is full or the folder cannot be written.
        """
        import pyarrow as pa
        import pyarrow.parquet as pq

        buffer = pa.BufferOutputStream()
        pq.write_table(_table(task, measurement), buffer, compression="zstd")
        content = buffer.getvalue().to_pybytes()
        if measurement.shown:
            self.write_samples(f"{task.id}.npz", measurement.shown)
        self._write(self.path / "parts" / f"{task.id}.parquet", content)
        sidecar = _describe_task(task) | {
            "lossless": measurement.lossless,
            "failed": "",
            "seconds": round(seconds, 6),
            "num_bytes": len(content),
            "sha256": hashlib.sha256(content).hexdigest(),
        }
        self._write(self.path / "parts" / f"{task.id}.json", _dump(sidecar))

    def write_failure(self, task: Task, reason: str, details: str, seconds: float) -> None:
        """Records that a task failed, and why."""
        sidecar = _describe_task(task) | {"failed": reason, "details": details, "seconds": round(seconds, 6)}
        self._write(self.path / "parts" / f"{task.id}.json", _dump(sidecar))

    def finished(self) -> set[str]:
        """Identities of the tasks whose rows are stored whole."""
        return {sidecar["task_id"] for sidecar in self._sidecars() if not sidecar["failed"]}

    def sidecars(self) -> list[dict[str, Any]]:
        """The sidecars of all tasks that count: measured with the codecs as ``run.json`` knows them."""
        known = {name: codec["fingerprint"] for name, codec in self.manifest["codecs"].items()}
        return [
            sidecar
            for sidecar in self._sidecars()
            if known.get(sidecar["codec"]) == sidecar["codec_fingerprint"]
            and sidecar["dataset"] in self.manifest["datasets"]
        ]

    def rows(self) -> pd.DataFrame:
        """One row an image and codec point.

        Returns:
            Columns ``dataset, image, height, width, channels, codec, settings, num_bytes, container_bytes,
            estimated_bits, mse, mse_float, max_abs_error, ssim, lossless``.
        """
        import pandas as pd
        import pyarrow as pa
        import pyarrow.parquet as pq

        tables = []
        for sidecar in self.sidecars():
            if sidecar["failed"]:
                continue
            file = self.path / "parts" / f"{sidecar['task_id']}.parquet"
            content = file.read_bytes()
            if hashlib.sha256(content).hexdigest() != sidecar["sha256"]:
                self._set_aside(file)
                continue
            tables.append(pq.read_table(pa.BufferReader(content)))
        if not tables:
            return pd.DataFrame(columns=list(_SCHEMA_COLUMNS))
        frame: pd.DataFrame = pa.concat_tables(tables).to_pandas()
        return frame

    def failures(self) -> list[dict[str, Any]]:
        """The sidecars of tasks that failed and were not finished since."""
        return [sidecar for sidecar in self.sidecars() if sidecar["failed"]]

    def damaged(self) -> list[str]:
        """Names of parts that were found damaged and set aside, and not measured again since."""
        set_aside = sorted((self.path / "parts").glob("*.damaged"))
        return [file.name for file in set_aside if not file.with_name(f"{file.name.partition('.')[0]}.json").is_file()]

    def _sidecars(self) -> Iterator[dict[str, Any]]:
        for file in sorted((self.path / "parts").glob("*.json")):
            sidecar = _read_json(file)
            part = file.with_suffix(".parquet")
            if sidecar is None or sidecar.get("task_id") != file.stem:
                self._set_aside(file)
            elif not sidecar["failed"] and not (part.is_file() and part.stat().st_size == sidecar["num_bytes"]):
                self._set_aside(part if part.is_file() else file)
            else:
                yield sidecar

    def _set_aside(self, file: Path) -> None:
        for twin in (file.with_suffix(".json"), file.with_suffix(".parquet")):
            if twin.is_file():
                twin.replace(twin.with_name(twin.name + ".damaged"))

    # ---- pictures -----------------------------------------------------------------------------------------------

    def write_samples(self, name: str, images: Mapping[int, Images]) -> None:
        """Keeps images to look at, losslessly, by index; large ones are cut to their middle 256×256 pixels."""
        import io

        buffer = io.BytesIO()
        arrays: dict[str, Any] = {str(index): _middle(image) for index, image in images.items()}
        np.savez_compressed(buffer, **arrays)
        self._write(self.path / "samples" / name, buffer.getvalue())

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

    def reconstructions(self, label: str, codec: str, settings: str) -> dict[int, Images]:
        """What a codec point made of a dataset's shown images, by index."""
        found: dict[int, Images] = {}
        for sidecar in self.sidecars():
            if (sidecar["dataset"], sidecar["codec"], sidecar["settings"]) == (label, codec, settings):
                found |= self.samples(f"{sidecar['task_id']}.npz")
        return found

    # ---- timings ------------------------------------------------------------------------------------------------

    def timing_file(self, label: str, codec: CodecSpec, fingerprint: str) -> Path:
        """Where the times of a codec point on a dataset lie."""
        name = digest([label, str(codec), fingerprint, self.manifest["datasets"][label]["fingerprint"]])
        return self.path / "timings" / f"{name}.json"

    def write_timing(self, label: str, codec: CodecSpec, fingerprint: str, timing: Timing) -> None:
        """Stores the times of a codec point on a dataset."""
        record = {
            "dataset": label,
            "codec": codec.name,
            "settings": codec.settings_text,
            "codec_fingerprint": fingerprint,
        }
        self._write(self.timing_file(label, codec, fingerprint), _dump(record | dataclasses.asdict(timing)))

    def timings(self) -> list[dict[str, Any]]:
        """The times that count, as records; those with a reason under ``failed`` could not be taken."""
        known = {name: codec["fingerprint"] for name, codec in self.manifest["codecs"].items()}
        found = (_read_json(file) for file in sorted((self.path / "timings").glob("*.json")))
        return [timing for timing in found if timing and known.get(timing["codec"]) == timing["codec_fingerprint"]]

    def is_timed(self, label: str, codec: CodecSpec, fingerprint: str) -> bool:
        """Whether the times of a codec point on a dataset were taken."""
        timing = _read_json(self.timing_file(label, codec, fingerprint))
        return timing is not None and not timing["failed"]

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
        self._write(file, content)
        return file

    def _write(self, file: Path, content: bytes) -> None:
        temporary = file.with_name(f"{file.name}.{os.getpid()}.tmp")
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            temporary.write_bytes(content)
            temporary.replace(file)
        except OSError as error:
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)
            raise StoreError(_why_not_written(file, error)) from error


def original_name(label: str) -> str:
    """The name under which the originals of a dataset's shown images are kept."""
    return f"original-{digest(label)}.npz"


def _why_not_written(file: Path, error: OSError) -> str:
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return f"no space left to write {file}; what was measured is kept, make room and run the same command again"
    return f"cannot write {file}: {error.strerror or error}"


def _middle(image: Images, side: int = 256) -> Images:
    top, left = max(0, (image.shape[0] - side) // 2), max(0, (image.shape[1] - side) // 2)
    return image[top : top + side, left : left + side]


def _dump(content: Mapping[str, Any]) -> bytes:
    text = json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    return text.encode("utf-8", "backslashreplace")  # half a character, as in some file names, is JSON once escaped


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


_SCHEMA_COLUMNS: dict[str, Callable[[Any], Any]] = {
    "dataset": lambda pa: pa.dictionary(pa.int32(), pa.string()),
    "image": lambda pa: pa.int64(),
    "height": lambda pa: pa.int32(),
    "width": lambda pa: pa.int32(),
    "channels": lambda pa: pa.int8(),
    "codec": lambda pa: pa.dictionary(pa.int32(), pa.string()),
    "settings": lambda pa: pa.dictionary(pa.int32(), pa.string()),
    "num_bytes": lambda pa: pa.int64(),
    "container_bytes": lambda pa: pa.float64(),
    "estimated_bits": lambda pa: pa.float64(),
    "mse": lambda pa: pa.float64(),
    "mse_float": lambda pa: pa.float64(),
    "max_abs_error": lambda pa: pa.int16(),
    "ssim": lambda pa: pa.float64(),
    "lossless": lambda pa: pa.bool_(),
}


def _table(task: Task, measurement: Measurement) -> pa.Table:
    import pyarrow as pa

    count = len(task.indices)
    height, width, channels = task.shape
    values: dict[str, Any] = {
        "dataset": [task.dataset] * count,
        "image": np.array(task.indices, dtype=np.int64),
        "height": np.full(count, height),
        "width": np.full(count, width),
        "channels": np.full(count, channels),
        "codec": [task.codec.name] * count,
        "settings": [task.codec.settings_text] * count,
        "num_bytes": measurement.num_bytes,
        "container_bytes": measurement.container_bytes,
        "estimated_bits": measurement.estimated_bits,
        "mse": measurement.mse,
        "mse_float": measurement.mse_float,
        "max_abs_error": measurement.max_abs_error,
        "ssim": measurement.ssim,
        "lossless": np.full(count, measurement.lossless),
    }
    arrays = [pa.array(values[name], type=kind(pa), from_pandas=True) for name, kind in _SCHEMA_COLUMNS.items()]
    return pa.Table.from_arrays(arrays, names=list(_SCHEMA_COLUMNS))
