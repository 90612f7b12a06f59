"""Variable-length integers (unsigned LEB128) for the headers of streams."""

from __future__ import annotations

from collections.abc import Iterable

from codecbench.errors import BitstreamError

MAX_BYTES = 4
"""Most bytes of a number: 28 bits; ``MAX_PIXELS`` has 26."""


def pack_numbers(numbers: Iterable[int]) -> bytes:
    """Writes numbers of 0 or more: seven bits a byte, lowest first; the top bit is set on all but a number's last."""
    header = bytearray()
    for number in numbers:
        while number > 0x7F:
            header.append(number & 0x7F | 0x80)
            number >>= 7
        header.append(number)
    return bytes(header)


def unpack_numbers(bitstream: bytes, count: int, owner: str) -> tuple[list[int], int]:
    """Reads what :func:`pack_numbers` wrote.

    Args:
        bitstream: the stream, numbers first.
        count: how many numbers, 1 or more.
        owner: the codec's name, for messages.

    Returns:
        The numbers, and how many bytes they take.

    Raises:
        BitstreamError: they are cut short, or longer than ``MAX_BYTES``.
    """
    numbers, number, bits = [], 0, 0
    for position, byte in enumerate(bitstream[: count * MAX_BYTES]):
        number |= (byte & 0x7F) << bits
        bits += 7
        if byte & 0x80:
            if bits == 7 * MAX_BYTES:
                break
            continue
        numbers.append(number)
        number = bits = 0
        if len(numbers) == count:
            return numbers, position + 1
    what = "the stream is empty" if not bitstream else f"the header does not end within {len(bitstream)} bytes"
    raise BitstreamError(f"{owner}: {what}")
