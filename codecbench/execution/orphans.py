"""Processes that plugins leave behind: on Linux they become children of codecbench, which ends them.

A process that detaches from the group of a sandbox becomes a child of the nearest process above that adopts: the
sandbox, as long as it lives, else the one that started it. All that a sandbox started has :data:`MARK` in its
environment, so that no child of anybody else's is touched.
"""

from __future__ import annotations

import contextlib
import ctypes
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import psutil

MARK = "CODECBENCH_SANDBOX_OF"
"""The environment variable of a sandbox, and of what it starts: the process that started it, and which sandbox."""
_PR_SET_CHILD_SUBREAPER = 36


def adopt(on: bool = True) -> None:
    """Has processes whose parents end become children of this one, where those were its descendants; on Linux only."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, int(on), 0, 0, 0)


@contextlib.contextmanager
def adopted() -> Iterator[None]:
    """Ends what plugins left behind when the context does."""
    adopt()
    try:
        yield
    finally:
        end_orphans()
        adopt(False)


def end_orphans(mark: str = "") -> None:
    """Kills the children of this process that one of its sandboxes left, or one of a process that has ended."""
    import psutil

    for child in psutil.Process().children() if sys.platform == "linux" else ():
        with contextlib.suppress(psutil.Error, KeyError, ValueError):
            left = child.environ()[MARK]
            if left == mark or not psutil.pid_exists(int(left.partition(".")[0])):
                for member in family(child.pid):
                    member.kill()
                child.wait(timeout=5)


def family(pid: int) -> list[psutil.Process]:
    """A process with its children and theirs; empty once it is gone."""
    try:
        import psutil

        process = psutil.Process(pid)
        return [process, *process.children(recursive=True)]
    except Exception:  # it has ended; or this is a signal's handler, in the middle of that import
        return []


def is_stopped(pid: int, alone: bool = False) -> bool:
    """Whether a process, or one that it started unless ``alone``, was stopped by a signal and waits for another."""
    for member in family(pid)[: 1 if alone else None]:
        with contextlib.suppress(Exception):  # it has ended
            if member.status() == "stopped":
                return True
    return False
