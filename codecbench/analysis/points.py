"""Points of a summary: those on one curve, its rate at a quality, those that stand for a codec or fit a spec."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from codecbench.analysis.tables import Values
from codecbench.errors import SpecError, UnknownNameError, UsageError
from codecbench.plan.specs import RawSpec, split_escaped, split_specs, unescape

HARNESS = "none"
"""The codec that compresses nothing, and so measures the harness itself."""
TARGET_DB = 30.0
"""The PSNR at which codecs are compared: between clearly visible errors and good quality for small images."""
NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
ANNOTATIONS = ("trained_on", "mark", "label", "total_images", "curve", "swept")
"""The columns that :func:`annotate` adds to a summary."""


def annotate(summary: pd.DataFrame, manifest: Mapping[str, Any]) -> pd.DataFrame:
    """Adds to a summary what plots and tables need, the columns ``ANNOTATIONS``.

    ``trained_on`` is empty for untrained codecs; ``mark`` is ``†`` out of a codec's domain, ``‡`` on its own training
    images, or empty, and ``label`` is the codec's name with the same in words; ``total_images`` counts the dataset's
    images in this run; ``curve`` are the settings that are constant along the point's curve (empty where a codec has
    one), and ``swept`` is the setting that varies along it.
    """
    points = summary.copy()
    trained_on = {name: ", ".join(codec["trained_on"]) for name, codec in manifest["codecs"].items()}
    points["trained_on"] = [trained_on.get(codec, "") for codec in points["codec"]]
    points["mark"] = np.where(points["out_of_domain"], "†", np.where(points["on_training_images"], "‡", ""))
    words = {"†": " (trained on {})", "‡": " (its own training images)", "": ""}
    points["label"] = [
        codec + words[mark].format(trained)
        for codec, trained, mark in zip(points["codec"], points["trained_on"], points["mark"], strict=True)
    ]
    points["total_images"] = [manifest["datasets"][dataset]["images"] for dataset in points["dataset"]]
    points["curve"] = ""
    points["swept"] = ""
    drawable = points[points["psnr_db"].notna()]
    for _, members in drawable.groupby("codec", sort=False):
        swept, families = _families(list(members["settings"]))
        points.loc[members.index, "curve"] = families
        points.loc[members.index, "swept"] = swept
    return points


# ---- settings --------------------------------------------------------------------------------------------------------


def read_settings(text: str) -> dict[str, str]:
    """The settings of a point as texts: ``{"quality": "75", "subsampling": "4:2:0"}``."""
    pairs = [part.partition("=") for part in re.split(r"(?<!\\),", text) if part]
    return {key: value for key, _, value in pairs}


def varying(settings: Sequence[str]) -> list[str]:
    """The keys whose values differ among some points' settings, in the order of the settings."""
    parsed = [read_settings(text) for text in settings]
    keys = dict.fromkeys(key for point in parsed for key in point)
    return [key for key in keys if len({point.get(key) for point in parsed}) > 1]


def short_settings(text: str, keys: Sequence[str]) -> str:
    """The settings of a point whose key is among ``keys``."""
    return ",".join(f"{key}={value}" for key, value in read_settings(text).items() if key in keys)


def telling_settings(settings: Sequence[str]) -> list[str]:
    """The keys that distinguish some points; all keys where none does, so that a single point shows its own."""
    return varying(settings) or list(dict.fromkeys(key for text in settings for key in read_settings(text)))


def constant_settings(settings: Sequence[str]) -> str:
    """What all of some points have in common, in the spec syntax; empty where all their settings are equal."""
    changing = varying(settings)
    return short_settings(settings[0], [key for key in read_settings(settings[0]) if changing and key not in changing])


def _families(settings: Sequence[str]) -> tuple[str, list[str]]:
    """The swept key (numeric, with the most values), and for each point the other settings that vary."""
    parsed = [read_settings(text) for text in settings]
    keys = varying(settings)
    numeric = {
        key: len({point.get(key) for point in parsed})
        for key in keys
        if all(NUMBER.fullmatch(point.get(key, "")) for point in parsed)
    }
    swept = max(numeric, key=lambda key: numeric[key], default="")
    return swept, [short_settings(text, [key for key in keys if key != swept]) for text in settings]


# ---- reading a curve at a level --------------------------------------------------------------------------------------


