"""What the image browser shows of each dataset: images, points of every codec, worst images; pixels go into strips.

What the page holds is bounded: a few images and points of each codec, chosen so that codecs can be compared at equal
bytes and at equal PSNR.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from codecbench.analysis.points import is_exact, nearest_quality, short_settings, telling_settings
from codecbench.figures import grid
from codecbench.measure.distortion import psnr_db
from codecbench.plugins.codec import Images
from codecbench.report import sprites
from codecbench.report.sprites import Atlas, Pictured
from codecbench.store.io import WINDOW
from codecbench.store.pictures import StoredImage, WorstCase, choose_window
from codecbench.text import count

if TYPE_CHECKING:
    from codecbench.report.context import Context

BUDGET = 4_500_000
"""Characters of base64 that all pictures of the page may take together."""
WORST_SHARE = 0.25
"""Share of the budget that worst images may take."""
Rows = dict[tuple[str, str, int], dict[str, float]]
"""Columns of single images by codec, settings and image index."""


@dataclass(frozen=True)
class Pictures:
    """What the page shows of all datasets, and the strips that hold its pixels."""

    datasets: list[Dataset]
    atlas: Atlas

    def images(self, label: str) -> set[int]:
        """The images of a dataset that are shown through every codec, so that other sections can link to them."""
        shown = [image for dataset in self.datasets if dataset.label == label for image in dataset.images]
        return {int(image["n"]) for image in shown if image["row"] is not None}


def pictures(context: Context) -> Pictures:
    """The pictures of all datasets that have some, in the page's order."""
    atlas = Atlas()
    measured = [label for label in context.datasets if (context.of(label)["images"] > 0).any()]
    datasets = [Dataset(context, label) for label in measured]
    # Small images first: what they leave of their share goes to the large ones.
    order = sorted(datasets, key=lambda dataset: sum(image.size for image in dataset.originals.values()))
    for number, dataset in enumerate(order):
        share = (BUDGET - atlas.size) // (len(order) - number)
        reserved = int(share * WORST_SHARE) if dataset.worst else 0
        dataset.add_shown(atlas, share - reserved)
        dataset.add_worst(atlas, reserved)
    return Pictures([dataset for dataset in datasets if dataset.images], atlas)


