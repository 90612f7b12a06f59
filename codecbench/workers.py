"""Worker processes: a pool that survives the death of a worker, and the jobs that run inside it."""

from __future__ import annotations

import contextlib
import functools
import os
import pickle
import signal
import sys
import threading
import time
import traceback
import types
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context, parent_process
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING, Any

from codecbench.dataset import Dataset, ImageSet, fingerprint_pixels
from codecbench.errors import DatasetError, PluginError, StoreError, one_line, printable
from codecbench.provenance import available_cores, device_name
from codecbench.records import Task, Timing
from codecbench.registry import CODECS, codec_fingerprint
from codecbench.store import RunFolder

if TYPE_CHECKING:
    from codecbench.exhibits import Request

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
        _check_codec(task, device)
        images = _open(dataset, data_dir).read(task.indices)
        if fingerprint_pixels([images]) != task.data_fingerprint:
            raise DatasetError(f"the images of {task.dataset} changed while the run went on; run again")
        measurement = measure(task, images, device, _decoder.decode)
    except BaseException as error:  # whatever a plugin raises, SystemExit included, costs its own task only
        seconds = time.perf_counter() - began
        reason = error.reason if isinstance(error, _FailedElsewhere) else one_line(error)
        details = error.details if isinstance(error, _FailedElsewhere) else _traceback(error)
        store.write_failure(task, reason, details, seconds)
        return reason
    store.write_task(task, measurement, time.perf_counter() - began)
    return ""


def time_task(task: Task, dataset: Dataset, data_dir: Path, device: str) -> Timing:
    """Times one codec point in the timing process."""
    from codecbench.timing import time_codec, timed_count

    try:
        _check_codec(task, device)  # a learned codec loads torch, whose threads can only then be set
        torch = sys.modules.get("torch")
        if torch is not None:
            torch.set_num_threads(TIMING_THREADS)
        images = _open(dataset, data_dir).read(task.indices[: timed_count(task.shape)])
        return time_codec(task.codec, images, device, TIMING_THREADS)
    except BaseException as error:
        return Timing(0, (), (), TIMING_THREADS, device, failed=one_line(error))


def exhibit(request: Request, dataset: Dataset, data_dir: Path, folder: Path, device: str) -> str:
    """Keeps what a report shows of a codec's latents; whatever fails is recorded, never raised.

    Returns:
        Why there are none, in one line; empty where there are.
    """
    from codecbench import exhibits

    store = RunFolder(folder)
    try:
        _check_codec(request.task, device)
        images = _open(dataset, data_dir)
        exhibits.write(store, request, exhibits.make(request, images.read, getattr(images, "labels", None), device))
    except BaseException as error:  # as in work
        reason = one_line(error)
        with contextlib.suppress(StoreError):
            exhibits.write_failure(store, request, reason)
        return reason
    return ""


class _FailedElsewhere(Exception):
    """A failure in the decoding process, with its words."""

    def __init__(self, reason: str, details: str = ""):
        super().__init__(reason)
        self.reason, self.details = reason, details


class _Decoder:
    """A process that decodes for one worker: it gets a task's codec and bytes, and has never seen an image."""

    def __init__(self) -> None:
        self._pipe: Connection | None = None

    def decode(self, task: Task, bitstreams: Sequence[bytes], device: str) -> Any:
        """What ``measure.decode_output`` gives there."""
        if self._pipe is None:
            self._pipe = self._begin()
        try:
            self._pipe.send((task, list(bitstreams), device))
            output, reason, details = self._pipe.recv()
        except (EOFError, OSError):
            self._pipe = None
            raise _FailedElsewhere("the decoding process died (killed, crashed, or called exit)") from None
        if reason:
            raise _FailedElsewhere(reason, details)
        return output

    def _begin(self) -> Connection:
        context = get_context("spawn")
        ours, theirs = context.Pipe()
        with _hidden_main():
            # Daemonic, so that the worker ends it when it ends itself.
            context.Process(target=_serve_decoding, args=(theirs,), daemon=True).start()
        theirs.close()
        return ours


_decoder = _Decoder()


def _serve_decoding(pipe: Connection) -> None:
    _begin_worker()
    while True:
        try:
            task, bitstreams, device = pipe.recv()
        except EOFError:
            return
        answer = _decode_task(task, bitstreams, device)
        try:
            pipe.send(answer)
        except (TypeError, AttributeError, pickle.PicklingError) as error:  # no array, then: nothing was sent yet
            pipe.send((None, one_line(error), _traceback(error)))


def _decode_task(task: Task, bitstreams: Sequence[bytes], device: str) -> tuple[Any, str, str]:
    from codecbench.measure import decode_output

    try:
        _check_codec(task, device)
        return decode_output(task, bitstreams, device), "", ""
    except BaseException as error:
        return None, one_line(error), _traceback(error)


def _check_codec(task: Task, device: str) -> None:
    """Imports the codec and makes sure that it is the one that the run was planned with."""
    if _fingerprint(task.codec.name, device) != task.codec_fingerprint:
        raise PluginError(f"the source or the weights of {task.codec.name} changed while the run went on; run again")


@functools.cache
def _fingerprint(name: str, device: str) -> str:
    return codec_fingerprint(CODECS.get(name), device_name(device))


def _traceback(error: BaseException) -> str:
    return printable("".join(traceback.format_exception(error)))
