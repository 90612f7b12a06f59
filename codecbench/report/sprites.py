"""Pictures for the page: which points of each codec, how many images and how much of them fits, and their strips.

A strip is one lossless WebP with pictures below one another, padded to a common width: a codec point's reconstructions
of the images shown, or everything about some of a codec's worst images.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from PIL import Image

from codecbench.analysis.points import is_exact
from codecbench.plugins.codec import Images
from codecbench.store.io import middle

POINTS = 4
"""Points of a codec at most, beside one that restores every pixel."""
LEVELS = (
    (8, 4, 256),
    (7, 4, 256),
    (6, 4, 256),
    (5, 4, 256),
    (4, 4, 256),
    (6, 4, 192),
    (4, 4, 192),
    (4, 4, 128),
    (4, 3, 128),
    (3, 3, 128),
    (3, 3, 96),
    (2, 3, 96),
    (2, 2, 96),
    (2, 2, 64),
    (1, 2, 64),
    (1, 1, 64),
)
"""Images, points of a codec, and height and width of the window of a large image: less and less."""
SAMPLED = 2
"""Images from which it is estimated how well a point's pictures compress."""


@dataclass(frozen=True)
class Pictured:
    """One codec point with its stored reconstructions, by image index."""

    codec: str
    settings: str
    pictures: Mapping[int, Images]
    exact: bool = False  # it restored every pixel of every image, so that the originals are its pictures


@dataclass
class Atlas:
    """All strips of a page."""

    strips: list[str] = field(default_factory=list)  # WebP in base64
    size: int = 0  # characters of all of them

    def add(self, images: Sequence[Images]) -> int:
        """Makes a strip and returns its number."""
        self.strips.append(base64.b64encode(webp(stacked(images))).decode())
        self.size += len(self.strips[-1])
        return len(self.strips) - 1


@dataclass(frozen=True)
class Targets:
    """Rates and qualities, ascending, near which most codecs of a dataset have a point to show."""

    rates: tuple[float, ...] = ()  # bits per pixel
    qualities_db: tuple[float, ...] = ()  # PSNR


def targets(points: pd.DataFrame, count: int = POINTS) -> Targets:
    """Rates and qualities that most codecs reach; none if nothing is lossy.

    They are the middles of ``count`` equal parts (of log rate, and of PSNR) of the range that at least half of the
    lossy codecs with several points reach; of the range of all lossy points if no codec has several.
    """
    lossy = points[(points["images"] > 0) & (points["bits_per_pixel"] > 0) & ~is_exact(points)]
    codecs = lossy["codec"].to_numpy()
    rates = _common(np.log(lossy["bits_per_pixel"].to_numpy(float)), codecs, count)
    qualities = _common(lossy["psnr_db"].to_numpy(float), codecs, count)
    return Targets(tuple(float(np.exp(rate)) for rate in rates), tuple(qualities))


def _common(values: npt.NDArray[np.float64], codecs: npt.NDArray[Any], count: int) -> list[float]:
    if not len(values):
        return []
    spans = [(own.min(), own.max()) for own in (values[codecs == name] for name in sorted(set(codecs)))]
    spans = [span for span in spans if span[1] > span[0]] or [(values.min(), values.max())]
    ends = sorted({end for span in spans for end in span})
    reached = [at for at in ends if 2 * sum(low <= at <= high for low, high in spans) >= len(spans)]
    low, high = (reached[0], reached[-1]) if reached else (values.min(), values.max())
    return [float(value) for value in low + (np.arange(count) + 0.5) / count * (high - low)]