class Dataset:
    """What is kept of a dataset's images, and what of it goes into the page."""

    def __init__(self, context: Context, label: str):
        self.context = context
        self.label = label
        self.points = context.of(label)
        settings = self.points.groupby("codec")["settings"]
        self.keys = {str(codec): telling_settings(list(own)) for codec, own in settings}
        targets = sprites.targets(self.points[self.points["images"] > 0])
        self.targets = list(targets.rates)  # bits per pixel; of each codec the points nearest to these are shown
        self.images: list[dict[str, Any]] = []  # one record per image and window
        self.codecs: list[dict[str, Any]] = []
        self.cases: list[dict[str, Any]] = []  # one record per picture of a worst image
        self.left_out: list[str] = []  # in words
        self.pictured: dict[str, list[Pictured]] = {}  # the points that may go into the page, by codec
        self.originals = self._gather(targets)  # by image index, those that were chosen first in front
        self.worst = self._worst_cases()

    def data(self) -> dict[str, Any]:
        """What the script gets."""
        return {name: getattr(self, name) for name in ("label", "targets", "images", "codecs", "cases")}

    def _gather(self, targets: sprites.Targets) -> dict[int, Images]:
        """Collects what is kept of the images that were chosen first; returns them, none where nothing is kept."""
        store, label = self.context.store, self.label
        found = grid.first_originals(store, label, sprites.LEVELS[0][0])
        # In the order of the seeded choice, so that fewer are not those of the lowest numbers.
        order = [int(index) for index in self.context.manifest["datasets"][label].get("shown", ())]
        originals = {index: found[index] for index in [*order, *found] if index in found}
        measured = self.points[self.points["images"] > 0]
        for codec, members in measured.groupby("codec", sort=True):
            exact = dict(zip(members["settings"], is_exact(members), strict=True))
            for settings in sprites.nearest_points(members, targets):
                kept: Mapping[int, Images] = originals
                if not exact[settings]:
                    stored = store.reconstructions(label, str(codec), settings, self.context.read.tasks)
                    alike = [index for index in stored if index in originals]
                    alike = [index for index in alike if stored[index].shape == originals[index].shape]
                    kept = {index: stored[index] for index in alike}
                if kept:
                    point = Pictured(str(codec), settings, kept, bool(exact[settings]))
                    self.pictured.setdefault(str(codec), []).append(point)
        return originals if self.pictured else {}

    def _rows(self, wanted: Mapping[tuple[str, str], Iterable[int]]) -> Rows:
        """The rows of some images, asked for by codec and settings."""
        store = self.context.store
        tasks = {task.task_id: task for task in store.tasks() if not task.failed}
        names = ["image", "height", "width", "num_bytes", "mse", "ssim"]
        found: Rows = {}
        for (codec, settings), images in wanted.items():
            for task in self.context.read.tasks.get((self.label, codec, settings), ()):
                table = store.rows_of(tasks[task], names) if task in tasks else None
                if table is None:
                    continue
                columns = {name: table.column(name).to_numpy(zero_copy_only=False) for name in names}
                for at in np.flatnonzero(np.isin(columns["image"], list(images))):
                    row = {name: float(columns[name][at]) for name in names}
                    found[codec, settings, int(row["image"])] = row
        return found

    # ---- images that are shown of every codec -----------------------------------------------------------------------

    def add_shown(self, atlas: Atlas, budget: int) -> None:
        """Adds the shown images and the strips of all codecs, as many as the budget holds."""
        if not self.originals:
            return
        first = sprites.fitting(self.pictured, self.originals, budget)
        for level in sprites.LEVELS[first:]:  # further ones where the estimate was too low
            tried = replace(atlas, strips=list(atlas.strips))
            self.images, self.codecs = self._at_level(tried, *level)
            if tried.size - atlas.size <= budget:
                break
        atlas.strips, atlas.size = tried.strips, tried.size
        images, points, side = level
        if images < len(self.originals):
            self.left_out.append(f"{count(images, 'image')} of the {len(self.originals)} that were kept")
        if points < sprites.POINTS:
            self.left_out.append(f"{count(points, 'point')} per codec instead of {sprites.POINTS}")
        if side < max(max(image.shape[:2]) for image in self.originals.values()):
            self.left_out.append(f"windows of {side}×{side} pixels")

    def _at_level(
        self, atlas: Atlas, most: int, most_points: int, side: int
    ) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        """Records of images and of codecs at one of ``sprites.LEVELS``."""
        shown = dict(list(self.originals.items())[:most])
        windows = {index: sprites.window(image, side) for index, image in shown.items()}
        points = [point for members in self.pictured.values() for point in members]
        rows = self._rows({(point.codec, point.settings): list(windows) for point in points})
        shapes = {index: image.shape[:2] for index, image in shown.items()}  # of whole images
        shapes |= {index: (int(row["height"]), int(row["width"])) for (_, _, index), row in rows.items()}
        classes = self.context.manifest["datasets"][self.label].get("classes", {})
        strip, top = atlas.add(list(windows.values())), 0
        images: list[dict[str, Any]] = []
        for index, image in windows.items():
            (height, width), (own_height, own_width) = shapes[index], image.shape[:2]
            place = ((height - own_height) // 2, (width - own_width) // 2)
            record = _image(index, classes.get(str(index)), image, (height, width), place)
            images.append(record | {"row": len(images), "strip": strip, "y": top})
            top += own_height
        codecs = []
        for members in self.pictured.values():
            lossy = sprites.fewer([point.settings for point in members if not point.exact], most_points)
            taken = [point for point in members if point.exact or point.settings in lossy]
            codecs.append(self._codec(taken, windows, rows, atlas, side))
        return images, codecs

    def _codec(
        self, taken: Sequence[Pictured], windows: Mapping[int, Images], rows: Rows, atlas: Atlas, side: int
    ) -> dict[str, Any]:
        name = taken[0].codec
        members = self.points[self.points["codec"] == name]
        rates = members.set_index("settings")["bits_per_pixel"]
        records = []
        for point in taken:
            held = {index: sprites.window(image, side) for index, image in point.pictures.items() if index in windows}
            own = [held.get(index, np.zeros_like(image)) for index, image in windows.items()]
            records.append(
                {
                    "settings": point.settings,
                    "short": short_settings(point.settings, self.keys[name]),
                    "rate": float(rates[point.settings]),
                    "strip": None if point.exact else atlas.add(own),
                    "cells": [_cell(rows.get((name, point.settings, at)) if at in held else None) for at in windows],
                }
            )
        first = members.iloc[0]
        return {"name": name, "label": str(first["label"]), "mark": str(first["mark"]), "points": records}

    # ---- worst images -----------------------------------------------------------------------------------------------

    def _worst_cases(self) -> dict[str, list[WorstCase]]:
        """What is kept of each codec's worst images, its own first; of several points the one that stands for it."""
        points = nearest_quality(self.points)
        standing = dict(zip(points["codec"], points["settings"], strict=True))
        every = [case for case in self.context.store.records(WorstCase) if case.dataset == self.label]
        chosen: dict[str, WorstCase] = {}
        for case in every:
            own = case.codec == case.worst_of and case.images
            if own and (case.codec not in chosen or case.settings == standing.get(case.codec)):
                chosen[case.codec] = case
        return {
            name: [case, *(other for other in every if other.key == case.key and other.codec != name)]
            for name, case in sorted(chosen.items())
        }

    def add_worst(self, atlas: Atlas, budget: int) -> None:
        """Adds each codec's worst images, as many as the budget holds; and says how many."""
        if not self.worst:
            return
        most = max(len(group[0].images) for group in self.worst.values())
        for images, side in ((images, side) for side in (WINDOW, 128, 64) for images in range(most, 0, -1)):
            size = sum(_worst_size(group, images, side) for group in self.worst.values())
            if size <= budget:
                break
        if size > 2 * budget:
            self.left_out.append("none of the worst images, for which there is no room")
            return
        wanted: dict[tuple[str, str], set[int]] = defaultdict(set)
        for group in self.worst.values():
            for case in group:
                wanted[case.codec, case.settings] |= {kept.image for kept in case.images}
        rows = self._rows(wanted)
        for group in self.worst.values():
            self._add_case(group, images, side, rows, atlas)
        if images < most or side < WINDOW:
            cut = f", cut to {side}×{side} pixels" if side < WINDOW else ""
            self.left_out.append(f"{count(images, 'worst image')} per codec{cut}")

    def _add_case(self, group: Sequence[WorstCase], images: int, side: int, rows: Rows, atlas: Atlas) -> None:
        """Adds the worst images of one codec, and what others make of them, as one strip."""
        stack: list[Images] = []
        records: list[dict[str, Any]] = []

        def put(picture: Images) -> int:
            """Puts a picture into the strip, and returns where it begins."""
            stack.append(picture)
            return sum(image.shape[0] for image in stack[:-1])

        first, shown = group[0], self.images
        for rank, kept in enumerate(first.images[:images]):
            top, left = choose_window(kept.original, kept.picture, side)
            window = np.s_[top : top + side, left : left + side]
            original, place = kept.original[window], (kept.top + top, kept.left + left)
            made = _image(kept.image, first.classes.get(kept.image), original, (kept.height, kept.width), place)
            alike = (at for at, image in enumerate(shown) if all(image[key] == made[key] for key in SPOT))
            spot = next(alike, len(shown))
            if spot == len(shown):
                shown.append(made | {"strip": None, "y": put(original)})
            for case in group:
                picture = next((one for one in case.images if one.image == kept.image), None)
                if picture is not None and (picture.top, picture.left) == (kept.top, kept.left):
                    where = {"image": spot, "of": first.codec, "rank": rank, "y": put(picture.picture[window])}
                    records.append(self._case(case, picture, rows) | where)
        if stack:
            strip = atlas.add(stack)
            for record in (*records, *(image for image in shown if image["strip"] is None)):
                record["strip"] = strip
        self.cases += records

    def _case(self, case: WorstCase, kept: StoredImage, rows: Rows) -> dict[str, Any]:
        """A picture of a worst image, with the SSIM of its row where the picture is what was measured."""
        row = rows.get((case.codec, case.settings, kept.image), {})
        same = row.get("num_bytes") == kept.num_bytes and math.isclose(
            row["mse"], kept.mse, rel_tol=1e-6, abs_tol=1e-12
        )
        ssim = row["ssim"] if same else math.nan
        return {
            "codec": case.codec,
            "settings": case.settings,
            "short": short_settings(case.settings, self.keys.get(case.codec, [])),
            "cell": _cell({"num_bytes": float(kept.num_bytes), "mse": kept.mse, "ssim": ssim}),
        }


SPOT = ("n", "h", "w", "top", "left")
"""What a window of an image is known by."""


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


def _cell(row: Mapping[str, float] | None) -> list[float | None] | None:
    """Bytes, PSNR (none where every pixel is restored) and SSIM of one image; None where it has no picture."""
    if row is None:
        return None
    mse = row["mse"]
    return [row["num_bytes"], float(psnr_db(mse)) if mse > 0 else None, row["ssim"]]


def _worst_size(group: Sequence[WorstCase], images: int, side: int) -> int:
    pictures = [case.images[0].picture[:side, :side] for case in group] + [group[0].images[0].original[:side, :side]]
    return len(sprites.webp(sprites.stacked(pictures), fast=True)) * images * 4 // 3
