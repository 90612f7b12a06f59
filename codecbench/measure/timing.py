"""The timing protocol as it runs in a host: the harness times, a codec never does.

Times are taken in a process that does nothing but encode, or nothing but decode, with one codec: from uint8 in host
memory to bytes, and back. A block repeats one call over a set of images until it lasts :data:`BLOCK_S`, after a call
that warms up; both clocks are read around it, the wall's and the CPU's (of all threads, and of child processes that
ended). An accelerator is waited for before a clock is read.
"""

from __future__ import annotations

import math
import resource
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from codecbench.environment import device_name, peak_bytes
from codecbench.errors import ContractError
from codecbench.plan.tasks import codec_fingerprint
from codecbench.plugins.codec import Codec, CodecSpec, Images, Shape
from codecbench.plugins.registry import CODECS

BLOCK_S = 0.02
"""A block is calibrated to last this long, in seconds, so that the clocks' resolution is no matter; one that lasts less
than half of it is taken again."""
WARM_IMAGES = 4
"""Images of the call that warms up a codec which works image by image; a batch is warmed up whole."""
ROUNDS = 5
"""Values that each time of a codec point is the median of."""
LOOKS = 3
"""Passes over images that took longer when they were new, the shortest of which counts."""
REMEMBERS = 5.0
"""A codec that takes so many times as long over images for the first time remembers what it saw. So do processors and
allocators, a little: over images of 28×28, jpegls and qoi came to 1.53 and the decoder of lzma to 2.55."""


@dataclass(frozen=True)
class Timing:
    """Times of one codec point on a fixed set of images, from uint8 in host memory to bytes and back.

    Times are wall seconds per image, one value per round, after warm-up. A codec that works image by image has no times
    of single images, which would be the same.
    """

    images: int
    encode_s: tuple[float, ...]
    decode_s: tuple[float, ...]
    threads: int  # that the codec could use
    device: str  # ``cpu`` or the accelerator's name
    failed: str = ""  # the reason in one line
    batch: int = 1  # images in one call
    encode_cpu_s: tuple[float, ...] = ()  # CPU seconds of all threads and child processes in the same calls
    decode_cpu_s: tuple[float, ...] = ()
    encode_new: tuple[float, ...] = ()  # beside each round, how many times as long images take that are new
    decode_new: tuple[float, ...] = ()
    encode_latency_s: tuple[float, ...] = ()  # of a call with a single image
    decode_latency_s: tuple[float, ...] = ()
    cold_encode_s: float | None = None
    """Seconds of the first call in a fresh process, with the import of the plugin, the loading of weights and the
    compiling of kernels; taken on one point of a codec and dataset."""
    cold_decode_s: float | None = None
    encode_peak_bytes: int | None = None
    """Peak resident memory, libraries included, of the process that encoded, and did nothing else, with this codec on
    this dataset; None where the system does not tell."""
    decode_peak_bytes: int | None = None
    device_peak_bytes: int | None = None  # allocated on the accelerator, the larger of encoding and decoding
    transfer_s: float | None = None  # seconds per image, in the times, to move pixels to the accelerator and back
    shape: Shape = (0, 0, 0)
    seed: int = 0  # of the order of the rounds
    host: str = ""  # tells machines apart, see ``codecbench.environment.host_id``
    details: str = ""  # of a failure, a traceback or the end of what the codec's process wrote

    @property
    def complete(self) -> bool:
        """Whether it has the times of all rounds."""
        return not self.failed and len(self.encode_s) >= ROUNDS

    def remembered(self) -> str:
        """Why these are times of a codec that remembers what it saw, in one line; empty where they are not.

        All rounds must say so: a busy machine slows some.
        """
        for way in ("encode", "decode"):
            least = min(getattr(self, f"{way}_new"), default=0.0)
            if least > REMEMBERS:
                return f"remembers what it saw: {way[:-1]}ing new images takes {least:.3g} times as long"
        return ""


@dataclass(frozen=True)
class Block:
    """What one block gave: wall and CPU seconds per image, and how often the set of images was gone through."""

    wall_s: float
    cpu_s: float
    calls: int
    new: float = 1.0  # how many times as long the pass took that calibrated it, over new images where there are any
    output: list[bytes] = field(default_factory=list)  # of encoding, what that pass gave


@dataclass(frozen=True)
class First:
    """What the first calls at a point gave."""

    cold_s: float | None  # of the first call on one image, with the plugin's import; None if the process had worked
    image_s: float  # of the next call on one image
    output: list[bytes]  # of encoding, the bitstreams of all images


_worked = False


def first_encoding(
    spec: CodecSpec, fingerprint: str, images: Images, device: str, threads: int, most_s: float
) -> First:
    """Encodes one image twice, the first time cold, and then as many as are timed: ``most_s`` seconds of them.

    Raises ContractError where the codec's fingerprint is not the one that the run was planned with.
    """
    cold, image_s = _first(spec, fingerprint, device, threads, lambda codec: codec.encode(images[:1]))
    count = max(1, min(len(images), int(most_s / max(image_s, 1e-9))))
    bitstreams = _codec(spec, device).encode(images[:count])
    if len(bitstreams) != count:
        raise ContractError(f"{spec}: encode returned {len(bitstreams)} bitstreams for {count} images")
    return First(cold, image_s, bitstreams)


def first_decoding(spec: CodecSpec, fingerprint: str, bitstreams: Sequence[bytes], device: str, threads: int) -> First:
    """Decodes one image twice, the first time cold; see :func:`first_encoding`."""
    cold, image_s = _first(spec, fingerprint, device, threads, lambda codec: codec.decode(bitstreams[:1]))
    return First(cold, image_s, [])


