"""Where jobs run: worker processes on this machine, or a cluster's workers.

An engine has slots, each of which does one job after the other. :func:`run_stage` keeps them busy, gives a slot jobs of
the codec that it has loaded already, and survives the death of workers.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import signal
import sys
import threading
import time
import types
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import AbstractContextManager
from dataclasses import dataclass
from multiprocessing import get_context, parent_process, resource_tracker
from multiprocessing.connection import Connection
from typing import Any, Protocol

from codecbench.environment import THREAD_COUNTS
from codecbench.execution.orphans import adopt, is_stopped
from codecbench.execution.sandbox import kill_all
from codecbench.execution.sandbox_child import describe
from codecbench.text import PrintableStream

GRACE_S = 1.0
"""How long workers may take to end in order when a run is broken off, in seconds."""
STOPPED_S = 1.0
"""How often a worker that does a job is looked at, whether a signal stopped it, in seconds."""
QUEUED = 2
"""Jobs that a slot has at most: one that it does, and one that it can begin at once."""
WORKER_DIED = "the worker process died (killed, stopped, or out of memory), twice"
"""Why a job failed that was tried again after its worker had died."""


@dataclass(frozen=True)
class QueuedJob:
    """A job that waits for a slot: a function of a module, and what it is called with there."""

    name: Any  # what the stage calls it by
    kind: str  # jobs of one kind like to share a slot: the codec
    function: Callable[..., Any]
    arguments: tuple[Any, ...]


class Engine(Protocol):
    """Something with slots."""

    slots: int

    def submit(self, slot: int, function: Callable[..., Any], *arguments: Any) -> Future[Any]:
        """Queues a call in a slot; the future gives :class:`WorkerDied` if the slot's worker dies meanwhile."""

    def alone(self) -> AbstractContextManager[Engine]:
        """The engine in which a job is tried once more whose worker died: only it is to suffer from another death."""


class WorkerDied(Exception):
    """A worker process ended before it had done its job."""


class LocalEngine:
    """One spawned process a slot, whose libraries use a fixed number of threads.

    The processes do not import the caller's main module, so a script needs no ``if __name__ == "__main__"``.
    """

    def __init__(self, slots: int, threads: int):
        self.slots, self.threads = max(1, slots), threads
        self._workers: dict[int, _Worker] = {}

    def submit(self, slot: int, function: Callable[..., Any], *arguments: Any) -> Future[Any]:
        """Queues a call; the slot's process starts with the first, and another with the first after it died."""
        if slot in self._workers and self._workers[slot].died:
            self._workers.pop(slot).close()
        if slot not in self._workers:
            self._workers[slot] = _Worker(self.threads)
        return self._workers[slot].submit(function, *arguments)

    def alone(self) -> LocalEngine:
        """One process of its own."""
        return LocalEngine(1, self.threads)

    def __enter__(self) -> LocalEngine:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        workers = self._workers.values()
        if kind is not None:  # an error, or Ctrl-C: what has not begun is cancelled, what has is ended
            for worker in workers:
                worker.terminate()
            deadline = time.monotonic() + GRACE_S
            for worker in workers:
                worker.process.join(max(0.0, deadline - time.monotonic()))
                worker.process.kill()
        for worker in workers:
            worker.close()


