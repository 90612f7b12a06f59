"""What a codec does beside coding, in its own processes: files written, sockets, shared memory, programs started.

Python's audit hooks tell of it, and cannot be removed. Native code passes them unseen: see docs/measuring.md.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path
from typing import Any

SANDBOX = ".sandbox"
"""Ending of the names of folders that belong to sandboxes."""
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_CHANGES = {f"os.{name}" for name in ("chmod", "chown", "mkdir", "setxattr", "truncate", "utime")}
_MOVES = {"os.link", "os.rename", "os.symlink"}  # which have two paths
_SOCKETS = {f"socket.{name}" for name in ("bind", "connect", "sendmsg", "sendto")}
_PROGRAMS = {"subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.spawn"}
_own = ""
_noticed: list[str] = []


def use_folder(folder: str) -> None:
    """Makes a folder the one for temporary files and compiled code, the only one that may be written to."""
    global _own
    _own = os.path.realpath(folder)
    os.environ |= {"TMPDIR": _own, "NUMBA_CACHE_DIR": _own}
    tempfile.tempdir = _own


def start() -> None:
    """Refuses and notes from now on what may carry something past the bitstreams; in a sandbox only."""
    if _own:
        sys.dont_write_bytecode = True
        sys.addaudithook(_hear)


def noticed() -> str:
    """What was refused first, in one line; empty for nothing."""
    return _noticed[0] if _noticed else ""


def _hear(event: str, arguments: tuple[Any, ...]) -> None:
    what = ""
    if event == "open":
        path, _, flags = arguments
        what = _write(path) if flags & _WRITING else _read(path)
    elif event in ("os.listdir", "os.scandir"):
        what = _read(arguments[0])
    elif event in _CHANGES:
        what = _write(arguments[0])
    elif event in _MOVES:
        what = _write(arguments[0]) or _write(arguments[1])
    elif event == "sqlite3.connect":
        what = _write(arguments[0]) if arguments[0] != ":memory:" else ""
    elif event == "mmap.__new__" and arguments[0] != -1 and arguments[2] not in (1, 3):  # to be read, or a copy
        what = _write(f"/proc/self/fd/{arguments[0]}")
    elif event in _SOCKETS and arguments[1] is not None:
        what = f"uses the socket {arguments[1]!r}"
    elif event in _PROGRAMS:
        what = f"starts the program {arguments[0] or arguments[1]!r}"
    if what:
        _noticed.append(f"the codec {what}; allowed are files in its own temporary folder")
        raise PermissionError(_noticed[-1])


def _write(path: Any) -> str:
    """What is wrong with writing to a path; empty for nothing. What has a number was opened before."""
    place = "" if isinstance(path, int) else os.path.realpath(os.fsdecode(path))
    return f"writes to {place}" if place and place != os.devnull and not _is_within(place, _own) else ""


def _read(path: Any) -> str:
    """What is wrong with reading from a path, or listing it: nothing but where other processes have what is theirs."""
    place = "" if path is None or isinstance(path, int) else os.path.normpath(Path.cwd() / os.fsdecode(path))
    process = place.split("/")[2] if place.startswith("/proc/") else ""
    if (SANDBOX in place and not _is_within(place, _own)) or (process.isdigit() and int(process) != os.getpid()):
        return f"reads {place}, where another process has what is its own"
    return ""


def _is_within(place: str, folder: str) -> bool:
    return place == folder or place.startswith(folder + os.sep)
