"""Look: images through two codecs, one laid over the other, with their sizes and errors; and each codec's worst images.

What the page holds is bounded: a few images and points of each codec, chosen so that codecs can be compared at equal
bytes and at equal PSNR. Pixels travel as lossless strips (``codecbench.report.sprites``), and the browser computes the
errors from them.
"""

from __future__ import annotations

from dataclasses import replace
from weakref import WeakKeyDictionary

from codecbench.figures import grid as pictures
from codecbench.figures import style
from codecbench.report import browser, sprites
from codecbench.report.context import Context, safe_name
from codecbench.report.section import Section
from codecbench.store import pictures as keeping

BUDGET = 4_500_000
"""Characters of base64 that all pictures of the section may take together."""
WORST_SHARE = 0.25
"""Of the budget, for worst images at most."""
STILL_IMAGES = 2
"""Images of a dataset in the table for readers without scripts."""
STILL_CODECS = 12
"""Codecs in it."""
STILL_SIDE = 96
"""Height and width of the window of a large image in it."""
SCRIPTS = ("look_data.js", "look_stage.js", "look.js")


def section(context: Context) -> Section | None:
    """The image browser, and a small table of pictures for readers without scripts; the same as figures."""
    measured = [label for label in context.datasets if (context.of(label)["images"] > 0).any()]
    if not measured:
        return None
    found, sheet = _made(context)
    lacking = [label for label in measured if label not in [view.label for view in found]]
    grids = [grid for label in measured if (grid := _figures(context, label)) is not None]
    html = context.render(
        "look.html.j2",
        views=found,
        lacking=lacking,
        stills=[_still(grid) for grid in grids],
        failures=keeping.failures(context.store),
    )
    if not found:
        return Section("look", "Look", html, style="look.css")
    data = {"strips": sheet.strips, "datasets": [view.data() for view in found], "anchor": context.anchor}
    return Section("look", "Look", html, data, SCRIPTS, "look.css")


def images_in_page(context: Context, dataset: str) -> set[int]:
    """The images of a dataset that the page holds through every codec, so that other sections can lead there."""
    found, _ = _made(context)
    shown = [image for view in found if view.label == dataset for image in view.images]
    return {int(image["n"]) for image in shown if image["row"] is not None}


_held: WeakKeyDictionary[Context, tuple[list[browser.View], sprites.Sheet]] = WeakKeyDictionary()
"""What was made for a page: the strips take the longest."""


def _made(context: Context) -> tuple[list[browser.View], sprites.Sheet]:
    if context not in _held:
        measured = [label for label in context.datasets if (context.of(label)["images"] > 0).any()]
        _held[context] = _make(context, measured)
    return _held[context]


def _make(context: Context, measured: list[str]) -> tuple[list[browser.View], sprites.Sheet]:
    """The views of all datasets with pictures, in the page's order, and their strips."""
    sheet = sprites.Sheet()
    gathered = {label: browser.gather(context, label) for label in measured}
    cases = {label: browser.newest_cases(context, label) for label in measured}
    found: list[browser.View] = []
    # Small images first: what they leave of their share goes to the large ones.
    order = sorted(measured, key=lambda label: sum(image.size for image in gathered[label].originals.values()))
    for number, label in enumerate(order):
        share = (BUDGET - sheet.size) // (len(order) - number)
        view = browser.View(label, list(gathered[label].targets.rates))
        reserved = int(share * WORST_SHARE) if cases[label] else 0
        browser.add_shown(context, view, gathered[label], sheet, share - reserved)
        browser.add_worst(context, view, cases[label], sheet, reserved)
        if view.images:
            found.append(view)
    found.sort(key=lambda view: measured.index(view.label))
    return found, sheet


# ---- without scripts ------------------------------------------------------------------------------------------------


def _figures(context: Context, label: str) -> pictures.ImageGrid | None:
    """The grid of a dataset, whose pictures go into ``figures/``."""
    grid = pictures.image_grid(context.store, context.points, context.read.shown, label, context.read.tasks)
    if grid is not None:
        name = f"images-{safe_name(label)}"
        context.keep(f"{name}.png", style.save_png(pictures.grid_figure(grid), style.DPI))
        context.keep(f"{name}.svg", pictures.grid_svg(grid))
    return grid


def _still(grid: pictures.ImageGrid) -> pictures.ImageGrid:
    """A part of a grid that is small enough to stand in the page a second time."""
    shown = list(grid.originals)[:STILL_IMAGES]

    def cut(cell: pictures.Cell) -> pictures.Cell:
        return replace(cell, image=None if cell.image is None else sprites.window(cell.image, STILL_SIDE))

    return replace(
        grid,
        columns=grid.columns[:STILL_CODECS],
        originals={index: sprites.window(grid.originals[index], STILL_SIDE) for index in shown},
        cells={index: [cut(cell) for cell in grid.cells[index][:STILL_CODECS]] for index in shown},
    )