class _Worker:
    """A spawned process that does one job after the other, and the thread that hands them to it."""

    def __init__(self, threads: int):
        spawn = get_context("spawn")
        self._pipe, theirs = spawn.Pipe()
        self.process = spawn.Process(target=_work, args=(theirs, threads))
        with hidden_main(), without_interrupts():
            self.process.start()
        theirs.close()
        self.died = False
        self._thread = ThreadPoolExecutor(1)

    def submit(self, function: Callable[..., Any], *arguments: Any) -> Future[Any]:
        return self._thread.submit(self._call, function, arguments)

    def _call(self, function: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
        try:
            self._pipe.send((function, arguments))
            while not self._pipe.poll(STOPPED_S):
                pid = self.process.pid
                if pid is not None and is_stopped(pid, alone=True):
                    raise EOFError
            result, error = self._pipe.recv()
        except (EOFError, OSError):
            self.died = True
            self.process.kill()  # or what is left of it
            raise WorkerDied from None
        if error is not None:
            raise error
        return result

    def terminate(self) -> None:
        """Forgets jobs that have not begun, and has the process end at once; waits for nothing."""
        self._thread.shutdown(wait=False, cancel_futures=True)
        self.process.terminate()

    def close(self) -> None:
        """Waits for the jobs, and ends the process; no thread of it is left that could still read from the pipe."""
        self._thread.shutdown()
        self._pipe.close()
        self.process.join()
        self.process.close()


def _work(jobs: Connection, threads: int) -> None:
    """Does jobs in a worker process until the pipe that they come through is closed."""
    adopt()
    for name in ("stdout", "stderr"):  # a worker shares the terminal, and plugins of datasets print here
        setattr(sys, name, PrintableStream(getattr(sys, name)))
    os.environ |= dict.fromkeys(THREAD_COUNTS, str(threads))  # before the first job imports a library that has threads
    # Ctrl-C at a terminal goes to all processes; the parent ends its workers in order. Held back until here.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _end)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    with contextlib.suppress(EOFError, OSError):  # the parent needs no more, or is gone
        while True:
            jobs.send(_next_answer(jobs))
    _end()


def _next_answer(jobs: Connection) -> tuple[Any, BaseException | None]:
    """What the next job gave, or what it raised; raises EOFError where there is none."""
    content = jobs.recv_bytes()
    try:
        function, arguments = pickle.loads(content)
        return function(*arguments), None
    except BaseException as error:
        error.add_note(f"In a worker process:\n{describe(error)}")
        return None, error


def _end(*_: object) -> None:
    kill_all()  # and wait for nothing: the signal may have come while this thread held a lock
    os._exit(1)


def _end_with_parent() -> None:
    parent = parent_process()
    if parent is not None:
        parent.join()
        _end()


def run_stage(
    engine: Engine, jobs: Iterable[QueuedJob], finish: Callable[[Any, Any], None], died: Callable[[Any], None]
) -> None:
    """Runs the jobs of a stage; retries once, alone, each job whose worker died.

    ``finish`` gets the name of a job and what its function returned, ``died`` the name of one whose worker died twice.
    """
    for job in drain(jobs, engine, finish):
        with engine.alone() as alone:
            lost = drain([job], alone, finish)
        if lost:
            died(job.name)


def drain(jobs: Iterable[QueuedJob], engine: Engine, finish: Callable[[Any, Any], None]) -> list[QueuedJob]:
    """Runs jobs in an engine's slots, those of one kind in their order.

    Returns the jobs that were in a slot when its worker died; all others are done.
    """
    waiting: dict[str, deque[QueuedJob]] = {}
    for job in jobs:
        waiting.setdefault(job.kind, deque()).append(job)
    kinds: list[str | None] = [None] * engine.slots
    running: dict[Future[Any], tuple[int, QueuedJob]] = {}
    lost: list[QueuedJob] = []
    while waiting or running:
        kinds += [None] * (engine.slots - len(kinds))  # a cluster may grow
        load = Counter(slot for slot, _ in running.values())
        for slot in sorted(range(engine.slots), key=lambda slot: load[slot]):
            # A second job is queued behind the first only where a slot can go on with what it has loaded.
            while waiting and load[slot] < (QUEUED if kinds[slot] in waiting else 1):
                job = _next(kinds, slot, waiting)
                running[engine.submit(slot, job.function, *job.arguments)] = slot, job
                load[slot] += 1
        done, _ = wait(running, return_when=FIRST_COMPLETED)
        if _interrupted.is_set():
            raise KeyboardInterrupt
        for future in [future for future in running if future in done]:  # a set has no order; jobs have one
            _, job = running.pop(future)
            try:
                result = future.result()
            except WorkerDied:
                lost.append(job)
            else:
                finish(job.name, result)
    return lost


def _next(kinds: list[str | None], slot: int, waiting: dict[str, deque[QueuedJob]]) -> QueuedJob:
    """The next job for a slot: of its own kind, else of one that nobody works on, else of the one with most left."""
    kind = kinds[slot]
    if kind not in waiting:
        free = [name for name in waiting if name not in kinds]
        kind = free[0] if free else max(waiting, key=lambda name: len(waiting[name]))
        kinds[slot] = kind
    job = waiting[kind].popleft()
    if not waiting[kind]:
        del waiting[kind]
    return job


_interrupted = threading.Event()


@contextlib.contextmanager
def interruptible() -> Iterator[None]:
    """Lets Ctrl-C and SIGTERM break a run off in the same way: in order, and with a word on how to go on."""
    handlers = {signal.SIGINT: signal.default_int_handler, signal.SIGTERM: signal.SIG_DFL}
    ours = {
        number: default
        for number, default in handlers.items()
        if threading.current_thread() is threading.main_thread() and signal.getsignal(number) is default
    }
    for number in ours:
        signal.signal(number, _interrupt)
    try:
        yield
    finally:
        for number, default in ours.items():
            signal.signal(number, default)
        _interrupted.clear()


def _interrupt(*_: object) -> None:
    # Python drops what is raised inside a weak reference's callback or __del__, as imports run them: see drain.
    _interrupted.set()
    raise KeyboardInterrupt


@contextlib.contextmanager
def without_interrupts() -> Iterator[None]:
    """Holds Ctrl-C back; processes that start meanwhile begin so, and are not interrupted while they import."""
    resource_tracker.ensure_running()  # multiprocessing starts it with the first process, and lets Ctrl-C through then
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextlib.contextmanager
def hidden_main() -> Iterator[None]:
    """Keeps processes that are started meanwhile from importing the caller's main module, which may do anything."""
    main = sys.modules["__main__"]
    sys.modules["__main__"] = types.ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main
