"""Matched distortion: at which setting one codec has another's error, and what each costs; or the same at equal bits.

Between two measured neighbours along its swept setting a codec's curve is taken as straight lines: of log MSE and of
log bits over the setting, of PSNR and SSIM as they are. Nothing is extrapolated, and no line leads across a point that
cannot be placed on it (one that restores every pixel, or has no such value). A setting between two whole ones is read
off such a line; it says how far apart two codecs are, and cannot be set.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd

from codecbench.analysis.points import annotate, is_exact, one_spec, read_settings, select, varying
from codecbench.analysis.rd_curves import check_choice, measure_word
from codecbench.analysis.same_images import EVERY_IMAGE, SameImages
from codecbench.analysis.tables import Values, join_notes, typed
from codecbench.columns import HIGHER_IS_BETTER, ColumnInfo, described
from codecbench.errors import UsageError
from codecbench.plan.specs import RawSpec
from codecbench.store.folder import StoredRun
from codecbench.text import format_ssim

MEASURES = ("mse", "mse_float", "psnr_db", EVERY_IMAGE, "ssim")
"""Measures of error that can be matched in every run; the plugin metrics that it measured can, too."""
WAYS = ("error", "bytes")
"""What can be held equal."""

MATCHED = "matched"
OUTSIDE = "outside its range"
RESTORED = "restores every pixel"
ONE_POINT = "one point"
NOT_NUMERIC = "settings are not numeric"
GAP = "not between measured neighbours"
NO_VALUE = "no value"
NO_RESULTS = "no results"

RATE = "bits_per_image"
LOGARITHMIC = {"mse", "mse_float", RATE}


@dataclass(frozen=True)
class Asked:
    """What is held equal, and by which measure of error."""

    at: str  # one of ``WAYS``
    by: str
    up: bool  # more is better by the measure

    @property
    def target(self) -> str:
        """The column that is held equal."""
        return RATE if self.at == "bytes" else self.by

    @property
    def errors(self) -> list[str]:
        """The columns of error in the table."""
        return list(dict.fromkeys([self.by, self.decibels] if self.at == "bytes" else [self.by]))

    @property
    def decibels(self) -> str:
        """The PSNR at equal bits: over the images that ``by`` is over, so that of their mean MSE for other measures."""
        return "psnr_db" if self.by == "psnr_db" else EVERY_IMAGE

    def rank(self, match: Mapping[str, Any]) -> float:
        """The best of several matches has the least: bits at equal error, error at equal bits."""
        if self.at == "error":
            return float(match[f"against_{RATE}"])
        return (-1.0 if self.up else 1.0) * float(match[f"against_{self.by}"])


def match(
    summary: pd.DataFrame,
    manifest: Mapping[str, Any],
    codec: str,
    against: str,
    *,
    dataset: str | None = None,
    at: str = "error",
    by: str = "mse",
) -> pd.DataFrame:
    """The matched-distortion table of two codecs, see :func:`columns`, in the order of the summary.

    ``codec`` and ``against`` are names, or specs whose settings narrow to the points that agree with them
    (``jpeg:quality=10..50,subsampling=4:2:0``); settings that are not named may be anything. ``at`` is one of ``WAYS``,
    ``by`` one of ``MEASURES`` or a plugin metric of the run. What cannot be matched has a row with its reason.

    An unknown name, settings with no point, a codec against itself, and a codec or measure without values are
    a ``UsageError``.
    """
    metrics, labels = manifest["metrics"], list(manifest["datasets"])
    measures = (*MEASURES, *metrics)
    check_choice("way to match", at, WAYS)
    check_choice("measure of error", by, measures)
    if dataset is not None:
        check_choice("dataset of this run", dataset, labels)
    asked = Asked(at, by, by in HIGHER_IS_BETTER or metrics.get(by, {}).get("better") == "higher")
    table = summary.reset_index(drop=True)
    table["exact"] = is_exact(table)
    ours, theirs = one_spec(codec, "codec"), one_spec(against, "against")
    points, others = select(table, ours), select(table, theirs)
    if not points.index.intersection(others.index).empty:
        got = f"{ours.text!r} and {theirs.text!r} share points"
        raise UsageError(f"{ours.name} against itself: {got}; allowed: two codecs, or settings that differ")
    chosen = labels if dataset is None else [dataset]
    for spec, found in ((ours, points), (theirs, others)):
        _require_values(table, spec, found[found["dataset"].isin(chosen)], by, chosen, measures)
    points, others = annotate(points, manifest), annotate(others, manifest)
    rows: list[dict[str, Any]] = []
    for label in chosen:
        here, there = points[points["dataset"] == label], others[others["dataset"] == label]
        if here.empty:
            note = f"{ours.name}: {_why_none(table, ours.name, label)}"
            rows.append({"dataset": label, "codec": ours.name, "status": NO_RESULTS, "note": note})
        elif there.empty:
            note = f"{theirs.name}: {_why_none(table, theirs.name, label)}"
            rows += [_point(row, asked) | {"status": NO_RESULTS, "note": note} for _, row in here.iterrows()]
        else:
            rows += [found for _, row in here.iterrows() for found in _matches(row, there, asked)]
    return typed([row | {"against": theirs.name} for row in rows], columns(at, by))


def over_same_images(store: StoredRun, summary: pd.DataFrame, codec: str, against: str, by: str) -> pd.DataFrame:
    """A summary with the points of two codecs, named as for :func:`match`, over the images that both have ``by`` of."""
    if by not in summary:
        return summary
    both = summary["codec"].isin([one_spec(codec, "codec").name, one_spec(against, "against").name])
    quality = EVERY_IMAGE if by == "mse" else by
    same = SameImages(store, annotate(summary[both], store.manifest), [quality])
    return pd.concat([same.over(quality), summary[~both]])


def method(at: str, by: str) -> str:
    """How :func:`match` reads a curve, in one sentence."""
    lines = [("log " if name in LOGARITHMIC else "") + word(name) for name in (by, RATE)]
    same = "error" if at == "error" else "bits"
    return (
        f"At equal {same}: straight lines of {lines[0]} and of {lines[1]} over the swept setting, between measured "
        "neighbours; nothing is extrapolated."
    )


def columns(at: str, by: str) -> dict[str, ColumnInfo]:
    """The columns of :func:`match`'s table, one row per dataset × point of the codec × curve of the other."""
    errors = Asked(at, by, up=False).errors
    if at == "error":
        outcome = [
            (f"against_{RATE}", "number", "the other's rate there"),
            ("bits_ratio bits_percent", "number", "the other's rate over the codec's, as a ratio and in per cent"),
        ]
    else:
        outcome = [
            (" ".join(f"against_{name}" for name in errors), "number", "the other's error there"),
            ("psnr_difference_db", "number", "the other's PSNR less the codec's"),
        ]
    return described(
        ("dataset codec settings", "text", "the codec's measured point"),
        (" ".join(errors), "number", "its error by the measure, and at equal bits its PSNR"),
        (RATE, "number", "its rate"),
        ("against curve", "text", "the other codec, and which of its curves where it has several"),
        ("swept", "text", "the setting that varies along the curve"),
        ("matched", "number", "its value at which the other matches"),
        ("below above", "number", "the measured values on either side; twice the same where it was measured itself"),
        *outcome,
        ("best", "flag", "the row of fewest bits (at equal error) or least error (at equal bits) for this point"),
        ("status", "text", "``matched``, or why not"),
        ("note", "text", "details: which end, why not, and what to know about the point"),
    )


