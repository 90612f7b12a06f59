"""Jobs as they run in worker processes: rates and distortions of tasks, and what is kept of learned codecs.

A worker never runs a codec itself. It has two hosts (``codecbench.execution.sandbox``), one that encodes and one that
decodes, both for one codec at a time: the decoding one gets specs and bytes, and has never seen an image. Whatever a
codec does, a crash, a call of exit, a hang, too much memory, costs its own task only.
"""

from __future__ import annotations

import functools
import os
import signal
import sys
import threading
import time
from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass, field
from multiprocessing import parent_process
from pathlib import Path
from typing import TYPE_CHECKING

from codecbench.environment import device_name
from codecbench.errors import DatasetError, PluginError
from codecbench.execution.metrics import Meter
from codecbench.execution.sandbox import Host, HostError, kill_all
from codecbench.execution.sandbox_child import describe
from codecbench.fingerprint import fingerprint_pixels
from codecbench.measure import task as measure
from codecbench.plan.tasks import Task, codec_fingerprint
from codecbench.plugins.codec import Images
from codecbench.plugins.dataset import Dataset, ImageSet
from codecbench.plugins.registry import CODECS
from codecbench.store.folder import RunFolder, failure_files, task_files
from codecbench.text import one_line

if TYPE_CHECKING:
    from codecbench.store.latents import Request

ATTEMPTS = 2
"""How often a task is tried, each time in new processes."""


@dataclass(frozen=True)
class Place:
    """Where and under which limits a run's jobs are done.

    Attributes:
        data_dir: the data root.
        folder: the run folder, which a worker writes into; None where its results travel back to the caller.
        device: ``cpu`` or ``cuda``, for codecs with device use and the metrics.
        threads: how many each process may use.
        timeout_s: seconds that a codec may take to encode or decode one task; None for any.
        memory_limit: bytes of resident memory that an encoding or decoding process may use; None for any.
        codec_path: the folders of plugins, as ``$CODECBENCH_CODEC_PATH`` names them.
        metrics: the plugin metrics that are measured: pairs of name and fingerprint.
        metric_path: the folders of their plugins, as ``$CODECBENCH_METRIC_PATH`` names them.
    """

    data_dir: Path
    folder: Path | None
    device: str
    threads: int
    timeout_s: float | None = None
    memory_limit: int | None = None
    codec_path: str = ""
    metrics: tuple[tuple[str, str], ...] = ()
    metric_path: str = ""


@dataclass(frozen=True)
class Job:
    """Tasks that are measured together: points of one codec on the same images.

    Attributes:
        tasks: one a point.
        dataset: where the images come from.
    """

    tasks: tuple[Task, ...]
    dataset: Dataset


@dataclass(frozen=True)
class Done:
    """What became of a task.

    Attributes:
        task: the task.
        reason: why it failed, in one line; empty where it did not.
        first_attempt: why the first attempt failed, where a second one did not.
        metrics_failed: by name, why a plugin metric has no values.
        files: what is to be written, in this order, by name in the run folder; empty where the worker wrote it.
    """

    task: Task
    reason: str = ""
    first_attempt: str = ""
    files: dict[str, bytes] = field(default_factory=dict)
    metrics_failed: dict[str, str] = field(default_factory=dict)


def work(job: Job, place: Place) -> list[Done]:
    """Measures a job's tasks; a codec's failure is recorded, never raised.

    Raises:
        StoreError: a result cannot be written.
    """
    began = time.perf_counter()
    try:
        images = images_of(job.dataset, place.data_dir, job.tasks[0].indices, job.tasks[0].data_fingerprint)
    except BaseException as error:  # a dataset is a plugin too
        seconds = time.perf_counter() - began
        failure = HostError(one_line(error), describe(error))
        return [
            _finish(place, task, failure_files(task, failure.reason, failure.details, seconds), failure.reason)
            for task in job.tasks
        ]
    done: list[Done] = []
    failures: list[HostError] = []
    if len(job.tasks) > 1:
        try:
            for task, files, lacking in _measured_together(job.tasks, images, place):
                done.append(_finish(place, task, files, metrics_failed=lacking))
        except HostError as error:  # the first attempt of the task that was due; the others are measured one by one
            failures.append(error)
            _close_pair()
    for task in job.tasks[len(done) :]:
        done.append(_measured_alone(task, images, place, failures))
        failures = []
    return done