def nearest_points(points: pd.DataFrame, wanted: Targets) -> list[str]:
    """The points of one codec that are shown, as settings in the order of their rates.

    These are the lossy point nearest to each wanted rate, by their ratio; if several rates share a point, those nearest
    to the wanted qualities as well, up to as many points as there are rates; and the smallest lossless point.
    """
    measured = points[points["images"] > 0]
    exact = is_exact(measured)
    lossy = measured[~exact]
    names = [str(settings) for settings in lossy["settings"]]
    rates = np.log(lossy["bits_per_pixel"].to_numpy(float).clip(1e-9))
    qualities = lossy["psnr_db"].to_numpy(float)
    aims = [np.abs(rates - np.log(rate)) for rate in wanted.rates]
    aims += [np.abs(qualities - quality) for quality in wanted.qualities_db]
    chosen = list(dict.fromkeys(names[int(np.argmin(far))] for far in aims if len(names)))[: len(wanted.rates)]
    if exact.any():
        chosen.append(str(measured[exact].sort_values("bits_per_pixel", kind="stable")["settings"].iloc[0]))
    order = measured.set_index("settings")["bits_per_pixel"].to_dict()
    return sorted(chosen, key=lambda name: (order[name], name))


def fewer(settings: Sequence[str], count: int) -> list[str]:
    """Some of a codec's points, spread over them; the middle one where it is one."""
    if len(settings) <= count:
        return list(settings)
    places = [len(settings) // 2] if count == 1 else np.linspace(0, len(settings) - 1, count).round().astype(int)
    return [settings[place] for place in places]


def window(image: Images, side: int) -> Images:
    """The middle of an image, no higher and no wider than ``side``."""
    height, width, _ = image.shape
    top, left = middle(height, width, side)
    return image[top : top + side, left : left + side]


def fitting(points: Mapping[str, Sequence[Pictured]], originals: Mapping[int, Images], budget: int) -> int:
    """The number of the first of :data:`LEVELS` whose strips are likely to fit into some characters of base64.

    It is the last one if none fits. ``originals`` are by image index, those to be shown first in front.
    """
    some = list(originals)[:SAMPLED]
    bytes_per_pixel: dict[tuple[str, str], float] = {}
    for members in points.values():
        for point in members:
            pictures = [window(point.pictures[index], 128) for index in some if index in point.pictures]
            if pictures and not point.exact:
                pixels = sum(picture.shape[0] * picture.shape[1] for picture in pictures)
                bytes_per_pixel[point.codec, point.settings] = len(webp(stacked(pictures), fast=True)) / pixels
    for number, (images, count, side) in enumerate(LEVELS):
        shown = list(originals.values())[:images]
        pixels = sum(min(side, image.shape[0]) * min(side, image.shape[1]) for image in shown)
        rates = 1.5  # the originals
        for name, members in points.items():
            lossy = [point.settings for point in members if not point.exact]
            rates += sum(bytes_per_pixel.get((name, settings), 0.0) for settings in fewer(lossy, count))
        if rates * pixels * 4 / 3 <= budget:
            return number
    return len(LEVELS) - 1


def stacked(images: Sequence[Images]) -> Images:
    """Images below one another, padded on the right with black; gray ones in colour among colour ones: (H, W, C)."""
    width, channels = (max(image.shape[axis] for image in images) for axis in (1, 2))
    alike = [np.repeat(image, channels // image.shape[2], axis=2) for image in images]
    return np.concatenate([np.pad(image, ((0, 0), (0, width - image.shape[1]), (0, 0))) for image in alike])


def webp(image: Images, fast: bool = False) -> bytes:
    """An image, (H, W, 1) or (H, W, 3), as lossless WebP; ``fast`` is an estimate of how large the other will be.

    Method 4 at effort 50 writes 64×64 crops of photographs at about a megapixel per second; method 6 at effort 100 made
    them 3 % smaller, and took a hundred times as long.
    """
    pixels = np.repeat(image, 3, axis=2) if image.shape[2] == 1 else image
    buffer = io.BytesIO()
    method, effort = (0, 0) if fast else (4, 50)
    Image.fromarray(np.ascontiguousarray(pixels)).save(
        buffer, "WEBP", lossless=True, exact=True, method=method, quality=effort
    )
    return buffer.getvalue()
