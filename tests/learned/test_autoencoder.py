"""Codecs whose stream is the latent: exact lengths, tiles, doubtful numbers, and what the shipped weights reach."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from small_weights import find_weights_in, store

from codecbench.errors import BitstreamError, UnsupportedImageError, WeightsError
from codecbench.learned import autoencoder
from codecbench.learned.autoencoder import to_tensor
from codecbench.learned.coding.latents import HIGHEST, LOWEST, LatentCoder
from codecbench.plan.specs import expand, split_specs
from codecbench.plugins.registry import CODECS
from codecbench.plugins.settings import settings_of
from codecbench.plugins.varint import pack_numbers
from codecbench.testing import (
    check_batches,
    check_containers,
    check_damage,
    check_determinism,
    check_floats,
    check_settings,
    check_truncation,
    check_types,
    sample_images,
    taken_shapes,
)

LENGTHS = {
    "lossy_ae": 128,
    "lossless_ae": 3_136,
    "stl10_ae:latent=float64": 3_072,
    "stl10_ae:latent=float32": 1_536,
    "stl10_ae:latent=float16": 768,
}
CODED = ("lossy_ae:latent=int8", "stl10_ae:latent=int8")
TILED = (
    "lossy_ae:latent=float32,tiles=true",
    "lossy_ae:latent=int8,tiles=true",
    "stl10_ae:latent=float16,tiles=true",
    "stl10_ae:latent=int8,tiles=true",
)
LAST_MSE = {"lossy_ae": 0.00298, "lossless_ae": 1e-5, "stl10_ae": 0.0055}


def length_of(codec) -> int:
    latent = codec.settings.get("latent")
    return LENGTHS[codec.name if codec.name in LENGTHS else f"{codec.name}:latent={latent}"]


def make(spec: str):
    (raw,) = split_specs(spec)
    cls = CODECS.get(raw.name)
    (settings,) = expand(raw, settings_of(cls))
    return cls(**settings)


def tables_for(name: str, network: torch.nn.Module) -> dict[str, torch.Tensor]:
    """Tables for untrained weights: each channel's own mean, a step that its small spread spans."""
    height, width, channels = CODECS.get(name).image_shape
    noise = torch.randint(0, 256, (64, channels, height, width), generator=torch.Generator().manual_seed(0)).byte()
    with torch.inference_mode():
        z = network.encoder(noise.float() / 255.0).flatten(2).numpy()
    number = z.shape[1]
    step = np.maximum(z.std((0, 2)), 1e-4) / 3
    size = HIGHEST - LOWEST + 1
    bell = np.rint(1_000 * np.exp(-0.5 * (np.arange(LOWEST, HIGHEST + 1) / 3.0) ** 2)).astype(np.int64) + 1
    coder = LatentCoder(
        mean=z.mean((0, 2)),
        analysis=np.diag(1 / step).astype(np.float32),
        synthesis=np.diag(step).astype(np.float32),
        low=np.full(number, LOWEST),
        counts=np.broadcast_to(bell, (1, number, size)),
        front=np.ones(1, np.int64),
        slope=0.05,
    )
    return coder.tables()


@pytest.fixture(scope="module", autouse=True)
def random_weights(tmp_path_factory: pytest.TempPathFactory):
    """Untrained weights in place of the shipped ones."""
    folder = tmp_path_factory.mktemp("weights")
    for name in LAST_MSE:
        torch.manual_seed(5)
        network = CODECS.get(name).network().eval()
        store(folder / f"{name}.safetensors", network, None if name == "lossless_ae" else tables_for(name, network))
    with pytest.MonkeyPatch.context() as patch:
        find_weights_in(folder, patch)
        yield folder


@pytest.fixture(params=LENGTHS, ids=str)
def codec(request: pytest.FixtureRequest):
    return make(request.param)


def check_round_trip(codec, shape) -> None:
    for check in (check_types, check_determinism, check_batches, check_floats, check_containers):
        check(codec, shape)


def images_for(codec, count: int = 5) -> np.ndarray:
    return np.resize(sample_images(codec.image_shape), (count, *codec.image_shape))


