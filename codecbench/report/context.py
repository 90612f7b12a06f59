"""What a section of a report is, and what it is made from: the run, its tables, styles, and a place for figures."""

from __future__ import annotations

import base64
import functools
import io
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jinja2
import pandas as pd
from markupsafe import Markup

from codecbench.analysis import aggregate, summary
from codecbench.analysis.aggregate import Aggregate
from codecbench.analysis.bd_rate import default_anchor
from codecbench.analysis.bootstrap import BootstrapMeans
from codecbench.analysis.points import TARGET_DB, annotate, is_exact
from codecbench.analysis.same_images import EVERY_IMAGE, SameImages
from codecbench.analysis.summary import UNSTEADY_SPREAD
from codecbench.errors import UsageError
from codecbench.figures import grid, style
from codecbench.fingerprint import digest
from codecbench.report import browser, markup
from codecbench.report.notes import Note, all_notes
from codecbench.store.folder import StoredRun
from codecbench.store.io import write_whole
from codecbench.store.latents import LatentsRecord
from codecbench.store.tasks import TaskRecord

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TEMPLATES = Path(__file__).parent / "templates"
STATIC = Path(__file__).parent / "static"
MOST_STATIC_BYTES = 60_000
"""Beyond, the page holds a figure as PNG."""
PAGE_DPI, PAGE_COLOURS = 110, 96


@dataclass(frozen=True)
class Section:
    """What a module of the report gives to the page."""

    anchor: str  # its id in the page and in the navigation, for example "curves"
    title: str  # its name in the navigation
    html: Markup  # everything between the section's tags, its heading included; rendered with autoescape
    markdown: str = ""  # the same in Markdown, for report.md; empty where there is nothing in words or tables
    data: Any = None  # plain JSON for the script; NaN and infinities become null, and numbers are cut to six digits
    scripts: tuple[str, ...] = ()
    """Files in static/, in their order; the last one calls codecbench.section(anchor, ...)."""
    style: str = ""  # a file in static/