# ---- which points ---------------------------------------------------------------------------------------------------


def _require_values(
    table: pd.DataFrame, spec: RawSpec, points: pd.DataFrame, by: str, labels: Sequence[str], measures: Sequence[str]
) -> None:
    if points.empty:
        why = "; ".join(f"{label}: {_why_none(table, spec.name, label)}" for label in labels)
        raise UsageError(f"{spec.text} has no results to match ({why})")
    lossy = points[~points["exact"]]
    with_values = [name for name in measures if lossy[name].notna().any()]
    if len(lossy) and by not in with_values:
        where = "" if len(labels) > 1 else f" on {labels[0]}"
        raise UsageError(f"{spec.text} has no {by}{where}; allowed for it: {', '.join(with_values)}")


def _why_none(table: pd.DataFrame, codec: str, label: str) -> str:
    rows = table[(table["codec"] == codec) & (table["dataset"] == label) & (table["images"] == 0)]
    reasons = [reason for reason in rows["reason"] if reason]
    return reasons[0] if reasons else "not measured there"


# ---- one point against the curves of the other codec ----------------------------------------------------------------


def _matches(point: pd.Series, others: pd.DataFrame, asked: Asked) -> list[dict[str, Any]]:
    """The rows of one measured point: one a curve of the other codec, or one that says why there is none."""
    about = [_marked(point), _marked(others.iloc[0])]
    rows = _on_curves(point, others, asked)
    return [_point(point, asked) | row | {"note": join_notes(row["note"], *about)} for row in rows]


