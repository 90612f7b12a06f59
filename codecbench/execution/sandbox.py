"""Processes of their own for plugin code: what it does there (crash, hang, print, eat memory) stays there.

A sandbox runs functions of codecbench that call a plugin, and sends back what they return. Requests and answers travel
through two pipes, answers as JSON and raw arrays that must fit the type that the function says it returns. What a
plugin prints goes to standard error, whose tail is kept for the record of a failure. The process ends with the one that
started it, whatever ends that, and what a plugin started there ends with it, as does its folder of temporary files.
"""

from __future__ import annotations

import contextlib
import fcntl
import functools
import json
import os
import pickle
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import typing
from collections.abc import Callable, Iterator
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from codecbench.environment import THREAD_COUNTS
from codecbench.execution.messages import PIECE, receive, send, unpack
from codecbench.execution.orphans import MARK, end_orphans, family, is_stopped
from codecbench.execution.watch import SANDBOX
from codecbench.text import one_line, printable

TAIL_BYTES = 4_000
"""How much of a sandbox's standard error is kept."""
START_S = 30.0
"""How long a process may take to start and to import a plugin, in seconds: no time limit of a task counts that."""
WATCH_S = 0.1
"""How often a sandbox's time and memory are looked at, in seconds."""
_ALIVE_S = 0.25
"""How often a silent sandbox is looked at, whether it is still there, in seconds."""
_STOPPED_LOOKS = 4
"""Every so many of these looks whether it was stopped by a signal."""
_START = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); from codecbench.execution.sandbox_child import serve; "
    "serve(int(sys.argv[2]), sys.argv[3])"
)
FORK, JOIN = "fork", "join"
"""Requests: to do what follows in a fork of the process, and to end that."""
_live: set[Sandbox] = set()


class SandboxError(Exception):
    """A function in a sandbox raised, or the sandbox ``died``: then another must be started.

    ``reason`` is one line; ``details`` is the traceback there, or the tail of what was written to standard error.
    """

    def __init__(self, reason: str, details: str = "", died: bool = False):
        super().__init__(reason)
        self.reason, self.details, self.died = reason, details, died


