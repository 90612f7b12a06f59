"""Stands for the processes of a run: its jobs and plugins run in this process, in a fraction of the time."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from typing import Any

import pytest

from codecbench.execution import runner, workers
from codecbench.execution.sandbox import SandboxError
from codecbench.text import one_line


class EngineHere:
    """One slot, in which a job is done at once."""

    slots = 1

    def __init__(self, *_: object) -> None:
        pass

    def submit(self, slot: int, function: Callable[..., Any], *arguments: Any) -> Future[Any]:
        future: Future[Any] = Future()
        future.set_result(function(*arguments))
        return future

    def alone(self) -> contextlib.AbstractContextManager[EngineHere]:
        return contextlib.nullcontext(self)

    def __enter__(self) -> EngineHere:
        return self

    def __exit__(self, *_: object) -> None:
        pass


class SandboxHere:
    """A sandbox that is this process."""

    def __init__(self, *limits: object) -> None:
        self.waiting: tuple = ()

    def __enter__(self) -> SandboxHere:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def apart(self) -> contextlib.AbstractContextManager[None]:
        return contextlib.nullcontext()

    def begin(self, *request: object) -> None:
        self.waiting = request

    def answer(self) -> object:
        return self.call(*self.waiting)

    def call(self, function: Callable, *arguments: object) -> object:
        try:
            return function(*arguments)
        except BaseException as error:
            raise SandboxError(one_line(error)) from error

    def stream(self, function: Callable, *arguments: object) -> Iterator:
        try:
            yield from function(*arguments)
        except Exception as error:
            raise SandboxError(one_line(error)) from error

    def close(self) -> None:
        pass

    def stderr_tail(self) -> str:
        return ""


@contextlib.contextmanager
def in_this_process() -> Iterator[None]:
    """Does in this process what a run does in others: for tests of what is stored, not of processes."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(runner, "LocalEngine", EngineHere)
        patch.setattr(workers, "Sandbox", SandboxHere)
        yield
        workers.close()
