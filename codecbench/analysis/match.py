"""Matched distortion: at which setting one codec has another's error, and what each costs; or the same at equal bits.

Between two measured neighbours along its swept setting a codec's curve is taken as straight lines: of log MSE and of
log bits over the setting, of PSNR and SSIM as they are. Nothing is extrapolated, and no line leads across a point that
cannot be placed on it (one that restores every pixel, or has no such value). A setting between two whole ones is read
off such a line; it says how far apart two codecs are, and cannot be set.

Columns of the table, one row per dataset × point of the codec × curve of the other:

    dataset, codec, settings       the codec's measured point
    <by>                           its error by the measure asked for: mse, mse_float, psnr_db, ssim, or a plugin
                                   metric that the run measured
    psnr_db                        at equal bits: its mean PSNR
    bits_per_image                 its rate
    against, curve                 the other codec, and which of its curves where it has several
    swept, matched                 the setting that varies along the curve, and the value at which it matches
    below, above                   the measured values on either side, or twice the same where it was measured itself
    against_bits_per_image         at equal error: the other's rate there
    bits_ratio, bits_percent       at equal error: the other's rate over the codec's, as a ratio and in percent
    against_<by>, against_psnr_db  at equal bits: the other's error there
    psnr_difference_db             at equal bits: the other's PSNR less the codec's
    best                           the row of fewest bits (at equal error) or least error (at equal bits) for this point
    status                         one of the texts below
    note                           details: which end, why not, and what to know about the point
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from codecbench.analysis.points import annotate, is_exact, one_spec, read_settings, select, varying
from codecbench.columns import HIGHER_IS_BETTER
from codecbench.errors import UnknownNameError, UsageError
from codecbench.plan.specs import RawSpec
from codecbench.text import format_ssim

MEASURES = ("mse", "mse_float", "psnr_db", "ssim")
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

Values = npt.NDArray[np.float64]


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
    """The matched-distortion table of two codecs, described above, in the order of the summary.

    ``codec`` and ``against`` are names, or specs whose settings narrow to the points that agree with them
    (``jpeg:quality=10..50,subsampling=4:2:0``); settings that are not named may be anything. ``at`` is one of ``WAYS``,
    ``by`` one of ``MEASURES`` or a plugin metric of the run. What cannot be matched has a row with its reason.

    An unknown name, settings with no point, a codec against itself, and a codec or measure without values are
    a ``UsageError``.
    """
    if at not in WAYS:
        raise UnknownNameError("way to match", at, WAYS)
    metrics = manifest["metrics"]
    measures = (*MEASURES, *metrics)
    if by not in measures:
        raise UnknownNameError("measure of error", by, measures)
    up = by in HIGHER_IS_BETTER or metrics.get(by, {}).get("better") == "higher"
    table = summary.reset_index(drop=True)
    labels = list(manifest["datasets"])
    if dataset is not None and dataset not in labels:
        raise UnknownNameError("dataset of this run", dataset, labels)
    ours, theirs = one_spec(codec, "codec"), one_spec(against, "against")
    points, others = select(table, ours), select(table, theirs)
    if not points.index.intersection(others.index).empty:
        got = f"{ours.text!r} and {theirs.text!r} share points"
        raise UsageError(f"{ours.name} against itself: {got}; allowed: two codecs, or settings that differ")
    chosen = labels if dataset is None else [dataset]
    for spec, found in ((ours, points), (theirs, others)):
        _require_values(table, spec, found[found["dataset"].isin(chosen)], by, chosen, measures)
    points, others = annotate(points, manifest), annotate(others, manifest)
    records: list[dict[str, Any]] = []
    for label in chosen:
        here, there = points[points["dataset"] == label], others[others["dataset"] == label]
        if here.empty:
            note = f"{ours.name}: {_why_none(table, ours.name, label)}"
            records.append({"dataset": label, "codec": ours.name, "status": NO_RESULTS, "note": note})
        elif there.empty:
            note = f"{theirs.name}: {_why_none(table, theirs.name, label)}"
            records += [_point(row, at, by) | {"status": NO_RESULTS, "note": note} for _, row in here.iterrows()]
        else:
            for _, row in here.iterrows():
                records += _matches(row, there, at, by, up)
        for record in records:
            record["against"] = theirs.name
    return _typed(records, at, by)


def method(at: str, by: str) -> str:
    """How :func:`match` reads a curve, in one sentence."""
    lines = [("log " if name in LOGARITHMIC else "") + word(name) for name in (by, RATE)]
    same = "error" if at == "error" else "bits"
    return (
        f"At equal {same}: straight lines of {lines[0]} and of {lines[1]} over the swept setting, between measured "
        "neighbours; nothing is extrapolated."
    )


def columns(at: str, by: str) -> list[str]:
    """The columns of :func:`match`'s table."""
    errors = list(dict.fromkeys([by, "psnr_db"] if at == "bytes" else [by]))
    if at == "error":
        outcome = ["against_bits_per_image", "bits_ratio", "bits_percent"]
    else:
        outcome = [*(f"against_{name}" for name in errors), "psnr_difference_db"]
    place = ["against", "curve", "swept", "matched", "below", "above"]
    return ["dataset", "codec", "settings", *errors, RATE, *place, *outcome, "best", "status", "note"]