def crossing(quality: Values, target: float) -> tuple[npt.NDArray[np.intp], Values]:
    """Where curves first meet a quality on their way up; nothing is extrapolated.

    ``quality`` is (points, …), each curve's points by rate; values that are not finite are no part of a curve. Returns
    the place of the left neighbour and the share of the way to the right one, 0 to 1, each (…); the share is NaN where
    a curve does not get there. A single curve is (points,) and gives numbers.
    """
    known = np.where(np.isfinite(quality), quality, np.nan)
    following = np.concatenate([known[1:], np.full_like(known[:1], np.nan)])
    meets = (known == target) | ((known < target) & (target <= following))
    if not len(known):
        return np.zeros(known.shape[1:], dtype=np.intp), np.full(known.shape[1:], np.nan)
    low = np.asarray(meets.argmax(axis=0))
    left, right = _take(known, low), _take(following, low)
    with np.errstate(invalid="ignore", divide="ignore"):
        share = np.where(left == target, 0.0, (target - left) / (right - left))
    return low, np.where(meets.any(axis=0), share, np.nan)


def read_at(values: Values, low: npt.ArrayLike, share: npt.ArrayLike, *, logarithmic: bool = True) -> Values:
    """The values, (points, …), of curves at a :func:`crossing`, never outside those of the two neighbours.

    They are read along straight lines, of the logarithm unless ``logarithmic`` is False: then values that are not above
    0 count as missing. NaN where one is missing.
    """
    if not len(values):
        return np.full(values.shape[1:], np.nan)
    place, share = np.asarray(low), np.asarray(share, dtype=np.float64)
    left, right = _take(values, place), _take(values, np.minimum(place + 1, len(values) - 1))
    with np.errstate(invalid="ignore", divide="ignore"):
        if logarithmic:
            between = np.exp((1.0 - share) * np.log(left) + share * np.log(right))
            between = np.where((left > 0) & (right > 0), between, np.nan)
        else:
            between = (1.0 - share) * left + share * right
        between = np.clip(between, np.minimum(left, right), np.maximum(left, right))  # rounding may leave them
    return np.where(share == 0.0, left, between)


def _take(values: Values, place: npt.NDArray[np.intp]) -> Values:
    return np.asarray(np.take_along_axis(values, place[None], axis=0)[0])


def rate_at(points: pd.DataFrame, quality_db: float = TARGET_DB) -> float:
    """Bits per pixel at which the first of a codec's curves on one dataset reaches a mean PSNR; NaN where none does."""
    usable = points[(points["images"] > 0) & points["psnr_db"].notna() & (points["bits_per_pixel"] > 0)]
    found = []
    for _, curve in usable.groupby("curve", sort=False):
        ordered = curve.sort_values("bits_per_pixel")
        place = crossing(ordered["psnr_db"].to_numpy(float), quality_db)
        found.append(float(read_at(ordered["bits_per_pixel"].to_numpy(float), *place)))
    return min((rate for rate in found if not math.isnan(rate)), default=math.nan)


# ---- points that stand for a codec -----------------------------------------------------------------------------------


def nearest_quality(points: pd.DataFrame) -> pd.DataFrame:
    """For every dataset × codec the point that stands for it: the one whose mean PSNR is nearest to ``TARGET_DB``.

    A codec without any PSNR (every point restores every pixel) is represented by its smallest point.
    """
    chosen = []
    for _, members in points[points["images"] > 0].groupby(["dataset", "codec"], sort=False):
        lossy = members[members["psnr_db"].notna()]
        if len(lossy):
            chosen.append((lossy["psnr_db"] - TARGET_DB).abs().idxmin())
        else:
            chosen.append(members["bits_per_pixel"].idxmin())
    return points.loc[chosen]


def target_rate(points: pd.DataFrame) -> tuple[float, list[str]]:
    """The rate at which a dataset's codecs are shown side by side, in bits per pixel, and the lossy codecs there.

    It is the median (over log rate) of the rates of the lossy codecs' points nearest to ``TARGET_DB``, or of all codecs
    where all are lossless; NaN where nothing was measured.
    """
    chosen = nearest_quality(points)
    chosen = chosen[chosen["bits_per_pixel"] > 0]
    lossy = chosen[chosen["psnr_db"].notna()]
    rates = (lossy if len(lossy) else chosen)["bits_per_pixel"].to_numpy(float)
    return float(np.exp(np.median(np.log(rates)))) if len(rates) else math.nan, list(lossy["codec"])


def nearest_rate(points: pd.DataFrame, bits_per_pixel: float) -> pd.DataFrame:
    """For every codec on one dataset the point nearest to a rate, by the ratio of the rates; in the order of rates.

    A codec that restores every pixel at each of its points is represented by its smallest.
    """
    chosen = []
    for _, members in points[points["images"] > 0].groupby("codec", sort=False):
        lossy = members[~is_exact(members)]
        if lossy.empty:
            chosen.append(members["bits_per_pixel"].idxmin())
            continue
        rates = lossy["bits_per_pixel"].to_numpy(float).clip(1e-9)
        chosen.append(lossy.index[int(np.argmin(np.abs(np.log(rates / bits_per_pixel))))])
    return points.loc[chosen].sort_values(["bits_per_pixel", "codec"], kind="stable")