def _measured_together(
    tasks: tuple[Task, ...], images: Images, place: Place, first_attempt: str = ""
) -> Iterator[tuple[Task, dict[str, bytes], dict[str, str]]]:
    """Gives each task, its files, and why plugin metrics have no values in them."""
    pair = pair_for(tasks[0], place)
    specs = [task.codec for task in tasks]
    began = time.perf_counter()
    for task, encoded in zip(tasks, pair.encoder.stream(measure.encode, specs, images, place.device), strict=True):
        output = pair.decoder.call(measure.decode, task.codec, encoded.bitstreams, place.device)
        try:
            measurement = measure.score(task, images, encoded, output, place.device, pair.meter.measure)
            files = task_files(task, measurement, time.perf_counter() - began, first_attempt)
        except Exception as error:  # also of values that no codec should give
            raise HostError(one_line(error), describe(error)) from error
        yield task, files, measurement.metrics_failed
        began = time.perf_counter()


def _measured_alone(task: Task, images: Images, place: Place, before: Sequence[HostError] = ()) -> Done:
    """Measures one task, however often it may still fail after the attempts before."""
    began = time.perf_counter()
    failures, wrote = list(before), list[str]()
    while len(failures) < ATTEMPTS:
        first = failures[0].reason if failures else ""
        try:
            ((_, files, lacking),) = _measured_together((task,), images, place, first)
        except HostError as error:
            failures.append(error)
            wrote = _close_pair()
        else:
            return _finish(place, task, files, first_attempt=first, metrics_failed=lacking)
    seconds = time.perf_counter() - began
    reason, details = failures[-1].reason, failures[-1].details
    details = "\n\n".join([details] * bool(details) + [text for text in wrote if not details.endswith(text)])
    return _finish(place, task, failure_files(task, reason, details, seconds, len(failures)), reason)


def _finish(
    place: Place,
    task: Task,
    files: dict[str, bytes],
    reason: str = "",
    first_attempt: str = "",
    metrics_failed: dict[str, str] | None = None,
) -> Done:
    if place.folder is not None:
        RunFolder.write_into(place.folder, files)
        files = {}
    return Done(task, reason, first_attempt, files, metrics_failed or {})


@functools.lru_cache(maxsize=4)
def open_images(dataset: Dataset, data_dir: Path) -> ImageSet:
    """A dataset's images, opened once by a worker."""
    return dataset.load(data_dir)


@functools.lru_cache(maxsize=1)
def images_of(dataset: Dataset, data_dir: Path, indices: tuple[int, ...], fingerprint: str) -> Images:
    """A task's images, which the tasks of other points mostly share.

    Raises:
        DatasetError: they are not those that the run was planned with, or cannot be read.
    """
    images = open_images(dataset, data_dir).read(indices)
    if fingerprint_pixels([images]) != fingerprint:
        raise DatasetError(f"the images of {dataset.label} changed while the run went on; run again")
    images.setflags(write=False)
    return images


def exhibit(request: Request, dataset: Dataset, place: Place) -> tuple[str, bytes]:
    """Makes what a report shows of a codec's latents; whatever fails is told, never raised.

    Returns:
        Why there are none, in one line, empty where there are; and the content of their file.
    """
    try:
        content: bytes = pair_for(request.task, place).encoder.call(make_exhibit, request, dataset, place)
    except HostError as error:
        _close_pair()
        return error.reason, b""
    return "", content


def make_exhibit(request: Request, dataset: Dataset, place: Place) -> bytes:
    """The same in the host."""
    from codecbench.store import latents

    images = open_images(dataset, place.data_dir)
    return latents.make(request, images.read, getattr(images, "labels", None), place.device)


