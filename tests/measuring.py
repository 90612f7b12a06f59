"""Small runs that tests measure, and what became of them."""

from pathlib import Path
from typing import Any

import pandas as pd

import codecbench as cb

MEASURED = "jpeg:quality=20/50/80,png:compress_level=6,deflate:level=9,filter=up"
"""The codecs of the fixture ``measured_folder``."""
POINT = ["dataset", "codec", "settings", "image"]


def measure(
    codecs: str, out: Path, datasets: str = "digits", images: int | None = 3, events: Any = None, **options: Any
) -> cb.Run:
    """A run without timings on few images, by one worker unless told otherwise."""
    watch = (lambda event: None) if events is None else events.append
    options = {"timing": False, "workers": 1, "watch": watch} | options
    return cb.run(codecs, datasets, images=images, out=out, **options)


def parts(out: Path) -> dict[str, bytes]:
    """Rates and distortions as they lie on disk, by the identity of their task."""
    return {file.stem: file.read_bytes() for file in (out / "parts").glob("*.parquet")}


def measured(events: list[Any]) -> int:
    """How many tasks a run had to measure itself."""
    counts = [event.done for event in events if event.kind == "measured"]
    return counts[-1] - counts[0] if counts else 0


def sorted_rows(run: cb.Run) -> pd.DataFrame:
    """The rows in an order of their own, without the order they were measured in."""
    return run.rows().sort_values(POINT).reset_index(drop=True)
