"""Learned codecs: how large they are, what their weights cost, how they were trained, and how they see the images."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from codecbench import figures
from codecbench.analysis import claims
from codecbench.analysis.best import Offer
from codecbench.report import exhibition, markup
from codecbench.report.context import Context, safe_name
from codecbench.report.section import Section
from codecbench.report.tables import Cell, Column, Row, Sheet, number, word
from codecbench.store import weights as weightfiles
from codecbench.text import format_significant, join_words

SHARED = (1_000, 10_000, 1_000_000)
"""Numbers of images among which the weights are shared."""
FACTS = {
    "command": "command",
    "trained_on": "trained on",
    "training_images": "training images",
    "best_epoch": "best epoch",
    "held_out_mse": "MSE on images held out",
    "held_out_score": "{judged_by} on images held out",
    "test": "tested on",
    "test_mse": "MSE there",
    "test_score": "{judged_by} there",
    "training_seconds": "seconds of training",
    "date": "date",
    "git_commit": "commit",
    "sha256": "SHA-256",
}
"""What is told of a model card, by its key, in the order of the page; ``judged_by`` is the score with its unit."""


def section(context: Context) -> Section | None:
    """What there is of learned codecs; None where no codec of the run was trained and none has latents."""
    order = context.datasets
    views = sorted(
        exhibition.views(context.store, context.points, context.read.tasks),
        key=lambda view: order.index(view.exhibit.dataset),
    )
    if not _codecs(context) and not views:
        return None
    html = context.render(
        "learned.html.j2",
        sheets=sheets(context),
        datasets=[{"label": label, "views": _views(context, label, views)} for label in order],
        training=_training(context),
        cards=cards(context),
        lacking=lacking(context),
    )
    return Section("learned", "Learned codecs", html, style="words.css")


def markdown(context: Context) -> str:
    """The tables in Markdown; empty where there are no learned codecs."""
    if not _codecs(context):
        return ""
    lines = ["## Learned codecs", "", *(sheet.markdown(3) for sheet in sheets(context))]
    return "\n".join([*lines, *(f"- {markup.prose_markdown(line)}" for line in lacking(context)), ""])


def _codecs(context: Context) -> list[str]:
    """The codecs with weights or training, of those that have results."""
    known = context.manifest["codecs"]
    measured = sorted(set(context.points.loc[context.points["images"] > 0, "codec"]))
    return [name for name in measured if known[name].get("trained_on") or weightfiles.weights_of(context.store, name)]


def sheets(context: Context) -> list[Sheet]:
    """The tables of this section, those without rows left out."""
    found = [sizes_sheet(context)]
    found += [sheet for label in context.datasets if (sheet := shared_sheet(context, label)) is not None]
    return [sheet for sheet in found if sheet.rows]


def sizes_sheet(context: Context) -> Sheet:
    """How many parameters and bytes each weight file has."""
    rows = []
    for codec in _codecs(context):
        record = context.manifest["codecs"][codec]
        for file, sha256 in weightfiles.weights_of(context.store, codec).items():
            size = record.get("weight_sizes", {}).get(file, {})
            cells = (
                word(file, sha256),
                number(size.get("parameters"), lambda value: f"{value:,.0f}"),
                number(size.get("bytes"), lambda value: f"{value:,.0f}"),
                word(", ".join(record.get("trained_on", ())) or "–"),
            )
            rows.append(Row(codec, cells))
    columns = (
        Column("Codec", numeric=False),
        Column("Weights", numeric=False),
        Column("Parameters", "numbers in the tensors of the file, tables of the entropy coder left out"),
        Column("Bytes", "length of the file"),
        Column("Trained on", numeric=False),
    )
    about = "Encoder and decoder together. A decoder needs its part of the weights as well as the stream."
    return Sheet("Size", columns, tuple(rows), about)


def shared_bits(stream_bits: float, weights: float, images: int) -> float:
    """Bits an image with the weights shared among some images.

    Args:
        stream_bits: of an image's stream.
        weights: bytes of the weights.
        images: how many images share them.
    """
    return stream_bits + 8.0 * weights / images


def shared_sheet(context: Context, dataset: str) -> Sheet | None:
    """Bits an image with the weights shared among images, beside the best untrained codec of the same quality."""
    rows = []
    for claim in claims.learned(dataset, context.of(dataset), None):
        own, other = claim.offers.values()
        weights = weightfiles.weight_bytes(context.manifest["codecs"][own.codec], own.settings)
        if math.isnan(weights):
            continue
        shared = [number(shared_bits(own.bits, weights, images), format_significant) for images in SHARED]
        cells = (
            number(claim.quality_db, "{:.1f}".format),
            number(own.bits, format_significant),
            *shared,
            word(other.codec, other.settings),
            number(other.bits, format_significant),
            _pays(own, other, weights),
        )
        rows.append(Row(own.codec, cells, own.settings))
    if not rows:
        return None
    columns = (
        Column("Codec", numeric=False),
        Column("PSNR dB", "mean PSNR of the point"),
        Column("Bits an image", "of the stream alone"),
        *(Column(f"+ weights, {images:,}", f"stream and weights shared among {images:,} images") for images in SHARED),
        Column(
            "Untrained",
            "the codec that reaches the same quality with the fewest bits and without training",
            numeric=False,
        ),
        Column("Its bits", "at the same quality or a better one"),
        Column("Pays from", "images from which on stream and weights together are smaller than the untrained codec"),
    )
    shares = join_words([f"{images:,}" for images in SHARED])
    about = (
        f"Bits an image on {dataset} where the weight file has to be sent once as well, for {shares} images. The "
        "weights are counted as they lie on disk, encoder included."
    )
    return Sheet(f"With the weights counted: {dataset}", columns, tuple(rows), about)


def _pays(own: Offer, other: Offer, weights: float) -> Cell:
    """From how many images on the learned codec is smaller, weights included."""
    images = claims.pays_from(own, other, weights)
    if images is None:
        return word("never", "its streams alone are larger")
    return Cell(f"{format_significant(images)} images", images, hint=f"{images:,}")


def cards(context: Context) -> list[dict[str, Any]]:
    """The model cards that the run kept, each with its facts in order."""
    found = []
    for codec in _codecs(context):
        for file, card in weightfiles.cards(context.store, codec).items():
            judged = weightfiles.judged_words(card, card)
            known = {key: name for key, name in FACTS.items() if card.get(key) not in (None, "")}
            facts = [(name.replace("{judged_by}", judged), _fact(card[key])) for key, name in known.items()]
            recipe = card.get("recipe")
            if isinstance(recipe, dict):
                told = [f"{key} {value}" for key, value in recipe.items() if value not in (None, "", False, [])]
                facts.append(("recipe", ", ".join(told)))
            found.append({"name": Path(file).stem, "codec": codec, "facts": facts, "text": str(card.get("text", ""))})
    return found


def _fact(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.5g}"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)


def lacking(context: Context) -> list[str]:
    """What the run did not keep of the weights that it measured with."""
    lines = []
    absent: dict[str, list[str]] = {"size": [], "card": []}
    for codec in _codecs(context):
        files = weightfiles.weights_of(context.store, codec)
        sizes = context.manifest["codecs"][codec].get("weight_sizes", {})
        kept = weightfiles.cards(context.store, codec)
        absent["size"] += [Path(file).stem for file in files if sizes.get(file, {}).get("bytes") is None]
        absent["card"] += [Path(file).stem for file in files if file not in kept]
    if absent["size"]:
        names = join_words(absent["size"])
        lines.append(
            f"This run did not record how large the weights of {names} are (older versions did not), so nothing is "
            "said of their parameters, nor of their cost."
        )
    if absent["card"]:
        lines.append(
            f"This run kept no model card of {join_words(absent['card'])}: none lay beside the weights, or it was "
            "made by an older version."
        )
    return lines


# ---- latents and training -------------------------------------------------------------------------------------------


def _views(context: Context, label: str, views: list[exhibition.View]) -> dict[str, Any]:
    """How the autoencoders see a dataset's images: drawings, and what there is to say."""
    triples, maps, absent = [], [], []
    for view in (view for view in views if view.exhibit.dataset == label):
        name = f"{safe_name(label)}-{safe_name(view.file_name)}"
        if view.originals:
            triples.append(context.drawing(f"triples-{name}", exhibition.triples(view), view.triples_title))
        else:
            absent.append(f"{view.name}: no reconstructions were kept, so none stand beside its latents.")
        if exhibition.has_map(view):
            total = context.manifest["datasets"][label]["images"]
            maps.append(context.drawing(f"latents-{name}", exhibition.latent_map(view), view.map_title(total)))
        else:
            absent.append(f"{view.name}: too few images for a map of their latents.")
    first = next((view.exhibit.dataset for view in views), None)
    mapped = any(exhibition.has_map(view) for view in views)
    said = {"explain": label == first, "explain_maps": mapped}  # once on a page
    return {"triples": triples, "maps": maps, "lacking": absent} | said


def _training(context: Context) -> dict[str, Any] | None:
    """How the weights of the codecs measured were trained; None where none has weights."""
    found = exhibition.training(context.store, list(dict.fromkeys(context.points["codec"])))
    if not found.logs and not found.lacking:
        return None
    drawing = None
    if found.logs:
        styles = {name: context.styles[codec] for name, codec in found.codecs.items()}
        figure = figures.learning_curves(found.logs, styles, found.judged_by)
        drawing = context.drawing("training", figure, "Error by epoch of training")
    scored = any(words != weightfiles.JUDGED["mse"] for words in found.judged_by.values())
    told = {"rows": found.rows(), "lacking": found.lacking, "wide": len(found.logs) > 1, "scored": scored}
    return {"drawing": drawing} | told
