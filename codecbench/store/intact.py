"""Whether a file in a run folder is what codecbench writes there; it may be damaged or anybody's."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

TASK_ID = re.compile(r"[0-9a-f]{24}")
"""The name of a part, without what follows the point: see ``codecbench.plan.tasks.Task.id``."""
LEFTOVER = re.compile(r"\.[0-9a-f]{1,8}\.tmp$")
"""How the names of files end that a command was writing when it was killed."""

_NUMBER = (int, float)
_SIDECAR: Mapping[str, Any] = {
    "task_id": str,
    "dataset": str,
    "codec": str,
    "settings": str,
    "images": int,
    "shape": list,
    "codec_fingerprint": str,
    "failed": str,
}
_PART: Mapping[str, Any] = {"num_bytes": int, "sha256": str, "lossless": bool}
_TIMING: Mapping[str, Any] = {
    "dataset": str,
    "codec": str,
    "settings": str,
    "codec_fingerprint": str,
    "images": int,
    "encode_s": list,
    "decode_s": list,
    "threads": int,
    "device": str,
    "failed": str,
}
_OPTIONAL: Mapping[str, Any] = {
    "protocol": int,
    "batch": int,
    "seed": int,
    "host": str,
    "shape": list,
    "encode_cpu_s": list,
    "decode_cpu_s": list,
    "encode_latency_s": list,
    "decode_latency_s": list,
} | dict.fromkeys(
    (
        "cold_encode_s",
        "cold_decode_s",
        "encode_peak_bytes",
        "decode_peak_bytes",
        "device_peak_bytes",
        "transfer_s",
    ),
    (*_NUMBER, type(None)),
)


def is_sidecar(record: Mapping[str, Any]) -> bool:
    """Whether this is what is written beside a part, or in place of one for a task that failed."""
    return _has(record, _SIDECAR) and len(record["shape"]) == 3 and bool(record["failed"] or _has(record, _PART))


def is_timing(record: Mapping[str, Any]) -> bool:
    """Whether these are times of a codec point, of whatever version."""
    optional = {name: kind for name, kind in _OPTIONAL.items() if name in record}
    return (
        _has(record, _TIMING)
        and _has(record, optional)
        and all(
            isinstance(value, _NUMBER) for values in record.values() if isinstance(values, list) for value in values
        )
        and len(record.get("shape", (0, 0, 0))) == 3
        and bool(record["failed"] or "protocol" in record or (record["encode_s"] and record["decode_s"]))
    )


def set_aside(file: Path) -> None:
    """Renames a damaged file, and the part or sidecar that belongs to it, to ``*.damaged``."""
    for twin in (file.with_suffix(".json"), file.with_suffix(".parquet")):
        with contextlib.suppress(OSError):  # in a folder that is only read, it is passed over
            if twin.is_file():
                twin.replace(twin.with_name(twin.name + ".damaged"))


def _has(record: Mapping[str, Any], kinds: Mapping[str, Any]) -> bool:
    return all(name in record and isinstance(record[name], kind) for name, kind in kinds.items())
