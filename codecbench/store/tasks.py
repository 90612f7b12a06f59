"""What a task leaves in a run folder: its rows, its record, and reconstructions of the images shown.

RUN/parts/ID.parquet    one row an image; written whole, then renamed
RUN/parts/ID.json       the task and how it ended; written last, so that rows without it do not count
RUN/samples/ID.npz      reconstructions of the few images shown to people
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from codecbench.columns import ROWS
from codecbench.measure.rows import row_table, row_types
from codecbench.measure.task import Measurement
from codecbench.plan.tasks import Task
from codecbench.plugins.codec import Shape
from codecbench.store import manifest as manifests
from codecbench.store.io import Record, pack_images

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True, kw_only=True)
class TaskRecord(Record):
    """One task and how it ended; of a failed one, rows, checksum and the like are empty."""

    FOLDER: ClassVar[str] = "parts"
    SET_ASIDE: ClassVar[bool] = True

    task_id: str
    images: int
    shape: Shape
    data_fingerprint: str = ""  # of this task's images
    metrics_fingerprint: str = ""
    seconds: float = 0.0  # with all attempts
    lossless: bool = False
    num_bytes: int = 0  # of the file of rows
    sha256: str = ""
    first_attempt: str = ""  # why it did not succeed at once
    metrics_failed: dict[str, str] = field(default_factory=dict)  # reasons by metric
    details: str = ""  # of a failure: a traceback, or the end of what the codec's process wrote
    attempts: int = 1

    def is_whole(self, file: Path) -> bool:
        """Whether the record is of this file, and its rows are there with their length."""
        if self.task_id != file.stem:
            return False
        rows = file.with_suffix(".parquet")
        return bool(self.failed) or (bool(self.sha256) and rows.is_file() and rows.stat().st_size == self.num_bytes)

    def counts(self, manifest: Mapping[str, Any]) -> bool:
        """As for every record, and measured with the codec's metrics of ``run.json``."""
        if not super().counts(manifest):
            return False
        return manifests.metrics_fingerprint_of(manifest, self.codec) == self.metrics_fingerprint


def task_files(task: Task, measurement: Measurement, seconds: float, first_attempt: str = "") -> dict[str, bytes]:
    """The files of a finished task, by path in the run folder, in the order in which they must be written."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    buffer = pa.BufferOutputStream()
    names = ["dataset", "codec", "settings"]  # the other columns repeat little; nothing is ever searched in a part
    pq.write_table(
        row_table(task, measurement), buffer, compression="zstd", use_dictionary=names, write_statistics=False
    )
    content = buffer.getvalue().to_pybytes()
    record = _record(
        task,
        failed="",
        seconds=round(seconds, 6),
        lossless=bool(measurement.lossless),
        num_bytes=len(content),
        sha256=hashlib.sha256(content).hexdigest(),
        first_attempt=first_attempt,
        metrics_failed=measurement.metrics_failed,
    )
    samples = {f"samples/{task.id}.npz": pack_images(measurement.shown)} if measurement.shown else {}
    return samples | {
        f"{TaskRecord.FOLDER}/{task.id}.parquet": content,
        f"{TaskRecord.FOLDER}/{task.id}.json": record.content(),
    }


def read_rows(content: bytes, task: TaskRecord, columns: Sequence[str] | None = None) -> pa.Table:
    """The rows in a task's file, of all columns by default; ``ValueError`` where they are not that task's."""
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    # Not pq.read_table: it takes twice as long for a file of usual size, most of it on threads and discovery.
    file = pq.ParquetFile(pa.BufferReader(content))
    kinds = {field.name: field.type for field in file.schema_arrow}
    known = row_types()
    if {**kinds, **known} != kinds or any(kinds[name] != pa.float64() for name in kinds.keys() - known.keys()):
        raise ValueError("other columns or types than those of rows")
    if file.metadata.num_rows != task.images:
        raise ValueError(f"{file.metadata.num_rows} rows of {task.images} images")
    table = file.read(columns=columns, use_threads=False)
    for name in known.keys() & set(table.column_names):
        if ROWS[name].kind == "text":
            fits = table[name].unique().to_pylist() == [getattr(task, name)]
        else:
            least = pc.min(table[name]).as_py()  # NaN and null are passed over
            fits = least is None or least >= (-1 if name == "ssim" else 0)
        if not fits:
            raise ValueError(f"{name} of other tasks, or out of range")
    return table


def failure_files(task: Task, reason: str, details: str, seconds: float, attempts: int = 1) -> dict[str, bytes]:
    """The file that records a failed task, by path in the run folder; ``reason`` is one line."""
    record = _record(task, failed=reason, details=details, attempts=attempts, seconds=round(seconds, 6))
    return {f"{TaskRecord.FOLDER}/{task.id}.json": record.content()}


def _record(task: Task, **outcome: Any) -> TaskRecord:
    return TaskRecord(
        task_id=task.id,
        **task.point,
        images=len(task.indices),
        shape=task.shape,
        data_fingerprint=task.data_fingerprint,
        metrics_fingerprint=task.metrics_fingerprint,
        **outcome,
    )
