"""Codecs whose stream is the latent: their networks, exact lengths, tiles, classes, doubtful numbers and tables."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from small_weights import latent_tables, store
from torch import nn

import codecbench as cb
from codecbench.errors import BitstreamError, UnsupportedImageError, WeightsError
from codecbench.learned.autoencoder import to_tensor
from codecbench.learned.tiling import cut
from codecbench.learned.training import fit_latents
from codecbench.plugins.registry import CODECS
from codecbench.plugins.varint import pack_numbers
from codecbench.testing import sample_images

pytestmark = pytest.mark.usefixtures("small_networks")
CondAe, LossyAe = CODECS.get("cond_ae"), CODECS.get("lossy_ae")
LENGTHS = {
    "lossy_ae": 128,
    "lossless_ae": 3_136,
    "stl10_ae:latent=float64": 3_072,
    "stl10_ae:latent=float32": 1_536,
    "stl10_ae:latent=float16": 768,
}
TILED = (
    "lossy_ae:latent=float32,tiles=true",
    "lossy_ae:latent=int8,tiles=true",
    "stl10_ae:latent=float16,tiles=true",
    "stl10_ae:latent=int8,tiles=true",
)


@pytest.fixture(params=LENGTHS)
def codec(request: pytest.FixtureRequest):
    return cb.open_codec(request.param)


def images_for(codec, count: int = 5) -> np.ndarray:
    return np.resize(sample_images(codec.image_shape), (count, *codec.image_shape))


# --- Networks that are told a label -------------------------------------------------------------------------


def conditional(variant: str) -> nn.Module:
    torch.manual_seed(0)
    return CondAe.networks[variant]().eval().requires_grad_(False)


@pytest.mark.parametrize("size", ["8", "32"])
def test_labelled_and_blind_networks_start_alike(size: str) -> None:
    """The two that are compared differ in what the decoder is told, and in nothing else."""
    told, blind = conditional(size), conditional(f"{size}-blind")
    state = blind.state_dict()
    assert all(torch.equal(value, state[name]) for name, value in told.state_dict().items())
    recipes = [CondAe.recipes[name] for name in (size, f"{size}-blind")]
    assert dataclasses.replace(recipes[0], variant="") == dataclasses.replace(recipes[1], variant="")
    images, labels = torch.rand(4, 1, 28, 28), torch.tensor([0, 3, 5, 9])
    other = (labels + 1) % 10
    assert not torch.equal(told(images, labels), told(images, other))
    assert torch.equal(blind(images, labels), blind(images, other))


def test_a_network_chosen_by_settings_gets_tables(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its latent's shape is known to instances alone."""
    monkeypatch.setattr(fit_latents, "PERTURBATIONS", 1_000)
    network, images = conditional("8"), torch.randint(0, 256, (40, 1, 28, 28), dtype=torch.uint8)
    tables = CondAe.tables_for(network, images)
    assert tables["mean"].shape == (8,)
    assert set(CondAe.judge_tables(network, tables, images)) == {"excess", "held_out_bits", "held_out_mse_ratio"}


# --- Float latents ------------------------------------------------------------------------------------------


def test_the_stream_is_the_latent_and_decodes_to_what_the_network_makes_of_it(codec) -> None:
    images = images_for(codec)
    streams, network = codec.encode(images), codec.shipped_network()
    assert {codec.container_bytes(stream) for stream in streams} == {0}
    assert codec.estimate_bits(images) is None
    latents = codec.latents(images)
    assert latents.dtype == np.float32
    assert latents.shape == (len(images), *codec.latent_shape)
    with torch.inference_mode():
        pixels = to_tensor(images, "cpu")
        assert np.allclose(latents, network.encoder(pixels).numpy(), atol=1e-5)
        expected = network(pixels).permute(0, 2, 3, 1).numpy()
    for stream, latent in zip(streams, latents, strict=True):
        assert len(stream) == LENGTHS.get(codec.name, LENGTHS.get(f"{codec.name}:latent={codec.latent}"))
        numbers = np.frombuffer(stream, codec.latent_dtype)
        assert np.dtype(codec.latent_dtype).byteorder in "<="
        assert np.array_equal(numbers, latent.ravel().astype(numbers.dtype))
    floats = codec.decode_float(streams)
    assert floats.dtype == np.float32
    assert np.abs(floats - expected).max() < (2e-3 if codec.latent == "float16" else 1e-6)
    with pytest.raises(UnsupportedImageError, match="has latents of images of"):
        codec.latents(images[:, 1:])


