"""What runs in a sandbox: functions that were asked for, one after the other; see ``codecbench.execution.sandbox``."""

from __future__ import annotations

import contextlib
import faulthandler
import io
import os
import pickle
import queue
import signal
import sys
import threading
import traceback
from collections.abc import Iterator
from multiprocessing.connection import Connection
from typing import Any

from codecbench.execution.orphans import adopt
from codecbench.execution.sandbox import receive, send
from codecbench.text import one_line, printable


def serve(lifeline: int) -> None:
    """Runs what is asked for until the asking process closes the connection, or ends with the pipe ``lifeline``."""
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
    waiting: queue.SimpleQueue[Any] = queue.SimpleQueue()
    threading.Thread(target=_read_requests, args=(requests, waiting), daemon=True).start()
    while True:
        function, arguments = waiting.get()
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
            _answer("error", _reason(error), describe(error))


class _OwnerGone(BaseException):
    """Nobody waits for answers any more."""


def emit(item: Any) -> None:
    """Sends an item of a stream; the function that runs may call this before it yields the next one."""
    _answer("value", item)


def _answer(*message: Any) -> None:
    try:
        send(_answers, message)
    except BrokenPipeError:
        raise _OwnerGone from None


def _read_requests(pipe: Connection, waiting: queue.SimpleQueue[Any]) -> None:
    """Hands requests to the main thread; ends the process once nobody can ask any more."""
    while True:
        try:
            waiting.put(receive(pipe, pickle.Unpickler))
        except (EOFError, OSError):
            if os.getpgrp() == os.getpid():
                os.killpg(0, signal.SIGKILL)  # with whatever a plugin started
            os._exit(0)
        except Exception as error:  # a dataset's plugin that cannot be imported here, for example
            waiting.put((_raise, (error,)))


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
