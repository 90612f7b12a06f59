"""Set mode: what a whole data set takes as one stream, in records and tables of its own.

    RUN/sets/ID.json    one codec point on one dataset: what one stream took, or why there is none
    RUN/sets.csv        the table of those that count; written with ``summary.csv``

A figure of a whole set is no figure of an image: what is learnt from one image helps with the next, and no image can be
decoded alone. The two never stand in one column, nor in one table. A codec takes part by deriving from ``SetCodec`` too
(``codecbench.plugins.codec``); the pass that measures is ``codecbench.execution.sets``.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from codecbench.plugins.codec import MAX_SET_BYTES, SetCodec
from codecbench.store import manifest as manifests
from codecbench.store.io import TASK_ID, read_json

if TYPE_CHECKING:
    import pandas as pd

    from codecbench.store.folder import RunFolder

__all__ = ["CSV", "FOLDER", "FORMAT", "MAX_SET_BYTES", "SetCodec", "records", "table", "write_csv"]

FORMAT = 1
"""Version of the records and of how they are made; those of another version do not count."""
FOLDER = "sets"
CSV = "sets.csv"
COLUMNS = (
    "dataset",
    "codec",
    "settings",
    "images",
    "set_bytes",
    "bits_per_pixel",
    "bits_per_image",
    "encode_s",
    "decode_s",
    "status",
)
_KINDS: Mapping[str, Any] = {
    "id": str,
    "dataset": str,
    "codec": str,
    "settings": str,
    "codec_fingerprint": str,
    "data_fingerprint": str,
    "images": int,
    "shape": list,
    "failed": str,
    "skipped": str,
}
_MEASURED: Mapping[str, Any] = {"set_bytes": int, "encode_s": (int, float), "decode_s": (int, float)}


def records(path: Path, manifest: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The records that count: of codecs and images as ``run.json`` knows them.

    Args:
        path: the run folder.
        manifest: its ``run.json``.

    Returns:
        Each with ``dataset``, ``codec``, ``settings``, ``codec_fingerprint``, ``data_fingerprint``, ``images``,
        ``shape`` (height, width, channels), ``set_bytes``, ``encode_s`` and ``decode_s`` (wall seconds of one call),
        ``host``, and ``failed`` and ``skipped``, reasons in one line or empty. Damaged files are left out, and are
        measured again by the next run.
    """
    fingerprints, datasets = manifests.fingerprints_of(manifest), manifest["datasets"]
    return [
        record
        for file in sorted((path / FOLDER).glob("*.json"))
        if TASK_ID.fullmatch(file.stem)
        and (record := read_record(file)) is not None
        and fingerprints.get(record["codec"]) == record["codec_fingerprint"]
        and datasets.get(record["dataset"], {}).get("fingerprint") == record["data_fingerprint"]
    ]


def read_record(file: Path) -> dict[str, Any] | None:
    """One record; None where there is none, or something else."""
    record = read_json(file)
    if record is None or record.get("format") != FORMAT or record.get("id") != file.stem or not _has(record, _KINDS):
        return None
    sides = [record["images"], *record["shape"]]
    whole = len(sides) == 4 and all(type(side) is int and side > 0 for side in sides)
    measured = record["failed"] or record["skipped"] or (whole and _has(record, _MEASURED))
    return record if measured else None


def _has(record: Mapping[str, Any], kinds: Mapping[str, Any]) -> bool:
    return all(isinstance(record.get(name), kind) for name, kind in kinds.items())


def table(store: RunFolder) -> pd.DataFrame:
    """What whole sets take.

    Args:
        store: the run folder; of a published one, without its parts, the table as it was written.

    Returns:
        One row per dataset, codec and settings, with the columns of ``COLUMNS``: ``images`` in the set; ``set_bytes``,
        the length of the one stream, header included; the same in bits per pixel (whatever the number of channels) and
        per image; ``encode_s`` and ``decode_s``, wall seconds of a single call for the whole set, taken while other
        processes were at work: an order of magnitude, no comparison. ``status`` is empty, or begins with ``failed:`` or
        ``skipped:``. By dataset, the smallest stream first.
    """
    import pandas as pd

    found = store.sets()
    if not found and store.without_parts and (store.path / CSV).is_file():
        return pd.read_csv(store.path / CSV, keep_default_na=False, na_values={name: [""] for name in COLUMNS[4:9]})
    order = {label: number for number, label in enumerate(store.manifest["datasets"])}
    rows = [_row(record) for record in found]
    rows.sort(key=lambda row: (order[row["dataset"]], bool(row["status"]), row["set_bytes"] or 0, row["codec"]))
    frame = pd.DataFrame(rows, columns=list(COLUMNS))
    numbers = {"bits_per_pixel": "float64", "bits_per_image": "float64", "encode_s": "float64", "decode_s": "float64"}
    return frame.astype({"images": "Int64", "set_bytes": "Int64", **numbers})


def _row(record: Mapping[str, Any]) -> dict[str, Any]:
    row = {name: record[name] for name in ("dataset", "codec", "settings", "images")}
    reasons = [f"{kind}: {record[kind]}" for kind in ("skipped", "failed") if record[kind]]
    if reasons:
        nothing = dict.fromkeys(("set_bytes", "bits_per_pixel", "bits_per_image", "encode_s", "decode_s"))
        return row | nothing | {"status": reasons[0]}
    bits, (height, width, _) = 8 * record["set_bytes"], record["shape"]
    return row | {
        "set_bytes": record["set_bytes"],
        "bits_per_pixel": bits / (record["images"] * height * width),
        "bits_per_image": bits / record["images"],
        "encode_s": record["encode_s"],
        "decode_s": record["decode_s"],
        "status": "",
    }


def write_csv(store: RunFolder) -> Path | None:
    """Writes ``sets.csv`` into a run folder.

    Args:
        store: the run folder.

    Returns:
        Its path; None where nothing was measured or skipped, and no file is written.

    Raises:
        StoreError: the folder cannot be written.
    """
    found = table(store)
    if found.empty:
        return None
    return store.write_file(CSV, found.to_csv(index=False, lineterminator="\n").encode())
