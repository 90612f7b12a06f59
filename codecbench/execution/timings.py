"""The stage that takes timings: one block at a time, in rounds, each codec in processes of its own.

The codecs of a dataset are taken in groups of a few, in an order by seed. A group's codecs have two sandboxes each, one
that encodes and one that decodes, which live as long as the group. In each of ``ROUNDS`` rounds every point of the
group has its turn, in an order by seed, so that a machine that grows slow or busy does so for all codecs alike. What a
round gave is stored at once: a run that was stopped goes on with the rounds that are missing.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import random
import tempfile
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from functools import cache, partial
from pathlib import Path

from codecbench import environment
from codecbench.execution import workers
from codecbench.execution.context import Progress, RunContext
from codecbench.execution.engines import WORKER_DIED
from codecbench.execution.limits import WorkerLimits
from codecbench.execution.sandbox import SandboxError
from codecbench.execution.workers import CodecProcesses
from codecbench.measure import timing
from codecbench.measure.timing import ROUNDS, Timing
from codecbench.plan.planner import Plan
from codecbench.plan.tasks import Task
from codecbench.plugins.codec import CodecSpec, Images, Shape
from codecbench.plugins.dataset import Dataset
from codecbench.plugins.registry import CODECS
from codecbench.store.folder import RunFolder
from codecbench.store.timings import TimingRecord

GROUP = 8
"""Codecs that have processes at the same time."""
GPU_GROUP = 2
"""The same where a GPU computes: each process holds memory of it."""
TIMED_IMAGES = 32
TIMED_PIXELS = 1 << 21
LATENCY_IMAGES = 8
"""Images that are coded one by one for the latency of codecs that work on batches."""
MOST_S = 1.0
"""Slow codecs are timed on fewer images, so that going through all of them lasts no longer, in seconds."""
ATTEMPTS = 2


def timed_count(shape: Shape) -> int:
    """How many images of a shape are timed: 32, fewer for images above 65,536 pixels, or where a codec is slow."""
    return max(1, min(TIMED_IMAGES, TIMED_PIXELS // (shape[0] * shape[1])))


@dataclass
class Point:
    """A codec point on a dataset, and its times so far."""

    task: Task  # a finished task of this point
    batched: bool
    uses_device: bool
    first: bool  # it is the codec's first planned point on this dataset, on which the cold call is taken
    found: Timing  # the times so far
    bitstreams: list[bytes] = field(default_factory=list)  # of the timed images, once they are known
    failures: int = 0


@dataclass(frozen=True)
class Step:
    """What a step of the stage gave."""

    task: Task
    found: Timing  # the times of the task's point so far
    rounds: int  # that are over with this step: one, or all that were left where the point failed


def time_here(run: RunContext, seed: int) -> int:
    """Times every point of a plan that has rows and is not timed yet, on this machine; returns how many failed."""
    run.note_damaged(TimingRecord)
    waiting, progress = _begin(run, seed, environment.host_id(environment.machine(run.limits.device)))
    images = {source.selection.label: source.images for source in run.plan.sources}
    note_once = cache(partial(run.note, "another process takes times on this machine; waiting for it to end"))
    for group in groups(waiting, seed, run.limits.device):
        task = group[0].task
        pixels = images[task.dataset].read(task.indices[: timed_count(task.shape)])
        # The processes of a group end with its steps, also where these are left.
        with alone(note_once), closing(time_group(group, pixels, run.limits, seed)) as steps:
            for step in steps:
                _keep(step, run, progress)
    return progress.failed


def time_elsewhere(run: RunContext, seed: int, host: str) -> int:
    """Times what :func:`time_here` times, on the machines of a cluster; returns how many points failed.

    The engine has a slot for each machine, which does one group of points at a time. Rounds of the machine ``host``
    are gone on with.
    """
    waiting, progress = _begin(run, seed, host)

    def finish(group: Sequence[Point], steps: Iterable[Step]) -> None:
        for step in steps:
            _keep(step, run, progress)

    def died(group: Sequence[Point]) -> None:
        for point in group:
            point.found = replace(point.found, failed=WORKER_DIED)
        finish(group, [Step(point.task, point.found, ROUNDS - len(point.found.encode_s)) for point in group])

    jobs = [(group, group[0].task) for group in groups(waiting, seed, run.limits.device)]
    run.run(partial(time_points, seed), jobs, finish, died, kind=lambda task: task.id)  # no two in a slot
    return progress.failed


def _begin(run: RunContext, seed: int, host: str) -> tuple[list[Point], Progress]:
    points = timing_points(run.plan, run.store, run.limits, seed, host)
    waiting = [point for point in points if not point.found.complete]
    total = len(points) * ROUNDS
    missing = sum(ROUNDS - len(point.found.encode_s) for point in waiting)
    return waiting, Progress("timed", total, total - missing, run.watch)


def _keep(step: Step, run: RunContext, progress: Progress) -> None:
    run.store.write_timing(step.task, step.found)
    reason = step.found.failed
    progress.step(step.task, step.rounds, f"not timed: {reason}" if reason else "")


def timing_points(plan: Plan, store: RunFolder, limits: WorkerLimits, seed: int = 0, host: str = "") -> list[Point]:
    """Every codec point of a plan that has rows, with the times that the run folder has of it on a machine.

    Rounds of another machine count only where all are there.
    """
    finished = store.finished()
    points: dict[tuple[str, CodecSpec], Point] = {}
    begun: set[tuple[str, str]] = set()
    for task in plan.tasks:
        if task.id not in finished or (task.dataset, task.codec) in points:
            continue
        cls = CODECS.get(task.codec.name)
        found = store.timing(task, limits.threads)
        if found is None or found.failed or not (found.complete or found.host == host):  # rounds of one machine alone
            found = _no_rounds(task, cls.uses_device, limits, seed, host)
        first = (task.dataset, cls.name) not in begun
        points[task.dataset, task.codec] = Point(task, cls.batched, cls.uses_device, first, found)
        begun.add((task.dataset, cls.name))
    return list(points.values())


def time_points(seed: int, points: list[Point], dataset: Dataset, limits: WorkerLimits) -> list[Step]:
    """Times a group of points, all on one dataset, on a cluster's machine; rounds of another machine are forgotten."""
    host = environment.host_id(environment.machine(limits.device))
    task = points[0].task
    images = workers.images_of(dataset, limits.data_dir, task.indices, task.data_fingerprint)
    for point in points:
        if point.found.host != host:
            point.found = _no_rounds(point.task, point.uses_device, limits, seed, host)
    steps = []
    pixels = images[: timed_count(task.shape)]
    with alone(workers.check_stopped), closing(time_group(points, pixels, limits, seed)) as found:
        for step in found:
            workers.check_stopped()
            steps.append(step)
    return steps


