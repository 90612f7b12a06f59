"""What a report shows of learned codecs, from what their runs kept: latents, and logs of their training."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from codecbench import figures
from codecbench.plugins.codec import Images
from codecbench.report.notes import Note
from codecbench.store import latents, weights
from codecbench.store.folder import RunFolder
from codecbench.store.latents import Exhibit
from codecbench.text import count, format_shape

LEAST_POINTS = 3
"""Fewer points always lie in a plane, which then tells nothing."""


@dataclass(frozen=True)
class View:
    """How one codec point sees a dataset, with the images to show it on.

    Attributes:
        exhibit: what the run kept.
        name: the codec for people: what it was trained on where that matters, settings where several are shown.
        file_name: the codec, with its settings where several are shown, as a part of file names.
        originals: by index: images whose latent and reconstruction are there too, all of one shape.
        reconstructions: the same through the codec.
    """

    exhibit: Exhibit
    name: str
    file_name: str
    originals: dict[int, Images]
    reconstructions: dict[int, Images]

    @property
    def triples_title(self) -> str:
        """What stands below the triples."""
        latent = next(iter(self.exhibit.latents.values()))
        sides = [side for side in latent.shape if side > 1]
        shape = f" ({format_shape(sides)})" if len(sides) > 1 else ""
        return f"{self.name}: images, their latents of {count(latent.size, 'number')}{shape}, and the reconstructions"

    def map_title(self, total: int) -> str:
        """What stands below the map.

        Args:
            total: images of the dataset in the run.
        """
        shown = len(self.exhibit.points)
        which = f"{shown:,} of the {total:,} images" if shown < total else f"the {count(shown, 'image')}"
        share = sum(self.exhibit.explained)
        return f"{self.name}: the latents of {which}, in the plane that holds {share:.0%} of their variance"


def views(
    store: RunFolder, points: pd.DataFrame, tasks: Mapping[tuple[str, str, str], Sequence[str]] | None = None
) -> list[View]:
    """Everything there is to see in a run folder, by dataset and codec.

    Args:
        store: the run folder.
        points: marked points, see ``codecbench.analysis.points.mark_points``.
        tasks: identities of tasks by point, where they are known; see ``RunFolder.reconstructions``.
    """
    found = latents.exhibits(store)
    labels = points.drop_duplicates(["dataset", "codec"]).set_index(["dataset", "codec"])["label"].to_dict()
    several = [(exhibit.dataset, exhibit.codec) for exhibit in found]
    result = []
    for exhibit in found:
        key = (exhibit.dataset, exhibit.codec)
        if key not in labels:
            continue
        alone = several.count(key) == 1
        name = str(labels[key]) + ("" if alone else f", {exhibit.settings}")
        file_name = exhibit.codec + ("" if alone else f"-{exhibit.settings}")
        originals = store.originals(exhibit.dataset)
        kept = store.reconstructions(exhibit.dataset, exhibit.codec, exhibit.settings, tasks)
        both = [index for index in exhibit.latents if index in originals and index in kept]
        shape = originals[both[0]].shape if both else ()
        both = [index for index in both if originals[index].shape == kept[index].shape == shape]
        pairs = ({index: images[index] for index in both} for images in (originals, kept))
        result.append(View(exhibit, name, file_name, *pairs))
    return result


def triples(view: View) -> Figure:
    """Original, latent and reconstruction of a view's images; see ``codecbench.figures.triples``."""
    indices = list(view.originals)
    classes = view.exhibit.shown_labels
    return figures.triples(
        np.stack([view.originals[index] for index in indices]),
        np.stack([view.exhibit.latents[index] for index in indices]),
        np.stack([view.reconstructions[index] for index in indices]),
        [f"class {classes[index]}" if index in classes else f"image {index}" for index in indices],
    )


def has_map(view: View) -> bool:
    """Whether a view has enough points for a map, and not all in one place."""
    points = view.exhibit.points
    return len(points) >= LEAST_POINTS and bool(np.ptp(points, axis=0).max() > 0)


def latent_map(view: View) -> Figure:
    """A view's latents in their plane; see ``codecbench.figures.latent_maps``."""
    return figures.latent_maps({"": (view.exhibit.points, view.exhibit.labels)}, view.exhibit.explained)


def notes(store: RunFolder) -> list[Note]:
    """A warning about latents that could not be computed; no note where there are none."""
    lines = [
        f"{record['codec']} on {record['dataset']}: {record['failed']}. Everything else was measured."
        for record in latents.failures(store)
    ]
    return [Note("Latents that could not be computed", lines)] if lines else []


@dataclass
class Training:
    """Training logs of the codecs of a run.

    Attributes:
        logs: one row an epoch, by the name of the weights.
        codecs: whose weights these are, by the same names.
        judged_by: what they were judged by, with its unit, such as ``MSE`` or ``bits per pixel``, by the same names.
        lacking: weights without a log.
    """

    logs: dict[str, pd.DataFrame] = field(default_factory=dict)
    codecs: dict[str, str] = field(default_factory=dict)
    judged_by: dict[str, str] = field(default_factory=dict)
    lacking: list[str] = field(default_factory=list)

    def rows(self) -> list[dict[str, Any]]:
        """What came of each training: ``name, epochs, best_epoch, judged_by, held_out, test, time``."""
        found = []
        for name, log in self.logs.items():
            epoch, held_out = figures.best_epoch(log)
            at_best = log[log["epoch"] == epoch].iloc[0]
            seconds = float(log["seconds"].sum()) if "seconds" in log else math.nan
            found.append(
                {
                    "name": name,
                    "epochs": int(log["epoch"].max()),
                    "best_epoch": epoch,
                    "judged_by": self.judged_by[name],
                    "held_out": held_out,
                    "test": float(at_best.get(f"test_{weights.judged_by(log.columns)}", math.nan)),
                    "time": _duration(seconds),
                }
            )
        return found


def training(store: RunFolder, codecs: Sequence[str]) -> Training:
    """The training logs in a run folder, of the weights of some codecs."""
    found = Training()
    for codec in sorted(codecs):
        logs, lacking = weights.training_logs(store, [codec])
        found.logs |= logs
        found.codecs |= dict.fromkeys(logs, codec)
        cards = {Path(file).stem: card for file, card in weights.cards(store, codec).items()} if logs else {}
        for name, log in logs.items():
            found.judged_by[name] = weights.judged_words(cards.get(name, {}), log.columns)
        found.lacking += lacking
    return found


def _duration(seconds: float) -> str:
    if math.isnan(seconds):
        return ""
    for unit, length in (("h", 3600), ("min", 60)):
        if seconds >= 1.5 * length:
            return f"{seconds / length:.1f} {unit}"
    return f"{seconds:.0f} s"
