"""Reports of made-up runs, and the browser that opens them: what the report's tests share."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from matplotlib.figure import Figure
from playwright.sync_api import Page
from runs import MadeUpRun

from codecbench import figures
from codecbench.figures import grid, style
from codecbench.report import page as assembler
from codecbench.report import write_report
from codecbench.report.context import Context
from codecbench.report.tables import Row, Table

DESKTOP, PHONE = {"width": 1280, "height": 900}, {"width": 390, "height": 800}
Opened = Callable[..., Page]


@contextmanager
def figures_as_stubs() -> Iterator[None]:
    """Static figures are neither drawn nor rendered: tests of the page need them little, and they take the longest."""
    stub = b'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 4 3"/>'
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(style, "_save", lambda figure, **how: stub)
        for module, name in ((figures, "rate_distortion"), (figures, "speed"), (grid, "grid_figure")):
            patch.setattr(module, name, lambda *given, **options: Figure())
        yield


def quick_report(run: MadeUpRun, sections: tuple[ModuleType, ...] = (), **options: Any) -> Path:
    """A run's report, with stubs for its static figures, and with some of its sections only where they are named."""
    with figures_as_stubs(), pytest.MonkeyPatch.context() as patch:
        if sections:
            patch.setattr(assembler, "SECTIONS", sections)
        return write_report(run.store, **options)


def context(run: MadeUpRun, anchor: str | None = None) -> Context:
    """What the sections of a run's report are made from."""
    return Context(run.store, run.store.path / "drawn", anchor)


def made(
    path: Path, codecs: dict[str, Any], trained_on: dict[str, tuple[str, ...]] | None = None, **more: Any
) -> MadeUpRun:
    """A run on one dataset, ``data``: codecs have bytes by PSNR in dB, are lossless and have bytes, or fail and why."""
    classical = [name for name in codecs if name not in (trained_on or {})]
    run = MadeUpRun(path, {"data": (16, 16, 1)}, classical, trained_on, **more)
    for codec, sizes in codecs.items():
        if isinstance(sizes, dict):
            run.curve("data", codec, sizes)
        elif isinstance(sizes, str):
            run.failure("data", codec, sizes)
        else:
            run.point("data", codec, num_bytes=sizes, mse=0.0, lossless=True)
    return run


def row(table: Table, head: str) -> Row:
    """The one row of a table with this first cell."""
    (found,) = [row for row in table.rows if row.head == head]
    return found


def texts(table: Table, head: str) -> list[str]:
    """What the cells of a row say, without its first one."""
    return [cell.text for cell in row(table, head).cells]


def draw_plots(page: Page) -> None:
    """Plots are drawn when they are seen."""
    for anchor in ("curves", "speed"):
        page.locator(f"#{anchor} .plot").first.scroll_into_view_if_needed()
        page.wait_for_selector(f"#{anchor} .plot .xtick")


def wait_until_ready(page: Page) -> None:
    """Waits until the scripts of a page that was just loaded are bound, and what is on the screen is drawn."""
    page.wait_for_selector("html[data-ready]", state="attached")


def open_details(page: Page) -> None:
    """Opens everything that can be opened, and what is within that."""
    page.evaluate("""async () => {
      for (let closed; (closed = document.querySelectorAll("details:not([open])")).length;) {
        for (const details of closed) details.open = true;
        await new Promise((done) => window.setTimeout(done, 50)); // what they hold is made when they are open
      }
    }""")


def large_run(path: Path, codecs: int = 30) -> MadeUpRun:
    """Many codecs of eight points each on two datasets, with times and pictures: as large as a report should get."""
    names = [f"codec_{number:02}" for number in range(codecs)]
    run = MadeUpRun(path, {"digits": (28, 28, 1), "photos": (64, 64, 3)}, names)
    for label, shape in run.datasets.items():
        for number, name in enumerate(names):
            for quality in range(8):
                size = math.prod(shape) * (0.02 + 0.03 * quality) * (1 + number / 40)
                seconds = 1e-4 * (1 + number) * (1 + quality)
                more = {"ssim": 1 - 0.2 * 2.0**-quality, "encode_s": (seconds,) * 5, "decode_s": (seconds / 2,) * 5}
                run.curve(label, name, {17 + 3 * quality - number / 15: [size + image for image in range(8)]}, **more)
    return run
