"""Writes what people look at: ``summary.csv``, ``figures/`` and ``report.html``, from a run folder alone.

``report.html`` is one file that opens offline: styles and pictures are inside, nothing is loaded and no script runs.
The templates beside this module get plain records and escape every text; how numbers and texts are written is decided
by the filters of ``codecbench.wording``.
"""

from __future__ import annotations

import base64
import math
import re
from pathlib import Path
from typing import Any

import jinja2
import pandas as pd

from codecbench import __version__, aggregation, analysis, exhibition, figures, looks, pictures, speedtable, wording
from codecbench.codec import format_shape
from codecbench.curves import (
    TARGET_DB,
    constant_settings,
    mark_points,
    overview,
    restored,
    short_settings,
    telling_settings,
)
from codecbench.errors import StoreError
from codecbench.notes import BUSY, NOISY, all_notes, count
from codecbench.records import digest
from codecbench.store import RunFolder

TEMPLATES = Path(__file__).parent / "templates"
FIGURE_KINDS = (
    "rate-distortion",
    "rate-ssim",
    "speed-encode",
    "speed-decode",
    "images",
    "triples",
    "latents",
    "training",
)
MOST_SVG_BYTES = 150_000
"""Beyond, the page holds a figure as PNG."""
PAGE_DPI = 160


def write_report(store: RunFolder) -> Path:
    """Writes ``summary.csv``, ``figures/`` and ``report.html`` into a run folder; measures nothing.

    The same folder gives the same bytes. A run that is not complete gives a report that says what is missing.

    Args:
        store: the run folder.

    Returns:
        The path of ``report.html``.

    Raises:
        StoreError: the folder cannot be read or written.
    """
    try:
        return _Report(store).write()
    except OSError as error:
        raise StoreError(f"cannot write the report in {store.path}: {error.strerror or error}") from error


