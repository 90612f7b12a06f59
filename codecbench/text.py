"""Words, counts and shapes as text for messages and tables."""

from __future__ import annotations

from collections.abc import Sequence


def printable(text: str) -> str:
    """A text that may hold a file name which is not Unicode, as text that every table and file takes."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


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