def is_exact(points: pd.DataFrame) -> pd.Series[bool]:
    """Which points restored every pixel of every image, whether the codec promises it or not."""
    return (points["images"] > 0) & (points["exact_images"] == points["images"])


def overview(points: pd.DataFrame, same: pd.DataFrame) -> pd.DataFrame:
    """The rows of :func:`nearest_quality` of one dataset, by their rate at ``TARGET_DB``, those without one last.

    Added are ``points`` (how many have results), ``rate_lossless`` (the smallest bits per pixel of a point that
    restored every pixel, or NaN), ``only_lossless``, and of ``same``, the points over the same images,
    ``rate_at_target`` (see :func:`rate_at`), ``lowest_psnr_db`` and ``highest_psnr_db``.
    """
    table = nearest_quality(points)
    extra = []
    for codec in table["codec"]:
        members, compared = (one[(one["codec"] == codec) & (one["images"] > 0)] for one in (points, same))
        extra.append(
            {
                "points": len(members),
                "rate_at_target": rate_at(compared),
                "lowest_psnr_db": compared["psnr_db"].min(),
                "highest_psnr_db": compared["psnr_db"].max(),
                "rate_lossless": members.loc[is_exact(members), "bits_per_pixel"].min(),
            }
        )
    columns = ["points", "rate_at_target", "lowest_psnr_db", "highest_psnr_db", "rate_lossless"]
    table = table.join(pd.DataFrame(extra, index=table.index, columns=columns))
    table["only_lossless"] = table["psnr_db"].isna()
    return table.sort_values(["rate_at_target", "only_lossless", "bits_per_pixel", "codec"], kind="stable")


# ---- points that a spec names ----------------------------------------------------------------------------------------


def one_spec(text: str, role: str) -> RawSpec:
    """Reads a text that names one codec; ``role`` says in messages what the text was given as."""
    specs = split_specs(text)
    if len(specs) != 1:
        raise SpecError(f"{role}={text!r} names {len(specs)} codecs; allowed: one")
    return specs[0]


def select(summary: pd.DataFrame, spec: RawSpec) -> pd.DataFrame:
    """The measured points of a summary that agree with a spec, of all datasets.

    Whether the codec is installed does not matter. Values and ranges of the spec narrow; a setting that it does not
    name may be anything. A codec, setting or value that the run does not have is an error.
    """
    known = list(dict.fromkeys(summary["codec"]))
    if spec.name not in known:
        raise UnknownNameError("codec of this run", spec.name, known)
    points = summary[(summary["codec"] == spec.name) & (summary["images"] > 0)]
    keys = list(dict.fromkeys(key for text in points["settings"] for key in read_settings(text)))
    seen = set()
    for part in spec.parts:
        key, equals, text = part.partition("=")
        if not equals:
            raise SpecError(f"{spec.name}: {part!r} is not KEY=VALUE; settings: {', '.join(keys) or 'none'}")
        if key not in keys:
            raise UnknownNameError(f"setting of {spec.name} in this run", key, keys)
        if key in seen:
            raise SpecError(f"{spec.name}: {key} is given twice; write {key}=VALUE/VALUE for several values")
        seen.add(key)
        values = [read_settings(settings).get(key, "") for settings in points["settings"]]
        agrees = np.zeros(len(points), dtype=bool)
        for wanted in split_escaped(text, "/"):
            found = np.array([_agrees(value, wanted) for value in values], dtype=bool)
            if not found.any():
                raise UsageError(f"{spec.name}: no such point in this run: {key}={wanted}; there are: {_some(values)}")
            agrees |= found
        points = points[agrees]
    return points


def _some(values: list[str]) -> str:
    there = list(dict.fromkeys(values))
    return ", ".join(there if len(there) <= 12 else [*there[:10], f"… ({len(there)} values)"])


def _agrees(value: str, wanted: str) -> bool:
    """Whether a value of a setting is the one that a spec names, or is in its range ``LO..HI[:STEP]``."""
    value = unescape(value)
    low, dots, rest = wanted.partition("..")
    high, _, step = rest.partition(":")
    if dots and all(NUMBER.fullmatch(text) for text in (low, high, step or "1", value)):
        return _in_range(Decimal(value), Decimal(low), Decimal(high), Decimal(step) if step else None)
    wanted = unescape(wanted)
    if NUMBER.fullmatch(value) and NUMBER.fullmatch(wanted):
        return Decimal(value) == Decimal(wanted)
    return value == wanted


def _in_range(value: Decimal, low: Decimal, high: Decimal, step: Decimal | None) -> bool:
    if not low <= value <= high:
        return False
    try:
        return step is None or (value - low) % step == 0
    except ArithmeticError:  # a step of 0, or one with more digits than can be counted
        return False
