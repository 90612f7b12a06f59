"""Small frozen records that travel between the planner, the workers and the store."""

from __future__ import annotations

import functools
import hashlib
import json
from array import array
from dataclasses import dataclass

from codecbench.plugins.settings import Value, format_settings

Shape = tuple[int, int, int]
"""Height, width and channels of an image."""

CHUNK_IMAGES = 2_000
"""Images of a task at most."""
CHUNK_BYTES = 1 << 26
"""Bytes of a task's images, as 8-bit samples, at most; a single larger image is a task of its own."""


ROUNDS = 5
"""Values that each time of a codec point is the median of."""


@dataclass(frozen=True)
class CodecSpec:
    """A codec at one point of its settings; rebuilds the codec exactly, in any process.

    Attributes:
        name: the codec's name.
        items: every setting with its value, in the order of the codec's fields.
    """

    name: str
    items: tuple[tuple[str, Value], ...] = ()

    @classmethod
    def of(cls, name: str, settings: dict[str, Value]) -> CodecSpec:
        """Builds the record from a settings dictionary."""
        return cls(name, tuple(settings.items()))

    @property
    def settings(self) -> dict[str, Value]:
        """The settings as a dictionary."""
        return dict(self.items)

    @property
    def settings_text(self) -> str:
        """The settings in the spec syntax, e.g. ``quality=75,subsampling=4:2:0``."""
        return format_settings(self.settings)

    def __str__(self) -> str:
        return f"{self.name}:{self.settings_text}" if self.items else self.name


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
        metrics_fingerprint: identifies the metrics of the shelf that are measured; empty for none.
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
class Timing:
    """Times of one codec point on a fixed set of images, from uint8 in host memory to bytes and back.

    Lists hold one value a round, after warm-up. A codec that works image by image has no times of single images: there
    they are the same.

    Attributes:
        images: images that were timed.
        encode_s: wall seconds an image for encoding ``batch`` images a call.
        decode_s: the same for decoding.
        threads: threads that the codec could use.
        device: ``cpu`` or the accelerator's name.
        failed: the reason in one line, or empty.
        details: of a failure, a traceback or the end of what the codec's process wrote.
        batch: images in one call; 1 for codecs that work image by image.
        encode_cpu_s: CPU seconds an image, of all threads and child processes, in the same calls as ``encode_s``.
        decode_cpu_s: the same for decoding.
        encode_latency_s: wall seconds of a call with a single image; empty for codecs that work image by image.
        decode_latency_s: the same for decoding.
        cold_encode_s: seconds of the first call in a fresh process, with the import of the plugin, the loading of
            weights and the compiling of kernels; taken on one point of a codec and dataset, None on the others.
        cold_decode_s: the same for decoding.
        encode_peak_bytes: peak resident memory, up to the last round, of the process that encoded, and did nothing
            else, with this codec on this dataset, libraries included; None where the system does not tell.
        decode_peak_bytes: the same for decoding.
        device_peak_bytes: peak memory allocated on the accelerator, the larger of encoding and decoding.
        transfer_s: seconds an image to move the pixels to the accelerator and back, which the times include.
        shape: height, width and channels of the images.
        seed: of the order of the rounds.
        host: tells machines apart, see ``codecbench.environment.host_id``.
    """

    images: int
    encode_s: tuple[float, ...]
    decode_s: tuple[float, ...]
    threads: int
    device: str
    failed: str = ""
    batch: int = 1
    encode_cpu_s: tuple[float, ...] = ()
    decode_cpu_s: tuple[float, ...] = ()
    encode_latency_s: tuple[float, ...] = ()
    decode_latency_s: tuple[float, ...] = ()
    cold_encode_s: float | None = None
    cold_decode_s: float | None = None
    encode_peak_bytes: int | None = None
    decode_peak_bytes: int | None = None
    device_peak_bytes: int | None = None
    transfer_s: float | None = None
    shape: Shape = (0, 0, 0)
    seed: int = 0
    host: str = ""
    details: str = ""


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


def digest(value: object) -> str:
    """24 hexadecimal digits of the SHA-256 of a JSON-like value."""
    text = json.dumps(value, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:24]
