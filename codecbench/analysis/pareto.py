"""Rate at equal quality against time: who is dominated, and by whom.

The rate of a lossy codec is read at the quality between measured neighbours (straight lines of log rate), and its time
between the same two neighbours at the same share of the way (straight lines of log time). Nothing is extrapolated.
Lossless codecs have a table of their own, each with its smallest point that restores every pixel.

A row is dominated where another needs no more bits and no more time, and less of one. Times are medians over rounds;
``clear`` tells whether the two times are also further apart than half of each one's interquartile range, and
``unsteady`` repeats the mark of a time that says more of the machine than of the codec. Only times of one machine,
device and number of threads are compared: each such group has a front of its own.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from codecbench.analysis.points import TARGET_DB, crossing, is_exact, read_at
from codecbench.analysis.rd_curves import (
    NOT_AVAILABLE,
    RATES,
    RDCurve,
    check_choice,
    falls_with_quality,
    known_qualities,
    read_curves,
    to_scale,
    why_no_crossing,
)

COSTS = ("encode_s", "decode_s")
COLUMNS = [
    *("dataset", "codec", "label", "curve", "mark", "bits_per_pixel", "cost_s", "cost_iqr_s", "settings", "timed_on"),
    *("device", "threads", "front", "dominated_by", "clear", "unsteady", "status"),
]
NO_TIME = NOT_AVAILABLE + "no time taken"


def table(
    points: pd.DataFrame,
    *,
    quality_db: float = TARGET_DB,
    cost: str = "encode_s",
    rate: str = "whole",
    quality: str = "psnr_db",
    lossless: bool = False,
    known: Sequence[RDCurve] | None = None,
) -> pd.DataFrame:
    """Rate and time at one quality, with the front; a row per dataset × codec × curve (of lossless codecs × codec).

        bits_per_pixel          at the quality
        cost_s, cost_iqr_s      median seconds an image there, and their interquartile range over the rounds
        settings                the measured point it was read at, or the two on either side
        timed_on, device, threads   where the time was taken; rows that differ in these are not compared
        front                   nothing of its group beats it
        dominated_by            one that does, of the front: that of fewest bits; empty on the front
        clear                   dominated by more than the spread of the two times
        unsteady                one of the times it is read from says more of the machine than of the codec
        status                  empty, or ``not available: …``

    ``quality_db`` is in the measure's own unit. ``lossless`` takes the codecs that restore every pixel instead, each at
    its smallest such point. ``known`` are the curves of these points on this measure and rate, where they were made
    already. An unknown cost, measure or rate is an ``UnknownNameError``.
    """
    check_choice("cost", cost, COSTS)
    check_choice("quality measure", quality, known_qualities(points))
    check_choice("rate", rate, list(RATES))
    if lossless:
        rows = _exact(points, cost, "payload_bits_per_pixel" if rate == "payload" else "bits_per_pixel")
    else:
        falls = falls_with_quality(points, quality)
        target = float(to_scale(quality_db, quality, falls))
        found = read_curves(points, quality, rate) if known is None else known
        rows = [curve.key | _read(curve, target, cost, quality, falls) for curve in found]
    _find_fronts(rows)
    table = pd.DataFrame(rows, columns=COLUMNS)
    flags = ["front", "clear", "unsteady"]
    numbers = ["bits_per_pixel", "cost_s", "cost_iqr_s", "threads"]
    return table.astype(dict.fromkeys(flags, bool) | dict.fromkeys(numbers, float))


EMPTY: dict[str, Any] = {
    **dict.fromkeys(["bits_per_pixel", "cost_s", "cost_iqr_s", "threads"], math.nan),
    **dict.fromkeys(["settings", "timed_on", "device", "dominated_by", "status"], ""),
    **dict.fromkeys(["front", "clear", "unsteady"], False),
}


def _read(curve: RDCurve, target: float, cost: str, quality: str, falls: bool) -> dict[str, Any]:
    """Rate and time of a curve at a quality."""
    low, share = crossing(curve.quality, target)
    if np.isnan(share):
        return EMPTY | {"status": why_no_crossing(curve, target, quality, falls)}
    members = curve.members.iloc[int(low) + (share == 1.0) : int(low) + 1 + (share > 0.0)]
    return EMPTY | {"bits_per_pixel": float(read_at(curve.rate, low, share))} | _timed(members, cost, float(share))


def _exact(points: pd.DataFrame, cost: str, column: str) -> list[dict[str, Any]]:
    """Every codec's smallest point that restores every pixel."""
    rows = []
    for (dataset, codec), members in points.groupby(["dataset", "codec"], sort=False):
        exact = members[is_exact(members)]
        if exact.empty:
            continue
        key = {"dataset": dataset, "codec": codec, "curve": ""}
        key |= {name: str(exact[name].iloc[0]) for name in ("label", "mark")}
        known = exact[exact[column] > 0] if column in exact else exact.iloc[:0]
        if known.empty:
            rows.append(EMPTY | key | {"status": f"{NOT_AVAILABLE}no payload known"})
            continue
        smallest = known.sort_values(column, kind="stable").iloc[:1]
        bits = {"bits_per_pixel": float(smallest[column].iloc[0])}
        rows.append(EMPTY | key | bits | _timed(smallest, cost, 0.0))
    return rows


def _timed(members: pd.DataFrame, cost: str, share: float) -> dict[str, Any]:
    """What is told of the time of one point, or between two."""
    row: dict[str, Any] = {"settings": " | ".join(map(str, members["settings"]))}
    seconds = members[cost].to_numpy(float) if cost in members else np.full(len(members), np.nan)
    if not (seconds > 0).all():
        return row | {"status": NO_TIME}
    for name in ("timed_on", "device", "threads"):
        values = list(dict.fromkeys(members[name])) if name in members else [EMPTY[name]]
        if len(values) > 1:
            return row | {"status": f"{NOT_AVAILABLE}the times on either side differ in {name}"}
        row[name] = values[0]
    spread = f"{cost.removesuffix('_s')}_iqr_s"
    widths = members[spread].to_numpy(float) if spread in members else np.full(len(members), np.nan)
    return row | {
        "cost_s": float(read_at(seconds, 0, share if len(members) > 1 else 0.0)),
        "cost_iqr_s": float(np.max(widths)),
        "unsteady": bool(members["unsteady"].any()) if "unsteady" in members else False,
    }


def _find_fronts(rows: Sequence[dict[str, Any]]) -> None:
    """Marks the fronts and, of each other row, one that dominates it."""
    groups: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for row in rows:
        if row["cost_s"] > 0:
            threads = None if math.isnan(row["threads"]) else row["threads"]
            groups.setdefault((row["dataset"], row["timed_on"], row["device"], threads), []).append(row)
    for group in groups.values():
        front: list[dict[str, Any]] = []
        for row in sorted(group, key=lambda row: (row["bits_per_pixel"], row["cost_s"])):
            beating = [other for other in front if other["cost_s"] <= row["cost_s"] and not _equal(other, row)]
            row["front"] = not beating
            if row["front"]:
                front.append(row)
            else:
                by = beating[0]
                row["dominated_by"] = f"{by['codec']} ({by['curve']})" if by["curve"] else by["codec"]
                half = sum(other["cost_iqr_s"] / 2 for other in (row, by) if other["cost_iqr_s"] > 0)
                row["clear"] = row["cost_s"] - by["cost_s"] > half


def _equal(one: dict[str, Any], other: dict[str, Any]) -> bool:
    return bool(one["bits_per_pixel"] == other["bits_per_pixel"] and one["cost_s"] == other["cost_s"])
