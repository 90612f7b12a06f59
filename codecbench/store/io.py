"""Files of a run folder: written whole or not at all, and read with doubt."""

from __future__ import annotations

import contextlib
import errno
import json
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from codecbench.errors import StoreError


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
