"""From the summary to curves: which points belong to one line, and which points of different codecs are comparable.

Everything here takes and returns tidy tables: the summary of ``codecbench.analysis.summary`` with a few columns added
by :func:`annotate`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd

from codecbench.errors import SpecError, UnknownNameError, UsageError
from codecbench.plan.specs import RawSpec, split_escaped, split_specs, unescape

HARNESS = "none"
"""The codec that compresses nothing, and so measures the harness itself."""
TARGET_DB = 30.0
"""The PSNR at which codecs are compared: between clearly visible errors and good quality for small images."""


ANNOTATIONS = ("trained_on", "mark", "label", "total_images", "curve", "swept")
"""The columns that :func:`annotate` adds to a summary."""


def annotate(summary: pd.DataFrame, manifest: Mapping[str, Any]) -> pd.DataFrame:
    """Adds to a summary what plots and tables need.

    Args:
        summary: see ``codecbench.analysis.summary.summarise``.
        manifest: the run's ``run.json``.

    Returns:
        The summary with the columns ``trained_on`` (text, empty for untrained codecs), ``on_training_images``
        (bool, also where the summary has none), ``mark`` (``†`` out of its domain, ``‡`` on its own training images,
        or empty), ``label`` (the codec's name, with the same in words), ``total_images`` (images of the dataset in this
        run), ``curve`` (the settings that hold along the point's line, empty where a codec has one line) and
        ``swept`` (the setting that varies along it, or empty).
    """
    points = summary.copy()
    trained_on = {name: ", ".join(codec.get("trained_on", ())) for name, codec in manifest["codecs"].items()}
    points["trained_on"] = [trained_on.get(codec, "") for codec in points["codec"]]
    seen = summary.get("on_training_images", pd.Series(False, index=summary.index))
    points["on_training_images"] = seen.astype("boolean").fillna(False).astype(bool)
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


def read_settings(text: str) -> dict[str, str]:
    """The settings of a point as texts: ``{"quality": "75", "subsampling": "4:2:0"}``."""
    pairs = [part.partition("=") for part in re.split(r"(?<!\\),", text) if part]
    return {key: value for key, _, value in pairs}


def varying(settings: Sequence[str]) -> list[str]:
    """The keys whose values differ among some points' settings, in the order they are spelled."""
    parsed = [read_settings(text) for text in settings]
    keys = dict.fromkeys(key for point in parsed for key in point)
    return [key for key in keys if len({point.get(key) for point in parsed}) > 1]


def short_settings(text: str, keys: Sequence[str]) -> str:
    """The settings of a point, those among ``keys`` only."""
    return ",".join(f"{key}={value}" for key, value in read_settings(text).items() if key in keys)


def telling_settings(settings: Sequence[str]) -> list[str]:
    """The keys that tell some points apart; all of them where none does, so that a single point shows its own."""
    return varying(settings) or list(dict.fromkeys(key for text in settings for key in read_settings(text)))


def constant_settings(settings: Sequence[str]) -> str:
    """What all of some points have in common, in the spec syntax; empty where they are all the same."""
    changing = varying(settings)
    return short_settings(settings[0], [key for key in read_settings(settings[0]) if changing and key not in changing])


def _families(settings: Sequence[str]) -> tuple[str, list[str]]:
    """The swept key (numeric, with the most values), and for each point the other settings that vary."""
    parsed = [read_settings(text) for text in settings]
    keys = varying(settings)
    numeric = {
        key: len({point.get(key) for point in parsed})
        for key in keys
        if all(_is_number(point.get(key, "")) for point in parsed)
    }
    swept = max(numeric, key=lambda key: numeric[key], default="")
    return swept, [short_settings(text, [key for key in keys if key != swept]) for text in settings]


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


def rate_at(points: pd.DataFrame, quality_db: float = TARGET_DB) -> float:
    """Bits per pixel at a PSNR, read off the straight lines (over log rate) between measured neighbours.

    Args:
        points: the points of one codec on one dataset.
        quality_db: the mean PSNR asked for.

    Returns:
        The smallest rate at which one of the codec's lines crosses it; NaN where none does: nothing is extrapolated.
    """
    found = []
    usable = points[points["psnr_db"].notna() & (points["bits_per_pixel"] > 0)]
    for _, line in usable.groupby("curve", sort=False):
        ordered = line.sort_values("bits_per_pixel")
        quality, rate = ordered["psnr_db"].to_numpy(float), np.log(ordered["bits_per_pixel"].to_numpy(float))
        for low in range(len(ordered) - 1):
            if quality[low] <= quality_db <= quality[low + 1] and quality[low] < quality[low + 1]:
                share = (quality_db - quality[low]) / (quality[low + 1] - quality[low])
                found.append(float(np.exp(rate[low] + share * (rate[low + 1] - rate[low]))))
                break
        found += [float(np.exp(r)) for q, r in zip(quality, rate, strict=True) if q == quality_db]
    return min(found, default=math.nan)


def nearest_quality(points: pd.DataFrame, quality_db: float = TARGET_DB) -> pd.DataFrame:
    """For every dataset × codec the point that stands for it where one must.

    That is the measured point whose mean PSNR is nearest to ``quality_db``; for a codec without any PSNR (every
    point restores every pixel) its smallest.

    Args:
        points: marked points.
        quality_db: the mean PSNR asked for.

    Returns:
        At most one row per dataset × codec, in the order of ``points``.
    """
    chosen = []
    for _, members in points[points["images"] > 0].groupby(["dataset", "codec"], sort=False):
        lossy = members[members["psnr_db"].notna()]
        if len(lossy):
            chosen.append((lossy["psnr_db"] - quality_db).abs().idxmin())
        else:
            chosen.append(members["bits_per_pixel"].idxmin())
    return points.loc[chosen]


def target_rate(points: pd.DataFrame) -> tuple[float, list[str]]:
    """The rate at which a dataset's codecs are shown side by side.

    Args:
        points: marked points of one dataset.

    Returns:
        Bits per pixel: the median (over log rate) over the lossy codecs of the rate of each one's point nearest to
        ``TARGET_DB``, or over all codecs where all are lossless; NaN where nothing was measured. And the names of
        those lossy codecs.
    """
    chosen = nearest_quality(points)
    chosen = chosen[chosen["bits_per_pixel"] > 0]
    lossy = chosen[chosen["psnr_db"].notna()]
    rates = (lossy if len(lossy) else chosen)["bits_per_pixel"].to_numpy(float)
    return float(np.exp(np.median(np.log(rates)))) if len(rates) else math.nan, list(lossy["codec"])


def nearest_rate(points: pd.DataFrame, bits_per_pixel: float) -> pd.DataFrame:
    """For every codec on a dataset the point nearest to a rate, by the ratio of the rates.

    A codec that restores every pixel at each of its points is represented by its smallest.

    Args:
        points: marked points of one dataset.
        bits_per_pixel: the rate asked for.

    Returns:
        One row a codec, by rate.
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


def overview(points: pd.DataFrame) -> pd.DataFrame:
    """One row a codec, the answer before the details.

    Args:
        points: marked points of one dataset.

    Returns:
        The rows of :func:`nearest_quality` with ``points`` (how many have results), ``rate_at_target`` (see
        :func:`rate_at`), ``lowest_psnr_db``, ``highest_psnr_db`` and ``rate_lossless`` (smallest bits per pixel of
        a point that restored every pixel, or NaN). By rate at the target; those without one behind, by rate.
    """
    table = nearest_quality(points)
    extra = []
    for codec in table["codec"]:
        members = points[(points["codec"] == codec) & (points["images"] > 0)]
        extra.append(
            {
                "points": len(members),
                "rate_at_target": rate_at(members),
                "lowest_psnr_db": members["psnr_db"].min(),
                "highest_psnr_db": members["psnr_db"].max(),
                "rate_lossless": members.loc[is_exact(members), "bits_per_pixel"].min(),
            }
        )
    columns = ["points", "rate_at_target", "lowest_psnr_db", "highest_psnr_db", "rate_lossless"]
    table = table.join(pd.DataFrame(extra, index=table.index, columns=columns))
    table["only_lossless"] = table["psnr_db"].isna()
    return table.sort_values(["rate_at_target", "only_lossless", "bits_per_pixel", "codec"], kind="stable")


NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")


def one_spec(text: str, role: str) -> RawSpec:
    """Reads a text that names one codec.

    Args:
        text: the spec.
        role: what it was given as, for messages.

    Raises:
        SpecError: it does not follow the grammar, or names several.
    """
    specs = split_specs(text)
    if len(specs) != 1:
        raise SpecError(f"{role}={text!r} names {len(specs)} codecs; allowed: one")
    return specs[0]


def select(summary: pd.DataFrame, spec: RawSpec) -> pd.DataFrame:
    """The measured points of a summary that agree with a spec, of all datasets.

    Args:
        summary: see ``codecbench.analysis.summary``.
        spec: values and ranges narrow; a setting that it does not name may be anything.

    Raises:
        UnknownNameError: no such codec or setting in the run.
        SpecError: a part that is no ``KEY=VALUE``, or a repeated key.
        UsageError: a value that none of the points has.
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
    """Whether a value of a setting is the one a spec names, or lies in its range ``LO..HI[:STEP]``."""
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
