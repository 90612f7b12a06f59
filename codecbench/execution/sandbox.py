"""Processes of their own for plugin code: what it does there (crash, hang, print, eat memory) stays there.

A host runs functions of codecbench that call a plugin, and sends back what they return. It gets requests through its
standard input and answers through what was its standard output; what a plugin prints goes to standard error, whose
tail is kept for the record of a failure. It ends with the process that started it, whatever ends that, and what a
plugin started there ends with it.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from codecbench.environment import THREAD_COUNTS
from codecbench.execution.messages import PlainUnpickler, receive, send
from codecbench.text import one_line, printable

if TYPE_CHECKING:
    import psutil

TAIL_BYTES = 4_000
"""How much of a host's standard error is kept."""
START_S = 30.0
"""How long a process may take to start and to import a plugin, in seconds: no time limit of a task counts that."""
_LOOK_MS = 250
"""How often a silent host is looked at, whether it is still there, in milliseconds."""
WATCH_S = 0.1
"""How often a host's time and memory are looked at, in seconds."""
_START = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); from codecbench.execution.sandbox_child import serve; "
    "serve(int(sys.argv[2]))"
)
_live: set[Host] = set()


class HostError(Exception):
    """A function in a host raised, or the host died.

    Attributes:
        reason: why, in one line.
        details: the traceback there, or the tail of what the host wrote to standard error.
        died: the host is gone, and another must be started.
    """

    def __init__(self, reason: str, details: str = "", died: bool = False):
        super().__init__(reason)
        self.reason, self.details, self.died = reason, details, died


