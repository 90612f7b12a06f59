"""A walk over the frames of a JPEG XL codestream (ISO/IEC 18181-1, annexes F and G), to find where they end.

libjxl reads until it has the image, and looks at nothing behind it. Frames tell their length only by the sizes of their
sections, which stand behind a header of variable length. Only frames that libjxl's encoder writes for still images
pass: the image itself, with patches or a coarse version of it before it.
"""

from __future__ import annotations

_REGULAR, _COARSE, _PATCHES = 0, 1, 2  # types of frames
_UPSAMPLING = ((0, 1), (0, 2), (0, 4), (0, 8))
_CROP = ((8, 0), (11, 256), (14, 2304), (30, 18688))
_SECTION = ((10, 0), (14, 1024), (22, 17408), (30, 4211712))
_USES_COARSE = 32  # among a frame's flags
_GROUP = 128  # pixels a side of the smallest group
_MOST_HEADER_BYTES = 1 << 15


class Bits:
    """Reads numbers of some bits, the lowest bit of each byte first; zeros after the end."""

    def __init__(self, data: bytes):
        self._value = int.from_bytes(data, "little")
        self.position = 0

    def take(self, count: int) -> int:
        """The next ``count`` bits."""
        value = self._value >> self.position & (1 << count) - 1
        self.position += count
        return value

    def number(self, kinds: tuple[tuple[int, int], ...]) -> int:
        """A number of one of four kinds, as two bits say: bits of its own, and what is added."""
        count, base = kinds[self.take(2)]
        return base + self.take(count)

    def align(self) -> int:
        """Skips what is left of a byte, which must be zeros; gives the number of bytes before."""
        if self.take(-self.position % 8):
            raise ValueError("bits between the parts of the header are not zero")
        return self.position // 8


def require_end(data: bytes, start: int, width: int, height: int, xyb: bool) -> None:
    """Raises ``ValueError`` unless the frames from ``start`` on end with the data; ``xyb`` is a flag of the image."""
    last = False
    while not last:
        header = Bits(data[start : start + _MOST_HEADER_BYTES])
        sections, last = _frame(header, width, height, xyb)
        if header.take(
            1
        ):  # the sections are in another order: their sizes, behind its entropy code, are found by trying
            first = start + -(-header.position // 8)
            ends = (_end(data, at, sections) for at in range(first, first + 8 + sections // 2))  # it takes a third
            start = len(data) if last and len(data) in ends else 0
        else:
            start = _end(data, start + header.align(), sections)
        if not start or start > len(data) or (start == len(data)) != last:
            raise ValueError("the frames do not end with the stream; is it cut short, or does something follow?")


def _end(data: bytes, start: int, sections: int) -> int:
    """Where a frame ends whose sections' sizes begin at ``start``; 0 where no such sizes do."""
    sizes = Bits(data[start : start + 4 * sections])
    total = sum(sizes.number(_SECTION) for _ in range(sections))
    try:
        return start + sizes.align() + total
    except ValueError:
        return 0


def _frame(header: Bits, width: int, height: int, xyb: bool) -> tuple[int, bool]:
    """Reads a frame's header; returns how many sections it has, and whether it is the last."""
    if header.take(1):  # all as usual
        return _sections(width, height, 2 * _GROUP), True
    kind, modular, flags = header.take(2), header.take(1), _flags(header)
    strange = kind > _PATCHES or (not xyb and header.take(1))  # YCbCr
    upsampling = 1 if flags & _USES_COARSE else header.number(_UPSAMPLING)
    group = _GROUP << (header.take(2) if modular else 1)
    if not modular and xyb:
        header.take(6)  # scales of the quantisers
    if kind != _PATCHES:
        strange |= header.take(2)  # several passes
    if kind == _COARSE:
        shift = 3 * (1 + header.take(2))
        width, height = -(-width >> shift), -(-height >> shift)
    elif header.take(1):
        strange |= kind == _REGULAR
        width, height = header.number(_CROP), header.number(_CROP)
    if kind == _REGULAR:
        strange |= header.take(2) or not header.take(1)  # blended; not the last
    elif kind == _PATCHES:
        header.take(3)  # where it is kept, and in which colours
    strange |= header.take(2)  # a name
    strange |= not header.take(1) and _filters(header, bool(modular))
    strange |= header.take(2)  # extensions
    if strange:
        raise ValueError("a frame is none that this codec writes")
    return _sections(-(-width // upsampling), -(-height // upsampling), group), kind == _REGULAR


def _sections(width: int, height: int, group: int) -> int:
    groups, coarse = (-(-width // side) * -(-height // side) for side in (group, 8 * group))
    return 1 if groups == 1 else 2 + coarse + groups


def _flags(header: Bits) -> int:
    """A number of up to 64 bits, of which flags need less than nine."""
    return header.number(((0, 0), (4, 1), (8, 17), (0, 1 << 9)))


def _filters(header: Bits, modular: bool) -> bool:
    """Reads the filters of a frame that are not the usual ones; True where they have numbers of their own."""
    strange = header.take(1) and header.take(1)
    if header.take(2):  # passes of the edge-preserving filter
        strange |= not modular and header.take(1)
        strange |= header.take(1)
        if header.take(1):
            header.take(16 * (3 if modular else 4))
        if modular:
            header.take(16)
    return bool(strange | header.take(2))
