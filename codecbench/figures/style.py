"""The house style of figures: one colour and marker a codec, for Matplotlib and for the page's scripts; saving."""

from __future__ import annotations

import functools
import hashlib
import io
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ParamSpec

import matplotlib as mpl
import pandas as pd
from matplotlib.figure import Figure

from codecbench.analysis.points import is_exact
from codecbench.text import printable

INK, GREY = "#26282b", "#6a6d72"
DPI = 120
"""Dots an inch of a PNG; figures of images are laid out on whole dots of this size."""
CODEC_STYLES = {
    "ar_lossless": ("#b5179e", "v"),
    "avif": ("#0072b2", "o"),
    "brotli": ("#d55e00", "X"),
    "bz2": ("#cc79a7", "p"),
    "cond_ae": ("#b3342e", "*"),
    "deflate": ("#7f7f7f", "o"),
    "gan_ae": ("#c2410c", "D"),
    "htj2k": ("#1b2a4e", "^"),
    "jpeg": ("#d55e00", "s"),
    "jpeg2000": ("#009e73", "^"),
    "jpegls": ("#00868b", "d"),
    "jpegxr": ("#8c564b", "s"),
    "jxl": ("#e31a5f", "h"),
    "lossless_ae": ("#cc79a7", "D"),
    "lossy_ae": ("#e69f00", "v"),
    "lzma": ("#009e73", "P"),
    "none": ("#56b4e9", "P"),
    "png": ("#6a3d9a", "X"),
    "ppmd": ("#e69f00", "*"),
    "qoi": ("#4d7c0f", "8"),
    "rd_ae": ("#5a00d6", "*"),
    "res_lossless": ("#5a00d6", "d"),
    "stl10_ae": ("#8c564b", "<"),
    "svd": ("#7f7f7f", ">"),
    "webp": ("#a6a100", "p"),
    "zstd": ("#0072b2", "D"),
}
"""Colour and marker of the built-in codecs: Okabe and Ito's colours and a few that differ from them.
Colour-blind readers distinguish the codecs by the markers as well."""
PALETTE = ("#1b2a4e", "#e31a5f", "#00868b", "#4d7c0f", *(color for color, _ in CODEC_STYLES.values()))
MARKERS = ("h", "d", "8", *(marker for _, marker in CODEC_STYLES.values()))
"""For other codecs; those of :data:`CODEC_STYLES` are used only once the others are taken."""
SHEET = Path(__file__).with_name("house.mplstyle")
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
P = ParamSpec("P")


@dataclass(frozen=True)
class CodecStyle:
    """How a codec is drawn."""

    color: str
    marker: str  # in Matplotlib's letters


house_style = functools.partial(mpl.rc_context, fname=SHEET)
"""Matplotlib's defaults and ours on top, whatever a person's matplotlibrc says; undone on leaving."""


def styled(draw: Callable[P, Figure]) -> Callable[P, Figure]:
    """Draws in the house style."""
    return house_style()(draw)


def codec_styles(codecs: Iterable[str]) -> dict[str, CodecStyle]:
    """One colour and marker a codec, so that every figure agrees, of this run and of others.

    Built-in codecs have theirs in :data:`CODEC_STYLES`. Others get theirs by a hash of their name; where two codecs of
    a run would share one, the later in the alphabet takes the next that is free.
    """
    names = sorted(set(codecs))
    found = {name: CodecStyle(*CODEC_STYLES[name]) for name in names if name in CODEC_STYLES}
    for name in names:
        if name not in found:
            seed = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big")
            color = _free(PALETTE, seed, Counter(style.color for style in found.values()))
            taken = Counter(style.marker for style in found.values())
            taken.update({style.marker: 1000 for style in found.values() if style.color == color})
            found[name] = CodecStyle(color, _free(MARKERS, seed // 7919, taken))
    return {name: found[name] for name in names}


def _free(options: Sequence[str], seed: int, taken: Counter[str]) -> str:
    """The least used option: first one that no built-in codec has, then the next one from ``seed`` on."""
    own = len(options) - len(CODEC_STYLES)

    def order(at: int) -> tuple[int, bool, int]:
        return taken[options[at]], at >= own, (at - seed) % (own if at < own else len(CODEC_STYLES))

    return options[min(range(len(options)), key=order)]


def save_svg(figure: Figure) -> bytes:
    """A figure as SVG: the same bytes every time."""
    return printable(_save(figure, format="svg", metadata={"Date": None}).decode()).encode()


def save_png(figure: Figure, dpi: int = DPI) -> bytes:
    """A figure as PNG: the same bytes every time."""
    return _save(figure, format="png", dpi=dpi, metadata={"Software": None})


def _save(figure: Figure, **how: Any) -> bytes:
    buffer = io.BytesIO()
    with house_style(), warnings.catch_warnings():
        # A label may be in a script that the font does not have.
        warnings.filterwarnings("ignore", "Glyph .* missing", UserWarning)
        figure.savefig(buffer, facecolor="white", **how)
    return buffer.getvalue()


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


def script_styles(
    styles: Mapping[str, CodecStyle], manifest: Mapping[str, Any], points: pd.DataFrame
) -> dict[str, dict[str, str]]:
    """By codec: ``light`` and ``dark`` colour, Plotly's ``symbol``, and its ``kind``.

    Kinds are ``learned``, ``lossless`` (each of its points restored every pixel) and ``classical``.
    """
    measured = points[points["images"] > 0]
    exact = is_exact(measured).groupby(measured["codec"]).all().to_dict()
    found = {}
    for codec, style in styles.items():
        learned = manifest["codecs"][codec].get("trained_on")
        kind = "learned" if learned else "lossless" if exact.get(codec) else "classical"
        found[codec] = {
            "light": on_paper(style.color, "light"),
            "dark": on_paper(style.color, "dark"),
            "symbol": SYMBOLS[style.marker],
            "kind": kind,
        }
    return found