def _on_curves(point: pd.Series, others: pd.DataFrame, asked: Asked) -> list[dict[str, Any]]:
    """Of those rows what depends on the other codec."""
    name = str(others["codec"].iloc[0])
    exact, lossy = others[others["exact"]], others[~others["exact"]]
    if asked.at == "error" and point["exact"]:
        return [_both_restore(point, exact)]
    if lossy.empty:
        note = f"{name} does at each of its points, with {exact[RATE].min():,.0f} bits at the fewest"
        return [{"status": RESTORED, "note": note}]
    if math.isnan(_usable(point[asked.target], asked.target)):
        return [{"status": NO_VALUE, "note": f"{point['codec']} has no {word(asked.target)}"}]
    swept = str(lossy["swept"].iloc[0])
    if not swept and len(lossy) > 1:
        return [{"status": NOT_NUMERIC, "note": f"{name} varies in {', '.join(varying(list(lossy['settings'])))}"}]
    rows: list[dict[str, Any]] = []
    for curve, members in lossy.groupby("curve", sort=False):
        found = _on_curve(point, _whole_curve(members, others, swept), swept, asked)
        rows.append({"curve": curve, "swept": swept} | found)
    if matched := [row for row in rows if row["status"] == MATCHED]:
        min(matched, key=asked.rank)["best"] = True
    return rows


def _point(point: pd.Series, asked: Asked) -> dict[str, Any]:
    return {name: point[name] for name in ["dataset", "codec", "settings", RATE, *asked.errors]}


def _marked(point: pd.Series) -> str:
    return str(point["label"]) if point["mark"] else ""


def _both_restore(point: pd.Series, exact: pd.DataFrame) -> dict[str, Any]:
    """A lossless point has the other's error only where that is lossless too: its smallest such point."""
    if exact.empty:
        return {"status": RESTORED, "note": f"{point['codec']} has no error to match"}
    smallest = exact.sort_values(RATE, kind="stable").iloc[0]
    settings = f" at {smallest['settings']}" if smallest["settings"] else ""
    found = {"best": True, "status": RESTORED, "note": f"so does {smallest['codec']}{settings}"}
    return found | _costs(point, float(smallest[RATE]))


def _costs(point: pd.Series, bits: float) -> dict[str, float]:
    ratio = bits / float(point[RATE]) if point[RATE] > 0 else math.nan
    return {"against_bits_per_image": bits, "bits_ratio": ratio, "bits_percent": 100.0 * ratio}


def _whole_curve(members: pd.DataFrame, others: pd.DataFrame, swept: str) -> pd.DataFrame:
    """A curve's points by its swept setting, those that restore every pixel among them: no line leads across these."""
    if not swept:
        return members

    def rest(settings: str) -> list[tuple[str, str]]:
        return [pair for pair in read_settings(settings).items() if pair[0] != swept]

    mine = rest(str(members["settings"].iloc[0]))
    line = others[[rest(settings) == mine for settings in others["settings"]]]
    values = [float(read_settings(settings)[swept]) for settings in line["settings"]]
    return line.assign(value=values).sort_values("value", kind="stable")


def _on_curve(point: pd.Series, line: pd.DataFrame, swept: str, asked: Asked) -> dict[str, Any]:
    """Where a curve has a point's error (or rate), and what it costs (or gives) there."""
    target, by, name = asked.target, asked.by, str(line["codec"].iloc[0])
    there = ~line["exact"].to_numpy(bool)
    for needed in (RATE, by):
        there &= [not math.isnan(_usable(value, needed)) for value in line[needed]]
    if not there.any():
        return {"status": NO_VALUE, "note": f"{name} has no {word(by)} here"}
    if there.sum() == 1:
        only = line[there].iloc[0]
        has = f"{number(only[by], by)} {word(by)} at {number(only[RATE], RATE)} bits"
        return {"status": ONE_POINT, "note": f"{name} has {has}"}
    values, wanted = np.where(there, line[target].to_numpy(float), np.nan), float(point[target])
    found = [_read(line, place, share, asked) for place, share in crossings(values, wanted, target in LOGARITHMIC)]
    if not found:
        return _why_not(line, values, wanted, swept, asked)
    best = min(found, key=asked.rank)
    several = "the one of fewest bits" if asked.at == "error" else "the one of least error"
    notes = [f"{len(found)} settings match: {several}" if len(found) > 1 else ""]
    images, total = int(point["images"]), int(point["total_images"])
    notes.append(f"over {images:,} of {total:,} images" if images < total else "")
    if asked.at == "error":
        outcome = _costs(point, best[f"against_{RATE}"])
    else:
        outcome = {"psnr_difference_db": best[f"against_{asked.decibels}"] - float(point[asked.decibels])}
    return best | outcome | {"status": MATCHED, "note": join_notes(*notes)}