def _no_rounds(task: Task, uses_device: bool, limits: WorkerLimits, seed: int, host: str) -> Timing:
    device = environment.device_name(limits.device) if uses_device else "cpu"
    return Timing(0, (), (), limits.threads, device, shape=task.shape, seed=seed, host=host)


def groups(points: Iterable[Point], seed: int, device: str = "cpu") -> Iterator[list[Point]]:
    """Points on the same images, and of as many codecs as have processes at the same time, in an order by seed."""
    size = GROUP if device == "cpu" else GPU_GROUP
    alike: dict[tuple[object, ...], dict[str, list[Point]]] = {}
    for point in points:
        task = point.task
        images = task.dataset, task.shape, task.indices[: timed_count(task.shape)]
        alike.setdefault(images, {}).setdefault(task.codec.name, []).append(point)
    for (label, *_), codecs in alike.items():
        names = sorted(codecs)
        random.Random(f"{seed} {label}").shuffle(names)
        for start in range(0, len(names), size):
            yield [point for name in names[start : start + size] for point in codecs[name]]


@contextlib.contextmanager
def alone(wait: Callable[[], None] = lambda: None) -> Iterator[None]:
    """Keeps two processes of one machine, and of one user, from timing at once.

    ``wait`` is called every second while another one does; it may raise.
    """
    from filelock import FileLock, Timeout

    lock = FileLock(Path(tempfile.gettempdir()) / f"codecbench-timing-{os.getuid()}.lock")
    while True:
        try:
            lock.acquire(timeout=1.0)
            break
        except Timeout:
            wait()
    try:
        yield
    finally:
        lock.release()


def time_group(group: Sequence[Point], images: Images, limits: WorkerLimits, seed: int) -> Generator[Step, None, None]:
    """Times a group's points round by round, on the first images (:func:`timed_count`) of them all, uint8 (N, H, W, C).

    The points' times so far are changed; yields a step whenever a point has had its turn.
    """
    processes: dict[str, CodecProcesses] = {}
    try:
        for number in itertools.count():
            waiting = [point for point in group if not (point.found.complete or point.found.failed)]
            if not waiting:
                break
            turn = [point for point in waiting if len(point.found.encode_s) <= number]
            random.Random(f"{seed} {number}").shuffle(turn)
            if number == 0:  # cold is what comes first in a process
                turn.sort(key=lambda point: not point.first)
            for point in turn:
                had, failures = len(point.found.encode_s), point.failures
                _take_turn(point, images, limits, processes)
                if point.failures > failures:  # what is new in a process comes first there, for each point
                    for other in group:
                        if other is not point and other.task.codec.name == point.task.codec.name:
                            other.bitstreams = []
                yield Step(point.task, point.found, ROUNDS - had if point.found.failed else 1)
    finally:
        for of_codec in processes.values():
            of_codec.close()


