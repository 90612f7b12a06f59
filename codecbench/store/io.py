"""Files of a run folder: written whole or not at all, and read with doubt."""

from __future__ import annotations

import contextlib
import errno
import io
import json
import re
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from codecbench.errors import StoreError
from codecbench.plugins.codec import Images


def write_whole(file: Path, content: bytes) -> None:
    """Writes a file whole, or leaves the one that was there; makes its folder.

    Raises:
        StoreError: the disk is full or the folder cannot be written.
    """
    temporary = file.with_name(f"{file.name}.{secrets.token_hex(4)}.tmp")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_bytes(content)
        temporary.replace(file)
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise StoreError(_why_not_written(file, error)) from error


def _why_not_written(file: Path, error: OSError) -> str:
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return f"no space left to write {file}; what was measured is kept, make room and run the same command again"
    return f"cannot write {file}: {error.strerror or error}"


def dump_json(content: Mapping[str, Any]) -> bytes:
    """A record as the bytes of a JSON file; no NaN, no infinity."""
    text = json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    return text.encode("utf-8", "backslashreplace")  # half a character, as in some file names, is JSON once escaped


def read_json(file: Path) -> dict[str, Any] | None:
    """A JSON file's record; None where there is none, or something else."""
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return content if isinstance(content, dict) else None


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
