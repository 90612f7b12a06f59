"""``gan_ae``: the streams of ``rd_ae``, another synthesis; its training, and what it refuses."""

from __future__ import annotations

import functools
import importlib
import importlib.util
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from small_weights import find_weights_in, store

from codecbench.errors import BitstreamError, SettingError, UnsupportedImageError, WeightsError
from codecbench.learned.coding.scales import logistic_tables
from codecbench.learned.layers.contexts import Layout
from codecbench.learned.training import outcome
from codecbench.learned.training.job import make_job
from codecbench.learned.training.loop import train
from codecbench.learned.training.losses import FeatureNetwork
from codecbench.learned.weights import shipped_tables, weights_path
from codecbench.plugins.codec import Codec
from codecbench.plugins.registry import CODECS
from codecbench.testing import (
    check_batches,
    check_containers,
    check_damage,
    check_determinism,
    check_floats,
    check_rate,
    check_settings,
    check_shapes,
    check_truncation,
    check_types,
    sample_images,
)

GanAe, RdAe = CODECS.get("gan_ae"), CODECS.get("rd_ae")
gan_ae = importlib.import_module(GanAe.__module__)
LAYOUT = Layout(slices=(4, 4, 8), hyper=4, hidden=16, spread=(60.0, 6.0))
PERCEPTUAL = Path(__file__).resolve().parents[2] / "docs" / "perceptual.py"


def base_network() -> torch.nn.Module:
    return gan_ae.ColourNetwork(LAYOUT, narrow=8, wide=8, thin=8)


def shaken(network: torch.nn.Module, seed: int) -> torch.nn.Module:
    generator = torch.Generator().manual_seed(seed)
    for parameter in network.parameters():
        parameter.data += 0.03 * torch.randn(parameter.shape, generator=generator)
    return network


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, small_weights: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Small untrained networks in place of the shipped ones, in a folder of each test's own."""
    folder = tmp_path / "weights"
    shutil.copytree(small_weights, folder)

    monkeypatch.setattr(RdAe, "networks", {**RdAe.networks, "colour": base_network})
    monkeypatch.setattr(GanAe, "network", functools.partial(gan_ae.PerceptualNetwork, base_network, 8))
    classifier = functools.partial(FeatureNetwork, 10, (4, 4, 4, 4))
    monkeypatch.setattr(GanAe, "networks", {"features": classifier, "judge": classifier})
    find_weights_in(folder, monkeypatch)
    return folder


@pytest.fixture(scope="module")
def small_weights(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("weights")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.manual_seed(5)
    base = shaken(base_network(), 1)
    store(folder / "rd_ae-colour.safetensors", base, logistic_tables().tensors())
    tuned = gan_ae.PerceptualNetwork(base_network, 8)
    tuned.synthesis.load_state_dict(base.synthesis.state_dict())
    tuned.back.load_state_dict(base.back.state_dict())
    name = torch.tensor(list(gan_ae.fingerprint(base)), dtype=torch.uint8)
    store(folder / "gan_ae.safetensors", shaken(tuned, 2), {"base": name})
    for variant in ("features", "judge"):
        store(folder / f"gan_ae-{variant}.safetensors", FeatureNetwork(10, (4, 4, 4, 4)))
    yield folder
    torch.set_num_threads(threads)


# ---- the codec ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "shape"),
    [({"quality": 1.7, "shape": "64x64x3"}, (64, 64, 3)), ({"checksum": True}, (33, 70, 3))],
    ids=str,
)
def test_conformance(settings, shape) -> None:
    codec = GanAe(**settings)
    check_settings(codec)
    check_shapes(codec)
    for check in (check_types, check_determinism, check_batches, check_floats, check_containers, check_truncation):
        check(codec, shape)
    check_damage(codec, shape, trials=24)
    assert check_rate(codec, shape) is None


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


def test_what_is_refused() -> None:
    with pytest.raises(UnsupportedImageError, match=r"^gan_ae takes colour images, not 28×28×1"):
        GanAe().encode(sample_images((28, 28, 1)))
    with pytest.raises(UnsupportedImageError, match=r"^gan_ae with shape=64x64x3 takes 64×64×3 images, not 32×64×3"):
        GanAe(shape="64x64x3").encode(sample_images((32, 64, 3)))
    with pytest.raises(SettingError, match=r"quality=3\.5 is not allowed"):
        GanAe(quality=3.5)
    with pytest.raises(BitstreamError, match=r"^gan_ae: "):
        GanAe().decode([b""])


@pytest.mark.parametrize("told", ["another", "none"])
def test_a_synthesis_for_another_entropy_model_is_refused(folder: Path, told: str) -> None:
    codec, images = GanAe(shape="64x64x3"), sample_images((64, 64, 3))[:1]
    codec.encode(images)
    if told == "another":
        store(folder / "rd_ae-colour.safetensors", shaken(base_network(), 9), logistic_tables().tensors())
    else:
        store(folder / "gan_ae.safetensors", gan_ae.PerceptualNetwork(base_network, 8))
    with pytest.raises(WeightsError, match=r"are not those that these were trained for; `codecbench train gan_ae`"):
        codec.encode(images)