def test_wrong_lengths_and_numbers_that_are_not_finite(codec) -> None:
    stream = codec.encode(images_for(codec, 1))[0]
    with pytest.raises(BitstreamError, match=f"{len(stream)} bytes, this one {len(stream) - 1}"):
        codec.decode([stream, stream[:-1]])
    numbers = np.frombuffer(stream, codec.latent_dtype).copy()
    for value in (np.nan, np.inf, -np.inf):
        numbers[-1] = value
        with pytest.raises(BitstreamError, match="not finite"):
            codec.decode([numbers.tobytes()])


def test_latents_too_large_for_the_stream_saturate(codec, monkeypatch: pytest.MonkeyPatch) -> None:
    decoder = codec.shipped_network().decoder

    def encoded(value: float) -> np.ndarray:
        """The numbers of a stream of an encoder that gives this value and its negative."""
        latent = torch.full((1, *codec.latent_shape), value)
        latent[0, 0] *= -1
        network = SimpleNamespace(
            encoder=lambda images: latent, decoder=decoder, classes=1, restore=lambda latents, told: decoder(latents)
        )
        monkeypatch.setattr(type(codec), "shipped_network", lambda self: network)
        return np.frombuffer(codec.encode(images_for(codec, 1))[0], codec.latent_dtype)

    for value in (65504.0, 65520.0, 3e38, np.inf):
        numbers = encoded(value)
        largest = 65504.0 if numbers.dtype.itemsize == 2 else np.finfo(np.float32).max
        assert numbers.max() == -numbers.min() == np.float32(min(value, largest))
        if value <= 65504:
            assert np.isfinite(codec.decode_float([numbers.tobytes()])).all()
    with pytest.raises(WeightsError, match=f"{codec.name}: the encoder gives values that are not numbers"):
        encoded(np.nan)


# --- Tiles --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("spec", TILED)
def test_tiles_are_the_blocks_one_by_one(spec: str) -> None:
    tiled = cb.open_codec(spec)
    plain = type(tiled)(latent=tiled.latent)
    height, width, channels = tiled.image_shape
    image = np.random.default_rng(0).integers(0, 256, (1, 2 * height, width + 5, channels), dtype=np.uint8)
    padded = np.pad(image, ((0, 0), (0, 0), (0, width - 5), (0, 0)), mode="symmetric")
    blocks = padded.reshape(2, height, 2, width, channels).swapaxes(1, 2).reshape(4, height, width, channels)
    restored = plain.decode_float(plain.encode(blocks)).reshape(2, 2, height, width, channels).swapaxes(1, 2)
    expected = restored.reshape(1, 2 * height, 2 * width, channels)[:, :, : width + 5]
    streams = tiled.encode(image)
    assert np.abs(tiled.decode_float(streams) - expected).max() < 1e-5
    header = bytes([2 * height, width + 5]) if 2 * height < 128 else bytes([2 * height - 128 | 128, 1, width + 5])
    assert streams[0].startswith(header)
    assert tiled.container_bytes(streams[0]) == len(header)
    if tiled.latent != "int8":
        assert streams[0][len(header) :] == b"".join(plain.encode(blocks))
    small, whole = (
        image[:, :3, :5],
        np.pad(image[:, :3, :5], ((0, 0), (0, height - 3), (0, width - 5), (0, 0)), "symmetric"),
    )
    restored = plain.decode_float(plain.encode(whole))[:, :3, :5]  # filled by reflection again and again
    assert np.abs(tiled.decode_float(tiled.encode(small)) - restored).max() < 1e-5


def test_a_long_image_is_cut_piece_by_piece() -> None:
    image = np.broadcast_to(np.uint8(3), (1, 1, 1 << 25, 3))
    blocks = cut(image, (64, 64), np.array([0, (1 << 19) - 1]))
    assert blocks.shape == (2, 64, 64, 3)
    assert (blocks == 3).all()


@pytest.mark.parametrize("spec", TILED)
def test_forged_headers(spec: str) -> None:
    codec = cb.open_codec(spec)
    stream = codec.encode(images_for(codec, 1))[0]
    payload = stream[codec.container_bytes(stream) :]
    for size in ((0, 28), (1 << 25, 2), ((1 << 28) - 1, (1 << 28) - 1), (1 << 12, 1 << 13), (300, 28), (1 << 25, 1)):
        with pytest.raises(BitstreamError, match=r"the header tells of|a stream has|or more, not|cut short"):
            codec.decode([pack_numbers(size) + payload])
    with pytest.raises(BitstreamError, match="stream 1 is of 9×7, the first of"):
        codec.decode([stream, *codec.encode(np.zeros((1, 9, 7, codec.image_shape[2]), np.uint8))])


