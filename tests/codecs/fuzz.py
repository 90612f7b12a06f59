"""Altered streams of every codec, in processes of their own: ``fuzz.py [STREAMS [SEED [FOLDER]]]``, or ``make fuzz``.

Prints how many streams of each codec were refused and decoded, and what must not happen: faults (another exception than
``BitstreamError``, or no plausible image), crashes of the process, hangs, and too much memory. The streams of these are
left in FOLDER.
"""

from __future__ import annotations

import itertools
import sys
import time
import zlib
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import codecbench as cb
from codecbench.execution.sandbox import Sandbox, SandboxError
from codecbench.plugins.registry import CODECS
from codecbench.testing import CheckFailed, damages, decode_doubtful, sample_images, taken_shapes
from codecbench.testing.damage import structural_damages
from codecbench.testing.images import takes

SHAPES = ((28, 28, 1), (20, 20, 3), (17, 33, 3), (2, 150, 3), (64, 64, 3))
COSTS = {"ar_lossless": 50, "res_lossless": 10, "rd_ae": 3, "gan_ae": 3}  # as many times fewer streams
WRONG = ("faults", "crashes", "hangs", "memory")
SECONDS, BYTES = 60.0, 4 << 30


def altered(name: str, seed: int) -> Iterator[tuple[cb.Codec, bytes]]:
    """Streams without end: of three points and all shapes in turn, altered anywhere and in their structure."""
    cls = CODECS.get(name)
    points = cls.default_points(taken_shapes(cls(), SHAPES)[0])
    codecs = [cls(**point) for point in (points[len(points) // 2], points[0], points[-1])]
    places = [(codec, shape) for codec in codecs for shape in taken_shapes(codec, SHAPES) if takes(codec, shape)]
    streams = [codec.encode(sample_images(shape, seed)[:3]) for codec, shape in places]
    for more in itertools.count(seed):
        for (codec, _), some in zip(places, streams, strict=True):
            for damaged in itertools.chain(
                damages(some, more, 33), itertools.islice(structural_damages(codec, some, more), 33)
            ):
                yield codec, with_checksums(damaged) if name == "png" and more % 2 else damaged


def outcomes(name: str, seed: int, first: int, last: int, note: str) -> Iterator[str]:
    """In the sandbox: what becomes of each stream, which is noted in a file before it is decoded."""
    for codec, stream in itertools.islice(altered(name, seed), first, last):
        Path(note).write_bytes(stream)
        try:
            yield "refused" if decode_doubtful(codec, stream, str(codec.spec)) is None else "decoded"
        except CheckFailed as failure:
            yield str(failure)


def attack(name: str, seed: int, trials: int, folder: Path) -> Counter[str]:
    """Decodes altered streams of one codec; the process is started again after each death."""
    counts: Counter[str] = Counter()
    note = folder / f"{name}.bin"
    while (done := counts.total()) < trials:
        try:
            with Sandbox("codec's", 1, SECONDS, BYTES) as sandbox:
                for outcome in sandbox.stream(outcomes, name, seed, done, trials, str(note)):
                    counts[outcome if outcome in ("refused", "decoded") else wrong(outcome, note, counts)] += 1
        except SandboxError as error:
            counts[wrong(error.reason, note, counts)] += 1
    return counts


def wrong(reason: str, note: Path, counts: Counter[str]) -> str:
    """Keeps the stream, says what happened, and returns its kind."""
    kept = note.with_stem(f"{note.stem}_{counts.total()}")
    note.rename(kept)
    print(f"{kept}: {reason}", flush=True)
    words = {
        "hangs": ("gave no answer", ": took"),
        "memory": ("of memory", "more than the limit"),
        "crashes": ("died",),
    }
    return next((kind for kind, some in words.items() if any(word in reason for word in some)), "faults")


def fuzz(streams: int, seed: int, folder: Path, workers: int = 2) -> dict[str, Counter[str]]:
    """So many streams over all codecs, the more of one the faster it is."""
    folder.mkdir(parents=True, exist_ok=True)
    shares = {name: 1 / COSTS.get(name, 1) for name in CODECS.names()}
    trials = {name: max(1, round(streams * share / sum(shares.values()))) for name, share in shares.items()}
    slow_first = sorted(trials, key=lambda name: (-COSTS.get(name, 1), name))
    with ThreadPoolExecutor(workers) as pool:
        found = pool.map(lambda name: attack(name, seed, trials[name], folder), slow_first)
        return dict(sorted(zip(slow_first, found, strict=True)))


def with_checksums(stream: bytes) -> bytes:
    """A PNG whose chunks have the right checksums again, so that its damage gets as far as the decoder."""
    mended, position = bytearray(stream[:8]), 8
    while (end := position + 12 + int.from_bytes(stream[position : position + 4], "big")) <= len(stream):
        chunk = stream[position + 4 : end - 4]
        mended += stream[position : position + 4] + chunk + zlib.crc32(chunk).to_bytes(4, "big")
        position = end
    return bytes(mended) + stream[position:]


def main(streams: str = "200000", seed: str = "0", folder: str = ".benchmarks/fuzz") -> int:
    """Prints the table; 1 if anything happened that must not."""
    start = time.monotonic()
    found = fuzz(int(streams), int(seed), Path(folder))
    columns = ("refused", "decoded", *WRONG)
    print(f"{'codec':<14}{'streams':>9}", *(f"{column:>9}" for column in columns))
    for name, counts in [*found.items(), ("all", sum(found.values(), Counter()))]:
        print(f"{name:<14}{counts.total():>9,}", *(f"{counts[column]:>9,}" for column in columns))
    print(f"seed {seed}, {time.monotonic() - start:,.0f} s")
    return int(any(counts[kind] for counts in found.values() for kind in WRONG))


if __name__ == "__main__":
    import fuzz as itself  # by this name a sandbox finds it

    sys.exit(itself.main(*sys.argv[1:]))
