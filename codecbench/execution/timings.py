"""The pass that takes timings: one block at a time, in rounds, each codec in processes of its own.

The codecs of a dataset are taken in groups of a few, in an order by seed. A group's codecs have two hosts each, one
that encodes and one that decodes, which live as long as the group. In each of ``records.ROUNDS`` rounds every point of
the group has its turn, in an order by seed, so that a machine that grows slow or busy does so for all codecs alike.
What a round gave is stored at once: a run that was stopped goes on with the rounds that are missing.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import random
import tempfile
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from codecbench.execution.sandbox import Host, HostError
from codecbench.execution.workers import Place
from codecbench.measure import timing
from codecbench.measure.timing import ROUNDS, Timing
from codecbench.plan.tasks import Task
from codecbench.plugins.codec import Images, Shape

GROUP = 8
"""Codecs that have processes at the same time."""
GPU_GROUP = 2
"""The same where a GPU computes: each process holds memory of it."""
ROLES = ("encoding", "decoding")
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


def is_complete(found: Timing) -> bool:
    """Whether a point has all its rounds."""
    return not found.failed and len(found.encode_s) >= ROUNDS


@dataclass
class Point:
    """A codec point on a dataset, and its times so far.

    Attributes:
        task: a finished task of this point.
        batched: the codec works on batches.
        uses_device: the codec computes on the device.
        first: it is the codec's first planned point on this dataset, on which the cold call is taken.
        found: the times so far.
        bitstreams: of the timed images, once they are known.
        failures: how often it failed.
    """

    task: Task
    batched: bool
    uses_device: bool
    first: bool
    found: Timing
    bitstreams: list[bytes] = field(default_factory=list)
    failures: int = 0


@dataclass(frozen=True)
class Step:
    """What a step of the pass gave.

    Attributes:
        task: whose point it was.
        found: its times so far.
        rounds: rounds that are over with this step: one, or all that were left where the point failed.
    """

    task: Task
    found: Timing
    rounds: int


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

    Args:
        wait: called every second while another one does; may raise.
    """
    from filelock import FileLock, Timeout

    user = os.getuid() if hasattr(os, "getuid") else 0
    lock = FileLock(Path(tempfile.gettempdir()) / f"codecbench-timing-{user}.lock")
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


def time_group(group: Sequence[Point], images: Images, place: Place, seed: int) -> Generator[Step, None, None]:
    """Times a group's points, round by round.

    Args:
        group: the points, all on the same images; their times so far are changed.
        images: the images to time, uint8 (N, H, W, C), those of :func:`timed_count`.
        place: device, threads and limits.
        seed: of the order.

    Yields:
        A step whenever a point has had its turn.
    """
    hosts: dict[tuple[str, str], Host] = {}
    try:
        for number in itertools.count():
            waiting = [point for point in group if not (is_complete(point.found) or point.found.failed)]
            if not waiting:
                break
            turn = [point for point in waiting if len(point.found.encode_s) <= number]
            random.Random(f"{seed} {number}").shuffle(turn)
            if number == 0:  # cold is what comes first in a process
                turn.sort(key=lambda point: not point.first)
            for point in turn:
                had, failures = len(point.found.encode_s), point.failures
                _take_turn(point, images, place, hosts)
                if point.failures > failures:  # what is new in a process comes first there, for each point
                    for other in group:
                        if other is not point and other.task.codec.name == point.task.codec.name:
                            other.bitstreams = []
                yield Step(point.task, point.found, ROUNDS - had if point.found.failed else 1)
    finally:
        for host in hosts.values():
            host.close()


def _take_turn(point: Point, images: Images, place: Place, hosts: dict[tuple[str, str], Host]) -> None:
    """One round of one point; a failure is tried once more, in new processes."""
    name = point.task.codec.name
    while True:
        try:
            point.found = _timed_once(point, images, place, hosts)
            return
        except HostError as error:
            wrote = []
            for role in ROLES:
                if (host := hosts.pop((name, role), None)) is not None:
                    host.close()
                    wrote += [host.stderr_tail()]
            point.failures += 1
            point.bitstreams = []
            if point.failures >= ATTEMPTS:
                details = "\n\n".join(dict.fromkeys(text for text in (error.details, *wrote) if text))
                point.found = replace(point.found, failed=error.reason, details=details)
                return


def _timed_once(point: Point, images: Images, place: Place, hosts: dict[tuple[str, str], Host]) -> Timing:
    encoder, decoder = (_host(hosts, point.task.codec.name, role, place) for role in ROLES)
    found = point.found if point.bitstreams else _begun(point, images, place, encoder, decoder)
    spec, bitstreams, pixels = point.task.codec, point.bitstreams, images[: len(point.bitstreams)]
    encoding = encoder.call(timing.time_encoding, spec, pixels, found.batch, place.device)
    decoding = decoder.call(timing.time_decoding, spec, bitstreams, found.batch, place.device)
    if point.batched:
        few = LATENCY_IMAGES
        alone = encoder.call(timing.time_encoding, spec, pixels[:few], 1, place.device)
        back_alone = decoder.call(timing.time_decoding, spec, bitstreams[:few], 1, place.device)
        found = replace(
            found,
            encode_latency_s=(*found.encode_latency_s, alone.wall_s),
            decode_latency_s=(*found.decode_latency_s, back_alone.wall_s),
        )
    (encode_peak, encode_device), (decode_peak, decode_device) = encoder.call(timing.usage), decoder.call(timing.usage)
    return replace(
        found,
        encode_s=(*found.encode_s, encoding.wall_s),
        decode_s=(*found.decode_s, decoding.wall_s),
        encode_cpu_s=(*found.encode_cpu_s, encoding.cpu_s),
        decode_cpu_s=(*found.decode_cpu_s, decoding.cpu_s),
        encode_peak_bytes=_largest(found.encode_peak_bytes, encode_peak),
        decode_peak_bytes=_largest(found.decode_peak_bytes, decode_peak),
        device_peak_bytes=_largest(found.device_peak_bytes, encode_device, decode_device),
    )


def _begun(point: Point, images: Images, place: Place, encoder: Host, decoder: Host) -> Timing:
    """The first calls at a point in a process: the bitstreams, how many images are timed, and what was cold."""
    found, common = point.found, (point.task.codec, point.task.codec_fingerprint)
    first = encoder.call(timing.first_encoding, *common, images, place.device, place.threads, MOST_S)
    back = decoder.call(timing.first_decoding, *common, first.output, place.device, place.threads)
    count = min(len(first.output), max(1, int(MOST_S / max(back.image_s, 1e-9))))
    if count != found.images and len(first.output) >= found.images > 0:
        count = found.images  # the rounds of an earlier command are of as many
    point.bitstreams = first.output[:count]
    if count != found.images:
        found = Timing(count, (), (), found.threads, found.device, shape=found.shape, seed=found.seed, host=found.host)
    if point.first and found.cold_encode_s is None:
        found = replace(found, cold_encode_s=first.cold_s, cold_decode_s=back.cold_s)
    if point.uses_device and place.device != "cpu":
        found = replace(found, transfer_s=encoder.call(timing.time_transfer, images[:count]))
    return replace(found, batch=count if point.batched else 1)


def _largest(*values: int | None) -> int | None:
    known = [value for value in values if value is not None]
    return max(known) if known else None


def _host(hosts: dict[tuple[str, str], Host], name: str, role: str, place: Place) -> Host:
    if (name, role) not in hosts:
        environment = {"CODECBENCH_CODEC_PATH": place.codec_path}
        hosts[name, role] = Host(role, place.threads, place.timeout_s, place.memory_limit, environment)
    return hosts[name, role]
