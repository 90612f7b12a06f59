"""Tables that a weight file holds beside a network's parameters: counted or fitted once, at the end of training.

An entropy coder needs numbers that both sides share: counts of symbols, or a transform that was made from them. A
codec makes them by two class methods, both of which it may leave out:

    tables_for(network, images) -> dict[str, torch.Tensor]
        The tables by name, in the types in which they are shipped; none is an empty dict.
    judge_tables(network, tables, images) -> dict[str, Any]
        What the model card is to say of them, as JSON values.

``network`` holds the weights as they are stored, in evaluation mode and without gradients, and lies with ``images`` on
the device of the training. The images are uint8 (N, C, H, W), cut as the recipe says: those that were trained on for
``tables_for``, and those that were held out for ``judge_tables``. A decoder reads the tables with
``codecbench.learned.weights.shipped_tables``.

A codec without these methods whose setting ``latent`` offers ``int8`` gets the tables of
:mod:`codecbench.learned.coding.latents`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from codecbench.learned.autoencoder import Autoencoder
from codecbench.learned.coding.latents import LatentCoder
from codecbench.learned.training.fit_latents import EXCESS, fit_tables
from codecbench.learned.training.fit_latents import judge as judge_latents
from codecbench.plugins.settings import settings_of

Tables = dict[str, torch.Tensor]


def are_made(codec: Any) -> bool:
    """Whether the weights of a codec get tables at the end of training."""
    return hasattr(codec, "tables_for") or _codes_latents(codec)


def make(codec: Any, network: torch.nn.Module, images: torch.Tensor, seed: int = 0) -> Tables:
    """The tables that belong to a network; empty for codecs without tables.

    Args:
        codec: the codec's class.
        network: see above.
        images: that it was trained on, uint8 (N, C, H, W).
        seed: of the choice among them that a latent's tables are fitted to.
    """
    if hasattr(codec, "tables_for"):
        return dict(codec.tables_for(network, images))
    if not _codes_latents(codec):
        return {}
    assert isinstance(network, Autoencoder)
    return fit_tables(network, images, seed=seed).tables()


def judge(
    codec: Any, network: torch.nn.Module, tables: Mapping[str, torch.Tensor], images: torch.Tensor
) -> dict[str, Any]:
    """What the model card says of tables, by images that were held out; empty where there is nothing to say.

    Args:
        codec: the codec's class.
        network: see above.
        tables: what :func:`make` gave.
        images: that were held out, uint8 (N, C, H, W).
    """
    if hasattr(codec, "judge_tables"):
        return dict(codec.judge_tables(network, tables, images))
    if hasattr(codec, "tables_for") or not tables:
        return {}
    assert isinstance(network, Autoencoder)
    coder = LatentCoder.of(tables, codec.latent_shape[0], codec.name)
    return {
        "excess": EXCESS,
        **{f"held_out_{key}": value for key, value in judge_latents(network, coder, images).items()},
    }


def _codes_latents(codec: Any) -> bool:
    latent = settings_of(codec).get("latent") if isinstance(codec, type) else None
    return latent is not None and "int8" in latent.choices
