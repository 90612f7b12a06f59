"""What the image browser shows of each dataset: images, points of every codec, worst images; pixels go into strips.

What the page holds is bounded: a few images and points of each codec, chosen so that codecs can be compared at equal
bytes and at equal PSNR.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from codecbench.analysis.points import is_exact, overview, short_settings, telling_settings
from codecbench.figures import grid
from codecbench.measure.distortion import psnr_db
from codecbench.plugins.codec import Images
from codecbench.report import sprites
from codecbench.store import pictures as stored_pictures
from codecbench.store.io import WINDOW
from codecbench.store.pictures import WorstCase
from codecbench.text import count

if TYPE_CHECKING:
    from codecbench.report.context import Context

BUDGET = 4_500_000
"""Characters of base64 that all pictures of the page may take together."""
WORST_SHARE = 0.25
"""Share of the budget that worst images may take."""
Rows = dict[tuple[str, str, int], dict[str, float]]
"""Columns of single images by codec, settings and image index."""


@dataclass
class DatasetPictures:
    """What the page shows of one dataset."""

    label: str
    targets: list[float]  # bits per pixel; of each codec the points nearest to these are shown
    images: list[dict[str, Any]] = field(default_factory=list)  # one record per image and window
    codecs: list[dict[str, Any]] = field(default_factory=list)
    cases: list[dict[str, Any]] = field(default_factory=list)  # one record per picture of a worst image
    said: list[str] = field(default_factory=list)  # what was left out, in words

    def data(self) -> dict[str, Any]:
        """What the script gets."""
        names = ("label", "targets", "images", "codecs", "cases")
        return {name: getattr(self, name) for name in names}


@dataclass(frozen=True)
class Pictures:
    """What the page shows of all datasets, and the strips that hold its pixels."""

    datasets: list[DatasetPictures]
    atlas: sprites.Atlas

    def images(self, label: str) -> set[int]:
        """The images of a dataset that are shown through every codec, so that other sections can link to them."""
        shown = [image for dataset in self.datasets if dataset.label == label for image in dataset.images]
        return {int(image["n"]) for image in shown if image["row"] is not None}


def pictures(context: Context) -> Pictures:
    """The pictures of all datasets that have some, in the page's order."""
    measured = [label for label in context.datasets if (context.of(label)["images"] > 0).any()]
    atlas = sprites.Atlas()
    gathered = {label: gather(context, label) for label in measured}
    cases = {label: newest_cases(context, label) for label in measured}
    found: list[DatasetPictures] = []
    # Small images first: what they leave of their share goes to the large ones.
    order = sorted(measured, key=lambda label: sum(image.size for image in gathered[label].originals.values()))
    for number, label in enumerate(order):
        share = (BUDGET - atlas.size) // (len(order) - number)
        view = DatasetPictures(label, list(gathered[label].targets.rates))
        reserved = int(share * WORST_SHARE) if cases[label] else 0
        add_shown(context, view, gathered[label], atlas, share - reserved)
        add_worst(context, view, cases[label], atlas, reserved)
        if view.images:
            found.append(view)
    found.sort(key=lambda view: measured.index(view.label))
    return Pictures(found, atlas)


# ---- images that are shown of every codec ---------------------------------------------------------------------------


@dataclass(frozen=True)
class Gathered:
    """What is kept of a dataset's shown images at the points that may go into the page."""

    targets: sprites.Targets
    originals: dict[int, Images]
    points: dict[str, list[sprites.Pictured]]


def gather(context: Context, label: str) -> Gathered:
    """Collects what is kept of the images that were chosen first, at the points that may go into the page."""
    points = context.of(label)
    points = points[points["images"] > 0]
    targets = sprites.targets(points)
    most = sprites.LEVELS[0][0]
    originals = grid.first_originals(context.store, label, most)
    # In the order of the seeded choice, so that fewer are not those of the lowest numbers.
    order = [int(index) for index in context.manifest["datasets"][label].get("shown", ())]
    originals = {index: originals[index] for index in [*order, *originals] if index in originals}
    found: dict[str, list[sprites.Pictured]] = {}
    for name, members in points.groupby("codec", sort=True):
        exact = dict(zip(members["settings"], is_exact(members), strict=True))
        for settings in sprites.nearest_points(members, targets):
            kept = context.store.reconstructions(label, str(name), settings, context.read.tasks)
            kept = {
                index: picture
                for index, picture in kept.items()
                if index in originals and picture.shape == originals[index].shape
            }
            if bool(exact[settings]):
                kept = originals
            if kept:
                found.setdefault(str(name), []).append(
                    sprites.Pictured(str(name), settings, kept, bool(exact[settings]))
                )
    return Gathered(targets, originals if found else {}, found)


def add_shown(context: Context, view: DatasetPictures, gathered: Gathered, atlas: sprites.Atlas, budget: int) -> None:
    """Adds the shown images and the strips of all codecs, as many as the budget holds."""
    if not gathered.originals:
        return
    level = sprites.fitting(gathered.points, gathered.originals, budget)
    while True:
        tried = replace(atlas, strips=list(atlas.strips))
        images, codecs = _at_level(context, view.label, gathered, tried, level)
        if tried.size - atlas.size <= budget or level == len(sprites.LEVELS) - 1:
            break
        level += 1  # the estimate was too low
    atlas.strips, atlas.size = tried.strips, tried.size
    view.images, view.codecs = images, codecs
    view.said += _left_out(gathered, sprites.LEVELS[level])


