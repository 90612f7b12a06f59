"""What a run keeps to show how learned codecs see images: latents, and their map in the plane.

    RUN/latents/KEY.npz    one codec point on one dataset: the latents of the shown images, and points in the principal
                           plane of the latents of up to 2,000 of the run's images
    RUN/latents/KEY.json   why there are none

A key covers the codec with its settings and fingerprint, and the images' pixels. What was made with another codec,
other weights or other images stays on disk and never shows. ``codecbench.execution.latents`` makes them.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from codecbench.store.io import DatasetRecord
from codecbench.store.schema import Signed


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
    shown_labels: dict[int, Signed]  # their class numbers, by image index; empty where they are not known

    def is_whole(self, file: Path) -> bool:
        """Whether the points are in a plane, one a label, and the latents can be drawn."""
        fits = self.points.ndim == 2 and self.points.shape[1] == 2 and all(x.ndim <= 3 for x in self.shown.values())
        return fits and (self.labels is None or self.labels.shape == (len(self.points),))

    @property
    def subject(self) -> object:
        """The point and its extent, since the largest of a point counts."""
        return self.point, self.extent

    @property
    def extent(self) -> tuple[int, int]:
        """Images in the map, and images shown; they grow when more is measured, or more pictures are kept."""
        return len(self.points), len(self.shown)