# ---- the two hosts of a worker --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Pair:
    """A host that encodes and one that decodes, both with one codec imported; and what measures the plugin metrics."""

    encoder: Host
    decoder: Host
    meter: Meter

    @classmethod
    def start(cls, name: str, fingerprint: str, place: Place) -> Pair:
        """Starts both at once, and imports the codec.

        Raises:
            HostError: it cannot be imported, or is not the one that the run was planned with.
        """
        environment = {"CODECBENCH_CODEC_PATH": place.codec_path}
        hosts: list[Host] = []
        try:
            for role in ("encoding", "decoding"):
                hosts.append(Host(role, place.threads, place.timeout_s, place.memory_limit, environment))
                hosts[-1].begin(check_codec, name, fingerprint, place.device, place.threads)
            for host in hosts:
                host.answer()
        except BaseException:
            for host in hosts:
                host.close()
            raise
        encoder, decoder = hosts
        return cls(encoder, decoder, Meter(place.metrics, place.metric_path, place.threads, place.timeout_s))

    def close(self) -> None:
        """Ends all of them."""
        self.encoder.close()
        self.decoder.close()
        self.meter.close()


class _Held(threading.local):
    """The pair that a worker's thread holds: a cluster's worker may have several threads."""

    pair: Pair | None = None
    key: object = None
    over: threading.Event | None = None


_held = _Held()
_all_pairs: dict[Pair, int] = {}
"""Every pair, and the thread that holds it."""


class Stopped(BaseException):
    """The run that a job belongs to is over: no failure of the codec, and nothing to record."""


def stop_when(over: threading.Event | None) -> None:
    """Lets the jobs of this thread end with :class:`Stopped` once an event is set."""
    _held.over = over


def check_stopped() -> None:
    """Ends a job whose run is over.

    Raises:
        Stopped: it is.
    """
    if _held.over is not None and _held.over.is_set():
        raise Stopped


def pair_for(task: Task, place: Place) -> Pair:
    """The hosts that this thread holds, with a task's codec imported; started where these are another's.

    Raises:
        HostError: they cannot be started, or the codec is not the one that the run was planned with.
    """
    check_stopped()
    key = (task.codec.name, task.codec_fingerprint, place)
    if _held.pair not in _all_pairs or _held.key != key:
        _close_pair()
        _held.pair, _held.key = Pair.start(task.codec.name, task.codec_fingerprint, place), key
        _all_pairs[_held.pair] = threading.get_ident()
        check_stopped()
    return _held.pair


def _close_pair() -> list[str]:
    """Ends the hosts that this thread holds; tells the end of what they wrote to standard output and error."""
    pair, _held.pair = _held.pair, None
    if pair is None:
        return []
    pair.close()
    _all_pairs.pop(pair, None)
    return [tail for host in (pair.encoder, pair.decoder) if (tail := host.stderr_tail())]


def close_pairs(busy: Container[int] = (), ending: Container[int] = ()) -> None:
    """Ends hosts of this worker's threads; from any thread.

    Args:
        busy: threads, by identity, that are at work: theirs stay.
        ending: those of them whose run is over: theirs are killed, and closed by the thread itself.
    """
    for pair, thread in tuple(_all_pairs.items()):
        if thread in ending:
            pair.encoder.kill()
            pair.decoder.kill()
            pair.meter.kill()
        elif thread not in busy:
            _all_pairs.pop(pair, None)
            pair.close()


def close_own_pair() -> None:
    """Ends the hosts of the calling thread."""
    _close_pair()


def check_codec(name: str, fingerprint: str, device: str, threads: int) -> None:
    """Imports a codec in a host, and makes sure that it is the one that the run was planned with.

    Raises:
        PluginError: it is not.
    """
    if codec_fingerprint(CODECS.get(name), device_name(device)) != fingerprint:
        raise PluginError(f"the source or the weights of {name} changed while the run went on; run again")
    torch = sys.modules.get("torch")
    if torch is not None:  # what the environment says holds only where nothing else set it since
        torch.set_num_threads(threads)


def begin_worker() -> None:
    """Leaves Ctrl-C to the parent, which ends its workers in order; ends the hosts with the worker."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # held back until here, see codecbench.execution.engines
    signal.signal(signal.SIGTERM, _end)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end(*_: object) -> None:
    kill_all()  # and wait for nothing: the signal may have come while this thread held a lock
    os._exit(1)


def _end_with_parent() -> None:
    parent = parent_process()
    if parent is not None:
        parent.join()
        _end()  # the pool's queue would keep this process waiting for ever
