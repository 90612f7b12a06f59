"""What ``codecbench check`` has to say, as rows and as JSON values."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

from codecbench.testing.results import FAILED, RESULTS, Result


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