class Sandbox:
    """A process that runs functions one after the other; all that it cannot do is a :class:`SandboxError`.

    Its libraries may use ``threads``, or None for what this process may. One answer may take ``timeout_s`` seconds, the
    first one :data:`START_S` more. It and its children may use ``memory_limit`` bytes of resident memory, looked at ten
    times a second, so a quick allocation can go beyond for a moment. ``options`` name what sets them, for messages.
    """

    def __init__(
        self,
        role: str,
        threads: int | None,
        timeout_s: float | None = None,
        memory_limit: int | None = None,
        environment: dict[str, str] | None = None,
        options: tuple[str, str] = ("--task-timeout", "--memory-limit"),
    ):
        self.role, self.timeout_s, self.memory_limit, self.options = role, timeout_s, memory_limit, options
        self.forks = True  # whether the process can be forked
        self._environment = {} if threads is None else dict.fromkeys(THREAD_COUNTS, str(threads))
        self._mark = f"{os.getpid()}.{time.monotonic_ns()}"
        self._environment |= (environment or {}) | {MARK: self._mark}
        self._first: tuple[Any, ...] = ()
        self._tail = b""
        self._start()

    def _start(self) -> None:
        self._killed_because = ""
        self._deadline: float | None = None
        self._asked, self._streams, self._apart, self._used = False, False, False, False
        self._ended = threading.Event()
        self._start_s = START_S
        self._folder = _Folder()
        requests, self._requests = Pipe(duplex=False)
        self._answers, answers = Pipe(duplex=False)
        lifeline, self._lifeline = os.pipe()
        paths = json.dumps([part for part in sys.path if part])
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-c", _START, paths, str(lifeline), str(self._folder.path)],
                stdin=requests.fileno(),
                stdout=answers.fileno(),
                stderr=subprocess.PIPE,
                env=os.environ | self._environment,
                bufsize=0,
                start_new_session=True,  # keeps Ctrl-C at a terminal away; what it starts can be ended with it
                pass_fds=(lifeline,),
            )
        except OSError as error:
            self._close_pipes()
            raise SandboxError(f"the {self.role} process cannot be started: {one_line(error)}", died=True) from None
        finally:
            requests.close()
            answers.close()
            os.close(lifeline)
        _live.add(self)
        for pipe in (self._requests, self._answers):
            _widen(pipe)
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()
        if self.timeout_s is not None or self.memory_limit is not None:
            threading.Thread(target=self._watch, args=(self._ended,), daemon=True).start()

    def __enter__(self) -> Sandbox:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def begin(self, function: Callable[..., Any], *arguments: Any) -> None:
        """Asks for a function of a module to be called; :meth:`answer` waits for what it gives."""
        self._first = self._first or (function, *arguments)
        self._returns = _returned(function)
        self._deadline = None if self.timeout_s is None else time.monotonic() + self.timeout_s + self._start_s
        self._start_s, self._asked, self._streams = 0.0, True, False
        self._tell((function, arguments))

    def _tell(self, request: Any) -> None:
        buffers: list[pickle.PickleBuffer] = []
        body = pickle.dumps(request, protocol=5, buffer_callback=buffers.append)
        try:
            send(self._requests, body, [buffer.raw() for buffer in buffers])
        except OSError:
            raise self._death() from None

    @contextlib.contextmanager
    def apart(self) -> Iterator[None]:
        """Lets functions be called in a fork of the process meanwhile, which leaves nothing behind in it.

        Where the process cannot be forked, another one takes its place, in which the first call is repeated.
        """
        if not self.forks:
            if self._used:
                self.close()
                self._start()
                self.call(*self._first)
            self._used = True
            yield
            return
        self._tell((FORK, ()))
        self._apart = True
        yield  # a function that raised was the last one: whoever asked for it ends the process
        self._tell((JOIN, ()))
        self._apart = False

    def answer(self) -> Any:
        """What the function returned."""
        kind, value = self._receive()
        assert kind == "value", f"{kind} in answer to a call"
        return value

    def call(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Calls a function of a module there; see :meth:`answer`."""
        self.begin(function, *arguments)
        return self.answer()

    def stream(self, function: Callable[..., Iterator[Any]], *arguments: Any) -> Iterator[Any]:
        """Calls a generator function there, and yields what it yields."""
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
        self.kill()
        self._close_pipes()
        self._process.wait()
        end_orphans(self._mark)
        self._listener.join(timeout=5)
        if self._process.stderr is not None and not self._listener.is_alive():
            self._process.stderr.close()

    def _close_pipes(self) -> None:
        os.close(self._lifeline)
        self._requests.close()
        self._answers.close()
        self._folder.remove()

    def _receive(self) -> tuple[str, Any]:
        try:
            body, contents = receive(self._answers, self._await)
        except (EOFError, OSError, ValueError):
            raise self._death() from None
        finally:
            self._deadline = None
        from codecbench.store.schema import fitting  # which imports NumPy: see messages.py

        try:
            kind, *content = unpack(body, contents)
            expected = {"value": [self._returns], "error": [str, str], "end": []}[kind]
            content = [fitting(*pair) for pair in zip(content, expected, strict=True)]
        except Exception as error:
            raise SandboxError(f"the {self.role} process sent no plain result: {one_line(error)}") from None
        self._asked = kind == "value" and self._streams
        if kind == "error":
            raise SandboxError(*content)
        return kind, content[0] if content else None

    def _await(self) -> None:
        """Waits for the next message; the process's death ends that, also where a fork of it holds the pipe open."""
        looks = 0
        while not self._answers.poll(_ALIVE_S):
            looks += 1
            if self._process.poll() is not None and not self._answers.poll(_ALIVE_S):
                raise EOFError
            if looks % _STOPPED_LOOKS == 0 and is_stopped(self._process.pid):
                self._killed_because = "was stopped by a signal and was killed"
                self.kill()

    def _death(self) -> SandboxError:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout=5)
        code = self._process.poll()
        self.close()
        why = self._killed_because or _describe_exit(code)
        return SandboxError(f"the {self.role} process {why}", self.stderr_tail(), died=True)

    def stderr_tail(self) -> str:
        """The end of what the process wrote to standard error and standard output."""
        return printable(self._tail.decode("utf-8", "surrogateescape").strip())

    def _listen(self) -> None:
        assert self._process.stderr is not None
        with contextlib.suppress(OSError, ValueError):
            while chunk := os.read(self._process.stderr.fileno(), 65_536):
                self._tail = (self._tail + chunk)[-TAIL_BYTES:]

    def _watch(self, ended: threading.Event) -> None:
        while not ended.wait(WATCH_S):
            deadline = self._deadline  # once: the other thread may set it to None in between
            if deadline is not None and time.monotonic() > deadline:
                self._killed_because = f"gave no answer for {self.timeout_s:g} s ({self.options[0]}) and was killed"
            elif (
                self._asked
                and self.memory_limit is not None
                and (used := _resident_bytes(self._process.pid, self._apart)) > self.memory_limit
            ):
                limit = f"{self.memory_limit / 2**20:,.0f} MiB ({self.options[1]})"
                self._killed_because = f"used {used / 2**20:,.0f} MiB, more than the limit of {limit}, and was killed"
            if self._killed_because:
                self.kill()
                return

    def kill(self) -> None:
        """Kills the process and all that it started, and waits for nothing.

        From any thread: whoever waits for an answer gets a :class:`SandboxError`.
        """
        members = family(self._process.pid)
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        for member in members:  # those that left the group
            with contextlib.suppress(Exception):
                member.kill()


