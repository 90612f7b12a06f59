"""The pass that takes timings: one block at a time, in rounds over all points, each codec in processes of its own.

The codecs of a dataset are taken in groups of a few, in an order by seed. A group's codecs have two hosts each, one
that encodes and one that decodes, which live as long as the group. In each of ``records.ROUNDS`` rounds every point of
the group has its turn, in an order by seed, so that a machine that grows slow or busy does so for all codecs alike.
What a round gave is stored at once: a run that was stopped goes on with the rounds that are missing.
"""

from __future__ import annotations

import random
from collections.abc import Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from codecbench.codec import Images
from codecbench.records import ROUNDS, Shape, Task, Timing
from codecbench.running import timing
from codecbench.running.hosts import Host, HostError
from codecbench.running.workers import Place

GROUP = 8
"""Codecs that have processes at the same time."""
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
        found: the times so far.
        bitstreams: of the timed images, once they are known.
        failures: how often it failed.
    """

    task: Task
    batched: bool
    uses_device: bool
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


def groups(points: Iterable[Point], seed: int) -> Iterator[list[Point]]:
    """Points of one dataset and of at most :data:`GROUP` codecs, in an order by seed."""
    by_dataset: dict[str, dict[str, list[Point]]] = {}
    for point in points:
        by_dataset.setdefault(point.task.dataset, {}).setdefault(point.task.codec.name, []).append(point)
    for label, codecs in by_dataset.items():
        names = sorted(codecs)
        random.Random(f"{seed} {label}").shuffle(names)
        for start in range(0, len(names), GROUP):
            yield [point for name in names[start : start + GROUP] for point in codecs[name]]


def time_group(group: Sequence[Point], images: Images, place: Place, seed: int) -> Generator[Step, None, None]:
    """Times a group's points, round by round.

    Args:
        group: the points, all on one dataset; their times so far are changed.
        images: the images to time, uint8 (N, H, W, C), those of :func:`timed_count`.
        place: device, threads and limits.
        seed: of the order.

    Yields:
        A step whenever a point has had its turn, and once more each when the memory is known.
    """
    hosts: dict[tuple[str, str], Host] = {}
    try:
        for number in range(ROUNDS):
            turn = [point for point in group if len(point.found.encode_s) <= number and not point.found.failed]
            order = random.Random(f"{seed} {number}")
            order.shuffle(turn)
            if number == 0 or not hosts:  # cold is what comes first: the codec's first point
                turn.sort(key=lambda point: point is not _first_of(group, point))
            for point in turn:
                had, failures = len(point.found.encode_s), point.failures
                _take_turn(point, images, place, hosts)
                if point.failures > failures:  # what is new in a process comes first there, for each point
                    for other in group:
                        if other is not point and other.task.codec.name == point.task.codec.name:
                            other.bitstreams = []
                yield Step(point.task, point.found, ROUNDS - had if point.found.failed else 1)
        usage = {key: _usage(host) for key, host in hosts.items()}
    finally:
        for host in hosts.values():
            host.close()
    for point in group:
        if not point.found.failed:
            encoding, decoding = (usage.get((point.task.codec.name, role)) for role in ("encoding", "decoding"))
            point.found = _with_memory(point.found, encoding, decoding)
            yield Step(point.task, point.found, 0)


def _first_of(group: Sequence[Point], point: Point) -> Point:
    return next(other for other in group if other.task.codec.name == point.task.codec.name)


def _take_turn(point: Point, images: Images, place: Place, hosts: dict[tuple[str, str], Host]) -> None:
    """One round of one point; a failure is tried once more, in new processes."""
    name = point.task.codec.name
    while True:
        try:
            _time_once(point, images, place, hosts)
            return
        except HostError as error:
            for role in ("encoding", "decoding"):
                if (host := hosts.pop((name, role), None)) is not None:
                    host.close()
            point.failures += 1
            point.bitstreams = []
            if point.failures >= ATTEMPTS:
                point.found = replace(point.found, failed=error.reason)
                return


def _time_once(point: Point, images: Images, place: Place, hosts: dict[tuple[str, str], Host]) -> None:
    task, found = point.task, point.found
    encoder, decoder = (_host(hosts, task.codec.name, role, place) for role in ("encoding", "decoding"))
    if not point.bitstreams:
        common = (task.codec, task.codec_fingerprint)
        first = encoder.call(timing.first_encoding, *common, images, place.device, place.threads, MOST_S)
        back = decoder.call(timing.first_decoding, *common, first.output, place.device, place.threads)
        count = min(len(first.output), max(1, int(MOST_S / max(back.image_s, 1e-9))))
        if found.images not in (0, count):  # rounds of an earlier command are of as many images
            count = min(found.images, len(first.output))
        point.bitstreams = first.output[:count]
        found = replace(
            found,
            images=count,
            batch=count if point.batched else 1,
            cold_encode_s=found.cold_encode_s if first.cold_s is None else first.cold_s,
            cold_decode_s=found.cold_decode_s if back.cold_s is None else back.cold_s,
        )
        if point.uses_device and place.device != "cpu":
            found = replace(found, transfer_s=encoder.call(timing.time_transfer, images[:count]))
    bitstreams, spec = point.bitstreams, task.codec
    pixels, batch = images[: len(bitstreams)], len(bitstreams)
    encoding = encoder.call(timing.time_encoding, spec, pixels, batch, place.device)
    decoding = decoder.call(timing.time_decoding, spec, bitstreams, batch, place.device)
    if point.batched:
        one_by_one = pixels[:LATENCY_IMAGES], bitstreams[:LATENCY_IMAGES]
        alone = encoder.call(timing.time_encoding, spec, one_by_one[0], 1, place.device)
        back_alone = decoder.call(timing.time_decoding, spec, one_by_one[1], 1, place.device)
        found = replace(
            found,
            encode_latency_s=(*found.encode_latency_s, alone.wall_s),
            decode_latency_s=(*found.decode_latency_s, back_alone.wall_s),
        )
    point.found = replace(
        found,
        encode_s=(*found.encode_s, encoding.wall_s),
        decode_s=(*found.decode_s, decoding.wall_s),
        encode_cpu_s=(*found.encode_cpu_s, encoding.cpu_s),
        decode_cpu_s=(*found.decode_cpu_s, decoding.cpu_s),
    )


def _host(hosts: dict[tuple[str, str], Host], name: str, role: str, place: Place) -> Host:
    if (name, role) not in hosts:
        environment = {"CODECBENCH_CODEC_PATH": place.codec_path}
        hosts[name, role] = Host(role, place.threads, place.timeout_s, place.memory_limit, environment)
    return hosts[name, role]


def _usage(host: Host) -> tuple[int | None, int | None]:
    try:
        memory: tuple[int | None, int | None] = host.call(timing.usage)
    except HostError:
        return None, None
    return memory


def _with_memory(
    found: Timing, encoding: tuple[int | None, int | None] | None, decoding: tuple[int | None, int | None] | None
) -> Timing:
    encoding, decoding = encoding or (None, None), decoding or (None, None)
    device = [memory for memory in (encoding[1], decoding[1]) if memory is not None]
    return replace(
        found,
        encode_peak_bytes=encoding[0],
        decode_peak_bytes=decoding[0],
        device_peak_bytes=max(device) if device else None,
    )
