"""Small frozen records that travel between the planner, the workers and the store."""

from __future__ import annotations

import functools
import hashlib
from array import array
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from codecbench.fingerprint import digest, file_sha256
from codecbench.plugins.answers import versions_of, weight_files_of
from codecbench.plugins.codec import CodecSpec, Shape
from codecbench.plugins.source import source_fingerprint

if TYPE_CHECKING:
    from codecbench.plugins.codec import Codec

CHUNK_IMAGES = 2_000
"""Images of a task at most."""
CHUNK_BYTES = 1 << 26
"""Bytes of a task's images, as 8-bit samples, at most; a single larger image is a task of its own."""


@dataclass(frozen=True)
class Task:
    """One dataset × one codec point × one chunk of images: the unit of work, of storage and of resuming."""

    dataset: str  # the dataset's label, as the rows have it
    codec: CodecSpec
    indices: tuple[int, ...]  # images of the dataset, all of one shape
    shape: Shape
    shown: tuple[int, ...]
    """The images whose reconstructions are kept. No part of the identity: pictures that a later command asks for are
    made without measuring anything again."""
    codec_fingerprint: str
    data_fingerprint: str = ""  # of the pixels of these images
    metrics_fingerprint: str = ""

    @property
    def point(self) -> dict[str, Any]:
        """The fields of a record that say which codec point it is about, and on which dataset."""
        return {
            "dataset": self.dataset,
            "codec": self.codec.name,
            "settings": self.codec.settings_text,
            "codec_fingerprint": self.codec_fingerprint,
        }

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
    """Which images of a dataset a run measures."""

    label: str
    indices: tuple[int, ...]  # ascending
    total: int  # images of the dataset
    seed: int
    shown: tuple[int, ...] = ()
    """Images whose reconstructions are kept, in the order of the seeded choice: fewer of them are the first of more."""
    fingerprint: str = ""
    family: str = ""  # the kind of data, for marking codecs trained on another kind
    training: bool = False  # learned codecs of this family were trained on these images
    classes: tuple[tuple[int, int], ...] = ()  # pairs of a shown image and its class number, where classes are known


def measuring_fingerprint() -> str:
    """Identifies the source code of codecbench that decides what a row says beside the codec: 24 hexadecimal digits."""
    return source_fingerprint("codecbench.measure.task", "codecbench.measure.rows")


def codec_fingerprint(cls: type[Codec], device_name: str) -> str:
    """Identifies all that decides a codec's results, apart from its settings and the images: 24 hexadecimal digits.

    It covers the source code of the codec and of what measures, the weights, the versions of libraries, the size of a
    task, and for a codec that computes on a device its name.
    """
    weights = [file_sha256(Path(path)) for path in weight_files_of(cls)]
    device = device_name if cls.uses_device else "cpu"
    sources = [source_fingerprint(cls), measuring_fingerprint(), CHUNK_IMAGES, CHUNK_BYTES]
    return digest([sources, weights, versions_of(cls), device])


def metrics_fingerprint(metrics: Mapping[str, str]) -> str:
    """Identifies plugin metrics by their names and fingerprints; empty for none."""
    return digest(dict(metrics)) if metrics else ""
