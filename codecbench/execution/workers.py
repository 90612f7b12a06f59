"""Jobs as they run in worker processes: rates and distortions of tasks, and what is kept of learned codecs.

A worker never runs a codec itself. It has two sandboxes (``codecbench.execution.sandbox``), one that encodes and one
that decodes, both for one codec at a time: the decoding one gets specs and bytes, and has never seen an image.
Whatever a codec does, a crash, a call of exit, a hang, too much memory, costs its own task only.
"""

from __future__ import annotations

import contextlib
import functools
import inspect
import random
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from codecbench.environment import device_name
from codecbench.errors import DatasetError, PluginError
from codecbench.execution import watch
from codecbench.execution.limits import WorkerLimits
from codecbench.execution.metrics import PluginMetrics
from codecbench.execution.sandbox import Sandbox, SandboxError
from codecbench.execution.sandbox_child import describe
from codecbench.fingerprint import fingerprint_pixels
from codecbench.measure import task as measure
from codecbench.plan.tasks import Task, codec_fingerprint
from codecbench.plugins.codec import CodecSpec, Images
from codecbench.plugins.dataset import Dataset, ImageSet
from codecbench.plugins.registry import CODECS
from codecbench.store.io import write_files
from codecbench.store.tasks import failure_files, task_files
from codecbench.text import one_line

ATTEMPTS = 2
"""How often a task is tried, each time in new processes."""


@dataclass(frozen=True)
class TaskResult:
    """What became of a task."""

    task: Task
    reason: str = ""  # why it failed, in one line; empty where it did not
    first_attempt: str = ""  # why the first attempt failed, where a second one did not
    files: dict[str, bytes] = field(default_factory=dict)  # to be written, in this order, by path in the run folder
    metrics_failed: dict[str, str] = field(default_factory=dict)  # by name, why a plugin metric has no values


def measure_tasks(tasks: tuple[Task, ...], dataset: Dataset, limits: WorkerLimits) -> list[TaskResult]:
    """Measures points of one codec on the same images; a codec's failure is recorded, never raised."""
    results = []
    for result in _measured(tasks, dataset, limits):
        check_stopped()
        if limits.folder is None:
            results.append(result)
        else:
            write_files(limits.folder, result.files)
            results.append(replace(result, files={}))
    return results


def _measured(tasks: tuple[Task, ...], dataset: Dataset, limits: WorkerLimits) -> Iterator[TaskResult]:
    began = time.perf_counter()
    try:
        images = images_of(dataset, limits.data_dir, tasks[0].indices, tasks[0].data_fingerprint)
    except BaseException as error:  # a dataset is a plugin too
        why = SandboxError(one_line(error), describe(error))
        yield from [failed_task(task, why, time.perf_counter() - began) for task in tasks]
        return
    left, failures = list(tasks), list[SandboxError]()
    if len(tasks) > 1:
        try:
            for result in _measured_together(tasks, images, limits):
                left.remove(result.task)
                yield result
        except SandboxError as error:  # the first attempt of the task that was due; the others are measured one by one
            failures.append(error)
            close()
    for task in left:
        yield _measured_alone(task, images, limits, failures)
        failures = []


def _measured_together(
    tasks: tuple[Task, ...], images: Images, limits: WorkerLimits, first_attempt: str = ""
) -> Iterator[TaskResult]:
    processes = processes_for(tasks[0], limits)
    specs = [task.codec for task in tasks]
    began = time.perf_counter()
    streams = processes.encoder.stream(measure.encode, specs, images, limits.device)
    for task, encoded in zip(tasks, streams, strict=True):
        output = processes.decode(task.codec, encoded, limits.device, sample(task))
        processes.check_files()
        try:
            measurement = measure.score(task, images, encoded, output, processes.metrics.measure)
            files = task_files(task, measurement, time.perf_counter() - began, first_attempt)
        except Exception as error:  # also of values that no codec should give
            raise SandboxError(one_line(error), describe(error)) from error
        yield TaskResult(task, "", first_attempt, files, measurement.metrics_failed)
        began = time.perf_counter()


