"""What a task leaves in a run folder: its rows, its record, and reconstructions of the images shown.

RUN/parts/ID.parquet    one row an image; written whole, then renamed
RUN/parts/ID.json       the task and how it ended; written last, so that rows without it do not count
RUN/samples/ID.npz      reconstructions of the few images shown to people
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from codecbench.measure.rows import row_table
from codecbench.measure.task import Measurement
from codecbench.plan.tasks import Task
from codecbench.plugins.codec import Shape
from codecbench.store import manifest as manifests
from codecbench.store.io import Record, pack_images


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