def test_weights_of_rd_ae_are_needed(folder: Path) -> None:
    names = [Path(file).name for file in GanAe.weight_files()]
    assert names == [f"{stem}.{end}" for stem in ("gan_ae", "rd_ae-colour") for end in ("safetensors", "json")]
    (folder / "rd_ae-colour.json").unlink()
    with pytest.raises(WeightsError, match=r"no model card rd_ae-colour\.json"):
        GanAe().encode(sample_images((64, 64, 3))[:1])


# ---- training -------------------------------------------------------------------------------------------------------


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Photographs of noise: 24 with labels to train on, 6 without to test."""
    rng, folder = np.random.default_rng(3), tmp_path / "data" / "stl10_binary"
    folder.mkdir(parents=True)
    for split, count in (("train", 24), ("test", 6)):
        coarse = rng.integers(0, 256, (count, 3, 12, 12), dtype=np.uint8)
        (folder / f"{split}_X.bin").write_bytes(coarse.repeat(8, 2).repeat(8, 3).tobytes())
    (folder / "train_y.bin").write_bytes(bytes(1 + number % 10 for number in range(24)))
    return tmp_path / "data"


def trained(root: Path, recipe: str, out: Path, *changes: str) -> dict[str, object]:
    changes = ("held_out=8", "batch_size=8", "bfloat16=false", *changes)
    job = make_job("gan_ae", recipe=recipe, epochs=1, changes=changes, device="cpu", out=out, data_dir=root)
    card = train(job)
    outcome.install(job)
    return card


def test_training(root: Path, folder: Path, tmp_path: Path) -> None:
    base = (folder / "rd_ae-colour.safetensors").read_bytes()
    images = sample_images((64, 64, 3))
    codec = GanAe(quality=1.0, shape="64x64x3")
    before = RdAe(quality=1.0, shape="64x64x3").decode_float(codec.encode(images))
    card = trained(root, "tune", tmp_path / "run", "passes=2", "learning_rate=0.0001")
    assert card["judged_by"] == "distance of features"
    assert 0 < card["test_score"] < 4
    after = codec.decode_float(codec.encode(images))
    assert 0 < np.abs(after - before).max() < 0.2  # it set out from the synthesis of rd_ae
    assert (folder / "rd_ae-colour.safetensors").read_bytes() == base
    network = gan_ae.rd_ae_network("cpu")
    assert bytes(shipped_tables(folder / "gan_ae.safetensors")["base"].tolist()) == gan_ae.fingerprint(network)
    assert all(parameter.grad is None and not parameter.requires_grad for parameter in network.parameters())


def test_the_classifiers_differ(root: Path, folder: Path, tmp_path: Path) -> None:
    cards = [trained(root, name, tmp_path / name, "passes=1") for name in ("features", "judge")]
    assert [card["judged_by"] for card in cards] == ["share of wrong classes"] * 2
    assert [card["recipe"]["seed"] for card in cards] == [0, 1]
    assert len({(folder / f"gan_ae-{name}.safetensors").read_bytes() for name in ("features", "judge")}) == 2
    without_seed = [{**card["recipe"], "seed": 0, "variant": ""} for card in cards]
    assert without_seed[0] == without_seed[1]


# ---- the evidence ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def perceptual():
    spec = importlib.util.spec_from_file_location("perceptual", PERCEPTUAL)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Sized:
    """Streams of 10 bytes and as many as the quality says."""

    def __init__(self, quality: int):
        self.quality = quality

    def encode(self, images: np.ndarray) -> list[bytes]:
        return [bytes(10 + self.quality)] * len(images)


@pytest.mark.parametrize(("wanted", "expected"), [(3, 1), (11, 1), (47.4, 37), (47.6, 38), (110, 100), (500, 100)])
def test_the_nearest_bytes(perceptual, wanted: float, expected: int) -> None:
    found = perceptual.nearest([Sized(quality) for quality in range(1, 101)], np.zeros((2, 1, 1, 1), np.uint8), wanted)
    assert found.quality == expected


def test_intervals(perceptual) -> None:
    rng = np.random.default_rng(0)
    wanted = rng.normal(size=(300, 4))
    near, far = wanted + 0.1 * rng.normal(size=wanted.shape), wanted + 1.0
    low, high = perceptual.interval(wanted, near, far)
    assert -5 < low < high < -3  # the far ones lie 4 away
    assert perceptual.interval(wanted, near, near) == (0, 0)


def shipped(*files: Path) -> None:
    for path in files:
        if not path.is_file():
            pytest.skip(f"no weights {path.name}")


def test_shipped_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    shipped(*(Path(file) for file in GanAe.weight_files()))
    images = sample_images((64, 64, 3))[:1]
    for point in GanAe.default_points((64, 64, 3)):
        plain, tuned = (cls(**point) for cls in (RdAe, GanAe))
        assert isinstance(tuned, Codec)
        streams = tuned.encode(images)
        assert streams == plain.encode(images)
        apart = np.abs(tuned.decode_float(streams) - plain.decode_float(streams)).mean()
        assert 0 < apart < 0.1  # the smooth one stays what it is


def test_shipped_judge(monkeypatch: pytest.MonkeyPatch, perceptual) -> None:
    monkeypatch.undo()
    shipped(weights_path(GanAe, "judge"))
    images = np.concatenate([sample_images((64, 64, 3))] * 2)
    vectors, classes = perceptual.features(perceptual.judge_network(), images)
    assert vectors.shape == (len(images), 192)
    assert set(classes.tolist()) <= set(range(10))
