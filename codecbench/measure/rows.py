"""The rows of a finished task, one per image, with the columns of ``codecbench.columns.ROWS``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from codecbench.columns import ROWS
from codecbench.measure.task import Measurement
from codecbench.plan.tasks import Task

if TYPE_CHECKING:
    import pyarrow as pa


def row_table(task: Task, measurement: Measurement) -> pa.Table:
    """The rows of a finished task, plugin metrics in the last columns; NaN becomes null."""
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
        "lossless": np.full(count, measurement.lossless),
    }
    values |= {name: getattr(measurement, name) for name in ROWS if name not in values}
    types = row_types() | dict.fromkeys(measurement.metrics, pa.float64())
    values |= measurement.metrics
    arrays = [pa.array(values[name], type=kind, from_pandas=True) for name, kind in types.items()]
    return pa.Table.from_arrays(arrays, names=list(types))


def row_types() -> dict[str, pa.DataType]:
    """The type of each column of rows but the plugin metrics, which are real numbers."""
    import pyarrow as pa

    text = pa.dictionary(pa.int32(), pa.string())
    return {name: text if column.kind == "text" else pa.type_for_alias(column.kind) for name, column in ROWS.items()}
