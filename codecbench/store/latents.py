"""What a run keeps to show how learned codecs see images: latents, and their map in the plane.

    RUN/latents/KEY.npz    one codec point on one dataset: the latents of the shown images, and points in the principal
                           plane of the latents of up to 2,000 of the run's images
    RUN/latents/KEY.json   why there are none

A key covers the codec with its settings and fingerprint, and the images' pixels. What was made with another codec,
other weights or other images stays on disk and never shows. ``codecbench.execution.latents`` makes them.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Self

import numpy as np
import numpy.typing as npt

from codecbench.store.io import DAMAGED, DatasetRecord, Point, pack_arrays, read_arrays


@dataclass(frozen=True, kw_only=True)
class LatentsRecord(DatasetRecord):
    """Whose latents they are, or why they could not be computed."""

    FOLDER: ClassVar[str] = "latents"

    failed: str = ""


@dataclass(frozen=True, kw_only=True)
class Latents(LatentsRecord):
    """How one codec point sees the images of one dataset."""

    SUFFIX: ClassVar[str] = ".npz"

    points: npt.NDArray[np.float32]  # latents in their principal plane, (N, 2)
    labels: npt.NDArray[np.int64] | None  # the images' class numbers, (N,), where they are known
    explained: tuple[float, float]  # shares of the latents' variance along the plane's two axes
    shown: dict[int, npt.NDArray[np.float32]]  # latents of the shown images, by image index
    shown_labels: dict[int, int]  # their class numbers, by image index; empty where they are not known

    @property
    def subject(self) -> object:
        """The point and its extent, since the largest of a point counts."""
        return self.point, self.extent

    @property
    def extent(self) -> tuple[int, int]:
        """Images in the map, and images shown; they grow when more is measured, or more pictures are kept."""
        return len(self.points), len(self.shown)

    def content(self) -> bytes:
        """What is written into its file."""
        about = {field.name: getattr(self, field.name) for field in dataclasses.fields(LatentsRecord)}
        arrays = {
            "points": self.points,
            "explained": np.array(self.explained),
            "shown": np.array(list(self.shown), dtype=np.int64),
            "latents": np.array(list(self.shown.values()), dtype=np.float32),
        }
        if self.labels is not None:
            labels = [self.shown_labels[index] for index in self.shown]
            arrays |= {"labels": self.labels, "shown_labels": np.array(labels, dtype=np.int64)}
        return pack_arrays(about, arrays)

    @classmethod
    def read(cls, file: Path) -> Self | None:
        """The latents in a file; None where there are none, or something else."""
        try:
            about, arrays = read_arrays(file)
            shown = [int(index) for index in arrays["shown"]]
            first, second = (float(share) for share in arrays["explained"])
            return cls(
                **dataclasses.asdict(LatentsRecord.from_json(about)),
                points=arrays["points"],
                labels=arrays.get("labels"),
                explained=(first, second),
                shown=dict(zip(shown, arrays["latents"], strict=True)),
                shown_labels=dict(zip(shown, map(int, arrays.get("shown_labels", ())), strict=False)),
            )
        except DAMAGED:
            return None


def largest(found: Iterable[Latents]) -> list[Latents]:
    """Of each point the latents of the largest extent, by dataset, codec and settings."""
    current: dict[Point, Latents] = {}
    for one in found:
        if one.point not in current or one.extent > current[one.point].extent:
            current[one.point] = one
    return [current[point] for point in sorted(current)]
