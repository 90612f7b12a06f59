"""Drawn digits: 28×28 gray, in the manner of MNIST, from Matplotlib's fonts; nothing to download.

Every digit is a function of the seed and its number alone: the digit, its font, thickness, slant, rotation and bend
come from a generator of its own, so that reading image 7 draws no other image. As in MNIST the digit is scaled to fit a
box of about 20×20 pixels, anti-aliased, and placed in the 28×28 field by its centre of mass; unlike MNIST it is then
moved by up to a pixel. White on black, 0 to 255.

These are printed digits bent to look written: a stand-in for MNIST, and never called by its name. The same Matplotlib,
Pillow and FreeType give the same pixels everywhere; another FreeType may move an edge by a gray level, which the
fingerprint of a run shows.
"""

from __future__ import annotations

import functools
import importlib.util
import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

import codecbench as cb

FACES = (  # font file, thinnest and thickest outline added (pixels at GLYPH size), how often
    ("DejaVuSans", 0, 1, 3),
    ("DejaVuSans-Oblique", 0, 1, 3),
    ("DejaVuSans-Bold", 0, 0, 1),
    ("DejaVuSerif-Italic", 0, 1, 1),
    ("STIXGeneral", 1, 3, 1),
    ("STIXGeneralItalic", 1, 3, 3),
    ("cmss10", 0, 2, 3),
    ("cmti10", 1, 3, 3),
    ("cmtt10", 0, 2, 2),
    ("cmmi10", 1, 3, 2),
)
SIDE = 28
BOX = 20.0  # MNIST's digits fit a box of 20×20
GLYPH = 64  # height of a digit before it is bent and scaled down, in pixels
CANVAS = 192
GRID = 4  # cells a side of the grid whose moved nodes bend the digit


@cb.register_dataset
@dataclass(frozen=True)
class Digits(cb.Dataset):
    """28×28 gray digits drawn from a seed, images (N, 28, 28, 1) uint8."""

    seed: int = cb.setting(0, low=0, high=2**32 - 1, help="another seed gives other digits")
    count: int = cb.setting(10_000, low=1, high=1_000_000, help="number of digits")

    def status(self, data_dir: Path) -> cb.DatasetStatus:
        """The digits are available wherever Matplotlib's fonts are."""
        note = "drawn with Matplotlib's fonts"
        try:
            font_folder()
        except cb.DatasetError as error:
            return cb.DatasetStatus(False, self.count, (SIDE, SIDE, 1), str(error))
        return cb.DatasetStatus(True, self.count, (SIDE, SIDE, 1), note)

    def load(self, data_dir: Path) -> cb.ImageSet:
        """Opens the digits; each is drawn when it is read."""
        font_folder()
        return DrawnDigits(self.seed, self.count)


class DrawnDigits(cb.ImageSet):
    """Digits drawn on demand and kept for the next time (784 bytes each)."""

    def __init__(self, seed: int, count: int):
        self.seed, self.count = seed, count

    def __len__(self) -> int:
        return self.count

    def shape(self, index: int) -> cb.Shape:
        """28×28, one channel."""
        return SIDE, SIDE, 1

    def read(self, indices: Sequence[int]) -> cb.Images:
        """Draws digits by number, (len(indices), 28, 28, 1)."""
        images = np.empty((len(indices), SIDE, SIDE, 1), np.uint8)
        for position, index in enumerate(indices):
            if not 0 <= index < self.count:
                raise IndexError(f"digits has images 0 to {self.count - 1}, not {index}")
            images[position, :, :, 0] = np.frombuffer(_draw(self.seed, int(index)), np.uint8).reshape(SIDE, SIDE)
        return images

    @functools.cached_property
    def labels(self) -> npt.NDArray[np.uint8]:
        """The digits' values, (N,), 0 to 9."""
        return np.array([_digit(_generator(self.seed, i)) for i in range(self.count)], np.uint8)


@functools.cache
def font_folder() -> Path:
    """The folder of Matplotlib's TrueType fonts, found without importing Matplotlib if possible."""
    spec = importlib.util.find_spec("matplotlib")
    if spec is None or spec.origin is None:
        raise cb.DatasetError("digits: Matplotlib is not installed; the digits are drawn with its fonts")
    folder = Path(spec.origin).parent / "mpl-data" / "fonts" / "ttf"
    if not folder.is_dir():  # distributions move Matplotlib's data elsewhere
        import matplotlib

        folder = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
    if missing := [face for face, *_ in FACES if not (folder / f"{face}.ttf").is_file()]:
        raise cb.DatasetError(f"digits: Matplotlib's fonts {', '.join(missing)} are missing from {folder}")
    return folder


def _generator(seed: int, index: int) -> random.Random:
    # Python promises the same random() after an integer seed in all versions; NumPy promises no such thing.
    return random.Random((seed << 64) | index)


