"""The data root, and what downloads of data sets share.

The data root has torchvision's own layout (``MNIST/raw/``, ``stl10_binary/``).
"""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import importlib
import os
import shutil
import socket
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import platformdirs

from codecbench.errors import DatasetError
from codecbench.text import one_line

VARIABLE = "CODECBENCH_DATA"
TIMEOUT_S = 60.0
"""Seconds without an answer after which a download is given up; torchvision itself would wait for ever."""


def data_root(option: str | os.PathLike[str] | None = None) -> Path:
    """The data root, which need not exist: the option, or ``$CODECBENCH_DATA``, or a folder in the user's cache."""
    chosen = option or os.environ.get(VARIABLE)
    return Path(chosen).expanduser() if chosen else Path(platformdirs.user_cache_dir("codecbench"))


def torchvision_class(name: str, by_hand: str) -> Any:
    """Imports a class of ``torchvision.datasets``; where that fails, raises DatasetError with what to do by hand."""
    try:
        return getattr(importlib.import_module("torchvision.datasets"), name)
    except Exception as error:  # a broken installation raises ImportError, RuntimeError, OSError and more
        raise DatasetError(
            f"torchvision, which downloads, cannot be imported ({one_line(error)}); {by_hand}"
        ) from error


@contextlib.contextmanager
def reported(what: str, by_hand: str) -> Iterator[None]:
    """Turns failures of a download (network, disk, archive, checksum) into a DatasetError of one line."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(TIMEOUT_S)
    try:
        yield
    except (OSError, RuntimeError, ValueError, EOFError, zlib.error, http.client.HTTPException) as error:
        raise DatasetError(f"the download of {what} failed ({one_line(error)}); {by_hand}") from error
    finally:
        socket.setdefaulttimeout(before)


def has_md5(path: Path, md5: str) -> bool:
    """Whether a file exists and has this MD5 sum."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest() == md5


def need_space(folder: Path, needed: int, what: str) -> None:
    """Raises DatasetError where fewer than ``needed`` bytes are free on the disk of ``folder``."""
    existing = next(path for path in (folder, *folder.resolve().parents) if path.exists())
    free = shutil.disk_usage(existing).free
    if free < needed:
        raise DatasetError(f"{what} needs {needed / 1e9:.1f} GB in {folder}, where {free / 1e9:.1f} GB are free")
