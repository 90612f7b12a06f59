"""How figures look: the house style, one colour and marker a codec, and saving to the same bytes every time."""

from __future__ import annotations

import functools
import hashlib
import io
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from typing import Any, ParamSpec

import matplotlib as mpl
from matplotlib.figure import Figure

INK, FAINT, GREY = "#26282b", "#d9dbde", "#6a6d72"
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
"""Colour and marker of the codecs that come with codecbench, the same in every run: Okabe and Ito's colours and a few
that stay apart from them, told apart by the colour-blind with the markers."""
PALETTE = ("#1b2a4e", "#e31a5f", "#00868b", "#4d7c0f", *(color for color, _ in CODEC_STYLES.values()))
MARKERS = ("h", "d", "8", *(marker for _, marker in CODEC_STYLES.values()))
"""For other codecs; those at the end only once the others are taken."""
STYLE: Any = {
    "font.family": "DejaVu Sans",
    "font.size": 9.5,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": "#9a9da1",
    "axes.linewidth": 0.8,
    "axes.titlesize": 10.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e9eaec",
    "grid.linewidth": 0.8,
    "xtick.color": "#55585c",
    "ytick.color": "#55585c",
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "legend.frameon": False,
    "legend.fontsize": 9,
    "svg.hashsalt": "codecbench",
    "svg.fonttype": "path",
    "image.composite_image": False,  # an SVG has each image by itself, at its own size
    "text.parse_math": False,  # a $ in a label is a $
}
P = ParamSpec("P")


@dataclass(frozen=True)
class CodecStyle:
    """How a codec is drawn.

    Attributes:
        color: its colour.
        marker: its marker, in Matplotlib's letters.
    """

    color: str
    marker: str


def house_style() -> AbstractContextManager[object]:
    """Matplotlib's defaults and ours on top, whatever a person's matplotlibrc says; undone on leaving."""
    stack = ExitStack()
    stack.enter_context(mpl.rc_context())
    mpl.rcdefaults()
    mpl.rcParams.update(STYLE)
    return stack


def styled(draw: Callable[P, Figure]) -> Callable[P, Figure]:
    """Draws in the house style."""

    @functools.wraps(draw)
    def drawn(*args: P.args, **kwargs: P.kwargs) -> Figure:
        with house_style():
            return draw(*args, **kwargs)

    return drawn


def codec_styles(codecs: Iterable[str]) -> dict[str, CodecStyle]:
    """One colour and marker a codec, so that every figure agrees, of this run and of others.

    Built-in codecs have theirs in :data:`CODEC_STYLES`. Others get theirs by a hash of their name; where two codecs of
    a run would share one, the later in the alphabet takes the next that is free.

    Args:
        codecs: names, in any order.

    Returns:
        A style by name.
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
    """The least used option: our own before the built-in codecs', and then the next one from ``seed`` on."""
    own = len(options) - len(CODEC_STYLES)

    def order(at: int) -> tuple[int, bool, int]:
        return taken[options[at]], at >= own, (at - seed) % (own if at < own else len(CODEC_STYLES))

    return options[min(range(len(options)), key=order)]


def save_svg(figure: Figure) -> bytes:
    """A figure as SVG: the same bytes every time."""
    return _save(figure, format="svg", metadata={"Date": None})


def save_png(figure: Figure, dpi: int = DPI) -> bytes:
    """A figure as PNG: the same bytes every time."""
    return _save(figure, format="png", dpi=dpi, metadata={"Software": None})


def _save(figure: Figure, **how: Any) -> bytes:
    buffer = io.BytesIO()
    with house_style(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing", UserWarning)  # a label in a script the font lacks
        figure.savefig(buffer, facecolor="white", **how)
    return buffer.getvalue()
