"""What downloads of data sets share: torchvision on demand, checksums, and errors in one line."""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import importlib
import shutil
import socket
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from codecbench.errors import DatasetError
from codecbench.text import one_line

TIMEOUT_S = 60.0
"""A server that says nothing for so long is given up; torchvision itself would wait for ever."""


def torchvision_class(name: str, by_hand: str) -> Any:
    """A class of ``torchvision.datasets``, imported when a download needs it and never before.

    Args:
        name: the class's name.
        by_hand: what a person can do without torchvision.

    Raises:
        DatasetError: torchvision is missing or does not import here, for whatever reason.
    """
    try:
        return getattr(importlib.import_module("torchvision.datasets"), name)
    except Exception as error:  # a broken installation raises ImportError, RuntimeError, OSError and more
        raise DatasetError(
            f"torchvision, which downloads, cannot be imported ({one_line(error)}); {by_hand}"
        ) from error


@contextlib.contextmanager
def reported(what: str, by_hand: str) -> Iterator[None]:
    """Turns whatever goes wrong in a download into one line.

    Args:
        what: what is downloaded.
        by_hand: what a person can do instead.

    Raises:
        DatasetError: network, disk or archive errors, wrong checksums.
    """
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(TIMEOUT_S)
    try:
        yield
    except (OSError, RuntimeError, ValueError, EOFError, zlib.error, http.client.HTTPException) as error:
        raise DatasetError(f"the download of {what} failed ({one_line(error)}); {by_hand}") from error
    finally:
        socket.setdefaulttimeout(before)


def has_md5(path: Path, md5: str) -> bool:
    """Whether a file is there and has this MD5 sum."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest() == md5


def need_space(folder: Path, needed: int, what: str) -> None:
    """Checks that a disk has room.

    Raises:
        DatasetError: fewer than ``needed`` bytes are free where ``folder`` is or will be.
    """
    there = next(path for path in (folder, *folder.resolve().parents) if path.exists())
    free = shutil.disk_usage(there).free
    if free < needed:
        raise DatasetError(f"{what} needs {needed / 1e9:.1f} GB in {folder}, where {free / 1e9:.1f} GB are free")
