"""One codec, or the images of one dataset, by its spec: for notebooks and scripts that look at single images."""

from __future__ import annotations

import os

from codecbench.data import data_root
from codecbench.errors import SpecError
from codecbench.plan import planner
from codecbench.plugins.codec import Codec
from codecbench.plugins.dataset import ImageSet


def open_codec(spec: str) -> Codec:
    """The codec that a spec stands for; settings that the spec leaves out stand at their defaults.

    Args:
        spec: for example ``"jpeg:quality=75,subsampling=4:4:4"``, see ``codecbench.plan.specs``.

    Raises:
        UsageError: an unknown codec or setting, a bad value, or a spec of several codecs or points.
        PluginError: the codec's file cannot be imported.
    """
    choices, _ = planner.choose_codecs(spec)
    sweeps: list[list[planner.Point]] = [points or [{}] for choice in choices for points in choice.sweeps]
    if spec.strip() == "all" or len(choices) != 1 or sum(map(len, sweeps)) != 1:
        raise SpecError(f"{spec!r} stands for several codecs; expected one, every setting with one value")
    return choices[0].cls(**sweeps[0][0])


def open_dataset(spec: str, data_dir: str | os.PathLike[str] | None = None) -> ImageSet:
    """The images of the one dataset that a spec stands for, with ``labels`` where the dataset has some.

    Args:
        spec: for example ``"mnist:split=train"``, see ``codecbench.plan.specs``.
        data_dir: the data root; by default ``$CODECBENCH_DATA`` or a folder in the user's cache.

    Raises:
        UsageError: unknown, missing, damaged, or a spec of several datasets.
    """
    return planner.open_dataset(spec, data_root(data_dir))
