"""The shipped weights: their model cards, that they reach the errors that those record, and short streams."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from small_weights import drawn_digits

import codecbench as cb
from codecbench.fingerprint import file_sha256
from codecbench.learned.training.recipe import describe
from codecbench.learned.weights import weights_path
from codecbench.plan.planner import open_dataset
from codecbench.plugins.registry import CODECS
from codecbench.testing import sample_images

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


def test_the_best_quality_of_rd_ae() -> None:
    for spec, known in (("shape=64x64x3", 0), ("shape=28x28x1", 3)):  # the smooth image, or the black one
        codec = cb.open_codec(f"rd_ae:quality=8.0,{spec}")
        images = sample_images(codec.fixed[codec.shape])
        assert np.abs(codec.decode(codec.encode(images))[known].astype(int) - images[known]).mean() < 10
    noise = np.random.default_rng(0).integers(0, 2, (1, 96, 96, 3), np.uint8) * 255  # rare symbols alone, hundreds
    codec = cb.open_codec("rd_ae:checksum=true")
    assert codec.decode(codec.encode(noise)).shape == noise.shape


def test_gan_ae_is_near_rd_ae() -> None:
    images = sample_images((64, 64, 3))[:1]
    for quality in (1, 3):
        plain, tuned = (cb.open_codec(f"{name}:shape=64x64x3,quality={quality}") for name in ("rd_ae", "gan_ae"))
        streams = tuned.encode(images)
        assert streams == plain.encode(images)
        apart = np.abs(tuned.decode_float(streams) - plain.decode_float(streams)).mean()
        assert 0 < apart < 0.1  # the smooth one stays what it is


def test_lossless_codecs_need_fewer_bytes_than_png() -> None:
    gradient = np.add.outer(np.arange(20), np.arange(24))[:, :, None] + np.arange(3)
    grain = np.random.default_rng(0).integers(0, 6, (2, 20, 24, 3))
    for name, images in (("ar_lossless", drawn_digits(3)), ("res_lossless", (100 + gradient + grain).astype(np.uint8))):
        codec = cb.open_codec(name)
        streams = codec.encode(images)
        assert np.array_equal(codec.decode(streams), images)
        assert sum(map(len, streams)) < sum(map(len, cb.open_codec("png").encode(images)))


@pytest.mark.parametrize("size", [8, 32])
@pytest.mark.parametrize("labels", [True, False])
def test_lengths_and_labels_of_cond_ae(size: int, labels: bool) -> None:
    """A byte of label in front of the floats, or none; of all labels it is the one that restores best."""
    codec = CODECS.get("cond_ae")(size=size, labels=labels)
    images = np.random.default_rng(1).integers(0, 256, (12, 28, 28, 1), dtype=np.uint8)
    streams = codec.encode(images)
    assert {len(stream) for stream in streams} == {4 * size + labels}
    errors = ((codec.decode_float(streams) - images / 255) ** 2).sum((1, 2, 3))
    for label in range(10) if labels else ():
        others = codec.decode_float([bytes([label]) + stream[1:] for stream in streams])
        assert (((others - images / 255) ** 2).sum((1, 2, 3)) >= errors * (1 - 1e-6)).all()
