"""Words, counts and shapes as text for messages and tables."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

_CONTROLS = {*range(0x20), *range(0x7F, 0xA0), 0x061C, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A)}
_SHOWN = {code: f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" for code in _CONTROLS - {0x09, 0x0A}}
"""Characters that steer a terminal or turn the direction of a line (Unicode's bidirectional controls), written out."""


def printable(text: str) -> str:
    """A text from anywhere as one that a terminal, a table and a page only show: no control characters, Unicode."""
    return text.translate(_SHOWN).encode("utf-8", "backslashreplace").decode("utf-8")


class PrintableStream:
    """A text stream for what plugins print, which shows control characters instead of sending them."""

    def __init__(self, stream: Any):
        self._stream = stream

    def write(self, text: str) -> int:
        """Writes a text as it may be shown; returns its length."""
        self._stream.write(printable(text))
        return len(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def one_line(error: BaseException) -> str:
    """An exception as one line of at most 400 characters, ``BitstreamError: …``; its name alone if it says nothing."""
    text = printable(" ".join(f"{type(error).__name__}: {error}".split()).removesuffix(":"))
    return text if len(text) <= 400 else text[:399] + "…"


def format_shape(shape: Sequence[int]) -> str:
    """``28×28×1`` for (28, 28, 1)."""
    return "×".join(str(side) for side in shape)


def count(number: int, noun: str) -> str:
    """``1 image``, ``2,000 images``."""
    return f"{number:,} {noun}" + ("" if number == 1 else "s")


def format_rate(value: float) -> str:
    """Bits per pixel."""
    return f"{value:.3f}" if value < 10 else f"{value:.2f}"


def format_seconds(value: float) -> str:
    """A time with its unit."""
    for unit, scale in (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6)):
        if value >= scale:
            digits = value / scale
            return f"{digits:.0f} {unit}" if digits >= 100 else f"{digits:.3g} {unit}"
    return f"{value / 1e-6:.2g} µs"


def format_significant(value: float) -> str:
    """Three digits that count, with thousands apart: ``12,300``, ``1.20``."""
    if value >= 99.95:
        return f"{round(value, 3 - len(f'{value:.0f}')):,.0f}"
    return f"{value:.1f}" if value >= 9.995 else f"{value:.2f}" if value >= 1 else f"{value:.3g}"


def format_memory(value: float) -> str:
    """Bytes as MiB or GiB."""
    return f"{value / 2**30:.2f} GiB" if value >= 2**30 else f"{format_significant(value / 2**20)} MiB"


def format_file_size(value: float) -> str:
    """Bytes of a file in kB or MB, powers of ten."""
    for unit, scale in (("MB", 1e6), ("kB", 1e3)):
        if value >= scale:
            return f"{format_significant(value / scale)} {unit}"
    return f"{value:,.0f} bytes"


def format_ssim(value: float) -> str:
    """Four decimals, or as many as it takes for a value below 1 not to read as 1."""
    for digits in (4, 5, 6):
        text = f"{value:.{digits}f}"
        if value >= 1 or float(text) < 1:
            return text
    return ">0.999999"


def format_span(low: float, high: float, write: Callable[[float], str], unit: str) -> str:
    """``28.4 to 31.0 dB``, or one number where both are written alike."""
    first, last = write(low), write(high)
    return f"{first} {unit}" if first == last else f"{first} to {last} {unit}"


def join_words(words: Sequence[str], none: str = "no data") -> str:
    """``a, b and c``."""
    return words[0] if len(words) == 1 else ", ".join(words[:-1]) + " and " + words[-1] if words else none