def _left_out(gathered: Gathered, level: tuple[int, int, int]) -> list[str]:
    """What of the kept pictures the page does not hold."""
    images, points, side = level
    said = []
    kept = len(gathered.originals)
    if images < kept:
        said.append(f"{count(images, 'image')} of the {kept} that were kept")
    if points < sprites.POINTS:
        said.append(f"{count(points, 'point')} per codec instead of {sprites.POINTS}")
    largest = max(max(image.shape[:2]) for image in gathered.originals.values())
    if side < largest:
        said.append(f"windows of {side}×{side} pixels")
    return said


def _at_level(
    context: Context, label: str, gathered: Gathered, atlas: sprites.Atlas, level: int
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    most, most_points, side = sprites.LEVELS[level]
    originals = {index: sprites.window(image, side) for index, image in list(gathered.originals.items())[:most]}
    points = [point for members in gathered.points.values() for point in members]
    rows = _rows(context, label, {(point.codec, point.settings): list(originals) for point in points})
    classes = context.manifest["datasets"][label].get("classes", {})
    shapes = _shapes(rows, gathered.originals)
    strip, top = atlas.add(list(originals.values())), 0
    images: list[dict[str, Any]] = []
    for index, image in originals.items():
        height, width, _ = image.shape
        full = shapes[index]
        images.append(
            _image(index, classes.get(str(index)), image, full, ((full[0] - height) // 2, (full[1] - width) // 2))
            | {"row": len(images), "strip": strip, "y": top}
        )
        top += height
    codecs = []
    for name, members in gathered.points.items():
        lossy = sprites.fewer([point.settings for point in members if not point.exact], most_points)
        taken = [point for point in members if point.exact or point.settings in lossy]
        codecs.append(_codec(context, label, name, taken, originals, rows, atlas, side))
    return images, codecs


def _codec(
    context: Context,
    label: str,
    name: str,
    taken: Iterable[sprites.Pictured],
    originals: Mapping[int, Images],
    rows: Rows,
    atlas: sprites.Atlas,
    side: int,
) -> dict[str, Any]:
    members = context.of(label)
    members = members[members["codec"] == name]
    keys = telling_settings([str(settings) for settings in members["settings"]])
    rates = {
        str(settings): float(rate)
        for settings, rate in zip(members["settings"], members["bits_per_pixel"], strict=True)
    }
    records = []
    for point in taken:
        held = {index: sprites.window(picture, side) for index, picture in point.pictures.items() if index in originals}
        own = [held.get(index, np.zeros_like(originals[index])) for index in originals]
        figures = [rows.get((name, point.settings, index)) if index in held else None for index in originals]
        records.append(
            {
                "settings": point.settings,
                "short": short_settings(point.settings, keys),
                "rate": rates[point.settings],
                "strip": None if point.exact else atlas.add(own),
                "cells": [_cell(row) for row in figures],
            }
        )
    first = members.iloc[0]
    return {"name": name, "label": str(first["label"]), "mark": str(first["mark"]), "points": records}


def _cell(row: Mapping[str, float] | None) -> list[float | None] | None:
    """Bytes, PSNR (none where every pixel is restored) and SSIM of one image; None where it has no picture."""
    if row is None:
        return None
    mse = row["mse"]
    return [row["num_bytes"], float(psnr_db(mse)) if mse > 0 else None, row["ssim"]]


def _image(index: int, number: Any, image: Images, full: tuple[int, int], place: tuple[int, int]) -> dict[str, Any]:
    height, width, channels = image.shape
    return {
        "n": index,
        "class": None if number is None else int(number),
        "h": height,
        "w": width,
        "full": list(full),
        "top": place[0],
        "left": place[1],
        "gray": channels == 1,
        "row": None,
    }


def _rows(context: Context, label: str, wanted: Mapping[tuple[str, str], Iterable[int]]) -> Rows:
    """The rows of some images, asked for by codec and settings."""
    tasks = {task.task_id: task for task in context.store.tasks() if not task.failed}
    names = ["image", "height", "width", "num_bytes", "mse", "ssim"]
    found: Rows = {}
    for (codec, settings), images in wanted.items():
        for task in context.read.tasks.get((label, codec, settings), ()):
            table = context.store.rows_of(tasks[task], names) if task in tasks else None
            if table is None:
                continue
            columns = {name: table.column(name).to_numpy(zero_copy_only=False) for name in names}
            for at in np.flatnonzero(np.isin(columns["image"], list(images))):
                row = {name: float(columns[name][at]) for name in names}
                found[codec, settings, int(row["image"])] = row
    return found


def _shapes(rows: Rows, originals: Mapping[int, Images]) -> dict[int, tuple[int, int]]:
    """Height and width of whole images."""
    found = {index: (image.shape[0], image.shape[1]) for index, image in originals.items()}
    return found | {index: (int(row["height"]), int(row["width"])) for (_, _, index), row in rows.items()}


# ---- worst images ---------------------------------------------------------------------------------------------------


def newest_cases(context: Context, label: str) -> dict[str, list[WorstCase]]:
    """What is kept of each codec's worst images, its own first; of several points the one that stands for it."""
    points = overview(context.of(label)[context.of(label)["images"] > 0])
    standing = dict(zip(points["codec"], points["settings"], strict=True))
    every = [case for case in context.store.records(WorstCase) if case.dataset == label]
    own = [case for case in every if case.codec == case.worst_of and case.images]
    chosen: dict[str, WorstCase] = {}
    for case in own:
        if case.codec not in chosen or case.settings == standing.get(case.codec):
            chosen[case.codec] = case
    return {
        name: [case, *(other for other in every if other.key == case.key and other.codec != name)]
        for name, case in sorted(chosen.items())
    }


def add_worst(
    context: Context, view: DatasetPictures, cases: Mapping[str, list[WorstCase]], atlas: sprites.Atlas, budget: int
) -> None:
    """Adds each codec's worst images, as many as the budget holds; and says how many."""
    if not cases:
        return
    most = max(len(group[0].images) for group in cases.values())
    levels = [(images, side) for side in (WINDOW, 128, 64) for images in range(most, 0, -1)]
    for images, side in levels:
        size = sum(_worst_size(group, images, side) for group in cases.values())
        if size <= budget or (images, side) == levels[-1]:
            break
    if size > 2 * budget:
        view.said.append("none of the worst images, for which there is no room")
        return
    wanted = {(case.codec, case.settings): set[int]() for group in cases.values() for case in group}
    for group in cases.values():
        for case in group:
            wanted[case.codec, case.settings] |= {kept.image for kept in case.images}
    rows = _rows(context, view.label, wanted)
    for name, group in cases.items():
        _add_case(context, view, name, group, atlas, images, side, rows)
    if images < most or side < WINDOW:
        cut = f", cut to {side}×{side} pixels" if side < WINDOW else ""
        view.said.append(f"{count(images, 'worst image')} per codec{cut}")


def _worst_size(group: list[WorstCase], images: int, side: int) -> int:
    pictures_of = [case.images[0].picture[:side, :side] for case in group] + [group[0].images[0].original[:side, :side]]
    return len(sprites.webp(sprites.stacked(pictures_of), fast=True)) * images * 4 // 3


def _add_case(
    context: Context,
    view: DatasetPictures,
    name: str,
    group: list[WorstCase],
    atlas: sprites.Atlas,
    images: int,
    side: int,
    rows: Rows,
) -> None:
    stack: list[Images] = []
    records: list[dict[str, Any]] = []
    height = 0
    for number, kept in enumerate(group[0].images[:images]):
        top, left = stored_pictures.choose_window(kept.original, kept.picture, side)
        original = kept.original[top : top + side, left : left + side]
        place = (kept.top + top, kept.left + left)
        spot = next(
            (at for at, image in enumerate(view.images) if _same_spot(image, kept.image, original, place)),
            None,
        )
        if spot is None:
            spot = len(view.images)
            known = group[0].classes.get(kept.image)
            view.images.append(
                _image(kept.image, known, original, (kept.height, kept.width), place) | {"strip": None, "y": height}
            )
            stack.append(original)
            height += original.shape[0]
        for case in group:
            picture = next((one for one in case.images if one.image == kept.image), None)
            if picture is None or (picture.top, picture.left) != (kept.top, kept.left):
                continue
            stack.append(picture.picture[top : top + side, left : left + side])
            records.append(
                _case(context, view, case, picture, rows) | {"image": spot, "of": name, "rank": number, "y": height}
            )
            height += original.shape[0]
    if stack:
        strip = atlas.add(stack)
        for record in records:
            record["strip"] = strip
        for image in view.images:
            if image["strip"] is None:
                image["strip"] = strip
    view.cases += records


def _same_spot(image: Mapping[str, Any], index: int, original: Images, place: tuple[int, int]) -> bool:
    return (image["n"], image["h"], image["w"], image["top"], image["left"]) == (index, *original.shape[:2], *place)


def _case(
    context: Context, view: DatasetPictures, case: WorstCase, kept: stored_pictures.StoredImage, rows: Rows
) -> dict[str, Any]:
    """A picture of a worst image, for the script; with the SSIM of its row where the picture is what was measured."""
    points = context.of(view.label)
    settings = [str(text) for text in points.loc[points["codec"] == case.codec, "settings"]]
    row = rows.get((case.codec, case.settings, kept.image), {})
    same = row.get("num_bytes") == kept.num_bytes and math.isclose(row["mse"], kept.mse, rel_tol=1e-6, abs_tol=1e-12)
    return {
        "codec": case.codec,
        "settings": case.settings,
        "short": short_settings(case.settings, telling_settings(settings)),
        "cell": _cell({"num_bytes": float(kept.num_bytes), "mse": kept.mse, "ssim": row["ssim"] if same else math.nan}),
    }
