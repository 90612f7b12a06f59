"""The table of what whole datasets take as one stream; see ``codecbench.store.sets``."""

from __future__ import annotations

from typing import Any

import pandas as pd

from codecbench.store.folder import RunFolder, StoredRun
from codecbench.store.sets import SetRecord

CSV = "sets.csv"
"""The table in a run folder, written with ``summary.csv``."""
FIGURES = ("set_bytes", "bits_per_pixel", "bits_per_image", "encode_s", "decode_s")
COLUMNS = ("dataset", "codec", "settings", "images", *FIGURES, "status")


def table(store: StoredRun) -> pd.DataFrame:
    """What whole sets take; of a published run the table as it was written.

    Returns:
        One row per dataset, codec and settings, with the columns of ``COLUMNS``: ``images`` in the set; ``set_bytes``,
        the length of the one stream, header included; the same in bits per pixel (whatever the number of channels) and
        per image; ``encode_s`` and ``decode_s``, wall seconds of a single call for the whole set, taken while other
        processes were at work: an order of magnitude, no comparison. ``status`` is empty, or begins with ``failed:`` or
        ``skipped:``. By dataset, the smallest stream first.
    """
    found = store.records(SetRecord)
    if not found and isinstance(store, RunFolder) and store.without_parts and (store.path / CSV).is_file():
        return pd.read_csv(store.path / CSV, keep_default_na=False, na_values={name: [""] for name in FIGURES})
    order = {label: number for number, label in enumerate(store.manifest["datasets"])}
    rows = [_row(record) for record in found]
    rows.sort(key=lambda row: (order[row["dataset"]], bool(row["status"]), row["set_bytes"] or 0, row["codec"]))
    frame = pd.DataFrame(rows, columns=list(COLUMNS))
    return frame.astype(dict.fromkeys(FIGURES, "float64") | {"images": "Int64", "set_bytes": "Int64"})


def _row(record: SetRecord) -> dict[str, Any]:
    row = {"dataset": record.dataset, "codec": record.codec, "settings": record.settings, "images": record.images}
    reasons = [f"{kind}: {why}" for kind, why in (("skipped", record.skipped), ("failed", record.failed)) if why]
    if reasons or record.set_bytes is None:
        return row | dict.fromkeys(FIGURES) | {"status": "".join(reasons[:1])}
    height, width, _ = record.shape
    return row | {
        "set_bytes": record.set_bytes,
        "bits_per_pixel": 8 * record.set_bytes / (record.images * height * width),
        "bits_per_image": 8 * record.set_bytes / record.images,
        "encode_s": record.encode_s,
        "decode_s": record.decode_s,
        "status": "",
    }