def test_the_stream_is_the_latent_and_decodes_to_what_the_network_makes_of_it(codec, monkeypatch, tmp_path) -> None:
    images = images_for(codec)
    streams, network = codec.encode(images), codec.shipped_network()
    assert {codec.container_bytes(stream) for stream in streams} == {0}
    assert codec.estimate_bits(images) is None
    latents = codec.latents(images).reshape(len(images), -1)
    for stream, latent in zip(streams, latents, strict=True):
        assert len(stream) == length_of(codec)
        numbers = np.frombuffer(stream, codec.latent_dtype)
        assert np.dtype(codec.latent_dtype).byteorder in "<="
        assert np.array_equal(numbers, latent.astype(numbers.dtype))
    with torch.inference_mode():
        expected = network(to_tensor(images, "cpu")).permute(0, 2, 3, 1).numpy()
    floats = codec.decode_float(streams)
    assert floats.dtype == np.float32
    assert np.abs(floats - expected).max() < (2e-3 if codec.settings.get("latent") == "float16" else 1e-6)
    images.flags.writeable = False
    assert codec.encode(images) == streams
    find_weights_in(tmp_path, monkeypatch)
    for act in (lambda: codec.encode(images), lambda: codec.decode(streams)):
        with pytest.raises(WeightsError, match=f"no model card {codec.name}.json"):
            act()


@pytest.mark.parametrize("spec", [*LENGTHS, *CODED, *TILED])
def test_conformance(spec: str) -> None:
    codec = make(spec)
    check_settings(codec)
    check_round_trip(codec, codec.image_shape)
    check_truncation(codec, codec.image_shape)
    check_damage(codec, codec.image_shape, trials=48)


@pytest.mark.parametrize("spec", TILED)
@pytest.mark.parametrize("size", [(1, 1), (70, 31)], ids=str)
def test_conformance_of_other_sizes(spec: str, size: tuple[int, int]) -> None:
    codec = make(spec)
    shape = (*size, codec.image_shape[2])
    assert shape in taken_shapes(codec, [shape])
    check_round_trip(codec, shape)
    check_truncation(codec, shape, cuts=15)
    check_damage(codec, shape, trials=24)


def test_blocks_of_images_join_in_order(codec, monkeypatch: pytest.MonkeyPatch) -> None:
    images = images_for(codec, 7)
    streams, floats = codec.encode(images), codec.decode_float(codec.encode(images))
    monkeypatch.setattr(autoencoder, "BATCH", 3)
    for one, other in zip(streams, codec.encode(images), strict=True):
        a, b = (np.frombuffer(stream, codec.latent_dtype).astype(np.float64) for stream in (one, other))
        assert np.allclose(a, b, rtol=1e-2, atol=1e-4)
    assert np.allclose(codec.decode_float(streams), floats, atol=1e-5)


def test_images_of_another_shape_are_refused(codec) -> None:
    height, width, channels = codec.image_shape
    for shape in ((height + 1, width, channels), (height, width, 4 - channels)):
        with pytest.raises(UnsupportedImageError, match=f"takes {height}×{width}×{channels} images, not") as refused:
            codec.encode(np.zeros((1, *shape), np.uint8))
        helps = shape[2] == channels and "tiles" in codec.settings
        assert str(refused.value).endswith("; with tiles=true it takes any size") == helps
    if "tiles" in codec.settings:
        with pytest.raises(UnsupportedImageError, match=rf"takes blocks of .* images, not 50×40×{4 - channels}$"):
            type(codec)(tiles=True).check_shape((50, 40, 4 - channels))


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


@pytest.mark.parametrize("value", [-1e38, 3.4e38, 1e300, 65504.0, 1e-310])
def test_extreme_numbers_give_an_image_or_are_refused(codec, value: float) -> None:
    numbers = np.frombuffer(codec.encode(images_for(codec, 1))[0], codec.latent_dtype).copy()
    with np.errstate(over="ignore", under="ignore"):
        numbers[0::2], numbers[1::2] = value, -value
    try:
        floats = codec.decode_float([numbers.tobytes()])
    except BitstreamError:
        return
    assert floats.shape == (1, *codec.image_shape)
    assert ((floats >= 0) & (floats <= 1)).all()


def with_encoder_giving(monkeypatch: pytest.MonkeyPatch, codec, value: float):
    latent = torch.full((1, *codec.latent_shape), value)
    latent[0, 0] *= -1
    decoder = codec.shipped_network().decoder
    network = SimpleNamespace(
        encoder=lambda images: latent, decoder=decoder, classes=1, restore=lambda latents, told: decoder(latents)
    )
    monkeypatch.setattr(type(codec), "_network", lambda self: network)
    return np.frombuffer(codec.encode(images_for(codec, 1))[0], codec.latent_dtype)


@pytest.mark.parametrize("value", [65504.0, 65520.0, 3e38, np.inf])
def test_latents_too_large_for_the_stream_saturate(codec, monkeypatch: pytest.MonkeyPatch, value: float) -> None:
    numbers = with_encoder_giving(monkeypatch, codec, value)
    largest = 65504.0 if numbers.dtype.itemsize == 2 else np.finfo(np.float32).max
    assert numbers.max() == -numbers.min() == np.float32(min(value, largest))
    if value <= 65504:
        assert np.isfinite(codec.decode_float([numbers.tobytes()])).all()
    with pytest.raises(WeightsError, match=f"{codec.name}: the encoder gives values that are not numbers"):
        with_encoder_giving(monkeypatch, codec, np.nan)


