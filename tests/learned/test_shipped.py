"""The shipped weights: their model cards, and that they reach the errors that those record."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from codecbench.fingerprint import file_sha256
from codecbench.learned.training.recipe import describe
from codecbench.learned.weights import weights_path
from codecbench.plan.planner import open_dataset
from codecbench.plugins.registry import CODECS

WEIGHTS = Path(__file__).resolve().parents[2] / "codecs" / "weights"
CARDS = {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in sorted(WEIGHTS.glob("*.json"))}
LAST_MSE = {"lossy_ae": 0.00298, "lossless_ae": 1e-5, "stl10_ae": 0.0055}


@pytest.mark.parametrize("stem", CARDS)
def test_cards_tell_how_the_weights_were_made(stem: str) -> None:
    card = CARDS[stem]
    codec = CODECS.get(card["codec"])
    recipe = codec.recipes[card["recipe_name"]]
    path = weights_path(codec, recipe.variant)
    assert path == WEIGHTS / f"{stem}.safetensors"
    assert card["sha256"] == file_sha256(path)
    later = {"score": None, "halved": []}  # fields that recipes did not have when the first weights were trained
    assert later | card["recipe"] == describe(recipe)
    assert card.get("judged_by", "MSE") == recipe.words
    network = codec.networks[recipe.variant]() if recipe.variant else codec.network()
    assert card["parameters"] == sum(parameter.numel() for parameter in network.parameters())
    assert card["command"].startswith(f"codecbench train {card['codec']}")
    assert "/" not in card["command"]
    assert 1 <= card["best_epoch"] <= recipe.epochs


def test_every_recipe_that_weights_are_made_with_has_its_own_below_60_megabytes() -> None:
    sizes = {path.stem: path.stat().st_size for path in WEIGHTS.glob("*.safetensors")}
    assert set(sizes) == set(CARDS)
    assert {"rd_ae-colour", "rd_ae-digits", "gan_ae", "gan_ae-features", "gan_ae-judge", "cond_ae-8"} < set(sizes)
    assert sum(sizes.values()) < 60e6


@pytest.mark.real_data
@pytest.mark.parametrize("name", LAST_MSE)
@pytest.mark.parametrize("count", [200, pytest.param(10_000, marks=pytest.mark.slow)])
def test_error_of_the_shipped_weights(name: str, count: int, data_root: Path) -> None:
    codec, card = CODECS.get(name)(), CARDS[name]
    test = open_dataset(codec.trained_on[0], data_root)
    assert (card["test"], card["test_images"]) == (codec.trained_on[0], len(test))
    total, count = 0.0, min(count, len(test))
    for start in range(0, count, 1_000):
        images = test.read(range(start, min(start + 1_000, count)))
        error = codec.decode_float(codec.encode(images)).astype(np.float64) - images / 255.0
        total += float((error**2).sum())
    mse = total / (count * np.prod(codec.image_shape))
    assert mse == pytest.approx(card["test_mse"], rel=1e-3 if count == len(test) else 0.3)
    assert mse <= LAST_MSE[name] or count < len(test)
