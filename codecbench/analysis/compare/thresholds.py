"""Thresholds of ``codecbench compare``: how much worse B may be than A before that counts as a failure.

    bits=0.5%           mean bits per image; more is worse
    mse=1%              mean MSE of the 8-bit output; more is worse, and from 0 to anything is beyond every threshold
    psnr_db=0.05        mean of the images' PSNR, in dB; less is worse; the same for psnr_of_mean_mse_db
    ssim=0.001          mean SSIM; less is worse
    encode_s=10%        median time an image for encoding; more is worse; the same for decode_s
    encode_latency_s=10%   median time of a call with one image, for codecs that gain from batches; the same
                        for decode_latency_s

A point fails where it is worse by more than the threshold and the difference is significant: by the confidence interval
over the images, or by the test over rounds. Times count only where both runs took them on the same host, with the same
threads, on the same device. Everything else beyond a threshold is listed and does not fail.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from codecbench.analysis.compare.points import RATES, RELATIVE, SAME, TIMES, UNCLEAR, WORSE, name_of
from codecbench.analysis.rd_curves import check_choice
from codecbench.columns import HIGHER_IS_BETTER
from codecbench.errors import UsageError
from codecbench.text import count

KEYS = (*RATES, *TIMES)
_NUMBER = re.compile(r"(\d+\.?\d*|\.\d+)(%?)")


@dataclass(frozen=True)
class Judgement:
    """What thresholds say about a comparison, a line each."""

    failures: list[str] = field(default_factory=list)  # points that are worse beyond a threshold, significantly
    unclear: list[str] = field(default_factory=list)  # what is beyond a threshold, and may be chance
    not_judged: list[str] = field(default_factory=list)  # how many points a threshold could not judge, and why


def read(texts: Iterable[str]) -> dict[str, float]:
    """Reads ``KEY=VALUE`` texts: by key the threshold, in per cent for the keys that take per cent."""
    found: dict[str, float] = {}
    for text in texts:
        key, equals, value = (part.strip() for part in text.partition("="))
        if not equals:
            raise UsageError(f"fail-above={text!r} is not KEY=VALUE; keys: {', '.join(KEYS)}")
        check_choice("key of a threshold", key, KEYS)
        if key in found:
            raise UsageError(f"the threshold {key} is given twice; allowed: once")
        number = _NUMBER.fullmatch(value)
        if number is None or bool(number[2]) != (key in RELATIVE):
            allowed = "per cent, for example 0.5%" if key in RELATIVE else "a number of 0 or more without %, as 0.05"
            raise UsageError(f"{key}={value} is not allowed; allowed: {allowed}")
        found[key] = float(number[1])
    return found


def checked(limits: Mapping[str, float]) -> dict[str, float]:
    """Thresholds given in Python; an unknown key, or a value below 0 or not finite, is a ``UsageError``."""
    for key, value in limits.items():
        check_choice("key of a threshold", key, KEYS)
        if not (math.isfinite(value) and value >= 0.0):
            raise UsageError(f"{key}={value} is not allowed; allowed: a number of 0 or more")
    return dict(limits)


def judge(rows: Sequence[Mapping[str, Any]], limits: Mapping[str, float], points: int) -> Judgement:
    """Judges rows of ``codecbench.analysis.compare.points``, of so many points in both runs, by thresholds."""
    judgement = Judgement()
    for key, limit in limits.items():
        members = [row for row in rows if row["measure"] == key]
        unjudged = [row for row in members if not row["counts"] and row["verdict"] != SAME]
        reasons = Counter(row["note"].partition(";")[0] or row["verdict"] for row in unjudged)
        if not members or (key in TIMES and len(members) < points):
            reasons["not measured in both runs"] = points - len(members)
        judgement.not_judged.extend(
            f"{key}: {number:,} of {count(points, 'point')} not judged: {why}" for why, number in reasons.items()
        )
        beyond = [row for row in members if row["counts"] and _beyond(row, limit)]
        worse = [row for row in beyond if row["verdict"] == WORSE]
        judgement.failures.extend(f"{describe(row)}, beyond {written(key, limit)}" for row in worse)
        if unclear := len(beyond) - len(worse):
            what = f"{count(unclear, 'point')} of {len(members):,} beyond {written(key, limit)}"
            judgement.unclear.append(f"{key}: {what}, not counted: {UNCLEAR}")
    return judgement


def _beyond(row: Mapping[str, Any], limit: float) -> bool:
    if math.isnan(row["difference"]):  # from nothing to something
        return bool(row["b"] > row["a"])
    worse = -row["difference"] if row["measure"] in HIGHER_IS_BETTER else row["difference"]
    return bool(worse > limit)


def describe(row: Mapping[str, Any]) -> str:
    """A row in one line: the point, the measure, the difference, and how sure that is."""
    point = name_of((row["dataset"], row["codec"], row["settings"]))
    sure = ""
    if not math.isnan(row["low"]):
        ends = (amount(row["measure"], row[end]) for end in ("low", "high"))
        sure = f" [{', '.join(ends)}]"
    elif not math.isnan(row["p_value"]):
        sure = f" (p = {row['p_value']:.2g})"
    difference = f"from 0 to {row['b']:.3g}"
    if not math.isnan(row["difference"]):
        difference = f"{amount(row['measure'], row['difference'])}{_unit(row['measure'])}"
    return f"{point}: {row['measure']} {difference}{sure}"


def amount(measure: str, value: float) -> str:
    """A difference with its sign, without its unit; digits as they mean something."""
    if measure == "ssim":
        return f"{value:+.5f}"
    return f"{value:+.3f}" if abs(value) < 10.0 else f"{value:+.1f}"


def written(key: str, limit: float) -> str:
    """A threshold as it is read."""
    return f"{limit:g}{_unit(key)}"


def _unit(measure: str) -> str:
    return " %" if measure in RELATIVE else " dB" if measure.endswith("_db") else ""
