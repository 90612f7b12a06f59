"""Jobs as they run in worker processes: rates and distortions of tasks, and what is kept of learned codecs.

A worker never runs a codec itself. It has two sandboxes (``codecbench.execution.sandbox``), one that encodes and one
that decodes, both for one codec at a time: the decoding one gets specs and bytes, and has never seen an image.
Whatever a codec does, a crash, a call of exit, a hang, too much memory, costs its own task only.
"""

from __future__ import annotations

import contextlib
import functools
import sys
import threading
import time
from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from codecbench.environment import device_name
from codecbench.errors import DatasetError, PluginError
from codecbench.execution.limits import WorkerLimits
from codecbench.execution.metrics import PluginMetrics
from codecbench.execution.sandbox import Sandbox, SandboxError
from codecbench.execution.sandbox_child import describe
from codecbench.fingerprint import fingerprint_pixels
from codecbench.measure import task as measure
from codecbench.plan.tasks import Task, codec_fingerprint
from codecbench.plugins.codec import Images
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
    reason: str = ""
    """Why it failed, in one line; empty where it did not."""
    first_attempt: str = ""
    """Why the first attempt failed, where a second one did not."""
    files: dict[str, bytes] = field(default_factory=dict)
    """What is to be written, in this order, by name in the run folder; empty where the worker wrote it."""
    metrics_failed: dict[str, str] = field(default_factory=dict)
    """By name, why a plugin metric has no values."""


def measure_tasks(tasks: tuple[Task, ...], dataset: Dataset, limits: WorkerLimits) -> list[TaskResult]:
    """Measures points of one codec on the same images; a codec's failure is recorded, never raised."""
    began = time.perf_counter()
    try:
        images = images_of(dataset, limits.data_dir, tasks[0].indices, tasks[0].data_fingerprint)
    except BaseException as error:  # a dataset is a plugin too
        seconds = time.perf_counter() - began
        failure = SandboxError(one_line(error), describe(error))
        return [
            _finish(limits, task, failure_files(task, failure.reason, failure.details, seconds), failure.reason)
            for task in tasks
        ]
    results: list[TaskResult] = []
    failures: list[SandboxError] = []
    if len(tasks) > 1:
        try:
            for task, files, no_values in _measured_together(tasks, images, limits):
                results.append(_finish(limits, task, files, metrics_failed=no_values))
        except SandboxError as error:  # the first attempt of the task that was due; the others are measured one by one
            failures.append(error)
            close()
    for task in tasks[len(results) :]:
        results.append(_measured_alone(task, images, limits, failures))
        failures = []
    return results


def _measured_together(
    tasks: tuple[Task, ...], images: Images, limits: WorkerLimits, first_attempt: str = ""
) -> Iterator[tuple[Task, dict[str, bytes], dict[str, str]]]:
    """Gives each task, its files, and why plugin metrics have no values in them."""
    processes = processes_for(tasks[0], limits)
    specs = [task.codec for task in tasks]
    began = time.perf_counter()
    streams = processes.encoder.stream(measure.encode, specs, images, limits.device)
    for task, encoded in zip(tasks, streams, strict=True):
        output = processes.decoder.call(measure.decode, task.codec, encoded.bitstreams, limits.device)
        try:
            measurement = measure.score(task, images, encoded, output, processes.metrics.measure)
            files = task_files(task, measurement, time.perf_counter() - began, first_attempt)
        except Exception as error:  # also of values that no codec should give
            raise SandboxError(one_line(error), describe(error)) from error
        yield task, files, measurement.metrics_failed
        began = time.perf_counter()


def _measured_alone(
    task: Task, images: Images, limits: WorkerLimits, before: Sequence[SandboxError] = ()
) -> TaskResult:
    """Measures one task, however often it may still fail after the attempts before."""
    began = time.perf_counter()
    failures, wrote = list(before), list[str]()
    while len(failures) < ATTEMPTS:
        first = failures[0].reason if failures else ""
        try:
            ((_, files, no_values),) = _measured_together((task,), images, limits, first)
        except SandboxError as error:
            failures.append(error)
            wrote = close()
        else:
            return _finish(limits, task, files, first_attempt=first, metrics_failed=no_values)
    seconds = time.perf_counter() - began
    reason, details = failures[-1].reason, failures[-1].details
    details = "\n\n".join([details] * bool(details) + [text for text in wrote if not details.endswith(text)])
    return _finish(limits, task, failure_files(task, reason, details, seconds, len(failures)), reason)