def _digit(generator: random.Random) -> int:
    return int(generator.random() * 10)


@functools.lru_cache(maxsize=50_000)
def _draw(seed: int, index: int) -> bytes:
    """One digit, 28×28 bytes."""
    generator = _generator(seed, index)
    rand = generator.random
    digit = _digit(generator)
    shares = [share for *_, share in FACES]
    pick = rand() * sum(shares)
    face = next(i for i in range(len(FACES)) if pick < sum(shares[: i + 1]))
    name, thinnest, thickest, _ = FACES[face]
    # A written one is mostly a bare stroke, as the small L of a plain typeface is.
    bare = digit == 1 and rand() < 0.7
    if bare:
        name, thinnest, thickest = "DejaVuSans", 0, 2
    outline = thinnest + int(rand() * (thickest - thinnest + 1))
    canvas = _bend(_glyph(name, "l" if bare else str(digit), outline), generator)

    ink = np.asarray(canvas, np.float64)
    rows, columns = ink.sum(axis=1), ink.sum(axis=0)
    total = rows.sum()
    axis = np.arange(CANVAS) + 0.5
    tall, wide = np.flatnonzero(rows), np.flatnonzero(columns)
    longest = max(tall[-1] - tall[0], wide[-1] - wide[0]) + 1
    scale = min(longest / (BOX - 2.0 * rand()), CANVAS / SIDE)
    jitter_x, jitter_y = 1.5 * rand() - 0.75, 1.5 * rand() - 0.75
    left = _place((columns * axis).sum() / total, wide[0], wide[-1] + 1, scale, jitter_x)
    top = _place((rows * axis).sum() / total, tall[0], tall[-1] + 1, scale, jitter_y)
    box = (left, top, left + SIDE * scale, top + SIDE * scale)
    small = canvas.resize((SIDE, SIDE), Image.Resampling.HAMMING, box=box)
    return small.point(_contrast()).tobytes()


def _place(centre: float, first: int, last: int, scale: float, jitter: float) -> float:
    """Where the field begins on the canvas: centred by mass, moved, but never so far that ink is cut."""
    begin = float(centre) - (SIDE / 2 + jitter) * scale
    begin = min(max(begin, last - SIDE * scale), first)
    return min(max(begin, 0.0), CANVAS - SIDE * scale)


@functools.cache
def _contrast() -> list[int]:
    # Pens are dark to near their edges: MNIST's strokes reach 250 and more where they are two pixels thick.
    return [min(255, round(1.2 * value)) for value in range(256)]


@functools.lru_cache(maxsize=600)
def _glyph(face: str, text: str, outline: int) -> Image.Image:
    """A digit GLYPH pixels high in the middle of a canvas."""
    path = str(font_folder() / f"{face}.ttf")
    basic = ImageFont.Layout.BASIC  # the same with and without libraqm
    probe = ImageFont.truetype(path, 100, layout_engine=basic).getbbox(text)
    font = ImageFont.truetype(path, round(100 * GLYPH / (probe[3] - probe[1])), layout_engine=basic)
    left, top, right, bottom = font.getbbox(text, stroke_width=outline)
    canvas = Image.new("L", (CANVAS, CANVAS))
    corner = (round((CANVAS - left - right) / 2), round((CANVAS - top - bottom) / 2))
    ImageDraw.Draw(canvas).text(corner, text, fill=255, font=font, stroke_width=outline, stroke_fill=255)
    return canvas


def _bend(glyph: Image.Image, generator: random.Random) -> Image.Image:
    """Slants, rotates, narrows or widens a digit and bends it a little."""
    rand = generator.random
    slant = 0.7 * rand() - 0.25
    turn = math.radians(16 * rand() - 8)
    widen = 0.8 + 0.5 * rand()
    rough = 8.0
    middle, cell = CANVAS / 2, CANVAS // GRID
    nodes: dict[tuple[int, int], tuple[float, float]] = {}
    for row in range(GRID + 1):
        for column in range(GRID + 1):
            x, y = column * cell - middle, row * cell - middle
            x, y = x * math.cos(turn) + y * math.sin(turn), y * math.cos(turn) - x * math.sin(turn)
            x = (x + slant * y) / widen
            nodes[row, column] = (
                x + middle + rough * (2 * rand() - 1),
                y + middle + rough * (2 * rand() - 1),
            )
    mesh = []
    for row in range(GRID):
        for column in range(GRID):
            target = (column * cell, row * cell, (column + 1) * cell, (row + 1) * cell)
            corners = ((row, column), (row + 1, column), (row + 1, column + 1), (row, column + 1))
            mesh.append((target, tuple(value for corner in corners for value in nodes[corner])))
    return glyph.transform((CANVAS, CANVAS), Image.Transform.MESH, mesh, Image.Resampling.BILINEAR)
