"""The contract that every codec meets, and base classes that take the boilerplate away.

A codec is a frozen dataclass whose fields are its settings. It turns a batch of images into one bitstream an image
and back. Images are uint8 arrays of shape (N, H, W, C) with C = 1 (gray) or 3 (RGB); all images of a batch have one
shape. ``decode`` sees the bytes, the settings and the codec's shipped weights, and nothing else: what a decoder needs
beyond those is paid for in the stream.
"""

from __future__ import annotations

import abc
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar, Self, final

import numpy as np
import numpy.typing as npt

from codecbench.errors import BitstreamError, UnsupportedImageError
from codecbench.plugins.settings import HasSettings, Value, format_settings, settings_of
from codecbench.text import format_shape

Images = npt.NDArray[np.uint8]
FloatImages = npt.NDArray[np.floating]

TABLES = "tables."
"""What the names of an entropy coder's tables begin with in a weight file; everything else there is a parameter."""

MAX_PIXELS = 1 << 25
"""Largest image, in pixels (33.5 million), that codecs take or decode: bounds what a forged header can allocate."""


class Codec(HasSettings, abc.ABC):
    """Base of all codecs. Subclass :class:`PerImageCodec` or :class:`FloatCodec` where one of them fits.

    Attributes:
        name: the file stem of the plugin; set by ``register_codec``.
        exact_bytes: the same image gives the same bytes whatever the batch around it. False for codecs that write
            raw floating-point values, whose last bits depend on the batch.
        uses_device: the codec computes on ``self.device`` (a GPU where there is one).
        trained_on: dataset families that the codec's weights were trained on; empty for untrained codecs.
        prefix_decodable: by its format's design, a stream cut short may decode to a poorer image.
        image_shape: the only shape taken, where there is but one: height, width, channels.
        batched: images of a batch are worked on together, so that single images and batches are timed apart.
    """

    name: ClassVar[str] = ""
    exact_bytes: ClassVar[bool] = True
    uses_device: ClassVar[bool] = False
    trained_on: ClassVar[tuple[str, ...]] = ()
    prefix_decodable: ClassVar[bool] = False
    image_shape: ClassVar[Shape | None] = None
    batched: ClassVar[bool] = True

    @abc.abstractmethod
    def encode(self, images: Images) -> list[bytes]:
        """Compresses a batch.

        Args:
            images: uint8, (N, H, W, C), N ≥ 1.

        Returns:
            N bitstreams.
        """

    @abc.abstractmethod
    def decode(self, bitstreams: Sequence[bytes]) -> Images:
        """Restores a batch from its bytes alone.

        Args:
            bitstreams: N ≥ 1 streams of images of one shape.

        Returns:
            uint8, (N, H, W, C).

        Raises:
            BitstreamError: a stream is empty, cut short, altered or foreign.
        """

    @classmethod
    def encode_sweep(cls, images: Images, points: Sequence[dict[str, Value]], device: str) -> Iterator[list[bytes]]:
        """Compresses one batch at several settings; override it where they share work.

        A run measures rates with it; what it gives must equal what ``encode`` gives at each point. Timings call plain
        ``encode``, so nothing that is shared here makes a codec look faster.

        Args:
            images: uint8, (N, H, W, C), N ≥ 1.
            points: complete settings, one dictionary a point.
            device: where to compute.

        Yields:
            N bitstreams a point, in the order of the points.
        """
        for point in points:
            yield cls(**point).on(device).encode(images)

    @classmethod
    def shares_work(cls) -> bool:
        """Whether this codec has an ``encode_sweep`` of its own."""
        return cls.encode_sweep.__func__ is not Codec.encode_sweep.__func__  # type: ignore[attr-defined]

    @property
    def lossless(self) -> bool:
        """Whether this instance claims to restore every pixel; checked on every image of every run."""
        return False

    def check_shape(self, shape: Shape) -> None:
        """Says whether images of a shape can be encoded.

        Args:
            shape: height, width, channels.

        Raises:
            UnsupportedImageError: they cannot; the message says what is taken.
        """
        height, width, channels = shape
        if channels not in (1, 3) or min(height, width) < 1 or height * width > MAX_PIXELS:
            raise UnsupportedImageError(
                f"{self.name} takes gray or RGB images of up to {MAX_PIXELS} pixels, not {format_shape(shape)}"
            )

    @classmethod
    def default_points(cls, shape: Shape) -> list[dict[str, Value]]:
        """The settings measured by default, for images of a shape.

        The default is the product of every setting's ``sweep``. Override it where the sensible sweep depends on the
        shape, or is a curve plus a single point.

        Args:
            shape: height, width, channels.

        Returns:
            Partial settings; what is left out has its default.
        """
        points: list[dict[str, Value]] = [{}]
        for key, info in settings_of(cls).items():
            points = [{**point, key: value} for point in points for value in info.sweep or (info.default,)]
        return points

    def container_bytes(self, bitstream: bytes) -> int | None:
        """Bytes of a stream that are headers and tables rather than image data, or None where that is not known."""
        return None

    def estimate_bits(self, images: Images) -> npt.NDArray[np.float64] | None:
        """What the codec's entropy model says the images cost, in bits, (N,); None for codecs without one."""
        return None

    @classmethod
    def versions(cls) -> dict[str, str]:
        """Versions of the libraries that decide this codec's bytes, e.g. ``{"libjpeg_turbo": "3.1"}``."""
        return {}

    @classmethod
    def weight_files(cls) -> tuple[str, ...]:
        """Paths of the weight files that decide this codec's bytes."""
        return ()

    def on(self, device: str) -> Self:
        """The same codec, computing on ``device`` (``"cpu"``, ``"cuda"``); codecs without device use ignore it."""
        twin = type(self)(**self.settings)
        object.__setattr__(twin, "_device", device)
        return twin

    @property
    def device(self) -> str:
        """Where the codec computes."""
        device: str = getattr(self, "_device", "cpu")
        return device

    @property
    def spec(self) -> CodecSpec:
        """The record that rebuilds this codec."""
        return CodecSpec.of(self.name, self.settings)


