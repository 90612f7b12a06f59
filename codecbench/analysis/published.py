"""Published runs: tables that are read back, where the parts that they were made from are not there."""

from __future__ import annotations

import math
from pathlib import Path

import pandas as pd

from codecbench.analysis import summary, times
from codecbench.analysis.aggregate import POINT
from codecbench.errors import StoreError
from codecbench.store.io import read_json
from codecbench.text import one_line


def read_summary(file: Path) -> pd.DataFrame:
    """Reads a ``summary.csv`` back as the table that it was written from, to the last digit.

    Columns that it does not have, since an older version wrote it, are empty; ``unsteady`` follows from the others.
    Which plugin metrics have a column, ``run.json`` beside it tells.

    Args:
        file: a ``summary.csv``.

    Returns:
        The columns of ``codecbench.analysis.summary``, in their order and with their types, plugin metrics among
        them.

    Raises:
        StoreError: it cannot be read, or lacks what every table has.
    """
    try:
        table = pd.read_csv(file, dtype=str, keep_default_na=False, encoding="utf-8")
        needed = [*POINT, *sorted(summary.COUNTS), "bits_per_image", "mse", "psnr_db"]
        missing = [name for name in needed if name not in table]
        if missing:
            raise StoreError(f"{file} is no summary of a run: it has no column {', '.join(missing)}")
        manifest = read_json(file.parent / "run.json") or {}
        metrics = [name for name in manifest.get("metrics", {}) if name in table and name not in summary.COLUMNS]
        names = summary.columns(metrics)
        texts = {name: table[name] if name in table else pd.Series("", table.index) for name in names}
        found = pd.DataFrame({name: _typed(name, column) for name, column in texts.items()})
        return found if "unsteady" in table else found.assign(unsteady=times.unsteady(found))
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
