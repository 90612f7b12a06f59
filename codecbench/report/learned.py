"""Learned codecs: how large they are, what their weights cost, how they were trained, and how they see the images."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from codecbench import figures
from codecbench.analysis import claims
from codecbench.figures.style import CodecStyle
from codecbench.plugins.codec import Images
from codecbench.report import markup
from codecbench.report.context import Context, Section, safe_name
from codecbench.report.tables import Cell, Column, Table, number, numbers, row_of, table_of, words
from codecbench.store import weights
from codecbench.store.folder import StoredRun
from codecbench.store.latents import Latents
from codecbench.text import count, format_shape, format_significant, join_words

LEAST_POINTS = 3
"""Minimum number of images for a map of their latents: fewer points are always in one plane."""
SHARED = (1_000, 10_000, 1_000_000)
"""Numbers of images among which the weights are shared."""
FACTS = {
    "command": "command",
    "trained_on": "trained on",
    "training_images": "training images",
    "best_epoch": "best epoch",
    "held_out_mse": "MSE on held-out images",
    "held_out_score": "{judged_by} on held-out images",
    "test": "tested on",
    "test_mse": "MSE there",
    "test_score": "{judged_by} there",
    "training_seconds": "seconds of training",
    "date": "date",
    "git_commit": "commit",
    "sha256": "SHA-256",
}
"""What the page shows of a model card, by its key; ``judged_by`` is the score with its unit."""


def section(context: Context) -> Section | None:
    """What there is of learned codecs; None where no codec of the run was trained and none has latents."""
    order, codecs = context.datasets, _codecs(context)
    latent_views = views(context.store, context.points, context.read.tasks)
    latent_views.sort(key=lambda view: order.index(view.latents.dataset))
    if not codecs and not latent_views:
        return None
    found, absent = tables(context), lacking(context)
    html = context.render(
        "learned.html.j2",
        tables=found,
        datasets=[{"label": label, "views": _drawings(context, label, latent_views)} for label in order],
        training=_training(context),
        cards=cards(context),
        lacking=absent,
    )
    lines = ["## Learned codecs", "", *(table.markdown(3) for table in found)]
    lines += [*(f"- {markup.prose_markdown(line)}" for line in absent), ""]
    return Section("learned", "Learned codecs", html, "\n".join(lines) if codecs else "", style="words.css")


def _codecs(context: Context) -> list[str]:
    """The codecs with weights or training, of those that have results."""
    known = context.manifest["codecs"]
    measured = sorted(set(context.points.loc[context.points["images"] > 0, "codec"]))
    return [name for name in measured if known[name].get("trained_on") or weights.weights_of(context.store, name)]


def tables(context: Context) -> list[Table]:
    """The tables of this section, those without rows left out."""
    found = [sizes_table(context), *(shared_table(context, label) for label in context.datasets)]
    return [table for table in found if table is not None and table.rows]


def sizes_table(context: Context) -> Table:
    """How many parameters and bytes each weight file has."""
    records = []
    for codec in _codecs(context):
        known = context.manifest["codecs"][codec]
        for file, sha256 in weights.weights_of(context.store, codec).items():
            size = {"parameters": None, "bytes": None} | known.get("weight_sizes", {}).get(file, {})
            trained_on = ", ".join(known.get("trained_on", ())) or "–"
            records.append(size | {"codec": codec, "file": file, "sha256": sha256, "trained_on": trained_on})
    parameters = "numbers in the tensors of the file, without the tables of the entropy coder"
    columns = (
        words("Codec", "codec"),
        words("Weights", lambda one: Cell(one["file"], hint=one["sha256"])),
        numbers("Parameters", "parameters", "{:,.0f}".format, parameters),
        numbers("Bytes", "bytes", "{:,.0f}".format, "length of the file"),
        words("Trained on", "trained_on"),
    )
    about = "Encoder and decoder together. A decoder needs its part of the weights as well as the stream."
    return table_of("Size", columns, records, about=about)


def shared_bits(stream_bits: float, weight_bytes: float, images: int) -> float:
    """Bits per image with the weights shared among some images."""
    return stream_bits + 8.0 * weight_bytes / images


def shared_table(context: Context, dataset: str) -> Table | None:
    """Bits per image with the weights shared among images, beside the best untrained codec of the same quality."""
    records: list[dict[str, Any]] = []
    for claim in claims.learned(dataset, context.of(dataset, over="psnr_db"), None):
        own, other = claim.rates.values()
        size = weights.weight_bytes(context.manifest["codecs"][own.codec], own.settings)
        if not math.isnan(size):
            shared = {str(images): shared_bits(own.bits, size, images) for images in SHARED}
            pays_from = claims.pays_from(own, other, size)
            records.append({"claim": claim, "own": own, "other": other, "pays_from": pays_from} | shared)
    if not records:
        return None
    untrained = "the codec that reaches the same quality with the fewest bits and without training"
    pays = "number of images from which streams and weights together are smaller than the untrained codec's files"
    columns = (
        words("Codec", lambda one: one["own"].codec),
        Column("PSNR dB", lambda one: number(one["claim"].quality_db, "{:.1f}".format), "mean PSNR of the point"),
        Column("Bits per image", lambda one: number(one["own"].bits, format_significant), "of the stream alone"),
        *(
            numbers(f"+ weights, {n:,}", str(n), format_significant, f"stream and weights shared among {n:,} images")
            for n in SHARED
        ),
        words("Untrained", lambda one: Cell(one["other"].codec, hint=one["other"].settings), untrained),
        Column(
            "Its bits", lambda one: number(one["other"].bits, format_significant), "at the same or a better quality"
        ),
        Column("Pays from", _pays, pays),
    )
    shares = join_words([f"{images:,}" for images in SHARED])
    about = (
        f"Bits per image on {dataset} if the weight file has to be sent once as well, for {shares} images. The whole "
        "weight file is counted, encoder included."
    )
    rows = tuple(row_of(one, columns, one["own"].settings) for one in records)
    return Table(f"With the weights counted: {dataset}", columns, rows, about)


def _pays(one: Mapping[str, Any]) -> Cell:
    images = one["pays_from"]
    if images is None:
        return Cell("never", hint="its streams alone are larger already")
    return Cell(f"{format_significant(images)} images", images, hint=f"{images:,}")


def cards(context: Context) -> list[dict[str, Any]]:
    """The model cards that the run kept, each with its facts in order."""
    found = []
    for codec in _codecs(context):
        for file, card in weights.cards(context.store, codec).items():
            judged = weights.judged_words(card, card)
            facts = [
                (name.replace("{judged_by}", judged), _fact(card[key]))
                for key, name in FACTS.items()
                if card.get(key) not in (None, "")
            ]
            if isinstance(recipe := card.get("recipe"), dict):
                given = {key: value for key, value in recipe.items() if value not in (None, "", False, [])}
                facts.append(("recipe", ", ".join(f"{key} {value}" for key, value in given.items())))
            found.append({"name": Path(file).stem, "codec": codec, "facts": facts, "text": str(card.get("text", ""))})
    return found


def _fact(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.5g}"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)


def lacking(context: Context) -> list[str]:
    """What the run did not keep of the weights that it measured with."""
    sizeless, cardless = [], []
    for codec in _codecs(context):
        sizes = context.manifest["codecs"][codec].get("weight_sizes", {})
        kept = weights.cards(context.store, codec)
        for file in weights.weights_of(context.store, codec):
            if sizes.get(file, {}).get("bytes") is None:
                sizeless.append(Path(file).stem)
            if file not in kept:
                cardless.append(Path(file).stem)
    lines = []
    if sizeless:
        lines.append(
            f"This run did not record how large the weights of {join_words(sizeless)} are, so nothing is said of their "
            "parameters and their cost."
        )
    if cardless:
        lines.append(f"This run kept no model card of {join_words(cardless)}: there was none beside the weights.")
    return lines


# ---- latents and training -------------------------------------------------------------------------------------------


def _drawings(context: Context, label: str, views: list[LatentView]) -> dict[str, Any]:
    """How the autoencoders represent a dataset's images: drawings, and what there is to say."""
    triples, maps, absent = [], [], []
    for view in (view for view in views if view.latents.dataset == label):
        name = f"{safe_name(label)}-{safe_name(view.file_name)}"
        if view.originals:
            triples.append(context.drawing(f"triples-{name}", view.triples(), view.triples_title))
        else:
            absent.append(f"{view.name}: no reconstructions were kept, so none are shown beside its latents.")
        if view.has_map:
            total = context.manifest["datasets"][label]["images"]
            maps.append(context.drawing(f"latents-{name}", view.map(), view.map_title(total)))
        else:
            absent.append(f"{view.name}: too few images for a map of their latents.")
    return {
        "triples": triples,
        "maps": maps,
        "lacking": absent,
        # Explained once on a page.
        "explain": label in [view.latents.dataset for view in views[:1]],
        "explain_maps": any(view.has_map for view in views),
    }


