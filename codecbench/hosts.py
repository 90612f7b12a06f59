"""Processes of their own for plugin code: what it does there (crash, hang, print, eat memory) stays there.

A host runs functions of codecbench that call a plugin, and sends back what they return. It gets requests through its
standard input and answers through what was its standard output; what a plugin prints goes to standard error, whose
tail is kept for the record of a failure. It ends with the process that started it, whatever ends that.
"""

from __future__ import annotations

import contextlib
import json
import os
import pickle
import queue
import signal
import struct
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO

from codecbench.errors import one_line, printable

THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS")
TAIL_BYTES = 4_000
"""How much of a host's standard error is kept."""
WATCH_S = 0.1
"""How often a host's time and memory are looked at, in seconds."""
_START = "import json, sys; sys.path[:] = json.loads(sys.argv[1]); from codecbench.hosts import serve; serve()"


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
        timeout_s: seconds that one answer may take; None for any.
        memory_limit: bytes of resident memory that it and its children may use; None for any. Looked at ten times a
            second, so a quick allocation can go beyond for a moment.
        environment: variables to set beside those of this process.
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
        self._ended = threading.Event()
        # A session of its own keeps Ctrl-C at a terminal away, and lets whatever it starts end with it.
        apart: dict[str, Any] = {"start_new_session": True}
        if sys.platform == "win32":
            apart = {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP}
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-c", _START, json.dumps([part for part in sys.path if part])],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=os.environ | dict.fromkeys(THREAD_VARIABLES, str(threads)) | (environment or {}),
            bufsize=0,
            **apart,
        )
        self._tail = b""
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
        self._deadline = None if self.timeout_s is None else time.monotonic() + self.timeout_s
        try:
            assert self._process.stdin is not None
            _send(self._process.stdin, (function, arguments))
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
        while True:
            kind, value = self._receive()
            if kind == "end":
                return
            yield value
            if self.timeout_s is not None:
                self._deadline = time.monotonic() + self.timeout_s

    def close(self) -> None:
        """Ends the process, and all that it started."""
        self._ended.set()
        process = self._process
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()
        self._kill()
        process.wait()
        self._listener.join(timeout=5)
        if process.stderr is not None and not self._listener.is_alive():
            process.stderr.close()

    def _receive(self) -> tuple[str, Any]:
        try:
            assert self._process.stdout is not None
            kind, *content = _receive(self._process.stdout)
        except (EOFError, OSError, ValueError):
            raise self._death() from None
        except Exception as error:  # something that cannot be unpickled here
            raise HostError(f"the {self.role} process sent no plain result: {one_line(error)}") from None
        finally:
            self._deadline = None
        if kind == "error":
            raise HostError(*content)
        return kind, content[0] if content else None

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
            if self._deadline is not None and time.monotonic() > self._deadline:
                self._killed_because = f"gave no answer for {self.timeout_s:g} s (--task-timeout) and was killed"
            elif self.memory_limit is not None and (used := _resident_bytes(self._process.pid)) > self.memory_limit:
                limit = f"{self.memory_limit / 2**20:,.0f} MiB (--memory-limit)"
                self._killed_because = f"used {used / 2**20:,.0f} MiB, more than the limit of {limit}, and was killed"
            if self._killed_because:
                self._kill()
                return

    def _kill(self) -> None:
        if sys.platform == "win32":
            self._process.kill()
            return
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)


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
    import psutil

    total = 0
    with contextlib.suppress(psutil.Error):
        process = psutil.Process(pid)
        for member in (process, *process.children(recursive=True)):
            with contextlib.suppress(psutil.Error):
                total += member.memory_info().rss
    return total


# ---- in the host ----------------------------------------------------------------------------------------------------


def serve() -> None:
    """Runs what is asked for until the asking process closes the connection or ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    requests, answers = os.fdopen(os.dup(0), "rb", buffering=0), os.fdopen(os.dup(1), "wb", buffering=0)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.dup2(2, 1)  # what plugins print is no answer
    waiting: queue.SimpleQueue[Any] = queue.SimpleQueue()
    threading.Thread(target=_read_requests, args=(requests, waiting), daemon=True).start()
    while True:
        function, arguments = waiting.get()
        try:
            result = function(*arguments)
            if isinstance(result, Iterator):
                for item in result:
                    _send(answers, ("value", item))
                _send(answers, ("end",))
            else:
                _send(answers, ("value", result))
        except BrokenPipeError:
            os._exit(1)
        except BaseException as error:  # whatever a plugin raises, SystemExit included
            _send(answers, ("error", one_line(error), describe(error)))


def _read_requests(pipe: BinaryIO, waiting: queue.SimpleQueue[Any]) -> None:
    """Hands requests to the main thread; ends the process once nobody can ask any more."""
    while True:
        try:
            waiting.put(_receive(pipe))
        except (EOFError, OSError):
            os._exit(0)
        except Exception as error:  # a dataset's plugin that cannot be imported here, for example
            waiting.put((_raise, (error,)))


def _raise(error: Exception) -> None:
    raise error


def describe(error: BaseException) -> str:
    """An exception's traceback as text."""
    return printable("".join(traceback.format_exception(error)))


# ---- messages: a pickle, and behind it the large arrays as they lie in memory ---------------------------------------


def _send(pipe: Any, message: Any) -> None:
    buffers: list[pickle.PickleBuffer] = []
    body = pickle.dumps(message, protocol=5, buffer_callback=buffers.append)
    parts = [memoryview(body), *(buffer.raw() for buffer in buffers)]
    _write(pipe, struct.pack(f"<I{len(parts)}Q", len(parts), *(part.nbytes for part in parts)))
    for part in parts:
        _write(pipe, part)


def _write(pipe: Any, content: bytes | memoryview) -> None:
    rest = memoryview(content)
    while rest:
        rest = rest[pipe.write(rest) :]


def _receive(pipe: Any) -> Any:
    (count,) = struct.unpack("<I", _read(pipe, 4))
    sizes = struct.unpack(f"<{count}Q", _read(pipe, 8 * count))
    body, *buffers = [_read(pipe, size) for size in sizes]
    return pickle.loads(body, buffers=buffers)


def _read(pipe: Any, size: int) -> bytearray:
    content = bytearray(size)
    rest = memoryview(content)
    while rest:
        got = pipe.readinto(rest)
        if not got:
            raise EOFError
        rest = rest[got:]
    return content
