"""A header of a few bytes that tells an image's shape: three variable-length integers."""

from __future__ import annotations

from codecbench.errors import BitstreamError
from codecbench.plugins.codec import MAX_PIXELS, Shape
from codecbench.plugins.varint import pack_numbers, unpack_numbers
from codecbench.text import format_shape


def pack_shape(shape: Shape) -> bytes:
    """Writes height, width and channels as unsigned LEB128 integers: 3 bytes for sides up to 127.

    Args:
        shape: height, width, channels; each 1 or more.
    """
    return pack_numbers(shape)


def unpack_shape(bitstream: bytes, owner: str) -> tuple[Shape, int]:
    """Reads what :func:`pack_shape` wrote.

    Args:
        bitstream: the stream, header first.
        owner: the codec's name, for messages.

    Returns:
        The shape (height, width, channels), and the number of bytes that the header takes.

    Raises:
        BitstreamError: the header is cut short, or tells a shape that no codec takes.
    """
    (height, width, channels), size = unpack_numbers(bitstream, 3, owner)
    shape = (height, width, channels)
    if channels not in (1, 3) or min(height, width) < 1 or height * width > MAX_PIXELS:
        raise BitstreamError(f"{owner}: the header tells of an image of {format_shape(shape)}")
    return shape, size