# ---- which points ---------------------------------------------------------------------------------------------------


def _require_values(
    table: pd.DataFrame, spec: RawSpec, points: pd.DataFrame, by: str, labels: Sequence[str], measures: Sequence[str]
) -> None:
    if points.empty:
        why = "; ".join(f"{label}: {_why_none(table, spec.name, label)}" for label in labels)
        raise UsageError(f"{spec.text} has no results to match ({why})")
    lossy = points[~is_exact(points)]
    with_values = [name for name in measures if lossy[name].notna().any()]
    if len(lossy) and by not in with_values:
        where = "" if len(labels) > 1 else f" on {labels[0]}"
        raise UsageError(f"{spec.text} has no {by}{where}; allowed for it: {', '.join(with_values)}")


def _why_none(table: pd.DataFrame, codec: str, label: str) -> str:
    rows = table[(table["codec"] == codec) & (table["dataset"] == label) & (table["images"] == 0)]
    reasons = [reason for reason in rows["reason"] if reason]
    return reasons[0] if reasons else "not measured there"


# ---- one point against the curves of the other codec ----------------------------------------------------------------


def _matches(point: pd.Series, others: pd.DataFrame, at: str, by: str, up: bool) -> list[dict[str, Any]]:
    """The rows of one measured point: one a curve of the other codec, or one that says why there is none.

    ``up`` tells that more is better by the measure.
    """
    base, name = _point(point, at, by), str(others["codec"].iloc[0])
    base["note"] = _join(base["note"], _marks(others))
    exact = others[is_exact(others)]
    if at == "error" and _restores(point):
        return [base | _both_restore(point, exact, base["note"])]
    if len(exact) == len(others):
        note = f"{name} does at each of its points, with {exact[RATE].min():,.0f} bits at the fewest"
        return [base | {"status": RESTORED, "note": _join(note, base["note"])}]
    target = RATE if at == "bytes" else by
    if math.isnan(_usable(point[target], target)):
        return [base | {"status": NO_VALUE, "note": _join(f"{point['codec']} has no {word(target)}", base["note"])}]
    lossy = others[~is_exact(others)]
    swept = str(lossy["swept"].iloc[0])
    if not swept and len(lossy) > 1:
        keys = ", ".join(varying(list(lossy["settings"])))
        return [base | {"status": NOT_NUMERIC, "note": _join(f"{name} varies in {keys}", base["note"])}]
    rows = []
    for curve, members in lossy.groupby("curve", sort=False):
        found = _on_curve(point, _whole_curve(members, others, swept), swept, at, by, up)
        rows.append(base | {"curve": curve, "swept": swept} | found | {"note": _join(found["note"], base["note"])})
    _mark_best(rows, at, by, up)
    return rows