def shifted(images: Images, levels: int) -> Images:
    """Images made some levels lighter, those that are light already darker: new ones that cost what the others do."""
    new = images.copy()
    for image in new:
        if image.mean() < 128:
            np.add(np.minimum(image, 255 - levels, out=image), levels, out=image, casting="unsafe")
        else:
            np.subtract(np.maximum(image, levels, out=image), levels, out=image, casting="unsafe")
    return new


def time_encoding(spec: CodecSpec, images: Images, batch: int, device: str, levels: int = 0) -> Block:
    """Times one block of encoding all images, ``batch`` a call; the pass that calibrates it has them shifted.

    The block's output are the bitstreams of these images, which the process must not have seen: each call of this for
    one codec and images gets other ``levels``.
    """
    codec = _codec(spec, device)
    new = _parts(shifted(images, levels), batch)
    return _block(codec.encode, _parts(images, batch), new, len(images), codec.batched)


def time_decoding(
    spec: CodecSpec, bitstreams: Sequence[bytes], batch: int, device: str, new: Sequence[bytes] = ()
) -> Block:
    """Times one block of decoding all bitstreams, ``batch`` a call; ``new`` are those of :func:`time_encoding`."""
    codec = _codec(spec, device)
    parts = _parts(bitstreams, batch)
    return _block(codec.decode, parts, _parts(new, batch) or parts, len(bitstreams), codec.batched)


def usage() -> tuple[int, int | None]:
    """Peak resident memory of this process, and peak memory allocated on an accelerator, if any, in bytes."""
    cuda = _cuda()
    return peak_bytes(), None if cuda is None else int(cuda.max_memory_allocated())


def time_transfer(images: Images) -> float | None:
    """Seconds per image to copy uint8 pixels (N, H, W, C) to the accelerator and back; None where there is none."""
    cuda = _cuda()
    if cuda is None:
        return None
    torch = sys.modules["torch"]
    host = torch.tensor(images)

    def copy(pixels: Any) -> None:
        pixels.to("cuda").to("cpu")

    return _block(copy, [host], [host], len(images), batched=True).wall_s


def _codec(spec: CodecSpec, device: str) -> Codec:
    return CODECS.get(spec.name)(**spec.settings).on(device)


def _parts(items: Any, batch: int) -> list[Any]:
    return [items[start : start + batch] for start in range(0, len(items), batch)]


def _first(
    spec: CodecSpec, fingerprint: str, device: str, threads: int, call: Callable[[Codec], object]
) -> tuple[float | None, float]:
    global _worked
    was_cold, _worked = not _worked, True
    began = time.perf_counter()
    codec = _codec(spec, device)
    torch = sys.modules.get("torch")
    if torch is not None:  # a learned codec loads it, and its threads can only then be set
        torch.set_num_threads(threads)
    call(codec)
    _synchronise()
    cold_s = time.perf_counter() - began
    if was_cold and codec_fingerprint(type(codec), device_name(device)) != fingerprint:
        raise ContractError(f"the source or the weights of {spec.name} changed while the run went on; run again")
    began = time.perf_counter()
    call(codec)
    _synchronise()
    return cold_s if was_cold else None, time.perf_counter() - began


def _block(call: Callable[[Any], Any], parts: list[Any], new: list[Any], images: int, batched: bool) -> Block:
    for part in parts if batched else parts[:WARM_IMAGES]:
        call(part)
    _synchronise()
    output: list[bytes] = []
    cpu_before, began = _cpu_s(), time.perf_counter()
    for part in new:
        found = call(part)
        output += found if isinstance(found, list) else []
    _synchronise()
    took = first = time.perf_counter() - began
    first_cpu = _cpu_s() - cpu_before
    repeats = 0
    while True:  # once, but where something else held the calibration up, or the codec remembers
        repeats = max(2 * repeats, math.ceil(BLOCK_S / max(took, 1e-9)))
        wall, cpu = _passes(call, parts, repeats)
        took = wall / repeats
        if wall >= BLOCK_S / 2:
            break
    took_cpu = cpu / repeats
    if first > REMEMBERS * took:  # or these images cost more by themselves
        walls, cpus = zip(*(_passes(call, new, 1) for _ in range(LOOKS)), strict=True)
        took, took_cpu = max(took, min(walls)), max(took_cpu, min(cpus))
    longer = min(first / max(took, 1e-9), first_cpu / max(took_cpu, 1e-9))  # a busy machine is no memory
    done = repeats * images
    return Block(wall / done, max(0.0, cpu) / done, repeats, longer, output)


def _passes(call: Callable[[Any], Any], parts: list[Any], repeats: int) -> tuple[float, float]:
    """Wall and CPU seconds of so many passes."""
    cpu, wall = _cpu_s(), time.perf_counter()
    for _ in range(repeats):
        for part in parts:
            call(part)
    _synchronise()
    return time.perf_counter() - wall, _cpu_s() - cpu


def _cpu_s() -> float:
    """CPU seconds of this process's threads, and of its children that ended."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


def _cuda() -> Any:
    torch = sys.modules.get("torch")
    usable = torch is not None and torch.cuda.is_available() and torch.cuda.is_initialized()
    return torch.cuda if torch is not None and usable else None


def _synchronise() -> None:
    cuda = _cuda()
    if cuda is not None:
        cuda.synchronize()
