"""Codecs whose stream is the raw latent: exact lengths, doubtful numbers, and what the shipped weights reach."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from conformance import check_damage, check_round_trip, check_settings, check_truncation, sample_images

from codecbench.codec import to_uint8
from codecbench.errors import BitstreamError, UnsupportedImageError, WeightsError
from codecbench.learned import autoencoder
from codecbench.learned.autoencoder import to_tensor
from codecbench.learned.recipe import describe
from codecbench.learned.weights import card_path, read_card, save_weights, weights_path
from codecbench.plan import open_dataset
from codecbench.registry import CODECS, file_sha256

LENGTHS = {
    "lossy_ae": 128,
    "lossless_ae": 3_136,
    "stl10_ae:latent=float64": 3_072,
    "stl10_ae:latent=float32": 1_536,
    "stl10_ae:latent=float16": 768,
}
LAST_MSE = {"lossy_ae": 0.0060, "lossless_ae": 0.0005, "stl10_ae": 0.0080}


def make(spec: str):
    name, _, setting = spec.partition(":")
    key, _, value = setting.partition("=")
    return CODECS.get(name)(**({key: value} if setting else {}))


@pytest.fixture(scope="module", autouse=True)
def random_weights(tmp_path_factory: pytest.TempPathFactory):
    """Untrained weights in place of the shipped ones."""
    folder = tmp_path_factory.mktemp("weights")
    for name in LAST_MSE:
        torch.manual_seed(5)
        path = folder / f"{name}.safetensors"
        save_weights(path, CODECS.get(name).network().state_dict())
        card_path(path).write_text(json.dumps({"sha256": file_sha256(path)}), encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(autoencoder, "weights_path", lambda cls: folder / f"{cls.name}.safetensors")
        yield


@pytest.fixture(params=LENGTHS, ids=str)
def codec(request: pytest.FixtureRequest):
    return make(request.param)


def images_for(codec, count: int = 5) -> np.ndarray:
    return np.resize(sample_images(codec.image_shape), (count, *codec.image_shape))


@pytest.mark.parametrize("spec", LENGTHS)
def test_lengths(spec: str) -> None:
    codec = make(spec)
    streams = codec.encode(images_for(codec))
    assert [len(stream) for stream in streams] == [LENGTHS[spec]] * 5
    assert {codec.container_bytes(stream) for stream in streams} == {0}


def test_conformance(codec) -> None:
    check_settings(codec)
    check_round_trip(codec, codec.image_shape)
    check_truncation(codec, codec.image_shape)
    check_damage(codec, codec.image_shape, trials=48)


def test_stream_is_the_latent_little_endian(codec) -> None:
    images = images_for(codec)
    latents = codec._network().encoder(to_tensor(images, "cpu")).flatten(1).numpy()
    for stream, latent in zip(codec.encode(images), latents, strict=True):
        numbers = np.frombuffer(stream, codec.latent_dtype)
        assert np.dtype(codec.latent_dtype).byteorder in "<="
        assert np.array_equal(numbers, latent.astype(numbers.dtype))


def test_decodes_what_the_network_makes_of_the_images(codec) -> None:
    images = images_for(codec)
    with torch.inference_mode():
        expected = codec._network()(to_tensor(images, "cpu")).permute(0, 2, 3, 1).numpy()
    floats = codec.decode_float(codec.encode(images))
    assert floats.dtype == np.float32
    assert np.abs(floats - expected).max() < (2e-3 if codec.settings.get("latent") == "float16" else 1e-6)
    assert np.array_equal(codec.decode(codec.encode(images)), to_uint8(floats))


def test_blocks_of_images_join_in_order(codec, monkeypatch: pytest.MonkeyPatch) -> None:
    images = images_for(codec, 7)
    streams, floats = codec.encode(images), codec.decode_float(codec.encode(images))
    monkeypatch.setattr(autoencoder, "BATCH", 3)
    for one, other in zip(streams, codec.encode(images), strict=True):
        a, b = (np.frombuffer(stream, codec.latent_dtype).astype(np.float64) for stream in (one, other))
        assert np.allclose(a, b, rtol=1e-2, atol=1e-4)
    assert np.allclose(codec.decode_float(streams), floats, atol=1e-5)


def test_images_that_cannot_be_written_to(codec) -> None:
    images = images_for(codec)
    streams = codec.encode(images)
    images.flags.writeable = False
    assert codec.encode(images) == streams
    assert len(codec.encode(images[::2])) == 3


def test_images_of_another_shape_are_refused(codec) -> None:
    height, width, channels = codec.image_shape
    for shape in ((height + 1, width, channels), (width, height // 2, channels), (height, width, 4 - channels)):
        with pytest.raises(UnsupportedImageError, match=f"{codec.name} takes {height}×{width}×{channels} images, not"):
            codec.encode(np.zeros((1, *shape), np.uint8))


def test_wrong_lengths(codec) -> None:
    stream = codec.encode(images_for(codec, 1))[0]
    for wrong in (b"", stream[:-1], stream + b"\0", stream * 2, stream[: len(stream) // 2]):
        with pytest.raises(BitstreamError, match=f"{len(stream)} bytes, this one {len(wrong)}"):
            codec.decode([stream, wrong])


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_numbers_that_are_not_finite(codec, value: float) -> None:
    stream = codec.encode(images_for(codec, 1))[0]
    numbers = np.frombuffer(stream, codec.latent_dtype).copy()
    numbers[-1] = value
    with pytest.raises(BitstreamError, match="not finite"):
        codec.decode([numbers.tobytes()])


@pytest.mark.parametrize("value", [1e38, -1e38, 3.4e38, 1e300, -1e300, 65504.0, 1e-45, 1e-310])
@pytest.mark.parametrize("places", ["one", "all", "alternating"])
def test_extreme_numbers_give_an_image_or_are_refused(codec, value: float, places: str) -> None:
    numbers = np.frombuffer(codec.encode(images_for(codec, 1))[0], codec.latent_dtype).copy()
    with np.errstate(over="ignore", under="ignore"):
        if places == "alternating":
            numbers[0::2], numbers[1::2] = value, -value
        else:
            numbers[0 if places == "one" else slice(None)] = value
    try:
        floats = codec.decode_float([numbers.tobytes()])
    except BitstreamError:
        return
    assert floats.shape == (1, *codec.image_shape)
    assert ((floats >= 0) & (floats <= 1)).all()


def with_encoder_giving(monkeypatch: pytest.MonkeyPatch, codec, value: float):
    latent = torch.full((1, *codec.latent_shape), value)
    latent[0, 0] *= -1
    network = SimpleNamespace(encoder=lambda images: latent, decoder=codec._network().decoder)
    monkeypatch.setattr(type(codec), "_network", lambda self: network)
    return np.frombuffer(codec.encode(images_for(codec, 1))[0], codec.latent_dtype)


@pytest.mark.parametrize("value", [65504.0, 65519.0, 65520.0, 1e6, 3e38, np.inf])
def test_latents_too_large_for_the_stream_saturate(codec, monkeypatch: pytest.MonkeyPatch, value: float) -> None:
    numbers = with_encoder_giving(monkeypatch, codec, value)
    largest = 65504.0 if numbers.dtype.itemsize == 2 else np.finfo(np.float32).max
    assert numbers.max() == -numbers.min() == np.float32(min(value, largest))
    try:
        assert np.isfinite(codec.decode_float([numbers.tobytes()])).all()
    except BitstreamError as error:
        assert "overflow the decoder" in str(error)  # noqa: PT017
    else:
        return
    assert value > 65504


def test_latents_that_are_no_numbers_are_not_written(codec, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(WeightsError, match=f"{codec.name}: the encoder gives values that are not numbers"):
        with_encoder_giving(monkeypatch, codec, np.nan)


def test_missing_weights_are_said_when_they_are_needed(codec, monkeypatch, tmp_path: Path) -> None:
    stream = codec.encode(images_for(codec, 1))[0]
    monkeypatch.setattr(autoencoder, "weights_path", lambda cls: tmp_path / f"{cls.name}.safetensors")
    codec.check_shape(codec.image_shape)
    assert len(codec.spec.settings) == len(codec.settings)
    for act in (lambda: codec.encode(images_for(codec, 1)), lambda: codec.decode([stream])):
        with pytest.raises(WeightsError, match=f"no model card {codec.name}.json"):
            act()


# --- The shipped weights ------------------------------------------------------------------------------------


@pytest.fixture
def shipped_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    """The shipped weights again."""
    monkeypatch.setattr(autoencoder, "weights_path", weights_path)


@pytest.mark.real_data
@pytest.mark.parametrize("name", LAST_MSE)
@pytest.mark.usefixtures("shipped_weights")
def test_error_of_the_shipped_weights(name: str, data_root: Path) -> None:
    codec = CODECS.get(name)()
    (family,) = codec.trained_on
    test = open_dataset(family, data_root)
    card = read_card(weights_path(type(codec)))
    total = 0.0
    for start in range(0, len(test), 1_000):
        images = test.read(range(start, min(start + 1_000, len(test))))
        error = codec.decode_float(codec.encode(images)).astype(np.float64) - images / 255.0
        total += float((error**2).sum())
    mse = total / (len(test) * np.prod(codec.image_shape))
    assert mse <= LAST_MSE[name]
    assert (card["test"], card["test_images"]) == (family, len(test))
    assert mse == pytest.approx(card["test_mse"], rel=1e-3)


@pytest.mark.real_data
@pytest.mark.parametrize("name", LAST_MSE)
def test_cards_of_the_shipped_weights(name: str) -> None:
    codec = CODECS.get(name)
    path = weights_path(codec)
    card = read_card(path)
    assert card["codec"] == name
    assert card["sha256"] == file_sha256(path)
    assert card["recipe"] == describe(codec.recipes[card["recipe_name"]])
    assert card["parameters"] == sum(parameter.numel() for parameter in codec.network().parameters())
    assert card["command"].startswith(f"codecbench train {name}")
    assert 1 <= card["best_epoch"] <= card["recipe"]["epochs"]
    assert "/" not in card["command"]