def crossings(values: Values, target: float, logarithmic: bool) -> list[tuple[int, float]]:
    """Where the straight lines between neighbouring values, (N,) in the order of the setting, meet a target.

    With ``logarithmic`` the lines are straight in the logarithm. A value that is NaN is no part of any line. Gives
    pairs of the left neighbour's index and the share of the way to the right one, from 0 (on it) to 1.
    """
    found = [(place, 0.0) for place, value in enumerate(values) if value == target]
    scale: Callable[[float], float] = math.log if logarithmic else float
    for place, (left, right) in enumerate(pairwise(values)):
        if min(left, right) < target < max(left, right):  # never with NaN
            whole = scale(right) - scale(left)
            share = (scale(target) - scale(left)) / whole if whole else 0.0  # neighbours in the last digit
            found.append((place, min(max(share, 0.0), 1.0)))
    return sorted(found)


def between(left: float, right: float, share: float, logarithmic: bool) -> float:
    """The value at a share of the way from one number to another, never outside them; NaN where the left one is."""
    if share == 0.0 or math.isnan(left):
        return left
    if logarithmic:
        value = math.exp((1.0 - share) * math.log(left) + share * math.log(right))
    else:
        value = (1.0 - share) * left + share * right
    return min(max(value, min(left, right)), max(left, right))  # rounding may leave them by the last digit


def _read(line: pd.DataFrame, place: int, share: float, asked: Asked) -> dict[str, Any]:
    """A curve's columns in the table at a share of the way between two of its points."""
    left = line.iloc[place]
    right = line.iloc[place + 1] if share else left
    read = {
        f"against_{name}": between(float(left[name]), float(right[name]), share, name in LOGARITHMIC)
        for name in {RATE, *asked.errors}
    }
    matched = between(left["value"], right["value"], share, False)
    return read | {"matched": matched, "below": left["value"], "above": right["value"]}


def _why_not(line: pd.DataFrame, values: Values, wanted: float, swept: str, asked: Asked) -> dict[str, Any]:
    name, target = str(line["codec"].iloc[0]), asked.target
    low, high = int(np.nanargmin(values)), int(np.nanargmax(values))
    if values[low] < wanted < values[high]:
        return {"status": GAP, "note": f"{name} restores every pixel, or has no value, at the points between"}
    end = low if wanted < values[low] else high
    words = ("fewest", "most") if target == RATE else ("smallest", "largest")
    setting = f"{swept} {line['value'].iloc[end]:g}"
    note = f"{name}'s {words[end != low]} {word(target)}: {number(values[end], target)}, at {setting}"
    exact = line.loc[line["exact"], "value"]
    if asked.at == "error" and (end == high) == asked.up and len(exact):
        nearest = exact.loc[(exact - line["value"].iloc[end]).abs().idxmin()]
        note += f"; at {nearest:g} it restores every pixel"
    return {"status": OUTSIDE, "note": note}


# ---- numbers and words ----------------------------------------------------------------------------------------------


def _usable(value: Any, name: str) -> float:
    """A value, or NaN where there is none or where it has not the logarithm that is taken of it."""
    number = float(value)
    return math.nan if name in LOGARITHMIC and number <= 0 else number


def word(name: str) -> str:
    """A measure's name in words; that of a plugin metric as it is."""
    return {"mse": "MSE", "mse_float": "MSE before rounding", RATE: "bits"}.get(name) or measure_word(name)


def number(value: float, name: str) -> str:
    """A value of a measure, with its unit."""
    if name == RATE:
        return f"{value:,.0f}"
    if name.endswith("_db"):
        return f"{value:.2f} dB"
    if name in LOGARITHMIC:
        return f"{value:.3g}"
    return format_ssim(value) if name == "ssim" else f"{value:.4g}"
