"""Look: images through two codecs, one laid over the other, with their sizes and errors; and each codec's worst images.

Pixels are in the page as lossless strips (``codecbench.report.sprites``), and the browser computes errors from them.
"""

from __future__ import annotations

from dataclasses import replace

from codecbench.figures import grid, style
from codecbench.report import sprites
from codecbench.report.context import Context, Section, safe_name
from codecbench.store.pictures import WorstImagesRecord

STILL_IMAGES = 2
"""Images of a dataset in the table for readers without scripts."""
STILL_CODECS = 12
"""Codecs in that table."""
STILL_SIDE = 96
"""Height and width of the window of a large image in that table."""
SCRIPTS = ("look_data.js", "look_stage.js", "look.js")


def section(context: Context) -> Section | None:
    """The image browser, and a small table of pictures for readers without scripts; the same as figures."""
    measured = [label for label in context.datasets if (context.of(label)["images"] > 0).any()]
    if not measured:
        return None
    found, atlas = context.pictures.datasets, context.pictures.atlas
    lacking = [label for label in measured if label not in [view.label for view in found]]
    stills = [_still(whole) for label in measured if (whole := _figures(context, label)) is not None]
    html = context.render(
        "look.html.j2",
        views=found,
        lacking=lacking,
        stills=stills,
        failures=context.store.failures(WorstImagesRecord),
    )
    if not found:
        return Section("look", "Look", html, style="look.css")
    data = {"strips": atlas.strips, "datasets": [view.data() for view in found], "anchor": context.anchor}
    return Section("look", "Look", html, data=data, scripts=SCRIPTS, style="look.css")


# ---- without scripts ------------------------------------------------------------------------------------------------


def _figures(context: Context, label: str) -> grid.ImageGrid | None:
    """The grid of a dataset, whose pictures go into ``figures/``."""
    found = grid.image_grid(context.store, context.points, context.read.shown, label, context.read.tasks)
    if found is not None:
        name = f"images-{safe_name(label)}"
        context.keep(f"{name}.png", style.save_png(grid.grid_figure(found), style.DPI))
        context.keep(f"{name}.svg", grid.grid_svg(found))
    return found


def _still(whole: grid.ImageGrid) -> grid.ImageGrid:
    """A part of a grid that is small enough to be in the page a second time."""
    shown = list(whole.originals)[:STILL_IMAGES]

    def cut(cell: grid.GridCell) -> grid.GridCell:
        return replace(cell, image=None if cell.image is None else sprites.window(cell.image, STILL_SIDE))

    return replace(
        whole,
        columns=whole.columns[:STILL_CODECS],
        originals={index: sprites.window(whole.originals[index], STILL_SIDE) for index in shown},
        cells={index: [cut(cell) for cell in whole.cells[index][:STILL_CODECS]] for index in shown},
    )
