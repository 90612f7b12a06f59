"""Exact entropy coding of small integers: range coding with ``constriction`` under tables of counts.

The models are made of integer counts, so every machine derives the same probabilities. A stream ends after the fewest
bytes that identify its symbols whatever bytes follow, so over one sequence of tables no stream is a prefix of another
one, and truncation is always noticed.
"""

from __future__ import annotations

import importlib.metadata
from collections.abc import Iterable
from typing import Any

import constriction
import numpy as np
import numpy.typing as npt

from codecbench.errors import BitstreamError

Symbols = npt.NDArray[np.int32]
Model = Any
"""What :func:`model` gives: a distribution of ``constriction``, or None for one symbol alone."""

MAX_TOTAL = 1 << 20
"""Largest sum of a table: far below the coder's 24 bits, so that no count is rounded away."""

_WORD, _STATE = 32, 64  # bits of the coder's words and of its state


def version() -> dict[str, str]:
    """The version of the library that decides the bytes."""
    return {"constriction": importlib.metadata.version("constriction")}


def model(counts: npt.NDArray[np.integer[Any]]) -> Model:
    """The distribution of symbols in proportion to their counts: each 1 or more, in sum at most ``MAX_TOTAL``.

    None where there is only one symbol, which costs nothing.
    """
    return constriction.stream.model.Categorical(counts.astype(np.float64), perfect=False) if len(counts) > 1 else None


def encode(parts: Iterable[tuple[Model, Symbols]]) -> bytes:
    """Codes pairs of a distribution and its symbols, in coding order, into the shortest stream (1 byte or more)."""
    encoder = constriction.stream.queue.RangeEncoder()
    for distribution, symbols in parts:
        if distribution is not None:
            encoder.encode(symbols, distribution)
    words, (low, width) = encoder.pos()
    sealed = encoder.get_compressed()[:words]
    # All values in [low, low + width) behind the finished words decode to these symbols. The encoder's own end may have
    # carried a one into those words; it is taken out again, since the shorter end below carries on its own account.
    carried = (low + (1 << _WORD) - 1) >> _STATE
    before = int.from_bytes(sealed.astype(">u4").tobytes(), "big") - carried
    for size in range(1, _STATE // 8 + 1):
        unit = 1 << (_STATE - 8 * size)
        first = -(-low // unit) * unit
        if first + unit <= low + width:
            break
    value: int = (before << 8 * size) + first // unit
    return value.to_bytes(4 * words + size, "big")


class RangeDecoder:
    """Decodes symbols of a stream; zeros follow its end.

    It does not check that the stream is the one that :func:`encode` writes; callers do so by encoding again.
    """

    def __init__(self, stream: bytes, owner: str):
        padded = stream + bytes(-len(stream) % 4 + 8)
        self._decoder = constriction.stream.queue.RangeDecoder(np.frombuffer(padded, ">u4").astype(np.uint32))
        self._owner = owner

    def decode(self, distribution: Model, count: int) -> Symbols:
        """The next ``count`` symbols, all of one distribution; ``BitstreamError`` for bytes that no encoder writes."""
        if distribution is None or count == 0:
            return np.zeros(count, np.int32)
        try:
            symbols: Symbols = self._decoder.decode(distribution, count)
        except AssertionError:  # constriction's words for a value outside the coder's interval
            raise BitstreamError(f"{self._owner}: the stream's bytes stand for no latent") from None
        return symbols
