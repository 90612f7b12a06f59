"""Whose folder it is: what codecbench writes into a run folder, and that one command at a time does."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path

from codecbench.errors import StoreError, UsageError
from codecbench.store.latents import Latents
from codecbench.store.pictures import WorstCase
from codecbench.store.sets import SetRecord
from codecbench.store.tasks import TaskRecord
from codecbench.store.timings import TimingRecord

LOCK = ".lock"
FOLDERS = ("samples", "training", *(kind.FOLDER for kind in (TaskRecord, TimingRecord, SetRecord, Latents, WorstCase)))
"""Folders of what is measured and kept."""
OWN = (LOCK, "run.json", "stamp.json", "summary.csv", "sets.csv", "report.html", "report.md", "figures", *FOLDERS)
"""Everything that codecbench writes into a run folder."""


@contextlib.contextmanager
def hold(path: Path) -> Iterator[None]:
    """Keeps other commands from measuring into a run folder; makes the folder if it is not there.

    The lock belongs to the process: it ends with it, however that ends. ``UsageError`` where another command measures
    into the folder, or it is none for runs, see :func:`check_usable`.
    """
    from filelock import FileLock, Timeout

    check_usable(path)
    try:
        path.mkdir(parents=True, exist_ok=True)
        lock = FileLock(path / LOCK, timeout=0)
        lock.acquire()
    except Timeout:
        raise UsageError(
            f"another codecbench command measures into {path}; wait until it has ended, or name another --out"
        ) from None
    except OSError as error:
        raise StoreError(f"cannot write {path}: {error.strerror or error}") from error
    except NotImplementedError as error:  # some network file systems
        raise StoreError(f"cannot lock {path}: {error}; name an --out on another file system") from error
    try:
        yield
    finally:
        lock.release()


def check_usable(path: Path) -> None:
    """Makes sure that a path can be a run folder, and has no files of anybody else; else raises ``UsageError``."""
    try:
        if path.exists() and not path.is_dir():
            raise UsageError(f"{path} is a file; a run needs a folder")
        others = path.is_dir() and any(entry.name not in OWN for entry in path.iterdir() if entry.suffix != ".tmp")
        if others and not (path / "run.json").is_file():
            raise UsageError(f"{path} is not empty and has no run; name another --out")
    except OSError as error:
        raise StoreError(f"cannot use {path}: {error.strerror or error}") from error


def discard(path: Path) -> None:
    """Removes what codecbench wrote into a run folder, but for the lock; raises an ``OSError`` where it cannot."""
    for name in OWN:
        entry = path / name
        if name == LOCK:
            continue  # held by whoever throws away
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink(missing_ok=True)