class Host:
    """A process that runs functions one after the other.

    Args:
        role: what it is called in messages, such as ``"encoding"``.
        threads: how many its libraries may use.
        timeout_s: seconds that one answer may take, the first one :data:`START_S` more; None for any.
        memory_limit: bytes of resident memory that it and its children may use; None for any. Looked at ten times a
            second, so a quick allocation can go beyond for a moment.
        environment: variables to set beside those of this process.

    Raises:
        HostError: the system starts no more processes.
    """

    def __init__(
        self,
        role: str,
        threads: int,
        timeout_s: float | None = None,
        memory_limit: int | None = None,
        environment: dict[str, str] | None = None,
    ):
        self.role, self.timeout_s, self.memory_limit = role, timeout_s, memory_limit
        self._killed_because = ""
        self._deadline: float | None = None
        self._asked, self._streams = False, False
        self._ended = threading.Event()
        self._tail, self._start_s = b"", START_S
        path = json.dumps([part for part in sys.path if part])
        lifeline, self._lifeline = os.pipe()
        # A session of its own keeps Ctrl-C at a terminal away, and lets whatever it starts end with it.
        apart: dict[str, Any] = {"start_new_session": True, "pass_fds": (lifeline,)}
        if sys.platform == "win32":
            apart = {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP}
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-c", _START, path, str(lifeline)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=os.environ | dict.fromkeys(THREAD_COUNTS, str(threads)) | (environment or {}),
                bufsize=0,
                **apart,
            )
        except OSError as error:
            os.close(self._lifeline)
            raise HostError(f"the {role} process cannot be started: {one_line(error)}", died=True) from None
        finally:
            os.close(lifeline)
        _live.add(self)
        for pipe in (self._process.stdin, self._process.stdout):
            _widen(pipe)
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()
        if timeout_s is not None or memory_limit is not None:
            threading.Thread(target=self._watch, daemon=True).start()

    def begin(self, function: Callable[..., Any], *arguments: Any) -> None:
        """Asks for a function of a module to be called; :meth:`answer` waits for what it gives.

        Raises:
            HostError: the host died.
        """
        self._deadline = None if self.timeout_s is None else time.monotonic() + self.timeout_s + self._start_s
        self._start_s, self._asked, self._streams = 0.0, True, False
        try:
            assert self._process.stdin is not None
            send(self._process.stdin, (function, arguments))
        except OSError:
            raise self._death() from None

    def answer(self) -> Any:
        """What the function returned.

        Raises:
            HostError: it raised, or the host died.
        """
        kind, value = self._receive()
        assert kind == "value", f"{kind} in answer to a call"
        return value

    def call(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Calls a function of a module there; see :meth:`answer`."""
        self.begin(function, *arguments)
        return self.answer()

    def stream(self, function: Callable[..., Iterator[Any]], *arguments: Any) -> Iterator[Any]:
        """Calls a generator function there, and yields what it yields.

        Raises:
            HostError: it raised, or the host died.
        """
        self.begin(function, *arguments)
        self._streams = True
        while True:
            kind, value = self._receive()
            if kind == "end":
                return
            yield value
            if self.timeout_s is not None:
                self._deadline = time.monotonic() + self.timeout_s

    def close(self) -> None:
        """Ends the process, and all that it started."""
        if self not in _live:
            return
        _live.discard(self)
        self._ended.set()
        process = self._process
        self.kill()
        os.close(self._lifeline)
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()
        process.wait()
        self._listener.join(timeout=5)
        if process.stderr is not None and not self._listener.is_alive():
            process.stderr.close()

    def _receive(self) -> tuple[str, Any]:
        try:
            kind, *content = receive(self, PlainUnpickler)
        except (EOFError, OSError, ValueError):
            raise self._death() from None
        except Exception as error:  # something that cannot be unpickled here
            raise HostError(f"the {self.role} process sent no plain result: {one_line(error)}") from None
        finally:
            self._deadline = None
        self._asked = kind == "value" and self._streams
        if kind == "error":
            raise HostError(*content)
        return kind, content[0] if content else None

    def readinto(self, rest: memoryview) -> int | None:
        """Reads what the process sends; its death ends that, also where a copy of it still holds the pipe open."""
        pipe = self._process.stdout
        assert pipe is not None
        if sys.platform != "win32":
            ready = select.poll()
            ready.register(pipe, select.POLLIN)
            while not ready.poll(_LOOK_MS):
                if self._process.poll() is not None and not ready.poll(_LOOK_MS):
                    return 0
        count: int | None = pipe.readinto(rest)  # type: ignore[attr-defined]
        return count

    def _death(self) -> HostError:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout=5)
        code = self._process.poll()
        self.close()
        why = self._killed_because or _describe_exit(code)
        return HostError(f"the {self.role} process {why}", self.stderr_tail(), died=True)

    def stderr_tail(self) -> str:
        """The end of what the process wrote to standard error and standard output."""
        return printable(self._tail.decode("utf-8", "surrogateescape").strip())

    def _listen(self) -> None:
        assert self._process.stderr is not None
        with contextlib.suppress(OSError, ValueError):
            while chunk := os.read(self._process.stderr.fileno(), 65_536):
                self._tail = (self._tail + chunk)[-TAIL_BYTES:]

    def _watch(self) -> None:
        while not self._ended.wait(WATCH_S):
            deadline = self._deadline  # once: the other thread may set it to None in between
            if deadline is not None and time.monotonic() > deadline:
                self._killed_because = f"gave no answer for {self.timeout_s:g} s (--task-timeout) and was killed"
            elif (
                self._asked
                and self.memory_limit is not None
                and (used := _resident_bytes(self._process.pid)) > self.memory_limit
            ):
                limit = f"{self.memory_limit / 2**20:,.0f} MiB (--memory-limit)"
                self._killed_because = f"used {used / 2**20:,.0f} MiB, more than the limit of {limit}, and was killed"
            if self._killed_because:
                self.kill()
                return

    def kill(self) -> None:
        """Kills the process and all that it started, and waits for nothing.

        From any thread: whoever waits for an answer gets a :class:`HostError`.
        """
        members = _family(self._process.pid)
        if sys.platform == "win32":
            self._process.kill()
        else:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)
        for member in members:  # those that left the group
            with contextlib.suppress(Exception):
                member.kill()


def kill_all() -> None:
    """Kills every host of this process, and waits for nothing: for the end of the process, also by a signal."""
    for host in tuple(_live):
        with contextlib.suppress(Exception):
            host.kill()


def _widen(pipe: Any) -> None:
    """Lets more of a large array through a pipe at once, where the system can."""
    if sys.platform == "linux":
        import fcntl

        with contextlib.suppress(OSError):
            fcntl.fcntl(pipe.fileno(), fcntl.F_SETPIPE_SZ, 1 << 20)


def _describe_exit(code: int | None) -> str:
    if code is None:
        return "closed its connection"
    if code < 0:
        try:
            return f"died of {signal.Signals(-code).name}"
        except ValueError:
            return f"died of signal {-code}"
    return f"died with exit code {code}"


def _resident_bytes(pid: int) -> int:
    """Resident memory of a process and its children, in bytes; 0 once it is gone."""
    total = 0
    for member in _family(pid):
        with contextlib.suppress(Exception):  # it has ended
            total += member.memory_info().rss
    return total


def _family(pid: int) -> list[psutil.Process]:
    """A process with its children and theirs; empty once it is gone."""
    try:
        import psutil

        process = psutil.Process(pid)
        return [process, *process.children(recursive=True)]
    except Exception:  # it has ended; or this is a signal's handler, in the middle of that import
        return []
