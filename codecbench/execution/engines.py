"""Where jobs run: processes on this machine, or a cluster's workers; both as ``concurrent.futures`` executors.

An engine has lanes, each of which does one job after the other. :func:`drain` keeps them busy, gives a lane jobs of the
codec that it has loaded already, and survives the death of workers.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
import types
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.process import BaseProcess
from typing import Any, Protocol

from codecbench.environment import THREAD_COUNTS
from codecbench.execution.workers import begin_worker

MOST_WORKERS = 61 if sys.platform == "win32" else sys.maxsize
"""Windows cannot wait for more processes at once."""
GRACE_S = 1.0
"""How long workers may take to end in order when a run is broken off, in seconds."""
QUEUED = 2
"""Jobs that a lane has at most: one that it does, and one that it can begin at once."""


@dataclass(frozen=True)
class Entry:
    """A job that waits for a lane.

    Attributes:
        name: what :func:`drain` calls it by.
        kind: jobs of one kind like to share a lane: the codec.
        function: of a module, called in the lane.
        arguments: what it is called with.
    """

    name: Any
    kind: str
    function: Callable[..., Any]
    arguments: tuple[Any, ...]


class Engine(Protocol):
    """Something with lanes."""

    lanes: int

    def submit(self, lane: int, function: Callable[..., Any], *arguments: Any) -> Future[Any]:
        """Queues a call in a lane; raises or gives a future with ``lost`` errors when the lane's worker died."""

    def renew(self, lane: int) -> None:
        """Makes a lane usable again whose worker died."""

    lost: tuple[type[BaseException], ...]


class LocalEngine:
    """One spawned process a lane, whose libraries use a fixed number of threads.

    The processes do not import the caller's main module, so a script needs no ``if __name__ == "__main__"``.

    Args:
        lanes: how many processes.
        threads: how many each of them may use.
    """

    lost: tuple[type[BaseException], ...] = (BrokenProcessPool,)

    def __init__(self, lanes: int, threads: int):
        self.lanes, self.threads = max(1, min(lanes, MOST_WORKERS)), threads
        self._pools: list[ProcessPoolExecutor | None] = [None] * self.lanes

    def submit(self, lane: int, function: Callable[..., Any], *arguments: Any) -> Future[Any]:
        """Queues a call; the process starts with the first."""
        pool = self._pools[lane]
        if pool is None:
            pool = ProcessPoolExecutor(1, mp_context=get_context("spawn"), initializer=begin_worker)
            self._pools[lane] = pool
        variables = dict.fromkeys(THREAD_COUNTS, str(self.threads))
        with _environment(variables), hidden_main(), without_interrupts():
            return pool.submit(function, *arguments)

    def renew(self, lane: int) -> None:
        """Forgets the dead process; the next call starts another."""
        pool, self._pools[lane] = self._pools[lane], None
        if pool is not None:
            pool.shutdown(wait=False, cancel_futures=True)

    def __enter__(self) -> LocalEngine:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        pools = [pool for pool in self._pools if pool is not None]
        if kind is None:
            for pool in pools:
                pool.shutdown()
            return
        processes: list[BaseProcess] = []
        for pool in pools:  # an error, or Ctrl-C: what has not begun is cancelled, what has is ended
            processes += (pool._processes or {}).values()
            pool.shutdown(wait=False, cancel_futures=True)
        for process in processes:
            process.terminate()
        deadline = time.monotonic() + GRACE_S
        for process in processes:
            process.join(max(0.0, deadline - time.monotonic()))
            process.kill()


class SharedEngine:
    """Any executor of ``concurrent.futures``, which spreads jobs itself.

    Args:
        executor: where jobs run; what it raises for a worker that died again and again is told of the job alone.
        lanes: how many jobs it does at once.
        lost: errors that say so.
    """

    def __init__(self, executor: Executor, lanes: int, lost: tuple[type[BaseException], ...] = ()):
        self.executor, self.lanes, self.lost = executor, max(1, lanes), lost

    def submit(self, lane: int, function: Callable[..., Any], *arguments: Any) -> Future[Any]:
        """Queues a call, wherever."""
        future: Future[Any] = self.executor.submit(function, *arguments)
        return future

    def renew(self, lane: int) -> None:
        """Nothing to do: the executor has its own ways."""


def drain(entries: Sequence[Entry], engine: Engine, finish: Callable[[Any, Any], None]) -> list[Entry]:
    """Runs jobs in an engine's lanes, also when workers die.

    Args:
        entries: the jobs; those of one kind in the order in which they are to run.
        engine: the lanes.
        finish: receives the name of a job and what its function returned.

    Returns:
        The jobs that were in a lane when its worker died; all others are done.
    """
    waiting: dict[str, deque[Entry]] = {}
    for entry in entries:
        waiting.setdefault(entry.kind, deque()).append(entry)
    kinds: list[str | None] = [None] * engine.lanes
    running: dict[Future[Any], tuple[int, Entry]] = {}
    lost: list[Entry] = []
    while waiting or running:
        kinds += [None] * (engine.lanes - len(kinds))  # a cluster may grow
        load = Counter(lane for lane, _ in running.values())
        for lane in sorted(range(engine.lanes), key=lambda lane: load[lane]):
            while waiting and load[lane] < (QUEUED if _is_next(kinds, lane, waiting) else 1):
                entry = _next(kinds, lane, waiting)
                try:
                    running[engine.submit(lane, entry.function, *entry.arguments)] = lane, entry
                    load[lane] += 1
                except engine.lost:
                    lost.append(entry)
                    engine.renew(lane)
        done, _ = wait(running, return_when=FIRST_COMPLETED)
        broken: set[int] = set()
        for future in done:
            lane, entry = running.pop(future)
            try:
                result = future.result()
            except engine.lost:
                lost.append(entry)
                broken.add(lane)
            else:
                finish(entry.name, result)
        for lane in broken:
            for future in [future for future, (other, _) in running.items() if other == lane]:
                lost.append(running.pop(future)[1])
            engine.renew(lane)
    return lost


def _is_next(kinds: list[str | None], lane: int, waiting: dict[str, deque[Entry]]) -> bool:
    """Whether a lane can go on with what it has loaded: only then is a second job queued behind the first."""
    return kinds[lane] in waiting


def _next(kinds: list[str | None], lane: int, waiting: dict[str, deque[Entry]]) -> Entry:
    """The next job for a lane: of its own kind, else of one that nobody works on, else of the one with most left."""
    kind = kinds[lane]
    if kind not in waiting:
        free = [name for name in waiting if name not in kinds]
        kind = free[0] if free else max(waiting, key=lambda name: len(waiting[name]))
        kinds[lane] = kind
    entry = waiting[kind].popleft()
    if not waiting[kind]:
        del waiting[kind]
    return entry


@contextlib.contextmanager
def _environment(variables: dict[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


@contextlib.contextmanager
def without_interrupts() -> Iterator[None]:
    """Holds Ctrl-C back; processes that start meanwhile begin so, and are not interrupted while they import."""
    if sys.platform == "win32":
        yield
        return
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