def _measured_alone(task: Task, images: Images, limits: WorkerLimits, failures: list[SandboxError]) -> TaskResult:
    """Measures one task, however often it may still fail after the failures before, which grow."""
    began = time.perf_counter()
    wrote: list[str] = []
    while len(failures) < ATTEMPTS:
        try:
            (result,) = _measured_together((task,), images, limits, failures[0].reason if failures else "")
            return result
        except SandboxError as error:
            failures.append(error)
            wrote = close()
    reason, details = failures[-1].reason, failures[-1].details
    details = "\n\n".join([details] * bool(details) + [text for text in wrote if not details.endswith(text)])
    return failed_task(task, SandboxError(reason, details), time.perf_counter() - began, len(failures))


def failed_task(task: Task, why: SandboxError, seconds: float = 0.0, attempts: int = 1) -> TaskResult:
    """What became of a task that failed, with the record of that."""
    return TaskResult(task, why.reason, files=failure_files(task, why.reason, why.details, seconds, attempts))


def sample(task: Task) -> list[int]:
    """Positions of some images of a task, by its identity, in the order in which they are decoded alone."""
    count = len(task.indices)
    if count == 1:
        return []
    chosen = random.Random(task.id).sample(range(count), min(4, 1 + count // 32))
    return sorted(chosen, key=lambda at: at == 0) if chosen != [0] else [count - 1]  # the first is what others lean on


@functools.lru_cache(maxsize=4)
def open_images(dataset: Dataset, data_dir: Path) -> ImageSet:
    """A dataset's images, opened once by a worker."""
    return dataset.load(data_dir)


@functools.lru_cache(maxsize=1)
def images_of(dataset: Dataset, data_dir: Path, indices: tuple[int, ...], fingerprint: str) -> Images:
    """A task's images, which the tasks of other points mostly share; raises DatasetError where they changed."""
    images = open_images(dataset, data_dir).read(indices)
    if fingerprint_pixels([images]) != fingerprint:
        raise DatasetError(f"the images of {dataset.label} changed while the run went on; run again")
    images.setflags(write=False)
    return images


# ---- the processes of a worker --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class CodecProcesses:
    """A sandbox that encodes and one that decodes, both for one codec; and what measures plugin metrics."""

    encoder: Sandbox
    decoder: Sandbox
    metrics: PluginMetrics
    key: object  # what they are for
    files: dict[str, object] = field(default_factory=dict)  # the codec's weights and sources, and how they were found

    @classmethod
    def start(cls, limits: WorkerLimits, key: object = None) -> CodecProcesses:
        """Starts the two sandboxes, in which nothing is imported yet."""
        given = (limits.threads, limits.timeout_s, limits.memory_limit, limits.variables)
        encoder = Sandbox("encoding", *given)
        try:
            decoder = Sandbox("decoding", *given)
        except SandboxError:
            encoder.close()
            raise
        return cls(encoder, decoder, PluginMetrics(limits), key)

    def load(self, task: Task, limits: WorkerLimits) -> None:
        """Imports a task's codec in both at once; it must be the one that the run was planned with."""
        for sandbox in (self.encoder, self.decoder):
            sandbox.begin(check_codec, task.codec.name, task.codec_fingerprint, limits.device, limits.threads)
        for sandbox in (self.encoder, self.decoder):
            files, sandbox.forks = sandbox.answer()
        self.files.update((file, _stamp(file)) for file in files)

    def decode(
        self, spec: CodecSpec, encoded: measure.Encoded, device: str, sample: Iterable[int] = ()
    ) -> measure.Output:
        """Decodes a batch in a process that knows no other; before it some of its streams alone, which must agree."""
        alone: dict[int, measure.Output] = {}
        with self.decoder.apart():
            for at in sample:
                try:
                    alone[at] = self.decoder.call(measure.decode, spec, encoded.bitstreams[at : at + 1], device)
                except SandboxError as error:
                    why = f"{error.reason} (decoding image {at + 1} of a batch by itself)"
                    raise SandboxError(why, error.details, error.died) from None
            output: measure.Output = self.decoder.call(measure.decode, spec, encoded.bitstreams, device)
        for at, one in alone.items():
            if measure.differ(encoded, output[at : at + 1], one):
                raise SandboxError(
                    f"{spec}: decoded by itself, image {at + 1} of a batch is another one than in the batch"
                )
        return output

    def check_files(self) -> None:
        """Makes sure that nothing reached the decoder by a file of the codec's."""
        for file, stamp in self.files.items():
            if _stamp(file) != stamp:
                raise SandboxError(f"{file} changed while the codec was at work")

    def kill(self) -> None:
        """Ends all of them at once, and waits for nothing; from any thread."""
        for process in (self.encoder, self.decoder, self.metrics):
            process.kill()

    def close(self) -> list[str]:
        """Ends all of them; returns the end of what the codec wrote to standard output and error."""
        for process in (self.encoder, self.decoder, self.metrics):
            process.close()
        return [tail for sandbox in (self.encoder, self.decoder) if (tail := sandbox.stderr_tail())]


_open: dict[int, CodecProcesses] = {}
"""The processes of this worker's threads: a cluster's worker may have several threads."""
_busy: dict[int, threading.Event] = {}
"""Threads that work for a cluster's run, with the event that it is over."""
_lock = threading.Lock()


class Stopped(BaseException):
    """The run that a job belongs to is over: no failure of the codec, and nothing to record."""


@contextlib.contextmanager
def working_until(over: threading.Event) -> Iterator[None]:
    """Lets the job of this thread end with :class:`Stopped` once an event is set, and then its processes too."""
    thread = threading.get_ident()
    with _lock:
        _busy[thread] = over
    try:
        yield
        check_stopped()
    finally:
        if over.is_set():
            close()
        with _lock:
            del _busy[thread]


def check_stopped() -> None:
    """Raises :class:`Stopped` where the run of this thread's job is over."""
    over = _busy.get(threading.get_ident())
    if over is not None and over.is_set():
        raise Stopped


def processes_for(task: Task, limits: WorkerLimits) -> CodecProcesses:
    """This thread's processes, with a task's codec imported; started where it has none, or another codec's."""
    check_stopped()
    thread, key = threading.get_ident(), (task.codec.name, task.codec_fingerprint, limits)
    processes = _open.get(thread)
    if processes is None or processes.key != key:
        close()
        processes = CodecProcesses.start(limits, key)
        try:
            processes.load(task, limits)
        except SandboxError:
            processes.close()
            raise
        _open[thread] = processes
        check_stopped()
    return processes


def close() -> list[str]:
    """Ends this thread's processes; see :meth:`CodecProcesses.close`."""
    processes = _open.pop(threading.get_ident(), None)
    return [] if processes is None else processes.close()


def close_idle() -> None:
    """Ends the processes of threads that do nothing; kills those of threads whose run is over, which close them."""
    with _lock:
        for thread, processes in tuple(_open.items()):
            if thread not in _busy:
                _open.pop(thread, None)
                processes.close()
            elif _busy[thread].is_set():
                processes.kill()


def check_codec(name: str, fingerprint: str, device: str, threads: int) -> tuple[list[str], bool]:
    """Imports a codec in a sandbox, which is watched from then on; what the codec is made of, and whether forks work.

    Raises PluginError unless it is the codec that the run was planned with.
    """
    cls = CODECS.get(name)
    if codec_fingerprint(cls, device_name(device) if cls.uses_device else "cpu") != fingerprint:
        raise PluginError(f"the source or the weights of {name} changed while the run went on; run again")
    torch = sys.modules.get("torch")
    if torch is not None:  # what the environment says holds only where nothing else set it since
        torch.set_num_threads(threads)
    watch.start()
    source = Path(inspect.getfile(cls))
    files = [*map(Path, cls.weight_files()), source, *source.parent.glob("_*.py")]
    forks = sys.platform == "linux" and not (torch is not None and torch.cuda.is_initialized())
    return [str(file.absolute()) for file in files], forks


def _stamp(file: str) -> object:
    """What changes when a file does."""
    try:
        found = Path(file).stat()
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns
