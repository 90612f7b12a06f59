"""A header of a few bytes that tells an image's shape: three variable-length integers."""

from __future__ import annotations

from codecbench.codec import MAX_PIXELS, format_shape
from codecbench.errors import BitstreamError
from codecbench.records import Shape

_MAX_VARINT_BYTES = 4  # 28 bits; MAX_PIXELS has 26


def pack_shape(shape: Shape) -> bytes:
    """Writes height, width and channels as unsigned LEB128 integers: 3 bytes for sides up to 127.

    Args:
        shape: height, width, channels; each 1 or more.

    Returns:
        The header: seven bits a byte, lowest first, the top bit set on all bytes of a number but its last.
    """
    header = bytearray()
    for number in shape:
        while number > 0x7F:
            header.append(number & 0x7F | 0x80)
            number >>= 7
        header.append(number)
    return bytes(header)


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
    numbers, number, bits = [], 0, 0
    for position, byte in enumerate(bitstream[: 3 * _MAX_VARINT_BYTES]):
        number |= (byte & 0x7F) << bits
        bits += 7
        if byte & 0x80:
            if bits == 7 * _MAX_VARINT_BYTES:
                break
            continue
        numbers.append(number)
        number = bits = 0
        if len(numbers) == 3:
            height, width, channels = shape = (numbers[0], numbers[1], numbers[2])
            if channels not in (1, 3) or min(height, width) < 1 or height * width > MAX_PIXELS:
                raise BitstreamError(f"{owner}: the header tells of an image of {format_shape(shape)}")
            return shape, position + 1
    what = "the stream is empty" if not bitstream else f"the header does not end within {len(bitstream)} bytes"
    raise BitstreamError(f"{owner}: {what}")