class PerImageCodec(Codec):
    """A codec that works on one image at a time; implement ``encode_image`` and ``decode_image``."""

    batched: ClassVar[bool] = False

    @abc.abstractmethod
    def encode_image(self, image: Images) -> bytes:
        """Compresses one uint8 image (H, W, C) with C = 1 or 3."""

    @abc.abstractmethod
    def decode_image(self, bitstream: bytes) -> Images:
        """Restores one uint8 image (H, W, C).

        Raises:
            BitstreamError: the bytes are no stream of this codec.
        """

    def encode(self, images: Images) -> list[bytes]:
        """Compresses the images one after the other."""
        return [self.encode_image(image) for image in images]

    def decode(self, bitstreams: Sequence[bytes]) -> Images:
        """Restores the images one after the other.

        Raises:
            BitstreamError: a stream is damaged, or they are of images of different shapes.
        """
        images = [self.decode_image(bitstream) for bitstream in bitstreams]
        if len({image.shape for image in images}) > 1:
            raise BitstreamError(f"{self.name}: streams of one batch decode to images of different shapes")
        return np.stack(images)


class FloatCodec(Codec):
    """A codec that reconstructs in floating point; ``decode`` is the clipped, rounded form of ``decode_float``."""

    @abc.abstractmethod
    def decode_float(self, bitstreams: Sequence[bytes]) -> FloatImages:
        """Restores a batch before clipping and rounding: float, (N, H, W, C), nominal range [0, 1].

        Raises:
            BitstreamError: a stream is empty, cut short, altered or foreign.
        """

    @final
    def decode(self, bitstreams: Sequence[bytes]) -> Images:
        """Restores a batch as uint8."""
        return to_uint8(self.decode_float(bitstreams))


def to_uint8(images: FloatImages) -> Images:
    """Clips to [0, 1], scales to 255 and rounds to the nearest level (ties to even)."""
    levels: Images = np.rint(np.clip(images, 0.0, 1.0) * 255.0).astype(np.uint8)
    return levels


Shape = tuple[int, int, int]
"""Height, width and channels of an image."""


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


MAX_SET_BYTES = 1 << 28
"""Most samples of a set, one byte each (256 MiB): bounds what a run packs, and what a forged header can allocate."""


class SetCodec(abc.ABC):
    """What a lossless codec derives from, beside ``Codec``, that codes whole sets too.

    Example:
        >>> import codecbench as cb
        >>> class Mine(SetCodec, cb.PerImageCodec): ...
    """

    @abc.abstractmethod
    def encode_set(self, images: Images) -> bytes:
        """Compresses a set of images, in their order, to one stream.

        Args:
            images: uint8, (N, H, W, C), N ≥ 1, of ``MAX_SET_BYTES`` at most; not to be written to.

        Returns:
            The stream. It carries the number of images and their shape.
        """

    @abc.abstractmethod
    def decode_set(self, bitstream: bytes) -> Images:
        """Restores a set from its bytes alone.

        Args:
            bitstream: what :meth:`encode_set` gave.

        Returns:
            uint8, (N, H, W, C), equal to what was encoded.

        Raises:
            BitstreamError: the stream is empty, cut short, altered or foreign.
        """

    @classmethod
    def set_points(cls, shape: Shape) -> list[dict[str, Value]]:
        """The settings at which sets are coded by default; override it to name those worth it.

        Args:
            shape: height, width, channels of every image.

        Returns:
            Partial settings; what is left out stands at its default. The defaults alone, where not overridden.
        """
        return [{}]

    def check_set(self, count: int, shape: Shape) -> None:
        """Says whether a set can be encoded.

        Args:
            count: how many images.
            shape: their height, width and channels.

        Raises:
            UnsupportedImageError: it cannot; the message says what is taken.
        """
        size = count * shape[0] * shape[1] * shape[2]
        if count < 1 or size > MAX_SET_BYTES:
            raise UnsupportedImageError(
                f"a set has 1 image or more and at most {MAX_SET_BYTES:,} samples, not {count:,} and {size:,}"
            )
