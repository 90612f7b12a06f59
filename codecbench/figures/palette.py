"""Colours and markers for scripts, from those of ``codecbench.figures.style``: told apart on white and on black."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from codecbench.analysis.points import restored
from codecbench.figures.style import CodecStyle

SYMBOLS = {
    "o": "circle",
    "*": "star",
    "s": "square",
    "^": "triangle-up",
    "D": "diamond",
    "v": "triangle-down",
    "P": "cross",
    "X": "x",
    "<": "triangle-left",
    ">": "triangle-right",
    "p": "pentagon",
    "h": "hexagon",
    "d": "diamond-tall",
    "8": "octagon",
}
"""Plotly's names of Matplotlib's markers."""
DASHES = ("solid", "dot", "dashdot", "longdashdot", "8px 2px 1px 2px 1px 2px")
FOREIGN_DASHES = ("dash", "longdash", "3px 3px", "14px 4px", "5px 7px")
"""Of the first, second, ... curve of a codec, in Plotly's words; the second row for codecs out of their domain."""
PAPER = {"light": "#ffffff", "dark": "#1b1e22"}
"""What plots are drawn on; static/page.css has the same as ``--card``."""
LEAST_CONTRAST = {"light": 2.4, "dark": 4.0}
"""Of a colour against its paper, as the Web Content Accessibility Guidelines 2.1 compute it. Marks have their outline
and their name beside them, so that on white the colours of papers may stay, yellow and light blue among them."""


def luminance(color: str) -> float:
    """Relative luminance of a colour ``#rrggbb``, 0 to 1 (WCAG 2.1)."""
    parts = [int(color[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(first: str, second: str) -> float:
    """Contrast of two colours, 1 to 21 (WCAG 2.1)."""
    low, high = sorted((luminance(first), luminance(second)))
    return (high + 0.05) / (low + 0.05)


def mixed(color: str, other: str, share: float) -> str:
    """A colour with a share of another."""
    pairs = [(int(color[at : at + 2], 16), int(other[at : at + 2], 16)) for at in (1, 3, 5)]
    return "#" + "".join(f"{round(one + share * (two - one)):02x}" for one, two in pairs)


def on_paper(color: str, theme: str) -> str:
    """A colour, mixed with as much white or black as it takes to be seen on a theme's paper."""
    paper, ink = PAPER[theme], "#ffffff" if theme == "dark" else "#000000"
    for step in range(20):
        found = mixed(color, ink, step / 20)
        if contrast(found, paper) >= LEAST_CONTRAST[theme]:
            return found
    return ink


def looks_for_scripts(
    styles: Mapping[str, CodecStyle], manifest: Mapping[str, Any], points: pd.DataFrame
) -> dict[str, dict[str, str]]:
    """By codec: ``light`` and ``dark`` colour, Plotly's ``symbol``, and its ``kind``.

    Args:
        styles: colour and Matplotlib marker by codec.
        manifest: the run's ``run.json``.
        points: marked points.

    Returns:
        Kinds are ``learned``, ``lossless`` (each of its points restored every pixel) and ``classical``.
    """
    measured = points[points["images"] > 0]
    exact = restored(measured).groupby(measured["codec"]).all().to_dict()
    found = {}
    for codec, style in styles.items():
        learned = bool(manifest["codecs"][codec].get("trained_on"))
        kind = "learned" if learned else "lossless" if exact.get(codec, False) else "classical"
        found[codec] = {
            "light": on_paper(style.color, "light"),
            "dark": on_paper(style.color, "dark"),
            "symbol": SYMBOLS[style.marker],
            "kind": kind,
        }
    return found
