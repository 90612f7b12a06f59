"""Whose folder it is: what codecbench writes into a run folder, and that one command at a time does."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path

from codecbench.errors import StoreError, UsageError
from codecbench.store.io import read_json
from codecbench.store.latents import Latents
from codecbench.store.pictures import WorstCase
from codecbench.store.sets import SetRecord
from codecbench.store.tasks import TaskRecord
from codecbench.store.timings import TimingRecord

LOCK = ".lock"
FOLDERS = ("samples", "training", *(kind.FOLDER for kind in (TaskRecord, TimingRecord, SetRecord, Latents, WorstCase)))
"""Folders of what is measured and kept."""
DIRECTORIES = ("figures", *FOLDERS)
WRITTEN = "written.json"
"""In ``figures/``, the names of the figures that the last report drew there."""
OWN_NAME = re.compile(
    r"^(original-)?[0-9a-f]{24}\.(json|npz|parquet)(\.damaged)?$|-[0-9a-f]{12}\.(csv|json|md)$|\.[0-9a-f]{1,8}\.tmp$"
)
"""Names that codecbench gives to files in its folders."""
OWN = (LOCK, "run.json", "stamp.json", "summary.csv", "sets.csv", "report.html", "report.md", *DIRECTORIES)
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
        check_own(path)
        others = path.is_dir() and any(entry.name not in OWN for entry in path.iterdir() if entry.suffix != ".tmp")
        if others and not (path / "run.json").is_file():
            raise UsageError(f"{path} is not empty and has no run; name another --out")
    except OSError as error:
        raise StoreError(f"cannot use {path}: {error.strerror or error}") from error


def check_own(path: Path) -> None:
    """Refuses a run folder with links or pipes where codecbench reads, writes and removes: they lead elsewhere."""
    for name in OWN:
        entry = path / name
        if entry.is_symlink() or (entry.exists() and not (entry.is_dir() if name in DIRECTORIES else entry.is_file())):
            expected = "folder" if name in DIRECTORIES else "file"
            raise StoreError(f"{entry} is a link or no {expected}; a run has its own {expected} there")


def discard(path: Path) -> None:
    """Removes what codecbench wrote into a run folder, but for the lock; raises an ``OSError`` where it cannot.

    Files in its folders that have no name that codecbench gives stay, and so do the folders that have them.
    """
    check_own(path)
    for name in OWN:
        entry = path / name
        if name == LOCK:
            continue  # held by whoever throws away
        if name not in DIRECTORIES:
            entry.unlink(missing_ok=True)
        elif entry.is_dir():
            drawn = written_figures(path)
            for file in [*entry.iterdir()]:
                if (file.name in drawn or file.name == WRITTEN) if name == "figures" else OWN_NAME.search(file.name):
                    file.unlink()
            with contextlib.suppress(OSError):  # somebody else's file is in it
                entry.rmdir()


def written_figures(path: Path) -> set[str]:
    """Names of the figures that the last report drew into a folder: only these are ever removed."""
    names = (read_json(path / "figures" / WRITTEN) or {}).get("files")
    found = names if isinstance(names, list) else []
    return {name for name in found if isinstance(name, str) and Path(name).name == name != ""}
