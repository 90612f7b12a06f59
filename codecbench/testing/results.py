"""What a check says: how it ended, why, and what it was about to do."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass

PASSED, FAILED, WARNING = "passed", "failed", "warning"
SKIPPED, NOT_APPLICABLE = "skipped", "not applicable"
RESULTS = (FAILED, WARNING, PASSED, SKIPPED, NOT_APPLICABLE)
"""How a check can end; of several points the first of these that occurs stands for all."""


class CheckFailed(AssertionError):
    """A codec does not do what every codec must; the message says what and on which images."""


@dataclass(frozen=True)
class Finding:
    """The end of a check that neither passed nor failed.

    Attributes:
        result: ``warning``, ``skipped`` (not possible here) or ``not applicable`` (not for this codec).
        reason: why, in one line.
    """

    result: str
    reason: str


@dataclass(frozen=True)
class Result:
    """How one check ended at one point of a codec's settings.

    Attributes:
        check: the check's name.
        point: the codec's spec.
        result: one of ``RESULTS``.
        reason: why it did not pass, in one line; of one that passed what it makes sure of.
    """

    check: str
    point: str
    result: str
    reason: str


def require(holds: bool, message: str) -> None:
    """Raises ``CheckFailed`` unless something holds; unlike ``assert``, also under ``python -O``."""
    if not holds:
        raise CheckFailed(message)


_listener: Callable[[str], None] | None = None
_tried = ""


def trying(what: str) -> None:
    """Tells what a check does next, so that somebody else can say what a codec hung or died of."""
    global _tried
    _tried = what
    if _listener is not None:
        _listener(what)


def last_tried() -> str:
    """What :func:`trying` was told last."""
    return _tried


@contextlib.contextmanager
def listener(tell: Callable[[str], None]) -> Iterator[None]:
    """Has ``tell`` called with all that :func:`trying` is told."""
    global _listener
    before, _listener = _listener, tell
    try:
        yield
    finally:
        _listener = before
