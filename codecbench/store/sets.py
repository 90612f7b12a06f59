"""Set mode: what a whole dataset takes as one stream, in records of its own.

    RUN/sets/ID.json    one codec point on one dataset: what one stream took, or why there is none

A figure of a whole set is no figure of an image: what is learnt from one image helps with the next, and no image can be
decoded alone. The two never stand in one column, nor in one table. A codec takes part by deriving from ``SetCodec``
too; ``codecbench.execution.sets`` measures.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from codecbench.plugins.codec import Shape
from codecbench.store.io import DatasetRecord


@dataclass(frozen=True, kw_only=True)
class SetRecord(DatasetRecord):
    """What one codec point made of one dataset as one stream; ``failed`` and ``skipped`` say why there is nothing."""

    FOLDER: ClassVar[str] = "sets"

    id: str
    images: int
    shape: Shape
    skipped: str
    set_bytes: int | None = None
    encode_s: float | None = None  # wall seconds of one call
    decode_s: float | None = None
    host: str = ""
    details: str = ""  # of a failure

    def is_whole(self, file: Path) -> bool:
        """Whether the record is of this file, and has its figures where it did not fail."""
        measured = None not in (self.set_bytes, self.encode_s, self.decode_s) and min(self.images, *self.shape) > 0
        return self.id == file.stem and bool(self.failed or self.skipped or measured)