def _point(point: pd.Series, at: str, by: str) -> dict[str, Any]:
    names = ["dataset", "codec", "settings", RATE, by] + (["psnr_db"] if at == "bytes" else [])
    return {name: point[name] for name in names} | {"note": str(point["label"]) if point["mark"] else ""}


def _marks(points: pd.DataFrame) -> str:
    return str(points["label"].iloc[0]) if points["mark"].iloc[0] else ""


def _restores(point: pd.Series) -> bool:
    return bool(point["images"] > 0 and point["exact_images"] == point["images"])


def _both_restore(point: pd.Series, exact: pd.DataFrame, note: str) -> dict[str, Any]:
    """A lossless point has the other's error only where that is lossless too: its smallest such point."""
    if exact.empty:
        return {"status": RESTORED, "note": _join(f"{point['codec']} has no error to match", note)}
    smallest = exact.sort_values(RATE, kind="stable").iloc[0]
    settings = f" at {smallest['settings']}" if smallest["settings"] else ""
    return {
        **_costs(point, float(smallest[RATE])),
        "best": True,
        "status": RESTORED,
        "note": _join(f"so does {smallest['codec']}{settings}", note),
    }


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


def _on_curve(point: pd.Series, line: pd.DataFrame, swept: str, at: str, by: str, up: bool) -> dict[str, Any]:
    """Where a curve has a point's error (or rate), and what it costs (or gives) there."""
    target, name = RATE if at == "bytes" else by, str(line["codec"].iloc[0])
    there = ~is_exact(line).to_numpy(bool)
    for needed in (RATE, by):
        there &= [not math.isnan(_usable(value, needed)) for value in line[needed]]
    if not there.any():
        return {"status": NO_VALUE, "note": f"{name} has no {word(by)} here"}
    if there.sum() == 1:
        only = line[there].iloc[0]
        has = f"{number(only[by], by)} {word(by)} at {number(only[RATE], RATE)} bits"
        return {"status": ONE_POINT, "note": f"{name} has {has}"}
    values, wanted = np.where(there, line[target].to_numpy(float), np.nan), float(point[target])
    places = crossings(values, wanted, logarithmic=target in LOGARITHMIC)
    if not places:
        return _why_not(line, values, wanted, target, swept, up)
    found = [_read(line, place, share, by) for place, share in places]
    key, sign = (RATE, 1.0) if at == "error" else (by, -1.0 if up else 1.0)
    best = min(found, key=lambda place: sign * place[key])
    several = "the one of fewest bits" if at == "error" else "the one of least error"
    notes = [f"{len(found)} settings match: {several}" if len(found) > 1 else ""]
    counts = {int(point["images"]), *best["images"]}
    notes.append(f"not over the same images: {' and '.join(map(str, sorted(counts)))}" if len(counts) > 1 else "")
    record = {"matched": best["value"], "below": best["below"], "above": best["above"], "status": MATCHED}
    if at == "error":
        return record | _costs(point, best[RATE]) | {"note": _join(*notes)}
    errors = {f"against_{measure}": best[measure] for measure in {by, "psnr_db"}}
    difference = best["psnr_db"] - float(point["psnr_db"])
    return record | errors | {"psnr_difference_db": difference, "note": _join(*notes)}


def crossings(values: Values, target: float, *, logarithmic: bool = False) -> list[tuple[int, float]]:
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


def between(left: float, right: float, share: float, *, logarithmic: bool = False) -> float:
    """The value at a share of the way from one number to another, never outside them.

    Args:
        left: at share 0; above 0 where ``logarithmic``.
        right: at share 1; the same.
        share: from 0 to 1.
        logarithmic: along the logarithm.
    """
    if share == 0.0 or math.isnan(left):
        return left
    if logarithmic:
        value = math.exp((1.0 - share) * math.log(left) + share * math.log(right))
    else:
        value = (1.0 - share) * left + share * right
    return min(max(value, min(left, right)), max(left, right))  # rounding may leave them by the last digit


