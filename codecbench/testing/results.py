"""What a check says: how it ended, why, and what it was about to do."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

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


@dataclass(frozen=True)
class Report:
    """How every check of a codec ended.

    Attributes:
        spec: what was checked.
        seed: of images and damages.
        damages: damaged streams a point.
        results: one for each check and point, in the order of the checks at the first point.
    """

    spec: str
    seed: int
    damages: int
    results: tuple[Result, ...]

    @property
    def failed(self) -> bool:
        """Whether any check failed."""
        return any(result.result == FAILED for result in self.results)

    @property
    def points(self) -> list[str]:
        """The specs that were checked."""
        return list(dict.fromkeys(result.point for result in self.results))

    def rows(self) -> list[Result]:
        """One result a check: the worst of all points, with the first point where it was found.

        The reason of a row tells the point where there are several and the check did not pass.
        """
        groups: dict[str, list[Result]] = {}
        for result in self.results:
            groups.setdefault(result.check, []).append(result)
        rows = []
        for group in groups.values():
            worst = min(group, key=lambda result: RESULTS.index(result.result))
            alike = [result for result in group if result.result == worst.result]
            reason = worst.reason
            if len(self.points) > 1 and worst.result in RESULTS[:2]:
                more = f", and at {len(alike) - 1} other points" if len(alike) > 1 else ""
                reason = f"{reason} (at {worst.point}{more})"
            rows.append(dataclasses.replace(worst, reason=reason))
        return rows

    def summary(self) -> str:
        """How many checks ended how, e.g. ``12 passed, 1 warning, 2 not applicable``."""
        ends = [row.result for row in self.rows()]
        return ", ".join(f"{ends.count(result)} {result}" for result in RESULTS if result in ends)

    def to_json(self) -> dict[str, Any]:
        """The report as JSON values: ``spec``, ``seed``, ``damages``, ``failed``, and every one of ``results``."""
        return {
            "spec": self.spec,
            "seed": self.seed,
            "damages": self.damages,
            "failed": self.failed,
            "results": [dataclasses.asdict(result) for result in self.results],
        }


def require(holds: bool, message: str) -> None:
    """Raises ``CheckFailed`` unless something holds; unlike ``assert``, also under ``python -O``."""
    if not holds:
        raise CheckFailed(message)


_listener: Callable[[str], None] | None = None
_tried = ""


def trying(what: str) -> None:
    """Says what a check does next, so that the report can name the step at which a codec hung or died."""
    global _tried
    _tried = what
    if _listener is not None:
        _listener(what)


def last_tried() -> str:
    """What :func:`trying` got last."""
    return _tried


@contextlib.contextmanager
def listener(tell: Callable[[str], None]) -> Iterator[None]:
    """Has ``tell`` called with all that :func:`trying` gets."""
    global _listener
    before, _listener = _listener, tell
    try:
        yield
    finally:
        _listener = before