class _Report:
    """Collects what the templates show, writing figures on the way."""

    def __init__(self, store: RunFolder):
        self.store = store
        self.read = aggregation.aggregate(store)
        self.summary = analysis.summarise(store, self.read)
        tried = (self.summary["images"] > 0) | (self.summary["failed"] > 0)
        self.points = mark_points(self.summary[tried].reset_index(drop=True), store.manifest)
        self.styles = looks.codec_styles(store.manifest["codecs"])
        self.failures = store.failures()
        order = list(store.manifest["datasets"])
        self.views = sorted(
            exhibition.views(store, self.points, self.read.tasks), key=lambda view: order.index(view.exhibit.dataset)
        )
        self.written: set[str] = set()

    def write(self) -> Path:
        manifest = self.store.manifest
        self.store.write_file("summary.csv", self.summary.to_csv(index=False, lineterminator="\n").encode())
        datasets = [self._dataset(label, number) for number, label in enumerate(manifest["datasets"])]
        drawn = [label for label in manifest["datasets"] if figures.can_draw(self._of(label))]
        if drawn:
            self._save("rate-distortion", figures.rate_distortion(self.points, drawn[:4], styles=self.styles))
        training = self._training()
        notes = all_notes(manifest, self.points, self.failures, self.store.damaged(), self.store.timings())
        notes += exhibition.notes(self.store)
        html = (
            _environment()
            .get_template("report.html.j2")
            .render(
                title="Image codecs on " + wording.listed([str(label) for label in manifest["datasets"]]),
                headline=_headline(manifest, self.points),
                notes=notes,
                datasets=datasets,
                training=training,
                manifest=manifest,
                measured_with=wording.measured_with(manifest["invocations"]),
                target_db=TARGET_DB,
                noisy=NOISY,
                in_rounds=bool(self.points["encode_cpu_s"].notna().any()),
                meaning=wording.column_meanings(),
                version=__version__,
            )
        )
        path = self.store.write_file("report.html", html.encode())
        self._remove_stale()
        return path

    def _of(self, label: str) -> pd.DataFrame:
        return self.points[self.points["dataset"] == label]

    def _dataset(self, label: str, number: int) -> dict[str, Any]:
        record = self.store.manifest["datasets"][label]
        points = self._of(label)
        measured = points[points["images"] > 0]
        grid = pictures.image_grid(self.store, self.points, self.read.shown, label, self.read.tasks)
        if grid is not None:
            name = f"images-{safe_name(label)}"
            self._keep(f"{name}.png", looks.save_png(pictures.grid_figure(grid), looks.DPI))
            self._keep(f"{name}.svg", pictures.grid_svg(grid))
        drawings, lacking = self._figures(label, points)
        if measured.empty:
            lacking = ["No codec has a result on this data yet: there is nothing to draw or to compare."]
        elif grid is None:
            lacking.append("No reconstructions were kept, so no images are shown.")
        table = overview(points).assign(restored=lambda frame: restored(frame)) if len(measured) else measured
        marks = set(points["mark"])
        return {
            "label": label,
            "anchor": f"data-{number + 1}",
            "about": f"{record['images']:,} of {count(record['total'], 'image')}{self._shapes(label)}",
            "record": record,
            "lacking": lacking,
            "overview": _with_short_settings(table, points).to_dict("records"),
            "timed": bool(measured["encode_s"].notna().any()),
            "foreign": "†" in marks,
            "own": "‡" in marks,
            "unsteady": bool(measured["unsteady"].any()),
            "speed": _speed(points),
            "figures": drawings,
            "grid": grid,
            "views": self._views(label),
            "codecs": [_codec(members) for _, members in points.groupby("codec", sort=True)],
        }

    def _views(self, label: str) -> dict[str, Any]:
        """How the autoencoders see a dataset's images: drawings, and what there is to say."""
        triples, maps, lacking = [], [], []
        for view in (view for view in self.views if view.exhibit.dataset == label):
            name = f"{safe_name(label)}-{safe_name(view.file_name)}"
            if view.originals:
                triples.append(self._drawing(f"triples-{name}", exhibition.triples(view), view.triples_title))
            else:
                lacking.append(f"{view.name}: no reconstructions were kept, so none stand beside its latents.")
            if exhibition.has_map(view):
                total = self.store.manifest["datasets"][label]["images"]
                maps.append(self._drawing(f"latents-{name}", exhibition.latent_map(view), view.map_title(total)))
            else:
                lacking.append(f"{view.name}: too few images for a map of their latents.")
        first = next((view.exhibit.dataset for view in self.views), None)
        mapped = any(exhibition.has_map(view) for view in self.views)
        said = {"explain": label == first, "explain_maps": mapped}  # once on a page
        return {"triples": triples, "maps": maps, "lacking": lacking} | said

    def _training(self) -> dict[str, Any] | None:
        """How the weights of the codecs measured were trained; None where none has weights."""
        found = exhibition.training(self.store, list(dict.fromkeys(self.points["codec"])))
        if not found.logs and not found.lacking:
            return None
        drawing = None
        if found.logs:
            styles = {name: self.styles[codec] for name, codec in found.codecs.items()}
            figure = figures.learning_curves(found.logs, styles)
            drawing = self._drawing("training", figure, "Error by epoch of training")
        return {"drawing": drawing, "rows": found.rows(), "lacking": found.lacking, "wide": len(found.logs) > 1}

    def _shapes(self, label: str) -> str:
        shapes = [format_shape(shape) for shape in self.read.shapes.get(label, ())]
        if not shapes:
            return ""
        if len(shapes) > 4:
            return f", of {len(shapes)} shapes"
        return ", " + wording.listed(shapes)

    def _figures(self, label: str, points: pd.DataFrame) -> tuple[list[dict[str, str]], list[str]]:
        drawings, lacking = [], []
        name = safe_name(label)
        wanted: list[tuple[str, str, str]] = [
            ("rate-distortion", "psnr_db", "Bits per pixel against PSNR"),
            ("rate-ssim", "ssim", "Bits per pixel against SSIM"),
        ]
        lossless = bool(restored(points)[points["images"] > 0].all())
        if lossless and (points["images"] > 0).any():
            lacking.append("Every codec here restores every pixel: there is no PSNR or SSIM to draw, only rates.")
        for kind, quality, title in [] if lossless else wanted:
            if figures.can_draw(points, quality):
                figure = figures.rate_distortion(self.points, [label], quality, self.styles)
                drawings.append(self._drawing(f"{kind}-{name}", figure, f"{title} on {label}"))
            elif quality == "ssim":
                lacking.append("SSIM is not shown: no codec has one here (images smaller than its window have none).")
            else:
                lacking.append("No curve is shown: every lossy stream measured is empty, and a log scale has no zero.")
        for kind, time, title in [
            ("speed-encode", "encode_s", "Encoding time"),
            ("speed-decode", "decode_s", "Decoding time"),
        ]:
            timed = points[points[time].notna() & (points[time] > 0) & (points["bits_per_pixel"] > 0)]
            hosts = sorted(set(timed["timed_on"]))
            for host in hosts:  # times of different machines do not stand in one plot
                figure = figures.speed(self.points[self.points["timed_on"] == host], label, time, self.styles)
                file, where = (f"-{safe_name(host)}", f", machine {host or 'unknown'}") if len(hosts) > 1 else ("", "")
                drawings.append(self._drawing(f"{kind}-{name}{file}", figure, f"{title} per image on {label}{where}"))
            if len(hosts) > 1 and kind == "speed-encode":
                lacking.append(f"Times here are from {len(hosts)} machines, and compare on one machine only.")
            if not hosts:
                lacking.append(f"{title} is not shown: no timings were taken here.")
        empty = points[(points["images"] > 0) & (points["bits_per_pixel"] == 0)]
        if len(empty) < int((points["images"] > 0).sum()) and len(empty):
            lacking.append(
                f"{count(len(empty), 'point')} with empty streams (0 bits) cannot stand on a log scale; "
                "the table has them."
            )
        far = int(figures.outside(points).sum())
        if far:
            lacking.append(
                f"{count(far, 'point')} outside the plots (below {figures.BOTTOM_DB:g} dB, "
                f"above {figures.TOP_DB:g} dB, or more than {figures.MOST_RAW:g} times the raw size); "
                "the table has them."
            )
        beyond = int(figures.beyond_ssim(points).sum())
        if beyond:
            lacking.append(
                f"{count(beyond, 'lossy point')} with an SSIM above {figures.SSIM_TOP:g} outside the plot of SSIM; "
                "the table has them."
            )
        return drawings, lacking

    def _drawing(self, name: str, figure: Any, title: str) -> dict[str, str]:
        content, kind = self._save(name, figure), "svg+xml"
        if len(content) > MOST_SVG_BYTES and name.startswith("latents-"):
            content, kind = looks.save_png(figure, PAGE_DPI), "png"
        return {"title": title, "src": f"data:image/{kind};base64," + base64.b64encode(content).decode()}

    def _save(self, name: str, figure: Any) -> bytes:
        content = looks.save_svg(figure)
        self._keep(f"{name}.svg", content)
        self._keep(f"{name}.png", looks.save_png(figure))
        return content

    def _keep(self, name: str, content: bytes) -> None:
        self.store.write_file(f"figures/{name}", content)
        self.written.add(name)

    def _remove_stale(self) -> None:
        """Removes figures of an earlier report that this one does not have."""
        for file in (self.store.path / "figures").glob("*.*"):
            ours = file.stem.startswith(FIGURE_KINDS) and file.suffix in (".svg", ".png")
            if ours and file.name not in self.written:
                file.unlink()