def _finish(
    limits: WorkerLimits,
    task: Task,
    files: dict[str, bytes],
    reason: str = "",
    first_attempt: str = "",
    metrics_failed: dict[str, str] | None = None,
) -> TaskResult:
    if limits.folder is not None:
        write_files(limits.folder, files)
        files = {}
    return TaskResult(task, reason, first_attempt, files, metrics_failed or {})


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
    """A sandbox that encodes and one that decodes, both with one codec imported; and what measures plugin metrics."""

    encoder: Sandbox
    decoder: Sandbox
    metrics: PluginMetrics

    @classmethod
    def start(cls, name: str, fingerprint: str, limits: WorkerLimits) -> CodecProcesses:
        """Starts both at once, and imports the codec, which must be the one that the run was planned with."""
        environment = {CODECS.variable: limits.codec_path}
        with contextlib.ExitStack() as started:
            encoder, decoder = (
                started.enter_context(Sandbox(role, limits.threads, limits.timeout_s, limits.memory_limit, environment))
                for role in ("encoding", "decoding")
            )
            for sandbox in (encoder, decoder):
                sandbox.begin(check_codec, name, fingerprint, limits.device, limits.threads)
            for sandbox in (encoder, decoder):
                sandbox.answer()
            started.pop_all()
        metrics = PluginMetrics(limits.metrics, limits.metric_path, limits.threads, limits.timeout_s)
        return cls(encoder, decoder, metrics)

    def kill(self) -> None:
        """Ends all of them at once, and waits for nothing; from any thread."""
        self.encoder.kill()
        self.decoder.kill()
        self.metrics.kill()

    def close(self) -> None:
        """Ends all of them."""
        self.encoder.close()
        self.decoder.close()
        self.metrics.close()


class _Thread(threading.local):
    """What one thread of a worker has: a cluster's worker may have several threads."""

    processes: CodecProcesses | None = None
    key: object = None
    over: threading.Event | None = None


_thread = _Thread()
_open: dict[CodecProcesses, int] = {}
"""All processes of this worker, and the thread that has them."""


class Stopped(BaseException):
    """The run that a job belongs to is over: no failure of the codec, and nothing to record."""


def stop_when(over: threading.Event | None) -> None:
    """Lets the jobs of this thread end with :class:`Stopped` once an event is set."""
    _thread.over = over


def check_stopped() -> None:
    """Raises :class:`Stopped` where the run of this thread's job is over."""
    if _thread.over is not None and _thread.over.is_set():
        raise Stopped


def processes_for(task: Task, limits: WorkerLimits) -> CodecProcesses:
    """This thread's processes, with a task's codec imported; started where it has none, or another codec's."""
    check_stopped()
    key = (task.codec.name, task.codec_fingerprint, limits)
    if _thread.processes not in _open or _thread.key != key:
        close()
        processes = CodecProcesses.start(task.codec.name, task.codec_fingerprint, limits)
        _thread.processes, _thread.key = processes, key
        _open[processes] = threading.get_ident()
        check_stopped()
    return _thread.processes


def close() -> list[str]:
    """Ends this thread's processes; returns the end of what they wrote to standard output and error."""
    processes, _thread.processes = _thread.processes, None
    if processes is None:
        return []
    processes.close()
    _open.pop(processes, None)
    return [tail for sandbox in (processes.encoder, processes.decoder) if (tail := sandbox.stderr_tail())]


def close_idle(busy: Container[int] = (), ending: Container[int] = ()) -> None:
    """Ends the processes of threads that are not ``busy``; kills those of threads whose run is ``ending``.

    From any thread; both are threads by identity. What is killed is closed by the thread itself.
    """
    for processes, thread in tuple(_open.items()):
        if thread in ending:
            processes.kill()
        elif thread not in busy:
            _open.pop(processes, None)
            processes.close()


def check_codec(name: str, fingerprint: str, device: str, threads: int) -> None:
    """Imports a codec in a sandbox; raises PluginError unless it is the one that the run was planned with."""
    if codec_fingerprint(CODECS.get(name), device_name(device)) != fingerprint:
        raise PluginError(f"the source or the weights of {name} changed while the run went on; run again")
    torch = sys.modules.get("torch")
    if torch is not None:  # what the environment says holds only where nothing else set it since
        torch.set_num_threads(threads)
