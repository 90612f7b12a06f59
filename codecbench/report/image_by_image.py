"""How codecs compare with the anchor image by image, as a table."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

from codecbench.analysis.per_image import QUANTILES, Contrast
from codecbench.analysis.points import TARGET_DB
from codecbench.report.ranked import absent_lines, signed
from codecbench.report.tables import Cell, Column, Table, keys, number, row_of, words


def contrast_table(found: Sequence[Contrast], dataset: str, anchor: str, shown: Collection[int] = ()) -> Table | None:
    """How codecs compare with the anchor on single images, and on which they lose most; None if none compares.

    ``shown`` are the images that the page's image browser has.
    """

    def images(one: Contrast) -> Cell:
        return number(one.images, "{:,.0f}".format, f"{one.not_available:,} images left out")

    def percent(share: float) -> Callable[[Contrast], Cell]:
        return lambda one: number(one.quantiles[QUANTILES.index(share)], signed)

    def wins(one: Contrast) -> Cell:
        return Cell(share(one.wins), one.wins)

    def losses(one: Contrast) -> str:
        return ", ".join(f"{image.image} ({signed(image.percent)})" for image in one.worst[:3]) or "none"

    def look(one: Contrast) -> Cell:
        # Without an image to its loss, the one of the browser where it wins least.
        image = next((image for image in (*one.worst, *reversed(one.best)) if image.image in shown), None)
        if image is None:
            return Cell()
        jump = {"dataset": dataset, "image": image.image, "a": one.codec, "b": anchor}
        return Cell(f"image {image.image}", hint=f"{signed(image.percent)} against {anchor}", jump=jump)

    mean = f"geometric mean over the images of their bits against {anchor}"
    columns = (
        words("Codec", lambda one: str(one.codec)),
        Column("Images", images, f"images whose curves reach {TARGET_DB:g} dB in both codecs"),
        Column("Mean", lambda one: number(one.mean_percent, signed), mean),
        Column("5 %", percent(0.05), "5 % of the images are below"),
        Column("Median", percent(0.5), "half of the images are below"),
        Column("95 %", percent(0.95), "95 % of the images are below"),
        Column("Smaller on", wins, "share of the images on which it needs fewer bits"),
        words("Loses most on", losses, "index of the image in its dataset"),
        Column("Look", look, "of the images on this page, the one where it compares worst", False, page_only=True),
    )
    rows = [row_of(one, columns, one.curve, one.mark) for one in found if not one.status]
    if not rows:
        return None
    absent = {one.codec: one.status for one in found if one.status}
    about = (
        f"Bits of every single image against those of `{anchor}` at {TARGET_DB:g} dB of that image. A codec that is "
        "smaller on average may be larger on many images."
    )
    return Table("Image by image", columns, tuple(rows), about, keys(rows), absent_lines(absent), open=False)


def share(value: float) -> str:
    """A share in per cent; 0 and 100 only where they are exact."""
    percent = 100 * value
    text = f"{percent:.0f}" if percent in (0, 100) or 1 <= percent <= 99 else f"{min(max(percent, 0.1), 99.9):.1f}"
    return f"{text}\N{NO-BREAK SPACE}%"
