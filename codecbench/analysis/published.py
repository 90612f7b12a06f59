"""Published runs: tables that are read back, where the parts that they were made from are not there."""

from __future__ import annotations

import math
from pathlib import Path

import pandas as pd

from codecbench.analysis import summary
from codecbench.errors import StoreError
from codecbench.store.io import read_json
from codecbench.text import one_line


def read_summary(file: Path) -> pd.DataFrame:
    """Reads a ``summary.csv`` back as the table that it was written from, to the last digit.

    Raises:
        StoreError: it cannot be read, or lacks a column.
    """
    try:
        table = pd.read_csv(file, dtype=str, keep_default_na=False, encoding="utf-8")
        manifest = read_json(file.parent / "run.json") or {}
        names = summary.columns([name for name in manifest.get("metrics", {}) if name not in summary.COLUMNS])
        missing = [name for name in names if name not in table]
        if missing:
            raise StoreError(f"{file} is no summary of a run: it has no column {missing[0]}")
        return pd.DataFrame({name: _typed(name, table[name]) for name in names})
    except (OSError, ValueError) as error:
        raise StoreError(f"{file} cannot be read: {one_line(error)}") from error


def _typed(name: str, texts: pd.Series) -> pd.Series:
    if name in summary.TEXTS:
        return texts.astype(str)
    if name in summary.FLAGS:
        return texts == "True"
    if name in summary.COUNTS:
        return texts.astype("int64")
    # Python's own reading of numbers: that of pandas is not exact in every version.
    numbers = [float(text) if text else math.nan for text in texts]
    column = pd.Series(numbers, texts.index, dtype="float64")
    return column.astype("Int64") if name in summary.WHOLE else column
