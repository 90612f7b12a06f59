"""Which points of a run a spec names, by the texts of its table alone: the codec itself need not be installed."""

from __future__ import annotations

import re
from decimal import Decimal

import numpy as np
import pandas as pd

from codecbench.analysis.points import read_settings
from codecbench.errors import SpecError, UnknownNameError, UsageError
from codecbench.plan.specs import RawSpec, split_escaped, split_specs, unescape

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
