"""What a task leaves in a run folder, as the content of files: its rows, its record, the images to look at."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Mapping
from typing import Any

import numpy as np

from codecbench.fingerprint import digest
from codecbench.measure.rows import row_table
from codecbench.measure.task import Measurement
from codecbench.plan.tasks import Task
from codecbench.plugins.codec import Images
from codecbench.store.io import dump_json


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


WINDOW = 256
"""Height and width of what is kept of a larger image, in pixels."""


def pack_images(images: Mapping[int, Images]) -> bytes:
    """Images by index as the content of an ``npz`` file; large ones are cut to their middle 256×256 pixels."""
    buffer = io.BytesIO()
    arrays: dict[str, Any] = {}
    for index, image in images.items():
        height, width, _ = image.shape
        arrays[str(index)] = cut_out(image, *middle(height, width))
    np.savez_compressed(buffer, **arrays)
    return buffer.getvalue()


def middle(height: int, width: int) -> tuple[int, int]:
    """Top and left of the window that is kept of an image, where nothing asks for another one."""
    return max(0, (height - WINDOW) // 2), max(0, (width - WINDOW) // 2)


def cut_out(image: Images, top: int, left: int) -> Images:
    """The window of an image (H, W, C) with its first pixel there; the whole of an image that is no larger."""
    return image[top : top + WINDOW, left : left + WINDOW]


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