# --- Tiles --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("spec", TILED)
def test_tiles_are_the_blocks_one_by_one(spec: str) -> None:
    tiled = make(spec)
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


@pytest.mark.parametrize("spec", TILED)
def test_forged_headers(spec: str) -> None:
    codec = make(spec)
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


@pytest.mark.parametrize("spec", CODED)
def test_coded_streams(spec: str) -> None:
    codec = make(spec)
    images = images_for(codec)
    streams, coder = codec.encode(images), codec._coder()
    places = int(np.prod(codec.latent_shape[1:]))
    symbols, classes = coder.quantise(codec.latents(images))
    for number, stream in enumerate(streams):
        found, _ = coder.decode(stream, 1, places, "it")
        assert (found != symbols[number]).mean() < 0.02  # the batch decides the last bits
    bits = codec.estimate_bits(images)
    lengths = 8 * np.array([len(stream) for stream in streams])
    assert ((lengths > bits - 1) & (lengths < bits + 17)).all()
    assert bits == pytest.approx(coder.bits(symbols, classes), rel=0.02)
    with torch.inference_mode():
        z = torch.from_numpy(coder.dequantise(symbols)).reshape(-1, *codec.latent_shape)
        expected = codec.shipped_network().decoder(z).permute(0, 2, 3, 1).numpy()
    assert np.abs(codec.decode_float(streams) - expected).max() < 0.02


def test_latents_handed_out(codec) -> None:
    images = images_for(codec)
    latents = codec.latents(images)
    assert latents.dtype == np.float32
    assert latents.shape == (len(images), *codec.latent_shape)
    with torch.inference_mode():
        assert np.allclose(latents, codec.shipped_network().encoder(to_tensor(images, "cpu")).numpy(), atol=1e-5)
    with pytest.raises(UnsupportedImageError, match="has latents of images of"):
        codec.latents(images[:, 1:])


@pytest.mark.parametrize("spec", [*CODED, "lossy_ae:latent=int8,tiles=true"])
def test_weights_without_tables(spec: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    codec = make(spec)
    streams = codec.encode(images_for(codec, 1))
    store(tmp_path / f"{codec.name}.safetensors", codec.network())
    find_weights_in(tmp_path, monkeypatch)
    for act in (lambda: codec.encode(images_for(codec, 1)), lambda: codec.decode(streams)):
        with pytest.raises(WeightsError, match=rf"{codec.name}: .* holds no tables for latent=int8; train it anew"):
            act()
    assert "int8" not in {point["latent"] for point in codec.default_points(codec.image_shape)}
    assert len(type(codec)().encode(images_for(codec, 1))) == 1  # float latents need none


def test_tables_of_another_network(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    codec = make(CODED[0])
    tables = tables_for("stl10_ae", CODECS.get("stl10_ae").network())
    store(tmp_path / "lossy_ae.safetensors", codec.network(), tables)
    find_weights_in(tmp_path, monkeypatch)
    with pytest.raises(WeightsError, match="the tables of the latent are not made for 32 channels"):
        codec.encode(images_for(codec, 1))
    conditioned, network = Told(latent="int8"), ToldNetwork()
    path = store(tmp_path / "told.safetensors", network, tables_for("lossy_ae", network))
    monkeypatch.setattr(Told, "weights_path", lambda self: path)
    with pytest.raises(WeightsError, match="holds tables of 1 classes, not 2"):
        conditioned.encode(images_for(codec, 1))


class ToldNetwork(CODECS.get("lossy_ae").network):
    """Told whether the image is bright; inverts those that are not."""

    classes = 2

    def choose(self, images, latents):
        return (images.mean((1, 2, 3)) > 0.5).long()

    def restore(self, latents, classes):
        restored = self.decoder(latents)
        return torch.where(classes[:, None, None, None] == 1, restored, 1 - restored)


class Told(CODECS.get("lossy_ae")):
    network = ToldNetwork


@pytest.mark.parametrize("latent", ["float32", "int8"])
@pytest.mark.parametrize("tiles", [False, True])
def test_classes_stand_in_the_stream(latent: str, tiles: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    told, plain = Told(latent=latent, tiles=tiles), make(f"lossy_ae:latent={latent},tiles={str(tiles).lower()}")
    network = plain.shipped_network()
    tables = {**tables_for("lossy_ae", network), "front": torch.tensor([1, 3], dtype=torch.int32)}
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