def _training(context: Context) -> dict[str, Any] | None:
    """How the weights of the codecs measured were trained; None where none has weights."""
    logs: dict[str, pd.DataFrame] = {}  # of all codecs, by the name of the weights, as all below
    styles: dict[str, CodecStyle] = {}
    judged_by: dict[str, str] = {}  # with its unit, such as "MSE" or "bits per pixel"
    lacking: list[str] = []  # weights without a log
    for codec in sorted(set(context.points["codec"])):
        found, without = weights.training_logs(context.store, codec)
        cards = {Path(file).stem: card for file, card in weights.cards(context.store, codec).items()} if found else {}
        logs |= found
        styles |= dict.fromkeys(found, context.styles[codec])
        judged_by |= {name: weights.judged_words(cards.get(name, {}), log.columns) for name, log in found.items()}
        lacking += without
    if not logs and not lacking:
        return None
    drawing = None
    if logs:
        drawing = context.drawing(
            "training", figures.learning_curves(logs, styles, judged_by), "Error by epoch of training"
        )
    return {
        "drawing": drawing,
        "rows": [{"name": name, "judged_by": judged_by[name]} | _best(log) for name, log in logs.items()],
        "lacking": lacking,
        "wide": len(logs) > 1,
        "scored": any(words != weights.JUDGED["mse"] for words in judged_by.values()),
    }


