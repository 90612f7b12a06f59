"""The table of what whole datasets take as one stream; see ``codecbench.store.sets``."""

from __future__ import annotations

from typing import Any

import pandas as pd

from codecbench.analysis.tables import typed
from codecbench.columns import described
from codecbench.store.folder import RunFolder, StoredRun
from codecbench.store.sets import SetRecord

CSV = "sets.csv"
"""The table in a run folder, written with ``summary.csv``."""
COLUMNS = described(
    ("dataset codec settings", "text", "the point"),
    ("images", "whole", "in the set"),
    ("set_bytes", "whole", "length of the one stream, header included", "lower"),
    ("bits_per_pixel bits_per_image", "number", "the same, by pixel whatever the number of channels", "lower"),
    (
        "encode_s decode_s",
        "number",
        "wall seconds of a single call for the whole set, taken while other processes were at work: an order of "
        "magnitude, no comparison",
        "lower",
    ),
    ("status", "text", "empty, or begins with ``failed:`` or ``skipped:``"),
)


def table(store: StoredRun) -> pd.DataFrame:
    """What whole sets take, with ``COLUMNS``, by dataset, the smallest stream first; of a published run as written."""
    found = store.records(SetRecord)
    if not found and isinstance(store, RunFolder) and store.without_parts and (store.path / CSV).is_file():
        missing = {name: [""] for name, column in COLUMNS.items() if column.kind != "text"}
        return pd.read_csv(store.path / CSV, keep_default_na=False, na_values=missing)
    order = {label: number for number, label in enumerate(store.manifest["datasets"])}
    rows = [_row(record) for record in found]
    rows.sort(key=lambda row: (order[row["dataset"]], bool(row["status"]), row.get("set_bytes", 0), row["codec"]))
    return typed(rows, COLUMNS)


def _row(record: SetRecord) -> dict[str, Any]:
    row = {"dataset": record.dataset, "codec": record.codec, "settings": record.settings, "images": record.images}
    reasons = [f"{kind}: {why}" for kind, why in (("skipped", record.skipped), ("failed", record.failed)) if why]
    if reasons or record.set_bytes is None:
        return row | {"status": "".join(reasons[:1])}
    height, width, _ = record.shape
    return row | {
        "set_bytes": record.set_bytes,
        "bits_per_pixel": 8 * record.set_bytes / (record.images * height * width),
        "bits_per_image": 8 * record.set_bytes / record.images,
        "encode_s": record.encode_s,
        "decode_s": record.decode_s,
        "status": "",
    }
