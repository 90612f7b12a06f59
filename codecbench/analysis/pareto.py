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

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from codecbench.analysis.points import TARGET_DB, crossing, is_exact, read_at
from codecbench.analysis.rd_curves import NOT_AVAILABLE, RDCurve, read_curves
from codecbench.analysis.tables import typed
from codecbench.columns import described

COSTS = ("encode_s", "decode_s")
COLUMNS = described(
    ("dataset codec label curve mark", "text", "the codec's curve, or without loss the codec"),
    ("bits_per_pixel", "number", "at the quality"),
    ("cost_s cost_iqr_s", "number", "median seconds per image there, and their interquartile range over the rounds"),
    ("settings", "text", "the measured point it was read at, or the two on either side"),
    ("timed_on device", "text", "where the time was taken; rows that differ in it are not compared"),
    ("threads", "number", "the same"),
    ("front", "flag", "nothing of its group beats it"),
    ("dominated_by", "text", "one that does, of the front: that of fewest bits; empty on the front"),
    ("clear", "flag", "dominated by more than the spread of the two times"),
    ("unsteady", "flag", "one of the times it is read from says more of the machine than of the codec"),
    ("status", "text", "empty, or ``not available: …``"),
)
NO_TIME = NOT_AVAILABLE + "no time taken"


def table(
    points: pd.DataFrame,
    *,
    quality_db: float = TARGET_DB,
    cost: str = "encode_s",
    lossless: bool = False,
    known: Sequence[RDCurve] | None = None,
) -> pd.DataFrame:
    """Rate and time, one of ``COSTS``, at a PSNR, with the front and ``COLUMNS``; a row per dataset × codec × curve.

    ``lossless`` takes the codecs that restore every pixel instead, each at its smallest such point. ``known`` are the
    curves of these points where they were read already.
    """
    if lossless:
        rows = _exact(points, cost)
    else:
        curves = read_curves(points) if known is None else known
        rows = [curve.key | _read(curve, quality_db, cost) for curve in curves]
    _find_fronts(rows)
    return typed(rows, COLUMNS)


def _read(curve: RDCurve, target: float, cost: str) -> dict[str, Any]:
    """Rate and time of a curve at a quality."""
    low, share = crossing(curve.quality, target)
    if np.isnan(share):
        return {"status": curve.why_not_at(target)}
    members = curve.members.iloc[int(low) + (share == 1.0) : int(low) + 1 + (share > 0.0)]
    return {"bits_per_pixel": float(read_at(curve.rate, low, share))} | _timed(members, cost, float(share))


def _exact(points: pd.DataFrame, cost: str) -> list[dict[str, Any]]:
    """Every codec's smallest point that restores every pixel."""
    rows = []
    for (dataset, codec), exact in points[is_exact(points)].groupby(["dataset", "codec"], sort=False):
        smallest = exact[exact["bits_per_pixel"] > 0].sort_values("bits_per_pixel", kind="stable").iloc[:1]
        for row in smallest[["label", "mark", "bits_per_pixel"]].to_dict("records"):
            row |= {"dataset": dataset, "codec": codec, "curve": ""}
            rows.append({str(name): value for name, value in row.items()} | _timed(smallest, cost, 0.0))
    return rows


def _timed(members: pd.DataFrame, cost: str, share: float) -> dict[str, Any]:
    """The time of one point, or between two."""
    row: dict[str, Any] = {"settings": " | ".join(map(str, members["settings"]))}
    seconds = members[cost].to_numpy(float)
    if not (seconds > 0).all():
        return row | {"status": NO_TIME}
    for name in ("timed_on", "device", "threads"):
        values = list(dict.fromkeys(members[name]))
        if len(values) > 1:
            return row | {"status": f"{NOT_AVAILABLE}the times on either side differ in {name}"}
        row[name] = values[0]
    return row | {
        "cost_s": float(read_at(seconds, 0, share if len(members) > 1 else 0.0)),
        "cost_iqr_s": float(members[f"{cost.removesuffix('_s')}_iqr_s"].max(skipna=False)),
        "unsteady": bool(members["unsteady"].any()),
    }


def _find_fronts(rows: Sequence[dict[str, Any]]) -> None:
    """Marks the fronts and, of each other row, one that dominates it."""
    groups: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for row in rows:
        if "cost_s" in row:
            groups.setdefault((row["dataset"], row["timed_on"], row["device"], row["threads"]), []).append(row)
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
