"""Image by image: the table of how codecs compare on single images."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from codecbench.analysis import rd_curves
from codecbench.analysis.per_image import QUANTILES, Contrast
from codecbench.analysis.points import TARGET_DB
from codecbench.report.ranked import MARKS, absent_lines, keys, signed
from codecbench.report.tables import Cell, Column, Row, Sheet, number, word

BLOCKS = "\u2800▁▂▃▄▅▆▇█"
"""Heights of a bar in eighths, from none on; the first is as wide as the others, and no white space."""


def contrast_sheet(
    found: Sequence[Contrast], dataset: str, anchor: str, shown: Callable[[int], bool] = lambda image: False
) -> Sheet | None:
    """How codecs compare with the anchor on single images, and on which they lose most.

    Args:
        found: see ``codecbench.analysis.per_image.contrasts``.
        dataset: its label.
        anchor: the codec compared with.
        shown: whether the page's image browser has an image.

    Returns:
        The table; None where nothing can be compared.
    """
    rows, absent = [], {}
    for one in found:
        if one.status:
            absent[f"`{one.codec}`"] = one.status.removeprefix(rd_curves.NOT_AVAILABLE)
            continue
        by_share = dict(zip(QUANTILES, one.quantiles, strict=True))
        look = next((image for image in one.worst if shown(image.image)), None)
        # Without an image to its loss, the one of the browser where it wins least.
        look = look or next((image for image in reversed(one.best) if shown(image.image)), None)
        cells = [
            number(one.images, lambda value: f"{value:,.0f}", f"{one.not_available:,} images left out"),
            number(one.mean_percent, signed),
            number(by_share[0.05], signed),
            number(by_share[0.5], signed),
            number(by_share[0.95], signed),
            Cell(
                bars(one.histogram), hint=f"images by their bits against {anchor}: fewer to the left, more to the right"
            ),
            Cell(_share(one.wins), one.wins),
            word(", ".join(f"{image.image} ({signed(image.percent)})" for image in one.worst[:3]) or "none"),
            Cell()
            if look is None
            else Cell(
                f"image {look.image}",
                hint=f"{signed(look.percent)} against {anchor}",
                jump={"dataset": dataset, "image": look.image, "a": one.codec, "b": anchor},
            ),
        ]
        rows.append(Row(one.codec, tuple(cells), one.curve, one.mark, MARKS[one.mark]))
    if not rows:
        return None
    columns = (
        Column("Codec", numeric=False),
        Column("Images", f"images whose curves reach {TARGET_DB:g} dB in both codecs"),
        Column("Mean", f"geometric mean over the images of their bits against {anchor}"),
        Column("5 %", "5 % of the images lie below"),
        Column("Median", "half of the images lie below"),
        Column("95 %", "95 % of the images lie below"),
        Column(
            "Spread",
            "images by their bits against the anchor, on a log scale from an eighth to eight times",
            numeric=False,
        ),
        Column("Smaller on", "share of the images on which it needs fewer bits"),
        Column("Loses most on", "index of the image in its dataset", numeric=False),
        Column(
            "Look", "of the images that this page holds, the one where it compares worst", numeric=False, page_only=True
        ),
    )
    about = (
        f"Bits of every single image against those of `{anchor}` at {TARGET_DB:g} dB of that image. A codec that is "
        "smaller on the mean may be larger on many images."
    )
    return Sheet("Image by image", columns, tuple(rows), about, keys(rows), absent_lines(absent), open=False)


def bars(histogram: Sequence[int], bins: int = 24) -> str:
    """A histogram as a word: one block a bin, the tallest full, none where nothing is; a line in the middle.

    Args:
        histogram: counts by bin.
        bins: how many blocks; neighbouring bins are added up.
    """
    width = max(1, len(histogram) // bins)
    counts = [sum(histogram[at : at + width]) for at in range(0, len(histogram), width)]
    most = max(counts, default=0)
    if not most:
        return ""
    blocks = [BLOCKS[math.ceil(8 * number / most)] for number in counts]
    middle = len(blocks) // 2
    return "".join([*blocks[:middle], "│", *blocks[middle:]])


def _share(value: float) -> str:
    """A share in per cent; 0 and 100 only where they are exact."""
    percent = 100 * value
    text = f"{percent:.0f}" if percent in (0, 100) or 1 <= percent <= 99 else f"{min(max(percent, 0.1), 99.9):.1f}"
    return f"{text}\N{NO-BREAK SPACE}%"