def kill_all() -> None:
    """Kills every sandbox of this process, and waits for nothing: for the end of the process, also by a signal."""
    for sandbox in tuple(_live):
        with contextlib.suppress(Exception):
            sandbox.kill()


# ---- what belongs to a process ---------------------------------------------------------------------------------------


@functools.cache
def _returned(function: Callable[..., Any]) -> Any:
    """The type that a function says it returns, or yields."""
    kind = typing.get_type_hints(function, include_extras=True).get("return", Any)
    return typing.get_args(kind)[0] if typing.get_origin(kind) is Iterator else kind


class _Folder:
    """A folder for temporary files, locked while its owner lives; those whose owner was killed are removed first."""

    def __init__(self) -> None:
        for left in Path(tempfile.gettempdir()).glob(f"*{SANDBOX}"):
            with contextlib.suppress(OSError):
                self._lock(left)
                self.remove()
        made = Path(tempfile.mkdtemp(prefix="codecbench-"))
        self._lock(made)
        self.path = made.rename(made.with_name(made.name + SANDBOX))

    def _lock(self, path: Path) -> None:
        self.path, self._file = path, os.open(path, os.O_RDONLY)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:  # its owner lives
            os.close(self._file)
            raise

    def remove(self) -> None:
        """Removes the folder and all that is in it."""
        shutil.rmtree(self.path, ignore_errors=True)
        os.close(self._file)


def _widen(pipe: Connection) -> None:
    """Lets more of a large array through a pipe at once, where the system can."""
    if sys.platform == "linux":
        with contextlib.suppress(OSError):
            fcntl.fcntl(pipe.fileno(), fcntl.F_SETPIPE_SZ, PIECE)


def _describe_exit(code: int | None) -> str:
    if code is None:
        return "closed its connection"
    if code < 0:
        try:
            return f"died of {signal.Signals(-code).name}"
        except ValueError:
            return f"died of signal {-code}"
    return f"died with exit code {code}"


def _resident_bytes(pid: int, apart: bool) -> int:
    """Resident memory of a process and its children, or of these ``apart``, in bytes; 0 once it is gone."""
    total = 0
    for member in family(pid)[apart:]:
        with contextlib.suppress(Exception):  # it has ended
            total += member.memory_info().rss
    return total
