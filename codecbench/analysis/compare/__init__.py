"""Comparing two runs: what differs between them, and what that does to rates, distortions and times.

A is the baseline, and every difference is B less A. Points are compared where both runs have them: the same dataset,
codec and settings.

Rates and distortions are paired image by image, which needs the same images in both runs, by the fingerprint of their
pixels; otherwise, and for published runs without their parts, means are compared and nothing is tested. Images that
were restored exactly have an error of 0 and no PSNR: PSNR is compared over the images that neither run restores.

Times are ratios of medians over rounds, tested with Mann and Whitney's U. The tests of one codec in one direction are
corrected together for the number of its points, so with 5 rounds each a change at one point of many is not significant,
and one at most of a codec's points is. No test sees that one machine is faster than another, or was busier: a time
counts against a threshold only where both were taken on the same host, with the same threads, on the same device, of
the same images. A point that fails in the other run alone is beyond any threshold, and so is one that has vanished.
Datasets are the same where their images are, by the fingerprint of their pixels, whatever their names.

The columns of the tables are described in :mod:`codecbench.analysis.compare.points`, the thresholds in
:mod:`codecbench.analysis.compare.thresholds`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from codecbench.analysis.compare import manifests, statistics, thresholds
from codecbench.analysis.compare import points as contrasts
from codecbench.analysis.compare.points import BETTER, COLUMNS, WORSE, Row, Side
from codecbench.analysis.points import select, short_settings, telling_settings
from codecbench.analysis.rd_curves import check_choice
from codecbench.analysis.summary import UNSTEADY_SPREAD
from codecbench.analysis.tables import typed
from codecbench.columns import described
from codecbench.errors import UnknownNameError as UnknownNameError
from codecbench.errors import UsageError
from codecbench.plan.specs import split_specs
from codecbench.store.folder import RunFolder
from codecbench.store.io import Point
from codecbench.text import count

OVERALL = described(
    ("dataset codec measure", "text", "a codec's times of one kind"),
    ("points", "count", "how many have them in both runs"),
    ("ratio", "number", "the geometric mean over the points of B's median over A's"),
    ("slower faster", "count", "how many differ significantly"),
)
NO_PARTS = "means only: a published run without its parts"
OTHER_IMAGES = "means only: other images"
NAMED = 6
"""Points of a codec that are named in a line; further ones are counted."""


@dataclass(frozen=True)
class Comparison:
    """What two runs say about each other."""

    a: str  # the folder of the baseline
    b: str  # the folder of the other
    confidence: float  # of intervals; tests of times are at 1 less this
    differences: list[str]  # what differs between the runs beside their results, one line each
    only_in_a: list[str]  # points that B does not have, one line per dataset and codec
    only_in_b: list[str]
    rates: pd.DataFrame  # rates and distortions, one row per point and measure
    times: pd.DataFrame  # the same of times
    overall: pd.DataFrame  # see ``OVERALL``
    warnings: list[str]  # what to know before trusting the tables
    failures: list[str]  # what is worse beyond a threshold, significantly, one line each
    passed_over: list[str]  # what is beyond a threshold and does not fail, with the reason

    @property
    def table(self) -> pd.DataFrame:
        """Rates and times in one table."""
        return pd.concat([self.rates, self.times], ignore_index=True)

    def as_record(self) -> dict[str, Any]:
        """Everything as plain JSON values, None where there is no number."""
        lists = ("a", "b", "confidence", "differences", "only_in_a", "only_in_b", "warnings", "failures", "passed_over")
        tables = {name: _records(getattr(self, name)) for name in ("rates", "times", "overall")}
        return {name: getattr(self, name) for name in lists} | tables


def compare(
    store_a: RunFolder,
    store_b: RunFolder,
    *,
    dataset: str | None = None,
    codecs: str | Iterable[str] | None = None,
    confidence: float = 0.95,
    fail_above: Mapping[str, float] | None = None,
    allow_missing: bool = False,
    strict: bool = False,
) -> Comparison:
    """Compares two runs; reads the rows of one point at a time, so memory does not grow with the number of points.

    ``codecs`` are specs that narrow to the points that agree with them; ``fail_above`` has thresholds by key, see
    ``codecbench.analysis.compare.thresholds``. With thresholds, a point of A that failed in B, or that B does not have
    of all images, is a failure unless ``allow_missing``; if ``strict``, so is what a threshold could not judge.

    An unknown dataset, codec, setting or key, a confidence out of range, and thresholds where the runs have no point in
    common are a ``UsageError``; a damaged part is a ``StoreError``.
    """
    if not 0.0 < confidence < 1.0:
        raise UsageError(f"confidence={confidence:g} is not allowed; allowed: above 0 and below 1, for example 0.95")
    limits = thresholds.checked(fail_above or {})
    labels = manifests.labels_of(store_a.manifest["datasets"], store_b.manifest["datasets"])
    a, b = Side("A", store_a, {label: label for label in store_a.manifest["datasets"]}), Side("B", store_b, labels)
    renamed = [f"dataset {mine}: named {own} in B, the same images" for own, mine in labels.items() if own != mine]
    chosen = _chosen(a, b, dataset, codecs)
    common = [point for point in chosen if point in a.points and point in b.points]
    failed = [point for point in chosen if point in a.points and point in b.failed and point not in a.failed]
    gone = [point for point in chosen if point not in failed and _incomplete(point, a, b)]
    if allow_missing:
        failed, gone = [], []
    if limits and not (common or failed or gone):
        raise UsageError(f"nothing to judge: {store_a.path} and {store_b.path} have no point in common")
    rates, notes = _rates(common, a, b, confidence)
    times = _times(common, a, b, 1.0 - confidence)
    judgement = thresholds.judge([*rates, *times], limits, len(common))
    if limits:
        judgement.failures.extend(f"{contrasts.name_of(point)}: failed in B: {b.failed[point]}" for point in failed)
        judgement.failures.extend(
            f"{contrasts.name_of(point)}: {b.points.get(point, 0):,} of {count(a.points[point], 'image')} in B"
            for point in gone[:NAMED]
        )
        if len(gone) > NAMED:
            judgement.failures.append(f"{len(gone) - NAMED:,} more points of A are missing in B")
        judgement.failures.extend(judgement.not_judged if strict else ())
    return Comparison(
        a=str(store_a.path),
        b=str(store_b.path),
        confidence=confidence,
        differences=renamed + manifests.differences(a.manifest, b.manifest),
        only_in_a=_only(chosen, a, b),
        only_in_b=_only(chosen, b, a),
        rates=typed(rates, COLUMNS),
        times=typed(times, COLUMNS),
        overall=_overall(times),
        warnings=notes + _time_warnings(common, times),
        failures=judgement.failures,
        passed_over=[*judgement.not_judged, *judgement.unclear],
    )


def _incomplete(point: Point, a: Side, b: Side) -> bool:
    """Whether A has a point of which B lacks images; those of other images cannot be counted against each other."""
    if point not in a.points or point not in b.points:
        return point in a.points
    alike = manifests.same_images(a.manifest["datasets"], b.manifest["datasets"], point[0])
    return alike and b.points[point] < a.points[point]


def _chosen(a: Side, b: Side, dataset: str | None, codecs: str | Iterable[str] | None) -> list[Point]:
    """The points of either run that were asked for."""
    if dataset is not None:
        check_choice("dataset of these runs", dataset, list(a.manifest["datasets"] | b.manifest["datasets"]))
    points = [point for point in dict.fromkeys([*a.points, *b.points]) if dataset in (None, point[0])]
    if codecs is None:
        return points
    table = pd.DataFrame(points, columns=["dataset", "codec", "settings"]).assign(images=1)
    wanted = {place for spec in split_specs(codecs) for place in select(table, spec).index}
    return [point for place, point in enumerate(points) if place in wanted]


def _only(points: Sequence[Point], side: Side, other: Side) -> list[str]:
    groups: dict[tuple[str, str], list[str]] = {}
    for point in points:
        if point in side.points and point not in other.points:
            groups.setdefault((point[1], point[0]), []).append(point[2])
    lines = []
    for (codec, label), settings in groups.items():
        keys = telling_settings(settings)
        named = [short_settings(text, keys) for text in settings[:NAMED]]
        more = f" and {len(settings) - NAMED} more" if len(settings) > NAMED else ""
        line = f"{codec} on {label}" + (f": {'; '.join(named)}{more}" if any(named) else "")
        reasons = [other.failed.get((label, codec, text), "") for text in settings]
        failed = "; ".join(dict.fromkeys(reason for reason in reasons if reason))
        lines.append(line + (f" (failed in {other.name}: {failed})" if failed else ""))
    return lines


# ---- rates and distortions ------------------------------------------------------------------------------------------


def _rates(points: Sequence[Point], a: Side, b: Side, confidence: float) -> tuple[list[Row], list[str]]:
    """The rows of rates and distortions, and what to know about them."""
    rows: list[Row] = []
    warnings = []
    if without := [f"{side.name} ({side.store.path})" for side in (a, b) if side.store.without_parts]:
        warnings.append(
            f"no rows by image in {' and '.join(without)}, only summary.csv: means are compared, and nothing is tested"
        )
    apart = {
        label: not manifests.same_images(a.manifest["datasets"], b.manifest["datasets"], label)
        for label in dict.fromkeys(point[0] for point in points)
    }
    warnings += [
        f"{label}: the runs hold different images, which cannot be paired: means are compared, and nothing is tested"
        for label, other in apart.items()
        if other and not without
    ]
    metrics, others = a.manifest["metrics"], b.manifest["metrics"]
    better = {
        name: str(record["better"])
        for name, record in metrics.items()
        if name in others and others[name]["fingerprint"] == record["fingerprint"]
    }
    for point in points:
        if without or apart[point[0]]:
            note = OTHER_IMAGES if apart[point[0]] else NO_PARTS
            ours, theirs = a.means(point), b.means(point)
            images = int(min(ours["images"], theirs["images"]))
            rows += contrasts.untested(point, contrasts.RATES, ours, theirs, images, note)
        else:
            rows += contrasts.of_images(point, a.images(point), b.images(point), confidence, better)
    return rows, warnings


# ---- times ----------------------------------------------------------------------------------------------------------


def _times(points: Sequence[Point], a: Side, b: Side, level: float) -> list[Row]:
    rows: list[Row] = []
    for point in points:
        ours, theirs = a.timings(point), b.timings(point)
        if ours and theirs:
            pairs = [(one, other) for one in ours for other in theirs]
            alike = [pair for pair in pairs if not contrasts.not_alike(*pair)]
            same = manifests.same_images(a.manifest["datasets"], b.manifest["datasets"], point[0])
            rows += contrasts.of_times(point, *(alike or pairs)[0], "" if same else "other images")
        else:
            rows += contrasts.untested(point, contrasts.TIMES, a.medians(point), b.medians(point), 0, NO_PARTS)
    contrasts.settle(rows, level)
    return rows


def _overall(rows: Sequence[Row]) -> pd.DataFrame:
    groups: dict[tuple[str, str, str], list[Row]] = {}
    for row in rows:
        if row["a"] > 0.0 and row["b"] > 0.0:
            groups.setdefault((row["dataset"], row["codec"], row["measure"]), []).append(row)
    table = [
        {
            **dict(zip(("dataset", "codec", "measure"), key, strict=True)),
            "points": len(members),
            "ratio": statistics.geometric_mean([row["b"] / row["a"] for row in members]),
            "slower": sum(row["verdict"] == WORSE for row in members),
            "faster": sum(row["verdict"] == BETTER for row in members),
        }
        for key, members in groups.items()
    ]
    return typed(table, OVERALL)


def _time_warnings(points: Sequence[Point], rows: Sequence[Row]) -> list[str]:
    if not points:
        return []
    if not rows:
        return ["no point has times in both runs: nothing is said about speed"]
    warnings = []
    reasons: dict[str, int] = {}
    for row in rows:
        if not row["counts"]:
            why = row["note"].partition(";")[0]
            reasons[why] = reasons.get(why, 0) + 1
    for why, number in reasons.items():
        which = "all times" if number == len(rows) else f"{number:,} of {count(len(rows), 'time')}"
        warnings.append(f"{which}: {why}; they say nothing about the codecs, are shown, and fail with --strict alone")
    if noisy := sum("unsteady" in row["note"] for row in rows):
        warnings.append(
            f"{noisy:,} of {count(len(rows), 'time')} spread by more than {UNSTEADY_SPREAD:.0%} between rounds in a "
            "run (interquartile range over median): the machine was not quiet"
        )
    return warnings


def _records(table: pd.DataFrame) -> list[dict[str, Any]]:
    plain = table.astype(object).where(table.notna(), None)
    return [{str(key): value for key, value in record.items()} for record in plain.to_dict("records")]
