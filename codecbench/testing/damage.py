"""Damaged streams: how they are made, and what a codec may do with them."""

from __future__ import annotations

import contextlib
import itertools
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from codecbench.errors import BitstreamError
from codecbench.measure.timing import usage
from codecbench.plugins.codec import MAX_PIXELS, Codec, Images, Shape
from codecbench.testing.checks import require_images
from codecbench.testing.images import sample_images
from codecbench.testing.results import CheckFailed, require, trying
from codecbench.text import format_shape, one_line

MAX_DECODE_S = 20.0
"""Longest time that one damaged stream may take."""
MAX_GROWTH_BYTES = 2 << 30
"""Most memory that damaged streams may take: an image of ``MAX_PIXELS`` in float32, five times over."""

_TELLING = (0x00, 0x01, 0x7F, 0x80, 0xFE, 0xFF)
"""Bytes that make lengths and sizes extreme."""
_KINDS = 11
_REACH = 64
"""Many damages fall within so many bytes at the start, where headers are."""
_MOST_PLACES = 256
"""At so many places of the structure, at most, a check alters a stream."""


def check_truncation(codec: Codec, shape: Shape, seed: int = 0, cuts: int = 40) -> None:
    """Empty streams and those cut short raise ``BitstreamError``; codecs that say so may decode prefixes."""
    for stream in codec.encode(sample_images(shape, seed)[:3]):
        for end in ends_of_cuts(stream, seed, cuts):
            where = f"{format_shape(shape)}: a stream cut to {end} of {len(stream)} bytes"
            result = decode_doubtful(codec, stream[:end], where)
            allowed = codec.prefix_decodable and end > 0
            hint = "decodes to an image; if that must be so, say prefix_decodable = True"
            require(result is None or allowed, f"{where} {hint}")


def ends_of_cuts(stream: bytes, seed: int, cuts: int) -> list[int]:
    """Where a stream is cut: at and beside both ends, and at so many other places."""
    others = np.random.default_rng(seed).integers(0, len(stream), cuts).tolist()
    ends = {0, 1, len(stream) - 1, len(stream) - 2, *others}
    return sorted(end for end in ends if 0 <= end < len(stream))


def check_damage(
    codec: Codec,
    shape: Shape,
    seed: int = 0,
    trials: int = 100,
    mend: Callable[[bytes], bytes] = bytes,
) -> None:
    """Altered, extended and random bytes give ``BitstreamError`` or a plausible image, in bounded time and memory.

    Args:
        codec: at one point of its settings.
        shape: of the images whose streams are damaged.
        seed: decides images and damages.
        trials: how many streams are damaged anywhere; those whose structure is altered come on top.
        mend: repairs what would give every damage away, for example a checksum, so that more of a decoder is reached.
    """
    streams = codec.encode(sample_images(shape, seed)[:3])
    peak = usage()[0]
    structural = itertools.islice(structural_damages(codec, streams, seed), _MOST_PLACES)
    every = itertools.chain(damages(streams, seed, trials), structural)
    for index, damaged in enumerate(map(mend, every)):
        shown = damaged[:80].hex() + ("…" if len(damaged) > 80 else "")
        where = f"{format_shape(shape)}: damage {index} of seed {seed} ({len(damaged)} bytes, {shown})"
        decode_doubtful(codec, damaged, where)
    grown = usage()[0] - peak
    require(grown < MAX_GROWTH_BYTES, f"{format_shape(shape)}: damaged streams took {grown:,} bytes of memory")


def damages(streams: Sequence[bytes], seed: int, trials: int) -> Iterator[bytes]:
    """``trials`` damages of streams that are not empty, one after the other, as the seed decides.

    Flipped bits (many in headers), other bytes, parts cut out, doubled or added, random bytes.
    """
    rng = np.random.default_rng(seed)
    for trial in range(trials):
        data = bytearray(streams[trial % len(streams)])
        kind = trial % _KINDS
        reach = min(len(data), _REACH) if kind in (0, 1, 2, 8) else len(data)
        first, last = sorted(rng.integers(0, len(data) + 1, 2).tolist())
        if kind == 10:  # the head of one stream, the tail of another
            other = streams[int(rng.integers(len(streams)))]
            data = data[:first] + other[min(first, len(other)) :]
        elif kind == 9:  # a part twice
            data[last:last] = data[first:last][:1024]
        elif kind == 8:  # extreme numbers
            length = int(rng.choice([1, 2, 4]))
            position = int(rng.integers(reach))
            data[position : position + length] = bytes([int(rng.choice(_TELLING))]) * length
        elif kind == 7:
            data = bytearray(rng.bytes(int(rng.integers(1, 200))))
        elif kind == 6:
            data[first:last] = rng.bytes(int(rng.integers(0, 20)))
        elif kind == 5:
            data += rng.bytes(int(rng.integers(1, 20)))
        else:
            for position in rng.integers(0, reach, 1 + trial % 3).tolist():
                data[position] = data[position] ^ (1 << rng.integers(8)) if kind != 2 else rng.integers(256)
        yield bytes(data)