def _read(line: pd.DataFrame, place: int, share: float, by: str) -> dict[str, Any]:
    """A curve's numbers at a share of the way between two of its points."""
    left = line.iloc[place]
    right = line.iloc[place + 1] if share else left
    read = {
        name: between(float(left[name]), float(right[name]), share, logarithmic=name in LOGARITHMIC)
        for name in {"value", RATE, by, "psnr_db"}
    }
    images = {int(left["images"]), int(right["images"])}
    return read | {"below": left["value"], "above": right["value"], "images": images}


def _why_not(line: pd.DataFrame, values: Values, wanted: float, target: str, swept: str, up: bool) -> dict[str, Any]:
    name = str(line["codec"].iloc[0])
    low, high = int(np.nanargmin(values)), int(np.nanargmax(values))
    if values[low] < wanted < values[high]:
        return {"status": GAP, "note": f"{name} restores every pixel, or has no value, at the points between"}
    end = low if wanted < values[low] else high
    words = ("fewest", "most") if target == RATE else ("smallest", "largest")
    which = words[0] if end == low else words[1]
    setting = f"{swept} {line['value'].iloc[end]:g}"
    note = f"{name}'s {which} {word(target)}: {number(values[end], target)}, at {setting}"
    good_end = target != RATE and (end == high) == up
    exact = line.loc[is_exact(line), "value"]
    if good_end and len(exact):
        nearest = exact.loc[(exact - line["value"].iloc[end]).abs().idxmin()]
        note += f"; at {nearest:g} it restores every pixel"
    return {"status": OUTSIDE, "note": note}


def _mark_best(rows: list[dict[str, Any]], at: str, by: str, up: bool) -> None:
    key = "against_bits_per_image" if at == "error" else f"against_{by}"
    sign = -1.0 if at == "bytes" and up else 1.0
    matched = [row for row in rows if row["status"] == MATCHED]
    if matched:
        min(matched, key=lambda row: sign * float(row[key]))["best"] = True


# ---- numbers and words ----------------------------------------------------------------------------------------------


def _usable(value: Any, name: str) -> float:
    """A value, or NaN where there is none or where it has not the logarithm that is taken of it."""
    number = float(value)
    return math.nan if name in LOGARITHMIC and number <= 0 else number


def word(name: str) -> str:
    """A measure's name in words; that of a plugin metric as it is."""
    words = {"mse": "MSE", "mse_float": "MSE before rounding", "psnr_db": "PSNR", "ssim": "SSIM", RATE: "bits"}
    return words.get(name, name)


def number(value: float, name: str) -> str:
    """A value of a measure, with its unit."""
    if name == RATE:
        return f"{value:,.0f}"
    if name.endswith("_db"):
        return f"{value:.2f} dB"
    if name in LOGARITHMIC:
        return f"{value:.3g}"
    return format_ssim(value) if name == "ssim" else f"{value:.4g}"


def _join(*notes: str) -> str:
    return "; ".join(note for note in notes if note)


def _typed(records: Sequence[Mapping[str, Any]], at: str, by: str) -> pd.DataFrame:
    """Gives every column its type, whatever was matched."""
    table = pd.DataFrame(records).reindex(columns=columns(at, by))
    for name in table.columns:
        if name in {"dataset", "codec", "settings", "against", "curve", "swept", "status", "note"}:
            table[name] = table[name].astype(object).where(table[name].notna(), "").astype(str)
        elif name == "best":
            table[name] = table[name].astype("boolean").fillna(False).astype(bool)
        else:
            table[name] = pd.to_numeric(table[name]).astype("float64")
    return table
