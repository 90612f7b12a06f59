"""Small frozen records that travel between the planner, the workers and the store."""

from __future__ import annotations

import functools
import hashlib
from array import array
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from codecbench import __version__
from codecbench.fingerprint import digest, file_sha256
from codecbench.plugins.codec import CodecSpec, Shape
from codecbench.plugins.registry import CODECS

if TYPE_CHECKING:
    from codecbench.plugins.codec import Codec, Shape

CHUNK_IMAGES = 2_000
"""Images of a task at most."""
CHUNK_BYTES = 1 << 26
"""Bytes of a task's images, as 8-bit samples, at most; a single larger image is a task of its own."""


@dataclass(frozen=True)
class Task:
    """One dataset × one codec point × one chunk of images: the unit of work, of storage and of resuming.

    Attributes:
        dataset: the dataset's label, as the rows carry it.
        codec: the codec and its settings.
        indices: which images of the dataset, all of one shape.
        shape: their height, width and channels.
        shown: the indices among ``indices`` whose reconstructions are kept for people to look at; no part of the
            task's identity, since pictures that are asked for later are made up for without measuring anything again.
        codec_fingerprint: identifies the plugin's source, weights, libraries and device.
        data_fingerprint: identifies the pixels of these images.
        metrics_fingerprint: identifies the plugin metrics that are measured; empty for none.
    """

    dataset: str
    codec: CodecSpec
    indices: tuple[int, ...]
    shape: Shape
    shown: tuple[int, ...]
    codec_fingerprint: str
    data_fingerprint: str = ""
    metrics_fingerprint: str = ""

    @functools.cached_property
    def id(self) -> str:
        """Identity of the task's result, 24 hexadecimal digits: equal only where every input is equal."""
        images = hashlib.sha256(array("q", self.indices)).hexdigest()
        what = [
            self.dataset,
            str(self.codec),
            self.codec_fingerprint,
            self.data_fingerprint,
            images,
            self.metrics_fingerprint,
        ]
        return digest(what)


@dataclass(frozen=True)
class Selection:
    """Which images of a dataset a run measures.

    Attributes:
        label: the dataset's label.
        indices: the chosen images, ascending.
        total: how many images the dataset has.
        seed: the seed of the choice.
        shown: images whose reconstructions are kept for people to look at, in the order of the seeded choice: where
            fewer are to be shown, they are the first of these.
        classes: pairs of a shown image and its class number; empty where classes are not known.
        fingerprint: identifies the chosen images' pixels.
        family: what kind of data it is, for marking codecs trained on another kind.
        training: these are images that learned codecs of this family were trained on.
    """

    label: str
    indices: tuple[int, ...]
    total: int
    seed: int
    shown: tuple[int, ...] = ()
    fingerprint: str = ""
    family: str = ""
    training: bool = False
    classes: tuple[tuple[int, int], ...] = ()


MEASURING = (
    "measure/arrays.py",
    "plugins/codec.py",
    "measure/distortion.py",
    "measure/task.py",
    "measure/rows.py",
    "measure/ssim.py",
)
"""Files of codecbench, beside the plugin's own, that decide what a row says."""


def codec_fingerprint(cls: type[Codec], device_name: str) -> str:
    """Identifies everything that decides a codec's results, apart from its settings and the images.

    Args:
        cls: the codec.
        device_name: the name of the device that codecs with device use compute on.

    Returns:
        24 hexadecimal digits over the sources of the plugin and of the measuring code, weights, library versions,
        codecbench's version, the size of a task and the device.
    """
    weights = [file_sha256(Path(path)) for path in cls.weight_files()]
    device = device_name if cls.uses_device else "cpu"
    measuring = [file_sha256(Path(__file__).parents[1] / name) for name in MEASURING]
    sources = [CODECS.source_fingerprint(cls), measuring, CHUNK_IMAGES, CHUNK_BYTES]
    return digest([sources, weights, cls.versions(), __version__, device])


def metrics_fingerprint(metrics: Mapping[str, str]) -> str:
    """Identifies plugin metrics by their names and fingerprints; empty for none."""
    return digest(dict(metrics)) if metrics else ""
