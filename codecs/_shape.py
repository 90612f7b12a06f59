"""An image's shape at the front of a stream, as ``cb.pack_numbers`` writes it: 3 bytes for sides up to 127."""

from __future__ import annotations

import codecbench as cb


def unpack_shape(bitstream: bytes, owner: str) -> tuple[cb.Shape, int]:
    """Reads height, width and channels; returns the shape, and the number of bytes that it takes.

    Raises:
        BitstreamError: the header is cut short, or no codec takes its shape; the message begins with ``owner``.
    """
    (height, width, channels), size = cb.unpack_numbers(bitstream, 3, owner)
    shape = (height, width, channels)
    if channels not in (1, 3) or min(height, width) < 1 or height * width > cb.MAX_PIXELS:
        raise cb.BitstreamError(f"{owner}: the header claims an image of {cb.format_shape(shape)}")
    return shape, size