def _take_turn(point: Point, images: Images, limits: WorkerLimits, processes: dict[str, CodecProcesses]) -> None:
    """One round of one point; a failure is tried once more, in new processes."""
    name = point.task.codec.name
    while True:
        try:
            if name not in processes:
                processes[name] = CodecProcesses.start(limits)
            point.found = _timed_once(point, images, limits, processes[name])
            return
        except SandboxError as error:
            wrote = processes.pop(name).close() if name in processes else []
            point.failures += 1
            point.bitstreams = []
            if point.failures >= ATTEMPTS:
                details = "\n\n".join(dict.fromkeys(text for text in (error.details, *wrote) if text))
                point.found = replace(point.found, failed=error.reason, details=details)
                return


def _timed_once(point: Point, images: Images, limits: WorkerLimits, processes: CodecProcesses) -> Timing:
    encoder, decoder = processes.encoder, processes.decoder
    found = point.found if point.bitstreams else _begun(point, images, limits, processes)
    spec, bitstreams, pixels = point.task.codec, point.bitstreams, images[: len(point.bitstreams)]
    new = 1 + len(found.encode_s)  # as many levels apart, which no process has seen
    encoding = encoder.call(timing.time_encoding, spec, pixels, found.batch, limits.device, new)
    decoding = decoder.call(timing.time_decoding, spec, bitstreams, found.batch, limits.device, encoding.output)
    if point.batched:
        few = LATENCY_IMAGES
        alone = encoder.call(timing.time_encoding, spec, pixels[:few], 1, limits.device)
        back_alone = decoder.call(timing.time_decoding, spec, bitstreams[:few], 1, limits.device)
        found = replace(
            found,
            encode_latency_s=(*found.encode_latency_s, alone.wall_s),
            decode_latency_s=(*found.decode_latency_s, back_alone.wall_s),
        )
    (encode_peak, encode_device), (decode_peak, decode_device) = encoder.call(timing.usage), decoder.call(timing.usage)
    found = replace(
        found,
        encode_s=(*found.encode_s, encoding.wall_s),
        decode_s=(*found.decode_s, decoding.wall_s),
        encode_new=(*found.encode_new, encoding.new),
        decode_new=(*found.decode_new, decoding.new),
        encode_cpu_s=(*found.encode_cpu_s, encoding.cpu_s),
        decode_cpu_s=(*found.decode_cpu_s, decoding.cpu_s),
        encode_peak_bytes=_largest(found.encode_peak_bytes, encode_peak),
        decode_peak_bytes=_largest(found.decode_peak_bytes, decode_peak),
        device_peak_bytes=_largest(found.device_peak_bytes, encode_device, decode_device),
    )
    return replace(found, failed=found.remembered()) if found.complete else found


def _begun(point: Point, images: Images, limits: WorkerLimits, processes: CodecProcesses) -> Timing:
    """The first calls at a point in a process: the bitstreams, how many images are timed, and what was cold."""
    found, common = point.found, (point.task.codec, point.task.codec_fingerprint)
    encoder, decoder = processes.encoder, processes.decoder
    first = encoder.call(timing.first_encoding, *common, images, limits.device, limits.threads, MOST_S)
    back = decoder.call(timing.first_decoding, *common, first.output, limits.device, limits.threads)
    count = min(len(first.output), max(1, int(MOST_S / max(back.image_s, 1e-9))))
    if count != found.images and len(first.output) >= found.images > 0:
        count = found.images  # the rounds of an earlier command are of as many
    point.bitstreams = first.output[:count]
    if count != found.images:
        found = Timing(count, (), (), found.threads, found.device, shape=found.shape, seed=found.seed, host=found.host)
    if point.first and found.cold_encode_s is None:
        found = replace(found, cold_encode_s=first.cold_s, cold_decode_s=back.cold_s)
    if point.uses_device and limits.device != "cpu":
        found = replace(found, transfer_s=encoder.call(timing.time_transfer, images[:count]))
    return replace(found, batch=count if point.batched else 1)


def _largest(*values: int | None) -> int | None:
    return max((value for value in values if value is not None), default=None)
