"""The contract of set mode: a whole data set as one stream.

Papers on lossless coding often quote what one stream takes for all images of a data set: gzip over the concatenated
pixels, or a coder that chains its images by bits back. What is learnt from the first images helps with the later ones
there, and no image can be decoded alone. Such figures stand beside those of single images, never among them; see
``codecbench.store.sets``.
"""

from __future__ import annotations

import abc
from typing import TYPE_CHECKING

from codecbench.errors import UnsupportedImageError
from codecbench.plugins.codec import Shape
from codecbench.plugins.settings import Value

if TYPE_CHECKING:
    from codecbench.plugins.codec import Images

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
        """The settings at which sets are coded when nobody says otherwise; override it to name those worth it.

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
