"""Boxes: the framing by length and type that JP2 (ISO/IEC 15444-1, annex I) and AVIF share."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Box:
    """One box of a file: its four-byte type, and where its payload starts and ends in the file."""

    kind: bytes
    start: int
    end: int


def read_boxes(data: bytes, start: int, end: int) -> list[Box]:
    """The boxes that fill ``data[start:end]``.

    Raises:
        ValueError: a box is cut short, reaches beyond ``end``, or leaves a gap.
    """
    boxes = []
    while start < end:
        length, header = int.from_bytes(data[start : start + 4], "big"), 8
        if length == 1:
            length, header = int.from_bytes(data[start + 8 : start + 16], "big"), 16
        elif length == 0:
            length = end - start
        if length < header or start + length > end:
            raise ValueError(f"a box at byte {start} of {length} bytes does not fit; is the stream cut short?")
        boxes.append(Box(data[start + 4 : start + 8], start + header, start + length))
        start += length
    return boxes


def only_box(boxes: list[Box], kind: bytes) -> Box:
    """The one box of a type; ``ValueError`` if there is none, or more than one."""
    found = [box for box in boxes if box.kind == kind]
    if len(found) != 1:
        raise ValueError(f"{len(found)} boxes {kind.decode('latin-1')!r} where one is expected")
    return found[0]
