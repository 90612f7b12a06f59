"""Worker processes: a pool that survives the death of a worker, and the jobs that run inside it."""

from __future__ import annotations

import contextlib
import functools
import os
import signal
import sys
import threading
import time
import traceback
import types
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context, parent_process
from pathlib import Path
from typing import Any

from codecbench.dataset import Dataset, ImageSet
from codecbench.errors import printable
from codecbench.provenance import available_cores
from codecbench.records import Task, Timing
from codecbench.registry import CODECS
from codecbench.store import RunFolder

THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS")
TIMING_THREADS = 1
MOST_WORKERS = 61 if sys.platform == "win32" else sys.maxsize
"""Windows cannot wait for more processes at once, and the pool refuses them."""


def drain(
    jobs: list[tuple[Any, tuple[Any, ...]]], workers: int, threads: int, finish: Callable[[Any, Any], None]
) -> list[Any]:
    """Runs jobs in a pool, also when workers die.

    Args:
        jobs: what to call a job by, and the function with its arguments.
        workers: how many processes.
        threads: how many each of them may use.
        finish: receives the name of a job and what its function returned.

    Returns:
        The names of the jobs that were in flight when a worker died; all others are done.
    """
    workers = min(workers, MOST_WORKERS)
    suspects: list[Any] = []
    queue = list(reversed(jobs))
    while queue:
        running: dict[Future[Any], tuple[Any, tuple[Any, ...]]] = {}
        with worker_pool(min(workers, len(queue)), threads) as submit:
            broken = False
            while running or (queue and not broken):
                while queue and not broken and len(running) < 2 * workers:
                    entry = queue.pop()
                    try:
                        running[submit(*entry[1])] = entry
                    except BrokenProcessPool:
                        if running:
                            queue.append(entry)
                        else:  # not even a fresh pool takes it
                            suspects.append(entry[0])
                        broken = True
                done, _ = wait(running, return_when=FIRST_COMPLETED)
                for future in done:
                    entry = running.pop(future)
                    try:
                        result = future.result()
                    except BrokenProcessPool:
                        suspects.append(entry[0])
                        broken = True
                        continue
                    finish(entry[0], result)
    return suspects


@contextlib.contextmanager
def worker_pool(workers: int, threads: int) -> Iterator[Callable[..., Future[Any]]]:
    """Spawned worker processes whose libraries use a fixed number of threads; yields a ``submit``.

    The workers do not import the caller's main module, so a script needs no ``if __name__ == "__main__"``.
    On an exception (Ctrl-C included) what has not begun is cancelled.
    """
    pool = ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=_begin_worker)

    def submit(function: Callable[..., Any], *arguments: Any) -> Future[Any]:
        with _environment(dict.fromkeys(THREAD_VARIABLES, str(threads))), _hidden_main():
            return pool.submit(function, *arguments)

    try:
        yield submit
    except BaseException:
        processes = list((pool._processes or {}).values())
        pool.shutdown(wait=False, cancel_futures=True)
        for process in processes:
            process.terminate()
        raise
    pool.shutdown()


def _begin_worker() -> None:
    """Leaves Ctrl-C to the parent, which ends its workers in order; ends with a parent that was killed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)  # the pool's queue would keep this process waiting for ever


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
def _hidden_main() -> Iterator[None]:
    main = sys.modules["__main__"]
    sys.modules["__main__"] = types.ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main


def threads_for(workers: int) -> int:
    """Threads that each of several worker processes may use, so that together they fill the cores."""
    return max(1, available_cores() // workers)


@functools.lru_cache(maxsize=4)
def _open(dataset: Dataset, data_dir: Path) -> ImageSet:
    return dataset.load(data_dir)


def work(task: Task, dataset: Dataset, data_dir: Path, folder: Path, device: str) -> str:
    """Measures one task in a worker process and stores it; a codec's failure is stored too, never raised.

    Returns:
        Why the task failed, in one line; empty where it did not.

    Raises:
        StoreError: the result cannot be written.
    """
    from codecbench.measure import measure

    store = RunFolder(folder)
    began = time.perf_counter()
    try:
        images = _open(dataset, data_dir).read(task.indices)
        measurement = measure(task, images, device)
    except BaseException as error:  # whatever a plugin raises, SystemExit included, costs its own task only
        seconds = time.perf_counter() - began
        reason = one_line(error)
        store.write_failure(task, reason, "".join(traceback.format_exception(error)), seconds)
        return reason
    store.write_task(task, measurement, time.perf_counter() - began)
    return ""


def one_line(error: BaseException) -> str:
    """An exception as one line: ``BitstreamError: …``."""
    return printable(" ".join(f"{type(error).__name__}: {error}".split()))


def time_task(task: Task, dataset: Dataset, data_dir: Path, device: str) -> Timing:
    """Times one codec point in the timing process."""
    from codecbench.timing import time_codec, timed_count

    try:
        CODECS.get(task.codec.name)  # a learned codec loads torch, whose threads can only then be set
        torch = sys.modules.get("torch")
        if torch is not None:
            torch.set_num_threads(TIMING_THREADS)
        images = _open(dataset, data_dir).read(task.indices[: timed_count(task.shape)])
        return time_codec(task.codec, images, device, TIMING_THREADS)
    except BaseException as error:
        return Timing(0, (), (), TIMING_THREADS, device, failed=one_line(error))
