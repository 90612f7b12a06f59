"""``gan_ae``: the streams of ``rd_ae``, another synthesis; its training, and what it refuses."""

from __future__ import annotations

import runpy
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from datafiles import write_stl10
from small_weights import colour_network, perceptual_network, shaken, store

from codecbench.codecs import gan_ae
from codecbench.codecs.gan_ae import GanAe
from codecbench.codecs.rd_ae import RdAe
from codecbench.errors import SettingError, WeightsError
from codecbench.learned.coding.scales import logistic_tables
from codecbench.learned.training import outcome
from codecbench.learned.training.job import make_job
from codecbench.learned.training.loop import train
from codecbench.learned.weights import shipped_tables
from codecbench.testing import sample_images

pytestmark = pytest.mark.usefixtures("small_networks")


@pytest.mark.parametrize(("shape", "named"), [((64, 64, 3), "64x64x3"), ((20, 30, 3), "any")], ids=str)
def test_the_streams_are_those_of_rd_ae(shape, named: str) -> None:
    images = sample_images(shape)
    points = GanAe.default_points(shape)
    assert points == [{"quality": quality, "checksum": False, "shape": named} for quality in (1.0, 2.0, 3.0)]
    for point in points:
        plain, tuned = (cls(**{**point, "checksum": True}) for cls in (RdAe, GanAe))
        streams = tuned.encode(images)
        assert streams == plain.encode(images)
        assert np.array_equal(tuned.estimate_bits(images), plain.estimate_bits(images))
        apart = np.abs(tuned.decode_float(streams) - plain.decode_float(streams))
        assert 0.01 < apart.mean() < 2
    with pytest.raises(SettingError, match=r"quality=3\.5 is not allowed"):
        GanAe(quality=3.5)
    names = [Path(file).name for file in GanAe.weight_files()]
    assert names == [f"{stem}.{end}" for stem in ("gan_ae", "rd_ae-colour") for end in ("safetensors", "json")]


@pytest.mark.parametrize("told", ["another", "none"])
def test_a_synthesis_for_another_entropy_model_is_refused(own_weights: Path, told: str) -> None:
    codec, images = GanAe(shape="64x64x3"), sample_images((64, 64, 3))[:1]
    codec.encode(images)
    if told == "another":
        other = shaken(colour_network(), 0.03, 9)
        store(own_weights / "rd_ae-colour.safetensors", other, logistic_tables().tensors())
    else:
        store(own_weights / "gan_ae.safetensors", perceptual_network())
    with pytest.raises(WeightsError, match=r"are not those that these were trained for; `codecbench train gan_ae`"):
        codec.encode(images)


# ---- training -------------------------------------------------------------------------------------------------------


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Photographs of noise: 24 to train on, 6 to test."""
    write_stl10(tmp_path / "data", "train", 24)
    write_stl10(tmp_path / "data", "test", 6)
    return tmp_path / "data"


def trained(root: Path, recipe: str, out: Path, *changes: str) -> dict[str, object]:
    changes = ("held_out=8", "batch_size=8", "bfloat16=false", *changes)
    job = make_job("gan_ae", recipe=recipe, epochs=1, changes=changes, device="cpu", out=out, data_dir=root)
    card = train(job)
    outcome.install(job)
    return card


def test_training(root: Path, own_weights: Path, tmp_path: Path) -> None:
    base = (own_weights / "rd_ae-colour.safetensors").read_bytes()
    images = sample_images((64, 64, 3))
    plain, tuned = (cls(quality=1.0, shape="64x64x3") for cls in (RdAe, GanAe))
    streams = plain.encode(images)
    card = trained(root, "tune", tmp_path / "run", "passes=2", "learning_rate=0.0001")
    assert card["judged_by"] == "distance of features"
    assert 0 < card["test_score"] < 4
    apart = np.abs(tuned.decode_float(streams) - plain.decode_float(streams))
    assert 0 < apart.max() < 0.2  # it set out from the synthesis of rd_ae
    assert (own_weights / "rd_ae-colour.safetensors").read_bytes() == base
    network = gan_ae.rd_ae_network("cpu")
    assert bytes(shipped_tables(own_weights / "gan_ae.safetensors")["base"].tolist()) == gan_ae.fingerprint(network)
    assert all(parameter.grad is None and not parameter.requires_grad for parameter in network.parameters())


def test_the_classifiers_differ(root: Path, own_weights: Path, tmp_path: Path) -> None:
    cards = [trained(root, name, tmp_path / name, "passes=1") for name in ("features", "judge")]
    assert [card["judged_by"] for card in cards] == ["share of wrong classes"] * 2
    assert [card["recipe"]["seed"] for card in cards] == [0, 1]
    assert len({(own_weights / f"gan_ae-{name}.safetensors").read_bytes() for name in ("features", "judge")}) == 2
    without_seed = [{**card["recipe"], "seed": 0, "variant": ""} for card in cards]
    assert without_seed[0] == without_seed[1]


# ---- the evidence ---------------------------------------------------------------------------------------------------


@pytest.fixture
def perceptual() -> SimpleNamespace:
    """A new copy of the script, which finds the small networks."""
    return SimpleNamespace(**runpy.run_path(str(Path(__file__).parents[2] / "docs" / "perceptual.py")))


class Sized:
    """Streams of 10 bytes and as many as the quality says."""

    def __init__(self, quality: int):
        self.quality = quality

    def encode(self, images: np.ndarray) -> list[bytes]:
        return [bytes(10 + self.quality)] * len(images)


def test_the_nearest_bytes(perceptual) -> None:
    codecs, images = [Sized(quality) for quality in range(1, 101)], np.zeros((2, 1, 1, 1), np.uint8)
    for wanted, expected in ((3, 1), (11, 1), (47.4, 37), (47.6, 38), (110, 100), (500, 100)):
        assert perceptual.nearest(codecs, images, wanted).quality == expected


def test_intervals(perceptual) -> None:
    rng = np.random.default_rng(0)
    wanted = rng.normal(size=(300, 4))
    near, far = wanted + 0.1 * rng.normal(size=wanted.shape), wanted + 1.0
    low, high = perceptual.interval(wanted, near, far)
    assert -5 < low < high < -3  # the far ones lie 4 away
    assert perceptual.interval(wanted, near, near) == (0, 0)


def test_the_judge(perceptual) -> None:
    images = np.concatenate([sample_images((64, 64, 3))] * 2)
    vectors, classes = perceptual.features(perceptual.judge_network(), images)
    assert len(vectors) == len(classes) == len(images)
    assert set(classes.tolist()) <= set(range(10))
