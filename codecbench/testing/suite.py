"""The suite: which checks there are, and how they are run in this process."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from codecbench.execution import workers
from codecbench.plugins.codec import Codec, Shape
from codecbench.testing import checks, curves, damage, processes, sets
from codecbench.testing.damage import asked_for_too_much, memory_limit
from codecbench.testing.images import SHAPES, taken_shapes
from codecbench.testing.results import FAILED, PASSED, CheckFailed, Finding, Result, last_tried, trying
from codecbench.text import one_line

MEMORY_BYTES = 4 << 30
"""Most memory that a codec may take for the images of the suite."""


@dataclass(frozen=True)
class Subject:
    """What is checked, and how."""

    codec: Codec  # at one point of its settings
    shapes: tuple[Shape, ...]  # of the images, all of which are taken or refused
    seed: int  # decides images and damages
    damages: int  # how many damaged streams are decoded

    @property
    def taken(self) -> list[Shape]:
        """The shapes that the codec takes."""
        return taken_shapes(self.codec, self.shapes)


@dataclass(frozen=True)
class Check:
    """One promise that every codec keeps.

    Attributes:
        name: a word or two.
        promise: what is certain where the check passes, in one line.
        run: raises ``CheckFailed``, or returns what else there is to say.
        once: about the codec as a whole; one point of its settings is enough.
        limited: its memory is bounded; not where a GPU may be woken, whose driver reserves addresses by the terabyte.
    """

    name: str
    promise: str
    run: Callable[[Subject], Finding | None]
    once: bool = False
    limited: bool = True


def _each(check: Callable[[Codec, Shape, int], Finding | None], most: int = 99) -> Callable[[Subject], Finding | None]:
    """A check on the images of each shape taken, or of the first few; of several findings the first."""

    def run(subject: Subject) -> Finding | None:
        findings = [check(subject.codec, shape, subject.seed) for shape in subject.taken[:most]]
        return next((finding for finding in findings if finding is not None), None)

    return run


def _damage(subject: Subject) -> None:
    shapes = subject.taken[:2]
    for index, shape in enumerate(shapes):
        trials = subject.damages // len(shapes) + (index < subject.damages % len(shapes))
        damage.check_damage(subject.codec, shape, subject.seed, trials)


CHECKS: tuple[Check, ...] = (
    Check("settings", "survive spec string, JSON and pickle", lambda subject: checks.check_settings(subject.codec)),
    Check(
        "refusals",
        "images that are not taken are refused with UnsupportedImageError",
        lambda subject: checks.check_shapes(subject.codec, subject.shapes),
    ),
    Check("types", "a list of bytes; uint8 images of the same shape; the input untouched", _each(checks.check_types)),
    Check("determinism", "the same images give the same bytes", _each(checks.check_determinism)),
    Check("batches", "neither bytes nor images depend on the batch", _each(checks.check_batches)),
    Check("floats", "decode is decode_float clipped and rounded", _each(checks.check_floats)),
    Check("lossless", "every pixel is restored", _each(checks.check_lossless)),
    Check("containers", "container bytes and estimates add up", _each(checks.check_containers)),
    Check("silence", "nothing is written to the standard output", _each(checks.check_silence, most=1)),
    Check("fresh process", "decodes from settings and bytes alone", _each(processes.check_fresh_process, most=1)),
    Check("memory", "what is new takes as long as what was seen", _each(checks.check_memory, most=1), once=True),
    Check("cut streams", "give BitstreamError", _each(damage.check_truncation, most=4)),
    Check("damaged streams", "give BitstreamError or a plausible image, in bounded time and memory", _damage),
    Check("rate", "goes one way along each numeric setting of the sweep", _each(curves.check_rate, most=1), once=True),
    Check("encode_sweep", "gives the bytes of encode", _each(curves.check_sweep, most=2), once=True),
    Check(
        "whole sets",
        "one stream restores all images in their order; damaged ones give BitstreamError or images",
        _each(sets.check_sets, most=2),
    ),
    Check(
        "devices",
        "what a GPU encodes a CPU decodes, and the other way round",
        _each(processes.check_devices),
        limited=False,
    ),
)


def run_check(check: Check, subject: Subject) -> Result:
    """Runs one check in this process; whatever the codec raises is its failure."""
    trying("")
    try:
        with memory_limit(MEMORY_BYTES) if check.limited else contextlib.nullcontext():
            finding = check.run(subject)
    except CheckFailed as failure:
        result, reason = FAILED, str(failure)
    except Exception as error:
        too_much = f"asks for more than {MEMORY_BYTES >> 30} GiB of memory: " * asked_for_too_much(error)
        result, reason = FAILED, f"{last_tried()}: {too_much}{one_line(error)}".removeprefix(": ")
    else:
        result, reason = (PASSED, check.promise) if finding is None else (finding.result, finding.reason)
    return Result(check.name, str(subject.codec.spec), result, " ".join(reason.split()))


def check_codec(codec: Codec, shapes: Sequence[Shape] = SHAPES, seed: int = 0, damages: int = 100) -> list[Result]:
    """Runs every check in this process, for tests of plugins.

    A codec that hangs, or ends its process, takes the tests with it; ``codecbench check`` survives such a codec.

    Args:
        codec: at one point of its settings.
        shapes: image shapes to try; those that ``check_shape`` refuses must be refused by ``encode`` too. One must be
            taken, or the codec's ``image_shape`` is.
        seed: decides images and damages.
        damages: how many damaged streams are decoded.

    Returns:
        How each check ended: passed, with a warning, skipped, or not applicable.

    Raises:
        CheckFailed: an ``AssertionError`` that names the codec and every check that failed.
    """
    subject = Subject(codec, tuple(shapes), seed, damages)
    results = [run_check(check, subject) for check in CHECKS]
    workers.close()  # of the check "fresh process"
    failed = [f"{result.check}: {result.reason}" for result in results if result.result == FAILED]
    if failed:
        raise CheckFailed(f"{codec.spec} fails {len(failed)} of {len(results)} checks\n" + "\n".join(failed))
    return results
