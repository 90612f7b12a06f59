"""The timing protocol: the harness times, a codec never does.

One codec point at a time, over a fixed number of images in one batch, from uint8 in host memory to bytes and back:
one call to warm up, blocks calibrated to a minimum length, repeats, and every repeat kept.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

from codecbench.codec import Images
from codecbench.errors import ContractError
from codecbench.provenance import device_name
from codecbench.records import CodecSpec, Shape, Timing
from codecbench.registry import CODECS

TIMED_IMAGES = 32
TIMED_PIXELS = 1 << 21
REPEATS = 5
BLOCK_S = 0.005
"""A block repeats its call until it lasts about this long, in seconds, so that the clock's resolution is no matter."""
PATIENCE_S = 2.0
"""After this long in one direction, in seconds, no further repeat is begun; three are always made."""


def timed_count(shape: Shape) -> int:
    """How many images of a shape are timed: 32, fewer for images above 65,536 pixels."""
    return max(1, min(TIMED_IMAGES, TIMED_PIXELS // (shape[0] * shape[1])))


def time_codec(spec: CodecSpec, images: Images, device: str, threads: int) -> Timing:
    """Times one codec point.

    Args:
        spec: the codec.
        images: uint8 (N, H, W, C), one batch.
        device: where codecs with device use compute.
        threads: how many threads this process lets a codec use; recorded.

    Raises:
        CodecError: whatever the codec raises.
    """
    cls = CODECS.get(spec.name)
    encoder, decoder = cls(**spec.settings).on(device), cls(**spec.settings).on(device)
    bitstreams = encoder.encode(images)
    if len(bitstreams) != len(images):
        raise ContractError(f"{spec}: encode returned {len(bitstreams)} bitstreams for {len(images)} images")
    return Timing(
        images=len(images),
        encode_s=_repeat(lambda: encoder.encode(images), len(images)),
        decode_s=_repeat(lambda: decoder.decode(bitstreams), len(images)),
        threads=threads,
        device=device_name(device) if cls.uses_device else "cpu",
    )


def _repeat(call: Callable[[], object], images: int) -> tuple[float, ...]:
    call()
    began = time.perf_counter()
    call()
    _synchronise()
    calls = max(1, round(BLOCK_S / max(time.perf_counter() - began, 1e-9)))
    seconds: list[float] = []
    started = time.perf_counter()
    while len(seconds) < REPEATS and (len(seconds) < 3 or time.perf_counter() - started < PATIENCE_S):
        began = time.perf_counter()
        for _ in range(calls):
            call()
        _synchronise()
        seconds.append((time.perf_counter() - began) / (calls * images))
    return tuple(seconds)


def _synchronise() -> None:
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available() and torch.cuda.is_initialized():
        torch.cuda.synchronize()
