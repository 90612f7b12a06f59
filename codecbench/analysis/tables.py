"""Tables of the analysis with their columns, each of its type."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from codecbench.columns import ColumnInfo

Values = npt.NDArray[np.float64]


def typed(rows: Sequence[Mapping[str, Any]] | pd.DataFrame, columns: Mapping[str, ColumnInfo]) -> pd.DataFrame:
    """The rows as a table with these columns, typed whatever is missing: as no text, False, a count of 0 or NaN."""
    table = pd.DataFrame(rows).reindex(columns=list(columns))
    for name, info in columns.items():
        column = table[name]
        if info.kind == "text":
            table[name] = column.astype(object).where(column.notna(), "").astype(str)
        elif info.kind == "flag":
            table[name] = column.astype("boolean").fillna(False).astype(bool)
        elif info.kind == "count":
            table[name] = pd.to_numeric(column).fillna(0).astype("int64")
        else:
            table[name] = pd.to_numeric(column).astype("Int64" if info.kind == "whole" else "float64")
    return table


def join_notes(*notes: str) -> str:
    """The notes that are not empty, as one."""
    return "; ".join(note for note in notes if note)
