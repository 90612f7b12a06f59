"""Model cards of the codecs that were trained for the bits they spend: each recipe is the one that made its weights."""

from __future__ import annotations

import pytest

from codecbench.fingerprint import file_sha256
from codecbench.learned.training.outcome import describe
from codecbench.learned.weights import read_card, weights_path
from codecbench.plugins.registry import CODECS

RECIPES = [
    (codec, name) for codec in ("rd_ae", "ar_lossless", "res_lossless", "gan_ae") for name in CODECS.get(codec).recipes
]


@pytest.mark.parametrize(("codec", "name"), RECIPES)
def test_cards_of_the_shipped_weights(codec: str, name: str) -> None:
    cls = CODECS.get(codec)
    recipe = cls.recipes[name]
    path = weights_path(cls, recipe.variant)
    card = read_card(path)
    assert (card["codec"], card["recipe_name"], card["sha256"]) == (codec, name, file_sha256(path))
    assert card["recipe"] == describe(recipe)
    assert card["judged_by"] == recipe.words
    assert card["command"].startswith(f"codecbench train {codec}")
    assert "/" not in card["command"]
    assert 1 <= card["best_epoch"] <= recipe.epochs


def test_all_weights_together_are_below_60_megabytes() -> None:
    folder = weights_path(CODECS.get("rd_ae")).parent
    sizes = [path.stat().st_size for path in folder.glob("*.safetensors")]
    assert len(sizes) >= len(RECIPES)
    assert sum(sizes) < 60e6