def safe_name(label: str) -> str:
    """A dataset's label as part of a file name; labels that differ stay different."""
    plain = re.sub(r"[^A-Za-z0-9.=-]+", "_", label).strip("_.")[:60]
    return plain if plain and plain == label else f"{plain}-{digest(label)[:6]}"


def _speed(points: pd.DataFrame) -> dict[str, Any] | None:
    """The table of speed of a dataset; None without times."""
    table = speedtable.speeds(points)
    if table.empty:
        return None
    return speedtable.about(table) | {"rows": _with_short_settings(table, points).to_dict("records")}


def _with_short_settings(table: pd.DataFrame, points: pd.DataFrame) -> pd.DataFrame:
    """Adds ``short``: the settings that differ among a codec's points, or all of them where none does."""
    keys = {codec: telling_settings(list(members["settings"])) for codec, members in points.groupby("codec")}
    pairs = zip(table["settings"], table["codec"], strict=True)
    return table.assign(short=[short_settings(settings, keys[codec]) for settings, codec in pairs])


def _codec(members: pd.DataFrame) -> dict[str, Any]:
    """What the long table says about one codec on one dataset."""
    measured = members[members["images"] > 0]
    parts = [count(len(members), "point")]
    if len(measured):
        low, high = measured["bits_per_pixel"].min(), measured["bits_per_pixel"].max()
        parts.append(wording.span(low, high, wording.rate, "bits per pixel"))
    low, high = members["psnr_db"].min(), members["psnr_db"].max()
    if not math.isnan(low):
        parts.append(wording.span(low, high, "{:.1f}".format, "dB"))
    if restored(members).any():
        parts.append("every pixel restored" + ("" if restored(members).all() else " at some"))
    if members["failed"].sum():
        parts.append(f"{count(int(members['failed'].sum()), 'image')} failed")
    table = _with_short_settings(members, members).assign(restored=restored(members))
    return {
        "name": members["codec"].iloc[0],
        "label": members["label"].iloc[0],
        "mark": members["mark"].iloc[0],
        "said": ", ".join(parts),
        "shared": constant_settings(list(members["settings"])),
        "rows": table.to_dict("records"),
    }


def _headline(manifest: dict[str, Any], points: pd.DataFrame) -> list[str]:
    codecs = points.loc[points["images"] > 0, "codec"].nunique()
    parts = [f"{count(codecs, 'codec')}, {count(int((points['images'] > 0).sum()), 'point')} measured"]
    calls = manifest["invocations"]
    if calls:
        days = sorted({str(call.get("started", ""))[:10] for call in calls} - {""})
        machine = calls[-1].get("machine", {})
        if days:
            parts.append("on " + days[0] + (f" to {days[-1]}" if len(days) > 1 else ""))
        if machine:
            parts.append(f"{machine.get('cpu', 'unknown processor')}, {machine.get('cores', '?')} cores")
        if calls[-1].get("device", "cpu") != "cpu":
            parts.append(f"with {machine.get('device', 'an accelerator')}")
    return parts


def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES, encoding="utf-8"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters |= wording.FILTERS
    environment.filters |= {"data_uri": pictures.data_uri, "zoom": pictures.zoom, "caption": pictures.caption}
    environment.globals["busy_share"] = BUSY
    environment.tests["number"] = lambda value: not wording.absent(value)
    return environment