def structural_damages(codec: Codec, streams: Sequence[bytes], seed: int) -> Iterator[bytes]:
    """Streams whose structure is altered, in a field of one, two or four bytes, at one place after another.

    Structure is what the codec calls container, as far as it is at the front, and each byte that the streams have in
    common. Over a few seeds each of its fields is altered in each length.

    Args:
        codec: whose streams they are.
        streams: of different images of one shape.
        seed: decides the order of the places, and the damages.

    Yields:
        One stream for each place.
    """
    rng = np.random.default_rng(seed)
    shortest = min(map(len, streams))
    container = max(codec.container_bytes(stream) or 0 for stream in streams)
    common = (at for at in range(shortest) if len({stream[at] for stream in streams}) == 1)
    for place in rng.permutation(sorted({*range(min(container, shortest)), *common})).tolist():
        data = bytearray(streams[int(rng.integers(len(streams)))])
        length = int(rng.choice([1, 2, 4]))
        value = bytes([int(rng.choice(_TELLING))]) * length if rng.integers(2) else rng.bytes(length)
        data[place : place + length] = value
        yield bytes(data)


def decode_doubtful(codec: Codec, stream: bytes, where: str) -> Images | None:
    """Decodes a stream that may be none.

    Args:
        codec: at one point of its settings.
        stream: the bytes.
        where: which stream this is, for messages.

    Returns:
        Its one image, or None where it is refused as it should be.

    Raises:
        CheckFailed: another exception than ``BitstreamError``, no plausible image, too long a time or too much memory.
    """
    try:
        images = within_limits(lambda: codec.decode([stream]), where)
    except BitstreamError:
        return None
    shape: tuple[int, ...] = getattr(images, "shape", ())
    require(len(shape) == 4, f"{where}: decodes to {type(images).__name__} of the shape {shape}")
    _, height, width, channels = shape
    plausible = channels in (1, 3) and 1 <= height * width <= MAX_PIXELS
    require(plausible, f"{where}: decodes to an image of {height}×{width}×{channels}")
    require_images(images, (1, height, width, channels), where)
    assert isinstance(images, np.ndarray)
    return images


def within_limits(decode: Callable[[], object], where: str) -> object:
    """What decoding gives; raises its ``BitstreamError``, and ``CheckFailed`` for others or too much time or memory."""
    trying(where)
    start = time.perf_counter()
    refused: BitstreamError | None = None
    found: object = None
    try:
        with memory_limit(MAX_GROWTH_BYTES):
            found = decode()
    except BitstreamError as error:
        refused = error
    except Exception as error:
        too_much = f"asks for more than {MAX_GROWTH_BYTES >> 30} GiB of memory: " * asked_for_too_much(error)
        raise CheckFailed(f"{where}: {too_much}{one_line(error)}, not BitstreamError") from error
    seconds = time.perf_counter() - start
    require(seconds < MAX_DECODE_S, f"{where}: took {seconds:.1f} s")
    if refused is not None:
        greedy = asked_for_too_much(refused)
        require(not greedy, f"{where}: asks for more than {MAX_GROWTH_BYTES >> 30} GiB of memory before it is refused")
        raise refused
    return found


# ---- memory ----------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def memory_limit(extra_bytes: int) -> Iterator[None]:
    """Refuses this process more memory than it has now and so many bytes; on Linux only, elsewhere nothing happens.

    What counts is the memory asked for (RLIMIT_AS), touched or not: an allocation beyond it raises ``MemoryError``.
    Nothing is limited while a GPU is in use, whose driver reserves addresses by the terabyte.
    """
    torch = sys.modules.get("torch")
    if sys.platform != "linux" or (torch is not None and torch.cuda.is_initialized()):
        yield
        return
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    limits = [pages * resource.getpagesize() + extra_bytes, *(end for end in (soft, hard) if end >= 0)]
    resource.setrlimit(resource.RLIMIT_AS, (min(limits), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def asked_for_too_much(error: BaseException | None) -> bool:
    """Whether an exception is about memory that was refused, or stands in for one that is."""
    seen = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        # PyTorch's allocator raises RuntimeError.
        if isinstance(error, MemoryError) or "can't allocate memory" in str(error):
            return True
        error = error.__cause__ or error.__context__
    return False
