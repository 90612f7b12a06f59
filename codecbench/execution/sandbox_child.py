"""What runs in a sandbox: functions that were asked for, one after the other; see ``codecbench.execution.sandbox``."""

from __future__ import annotations

import contextlib
import faulthandler
import gc
import io
import os
import pickle
import queue
import shutil
import signal
import sys
import tempfile
import threading
import traceback
from collections.abc import Iterator
from multiprocessing.connection import Connection
from typing import Any

from codecbench.errors import ContractError
from codecbench.execution import watch
from codecbench.execution.messages import pack, receive, send
from codecbench.execution.orphans import adopt
from codecbench.execution.sandbox import FORK, JOIN
from codecbench.text import one_line, printable

_JOINED = 85
"""Exit code of a fork that was told to end."""


def serve(lifeline: int, folder: str) -> None:
    """Runs what is asked for until the asking process closes the connection, or ends with the pipe ``lifeline``.

    Temporary files belong into ``folder``.
    """
    watch.use_folder(folder)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    adopt()
    faulthandler.enable()  # a crash in a codec's library says where
    with contextlib.suppress(OSError, AttributeError, ImportError):
        _die_with(lifeline)
    try:
        _serve()
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(1)  # whatever threads a plugin left


def _die_with(lifeline: int) -> None:
    """Lets the system kill this process and what it started once the pipe closes, even where C code holds the GIL.

    Raises AttributeError or ImportError where the system cannot; the end of the requests then ends the process.
    """
    import fcntl

    set_signal: int = fcntl.F_SETSIG  # type: ignore[attr-defined,unused-ignore]
    fcntl.fcntl(lifeline, fcntl.F_SETOWN, -os.getpgrp())
    fcntl.fcntl(lifeline, set_signal, signal.SIGKILL)
    fcntl.fcntl(lifeline, fcntl.F_SETFL, fcntl.fcntl(lifeline, fcntl.F_GETFL) | os.O_ASYNC)


_answers: Connection


def _serve() -> None:
    global _answers
    requests, _answers = Connection(os.dup(0), writable=False), Connection(os.dup(1), readable=False)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.dup2(2, 1)  # what plugins print is no answer
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(line_buffering=True)  # so that it is there when the process dies
    _work(requests)


def _work(requests: Connection) -> None:
    """Does what is asked for; in a fork until that is to end."""
    waiting: queue.SimpleQueue[Any] = queue.SimpleQueue()
    alone = threading.Semaphore(0)
    threading.Thread(target=_read_requests, args=(requests, waiting, alone), daemon=True).start()
    while True:
        function, arguments = waiting.get()
        if function == FORK:
            _fork(requests)
            alone.release()
            continue
        if function == JOIN:
            _flush()
            os._exit(_JOINED)
        try:
            result = function(*arguments)
            for item in result if isinstance(result, Iterator) else (result,):
                emit(item)
            if isinstance(result, Iterator):
                _answer("end")
        except _OwnerGone:
            os._exit(1)
        except BaseException as error:  # whatever a plugin raises, SystemExit and BrokenPipeError included
            _flush()
            _answer("error", watch.noticed() or _reason(error), describe(error))


def _fork(requests: Connection) -> None:
    """Lets a fork of this process do what is asked for next, and waits for its end; if it dies, so does this one."""
    folder = tempfile.mkdtemp()
    _flush()
    gc.freeze()  # else looking for garbage in the fork copies every page that has an object
    fork = os.fork()
    if fork == 0:
        watch.use_folder(folder)
        _work(requests)
    code = os.waitstatus_to_exitcode(os.waitpid(fork, 0)[1])
    shutil.rmtree(folder, ignore_errors=True)
    if code < 0:
        faulthandler.disable()
        with contextlib.suppress(OSError):  # some signals have one effect only
            signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    if code != _JOINED:
        os._exit(code)


class _OwnerGone(BaseException):
    """Nobody waits for answers any more."""


def emit(item: Any) -> None:
    """Sends an item of a stream; the function that runs may call this before it yields the next one."""
    if watch.noticed():
        raise ContractError(watch.noticed())
    _answer("value", item)


def _answer(*message: Any) -> None:
    try:
        send(_answers, *pack(message))
    except BrokenPipeError:
        raise _OwnerGone from None


def _read_requests(pipe: Connection, waiting: queue.SimpleQueue[Any], alone: threading.Semaphore) -> None:
    """Hands requests to the main thread, but for those of a fork; ends the process once nobody can ask any more."""
    while True:
        try:
            body, contents = receive(pipe)
            request = pickle.loads(body, buffers=contents)
        except (EOFError, OSError):
            if os.getpgrp() == os.getpid():
                os.killpg(0, signal.SIGKILL)  # with whatever a plugin started
            os._exit(0)
        except Exception as error:  # a dataset's plugin that cannot be imported here, for example
            request = _raise, (error,)
        waiting.put(request)
        if request[0] in (FORK, JOIN):
            alone.acquire()


def _raise(error: Exception) -> None:
    raise error


def _flush() -> None:
    """What a plugin printed is on its way before the failure is."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):
            stream.flush()


def _reason(error: BaseException) -> str:
    try:
        return one_line(error)
    except BaseException:  # an exception that cannot even be printed
        return type(error).__name__


def describe(error: BaseException) -> str:
    """An exception's traceback as text."""
    try:
        return printable("".join(traceback.format_exception(error)))
    except BaseException:
        return _reason(error)