class Context:
    """Everything that a section may want to know of a run, and where it leaves its figures."""

    def __init__(self, store: StoredRun, out: Path | None = None, anchor: str | None = None):
        self.store = store
        self.out = store.sources[0] if out is None else Path(out)
        self.manifest: dict[str, Any] = store.manifest
        self.read: Aggregate = aggregate.aggregate(store)  # what one pass over the run's rows gave
        self.summary = summary.summarise(store, self.read)
        tried = (self.summary["images"] > 0) | (self.summary["failed"] > 0)
        self.points = annotate(self.summary[tried].reset_index(drop=True), store.manifest)
        self.styles = style.codec_styles(store.manifest["codecs"])
        self.failures = store.failures(TaskRecord)
        self.written: set[str] = set()  # names of the files in figures/
        # Without two images at some point there is no bootstrap.
        replicates = 200 * bool((self.points["images"] > 1).any())
        self.same = SameImages(store, self.points, replicates=replicates, read=self.read)
        self._asked_anchor = anchor

    @property
    def datasets(self) -> list[str]:
        """The datasets' labels, in the run's order."""
        return [str(label) for label in self.manifest["datasets"]]

    def of(self, dataset: str, over: str = "") -> pd.DataFrame:
        """The points of a dataset; with a measure of quality those over the same images."""
        return self.same.of(dataset, over)

    @functools.cached_property
    def notes(self) -> list[Note]:
        """What a reader should know before trusting a number; the grave ones stand on top of the page as well."""
        timings, latents = self.store.timings(), self.store.failures(LatentsRecord)
        return all_notes(self.store, self.manifest, self.points, self.failures, timings, latents)

    @functools.cached_property
    def anchor(self) -> str:
        """The codec that others are compared with, empty if none has a curve; a UsageError if it is not in the run."""
        known = sorted(set(self.points["codec"]))
        if self._asked_anchor is not None:
            if self._asked_anchor not in known:
                names = ", ".join(known) or "none"
                raise UsageError(f"no codec {self._asked_anchor!r} in this run to compare with; it has: {names}")
            return self._asked_anchor
        return default_anchor(self.same.over("psnr_db")) or default_anchor(self.points)

    @property
    def resampled(self) -> BootstrapMeans | None:
        """The bootstrap over images; None where no point has two."""
        return self.same.resampled

    @functools.cached_property
    def qualities(self) -> list[dict[str, Any]]:
        """The measures of quality that some lossy point has: PSNR, SSIM, and the run's plugin metrics.

        Where PSNR lacks images, that of the mean MSE is one more.

        Each has ``name`` (a column of the points), ``title``, ``unit``, ``better`` (``higher`` or ``lower``) and
        ``stretch``: whether its values are close to a maximum of 1, so that plots stretch its axis towards 1.
        """
        lossy = self.points[(self.points["images"] > 0) & ~is_exact(self.points)]
        found: list[dict[str, Any]] = []
        core: dict[str, dict[str, Any]] = {"psnr_db": {"title": "PSNR", "unit": "dB"}, "ssim": {"title": "SSIM"}}
        if any(self.same.note(label, "psnr_db") for label in self.datasets):
            core[EVERY_IMAGE] = {"title": "PSNR of the mean MSE", "unit": "dB"}
        for name, record in (core | self.manifest["metrics"] | core).items():
            if name not in lossy or not lossy[name].notna().any():
                continue
            better, unit = str(record.get("better") or "higher"), str(record.get("unit") or "")
            stretch = better == "higher" and not unit and float(lossy[name].max()) <= 1.0
            title = str(record.get("title") or name)
            found.append({"name": name, "title": title, "unit": unit, "better": better, "stretch": stretch})
        return found

    @functools.cached_property
    def pictures(self) -> browser.Pictures:
        """What the image browser shows, also as the aim of links of other sections."""
        return browser.pictures(self)

    def render(self, template: str, **values: Any) -> Markup:
        """A template of ``codecbench/report/templates/`` with some values; texts are escaped."""
        return Markup(environment().get_template(template).render(**values))

    def drawing(self, name: str, figure: Figure, title: str) -> dict[str, str]:
        """A static figure, saved in ``figures/`` under a :func:`safe_name`; for the page its ``title`` and ``src``."""
        content, kind = self.save(name, figure), "svg+xml"
        if len(content) > MOST_STATIC_BYTES:
            content, kind = _few_colours(style.save_png(figure, PAGE_DPI)), "png"
        return {"title": title, "src": f"data:image/{kind};base64," + base64.b64encode(content).decode()}

    def save(self, name: str, figure: Figure) -> bytes:
        """Writes a figure as SVG and PNG into ``figures/``, and returns the SVG."""
        content = style.save_svg(figure)
        figure.set_layout_engine("none")  # laid out for the SVG, and not once more for each PNG
        self.keep(f"{name}.svg", content)
        self.keep(f"{name}.png", style.save_png(figure))
        return content

    def keep(self, name: str, content: bytes) -> None:
        """Writes a file into ``figures/``."""
        self.write(f"figures/{name}", content)
        self.written.add(name)

    def write(self, name: str, content: bytes) -> Path:
        """Writes a file whole into the folder of the report, and returns its path."""
        file = self.out / name
        write_whole(file, content)
        return file


def _few_colours(png: bytes) -> bytes:
    """The same picture with a palette, a quarter of the size: of figures, whose colours are few."""
    from PIL import Image

    with Image.open(io.BytesIO(png)) as picture:
        reduced = picture.convert("RGB").quantize(PAGE_COLOURS, dither=Image.Dither.NONE)
    buffer = io.BytesIO()
    reduced.save(buffer, format="PNG", optimize=True)
    return buffer.getvalue()


def safe_name(label: str) -> str:
    """A dataset's label as part of a file name; labels that differ stay different."""
    plain = re.sub(r"[^A-Za-z0-9.=-]+", "_", label).strip("_.")[:60]
    return plain if plain and plain == label else f"{plain}-{digest(label)[:6]}"


@functools.cache
def environment() -> jinja2.Environment:
    """The templates of the package, with the filters of ``codecbench.report.markup``."""
    made = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES, encoding="utf-8"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
        finalize=markup.shown,
    )
    made.filters |= markup.FILTERS
    made.filters |= {"data_uri": grid.data_uri, "zoom": grid.zoom, "caption": grid.caption}
    made.globals |= {"noisy": UNSTEADY_SPREAD, "target_db": TARGET_DB}
    made.tests["number"] = lambda value: not markup.absent(value)
    return made