def test_points_measured_by_default() -> None:
    for name, latents in (("lossy_ae", ["float32", "int8"]), ("stl10_ae", ["float64", "float32", "float16", "int8"])):
        cls = CODECS.get(name)
        other = (cls.image_shape[0], 99, cls.image_shape[2])
        for shape, tiles in ((cls.image_shape, False), (other, True)):
            assert cls.default_points(shape) == [{"latent": latent, "tiles": tiles} for latent in latents]
    assert CODECS.get("lossless_ae").default_points((28, 28, 1)) == [{}]


# --- Entropy-coded latents ----------------------------------------------------------------------------------


@pytest.mark.parametrize("spec", ["lossy_ae:latent=int8", "stl10_ae:latent=int8", "lossy_ae:latent=int8,tiles=true"])
def test_weights_without_tables(spec: str, own_weights: Path) -> None:
    codec = cb.open_codec(spec)
    streams = codec.encode(images_for(codec, 1))
    store(own_weights / f"{codec.name}.safetensors", codec.network())
    for act in (lambda: codec.encode(images_for(codec, 1)), lambda: codec.decode(streams)):
        with pytest.raises(WeightsError, match=rf"{codec.name}: .* holds no tables for latent=int8; train it anew"):
            act()
    assert "int8" not in {point["latent"] for point in codec.default_points(codec.image_shape)}
    assert len(type(codec)().encode(images_for(codec, 1))) == 1  # float latents need none


# --- Classes ------------------------------------------------------------------------------------------------


class ToldNetwork(LossyAe.network):
    """Told whether the image is bright; inverts those that are not."""

    classes = 2

    def choose(self, images, latents):
        return (images.mean((1, 2, 3)) > 0.5).long()

    def restore(self, latents, classes):
        restored = self.decoder(latents)
        return torch.where(classes[:, None, None, None] == 1, restored, 1 - restored)


class Told(LossyAe):
    network = ToldNetwork


def test_tables_of_another_network(own_weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    codec, other = cb.open_codec("lossy_ae:latent=int8"), CODECS.get("stl10_ae").network()
    store(own_weights / "lossy_ae.safetensors", codec.network(), latent_tables("stl10_ae", other))
    with pytest.raises(WeightsError, match="the tables of the latent are not made for 32 channels"):
        codec.encode(images_for(codec, 1))
    network = ToldNetwork()
    path = store(own_weights / "told.safetensors", network, latent_tables("lossy_ae", network))
    monkeypatch.setattr(Told, "weights_path", lambda self: path)
    with pytest.raises(WeightsError, match="holds tables of 1 classes, not 2"):
        Told(latent="int8").encode(images_for(codec, 1))


@pytest.mark.parametrize("latent", ["float32", "int8"])
@pytest.mark.parametrize("tiles", [False, True])
def test_classes_stand_in_the_stream(latent: str, tiles: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    told, plain = Told(latent=latent, tiles=tiles), LossyAe(latent=latent, tiles=tiles)
    network = plain.shipped_network()
    tables = {**latent_tables("lossy_ae", network), "front": torch.tensor([1, 3], dtype=torch.int32)}
    tables["counts"] = tables["counts"].repeat(2, 1, 1)
    path = store(tmp_path / "told.safetensors", network, tables)
    monkeypatch.setattr(Told, "weights_path", lambda self: path)
    images = np.stack([np.full((28, 28, 1), level, np.uint8) for level in (200, 20, 130, 0)])
    bright = np.array([True, False, True, False])[:, None, None, None]
    streams = told.encode(images)
    expected = plain.decode_float(plain.encode(images))
    assert np.allclose(told.decode_float(streams), np.where(bright, expected, 1 - expected), atol=1e-5)
    if latent == "float32":
        assert len(streams[0]) == len(plain.encode(images)[0]) + 1
        place = told.container_bytes(streams[0])
        assert [stream[place] for stream in streams] == [1, 0, 1, 0]
        with pytest.raises(BitstreamError, match="class 2 of 2"):
            told.decode([streams[0][:place] + b"\2" + streams[0][place + 1 :]])
