"""Hashes that tell whether two things are the same: values, files, pixels."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt


def digest(value: object) -> str:
    """24 hexadecimal digits of the SHA-256 of a JSON-like value."""
    text = json.dumps(value, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:24]


def file_sha256(path: Path) -> str:
    """SHA-256 of a file in hexadecimal, or ``"missing"``."""
    if not path.is_file():
        return "missing"
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def fingerprint_pixels(blocks: Iterable[npt.NDArray[np.uint8]]) -> str:
    """Returns 24 hexadecimal digits that identify images, uint8 (N, H, W, C), however they are cut into blocks."""
    sha = hashlib.sha256()
    for number, block in enumerate(blocks):
        if number == 0:
            sha.update(str(block.shape[1:]).encode())
        sha.update(block.tobytes())
    return sha.hexdigest()[:24]
