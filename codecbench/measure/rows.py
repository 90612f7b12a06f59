"""What a row of a part holds: the columns of every image's result, with their Parquet types."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from codecbench.measure.task import Measurement
from codecbench.plan.tasks import Task

if TYPE_CHECKING:
    import pyarrow as pa

COLUMNS: dict[str, Callable[[Any], Any]] = {
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
    "exact_pixels": lambda pa: pa.float64(),
    "ssim": lambda pa: pa.float64(),
    "lossless": lambda pa: pa.bool_(),
}


def row_table(task: Task, measurement: Measurement) -> pa.Table:
    """The rows of a finished task, one an image; NaN becomes null.

    Behind ``COLUMNS`` stand the plugin metrics, float64, each under its name.
    """
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
        "exact_pixels": measurement.exact_pixels,
        "ssim": measurement.ssim,
        "lossless": np.full(count, measurement.lossless),
    }
    arrays = [pa.array(values[name], type=kind(pa), from_pandas=True) for name, kind in COLUMNS.items()]
    arrays += [pa.array(found, type=pa.float64(), from_pandas=True) for found in measurement.metrics.values()]
    return pa.Table.from_arrays(arrays, names=[*COLUMNS, *measurement.metrics])
