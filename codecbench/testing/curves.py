"""Checks along a codec's sweep: the rate goes one way, and shared work gives the same bytes."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from codecbench.plugins.codec import Codec, Shape
from codecbench.plugins.settings import Value, format_settings, settings_of
from codecbench.testing.images import sample_images, takes
from codecbench.testing.results import NOT_APPLICABLE, WARNING, Finding, require, trying
from codecbench.text import format_shape

MOST_POINTS = 12
"""Points of a long sweep that are looked at."""

WIGGLE = 0.02
"""A rate may go the other way by this share before it is worth a word."""


def swept_codecs(codec: Codec, shape: Shape) -> list[Codec]:
    """A codec at the points of its default sweep that take images of a shape."""
    points = [type(codec)(**point).on(codec.device) for point in codec.default_points(shape)]
    return [point for point in points if takes(point, shape)]


def check_rate(codec: Codec, shape: Shape, seed: int = 0) -> Finding | None:
    """Along each numeric setting of the sweep the rate only rises, or only falls; if not, a warning."""
    images = sample_images(shape, seed)[:3]
    curves = _numeric_curves(swept_codecs(codec, shape))
    if not curves:
        return Finding(NOT_APPLICABLE, "no numeric setting is swept")
    for key, curve in curves:
        trying(f"{format_shape(shape)}: encode along {key}")
        sizes = [(point.settings[key], sum(map(len, point.encode(images)))) for point in thinned(curve)]
        (_, first), (_, last) = sizes[0], sizes[-1]
        for (lower, before), (upper, after) in itertools.pairwise(sizes):
            change = after - before if last >= first else before - after
            if change < -WIGGLE * before:
                turn = f"from {before} bytes at {key}={lower} to {after} at {key}={upper}"
                trend = f"from {first} at {sizes[0][0]} to {last} at {sizes[-1][0]}"
                return Finding(WARNING, f"{format_shape(shape)}: the rate goes {turn}, against its course {trend}")
    return None


def check_sweep(codec: Codec, shape: Shape, seed: int = 0) -> Finding | None:
    """``encode_sweep`` gives the bytes of ``encode`` at every point."""
    if not codec.shares_work():
        return Finding(NOT_APPLICABLE, "has no encode_sweep of its own")
    images = sample_images(shape, seed)
    codecs = [codec, *thinned(swept_codecs(codec, shape))]
    points: list[dict[str, Value]] = [point.settings for point in codecs]
    trying(f"{format_shape(shape)}: encode_sweep over {len(points)} points")
    given = [list(streams) for streams in codec.encode_sweep(images, points, codec.device)]
    require(len(given) == len(points), f"encode_sweep yields {len(given)} times for {len(points)} points")
    for point, streams in zip(codecs, given, strict=True):
        where = f"{format_shape(shape)}: encode_sweep at {format_settings(point.settings)}"
        require(streams == point.encode(images), f"{where} gives other bytes than encode")
    return None


def thinned(points: Sequence[Codec]) -> list[Codec]:
    """At most ``MOST_POINTS`` of some points, evenly chosen, the first and the last among them."""
    count = min(len(points), MOST_POINTS)
    return [points[index * (len(points) - 1) // max(1, count - 1)] for index in range(count)]


def _numeric_curves(points: Sequence[Codec]) -> list[tuple[str, list[Codec]]]:
    """For each numeric setting the points that differ in it alone, in its order; two or more of them."""
    if not points:
        return []
    curves = []
    for key, info in settings_of(type(points[0])).items():
        groups: dict[str, list[Codec]] = {}
        if info.kind in (int, float):
            for point in points:
                others = {name: value for name, value in point.settings.items() if name != key}
                groups.setdefault(format_settings(others), []).append(point)
        for group in groups.values():
            if len({point.settings[key] for point in group}) > 1:
                curves.append((key, sorted(group, key=lambda point: float(point.settings[key]))))
    return curves