def _best(log: pd.DataFrame) -> dict[str, Any]:
    """The result of a training by its log."""
    epoch, held_out = figures.best_epoch(log)
    best = log[log["epoch"] == epoch].iloc[0]
    return {
        "epochs": int(log["epoch"].max()),
        "best_epoch": epoch,
        "held_out": held_out,
        "test": float(best.get(f"test_{weights.judged_by(log.columns)}", math.nan)),
        "time": _duration(float(log["seconds"].sum())) if "seconds" in log else "",
    }


def _duration(seconds: float) -> str:
    for unit, length in (("h", 3600), ("min", 60)):
        if seconds >= 1.5 * length:
            return f"{seconds / length:.1f} {unit}"
    return f"{seconds:.0f} s"


@dataclass(frozen=True)
class LatentView:
    """How one codec point represents a dataset, with the images to show it on."""

    latents: Latents
    name: str  # the codec for people: what it was trained on where that matters, settings where several are shown
    file_name: str  # the codec, with its settings where several are shown
    originals: dict[int, Images]  # by index: images whose latent and reconstruction are stored too, all of one shape
    reconstructions: dict[int, Images]

    @property
    def triples_title(self) -> str:
        """The caption of the triples."""
        latent = next(iter(self.latents.shown.values()))
        sides = [side for side in latent.shape if side > 1]
        shape = f" ({format_shape(sides)})" if len(sides) > 1 else ""
        return f"{self.name}: images, their latents of {count(latent.size, 'number')}{shape}, and the reconstructions"

    def triples(self) -> Figure:
        """Original, latent and reconstruction of each image."""
        indices = list(self.originals)
        classes = self.latents.shown_labels
        return figures.triples(
            np.stack([self.originals[index] for index in indices]),
            np.stack([self.latents.shown[index] for index in indices]),
            np.stack([self.reconstructions[index] for index in indices]),
            [f"class {classes[index]}" if index in classes else f"image {index}" for index in indices],
        )

    @property
    def has_map(self) -> bool:
        """Whether there are enough latents for a map, and not all in one place."""
        points = self.latents.points
        return len(points) >= LEAST_POINTS and bool(np.ptp(points, axis=0).max() > 0)

    def map_title(self, total: int) -> str:
        """The caption of the map, given the number of images of the dataset in the run."""
        shown = len(self.latents.points)
        which = f"{shown:,} of the {total:,} images" if shown < total else f"the {count(shown, 'image')}"
        share = sum(self.latents.explained)
        return f"{self.name}: the latents of {which}, in a plane that has {share:.0%} of their variance"

    def map(self) -> Figure:
        """The latents in the plane in which they vary most."""
        return figures.latent_maps({"": (self.latents.points, self.latents.labels)}, self.latents.explained)


def views(
    store: StoredRun, points: pd.DataFrame, tasks: Mapping[tuple[str, str, str], Sequence[str]] | None = None
) -> list[LatentView]:
    """The stored latents of a run folder, by dataset and codec; ``tasks`` are the identities of tasks by point."""
    found = store.latents()
    labels = points.drop_duplicates(["dataset", "codec"]).set_index(["dataset", "codec"])["label"].to_dict()
    several = Counter((latents.dataset, latents.codec) for latents in found)
    result = []
    for latents in found:
        key = (latents.dataset, latents.codec)
        if key not in labels:
            continue
        name, file_name = str(labels[key]), latents.codec
        if several[key] > 1:
            name, file_name = f"{name}, {latents.settings}", f"{file_name}-{latents.settings}"
        originals = store.originals(latents.dataset)
        kept = store.reconstructions(latents.dataset, latents.codec, latents.settings, tasks)
        both = [index for index in latents.shown if index in originals and index in kept]
        shape = originals[both[0]].shape if both else ()
        both = [index for index in both if originals[index].shape == kept[index].shape == shape]
        pairs = ({index: images[index] for index in both} for images in (originals, kept))
        result.append(LatentView(latents, name, file_name, *pairs))
    return result
