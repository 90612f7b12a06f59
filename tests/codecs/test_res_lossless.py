"""Lossless images of any size: the same bytes whatever the batch, the threads and the device, and aware of damage."""

from __future__ import annotations

import functools
import importlib
from pathlib import Path

import numpy as np
import pytest
import torch
from small_weights import find_weights_in, store

from codecbench.errors import BitstreamError, UnsupportedImageError
from codecbench.learned.coding import wavefront
from codecbench.learned.weights import weights_path
from codecbench.plugins.registry import CODECS
from codecbench.testing import check_batches, check_damage, check_truncation, check_types, sample_images

ResLossless = CODECS.get("res_lossless")
module = importlib.import_module(ResLossless.__module__)
SHAPES = [(1, 1, 1), (1, 1, 3), (1, 20, 3), (20, 1, 1), (5, 7, 3), (12, 12, 1), (4, 30, 3), (30, 3, 1)]


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> torch.nn.Module:
    """A small network that no one has trained, in the place of the shipped one."""
    torch.manual_seed(0)
    small = module.ResidualNetwork(width=16, blocks=1).eval().requires_grad_(False)
    module.wide_mixtures(small, torch.zeros(1))
    for parameter in small.parameters():
        parameter += 0.05 * torch.randn_like(parameter)
    store(tmp_path / "res_lossless.safetensors", small)
    monkeypatch.setattr(ResLossless, "network", functools.partial(module.ResidualNetwork, width=16, blocks=1))
    find_weights_in(tmp_path, monkeypatch)
    return small


def photographs(number: int, shape: tuple[int, int, int], seed: int = 0) -> np.ndarray:
    """Slopes with noise upon them."""
    rng = np.random.default_rng(seed)
    slopes = rng.normal(0, 2, (2, number, 1, 1, 1))
    levels = slopes[0] * np.arange(shape[0])[:, None, None] + slopes[1] * np.arange(shape[1])[:, None]
    return np.clip(120 + levels + rng.normal(0, 5, (number, *shape)).cumsum(-1), 0, 255).astype(np.uint8)


@pytest.mark.usefixtures("network")
@pytest.mark.parametrize("shape", SHAPES)
def test_every_pixel_comes_back(shape: tuple[int, int, int]) -> None:
    """Smooth images, noise, drawings, black and white."""
    codec = ResLossless()
    images = sample_images(shape)
    images.flags.writeable = False
    streams = codec.encode(images)
    assert np.array_equal(codec.decode(streams), images)
    bits = codec.estimate_bits(images)
    overhead = 8 * np.array([len(stream) - codec.container_bytes(stream) for stream in streams]) - bits
    assert (overhead > 0).all()
    assert (overhead < 10).all()


@pytest.mark.usefixtures("network")
def test_a_batch_gives_what_single_images_give_with_any_number_of_threads() -> None:
    codec, images = ResLossless(), photographs(60, (3, 3, 3))
    streams = codec.encode(images)
    torch.set_num_threads(2)
    assert codec.encode(images[:5]) == streams[:5]
    assert np.array_equal(codec.decode(streams[:2]), images[:2])
    torch.set_num_threads(1)
    assert [codec.encode(image[None])[0] for image in images] == streams
    assert np.array_equal(np.concatenate([codec.decode([stream]) for stream in streams]), images)
    assert np.array_equal(codec.decode(streams[::-1]), images[::-1])


@pytest.mark.usefixtures("network")
def test_parts_of_a_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    codec, images = ResLossless(), photographs(7, (5, 9, 3))
    streams = codec.encode(images)
    monkeypatch.setattr(module, "SYMBOLS_AT_ONCE", 300)
    monkeypatch.setattr(module, "PIXELS_AT_ONCE", 10)
    assert codec.encode(images) == streams
    assert np.array_equal(codec.decode(streams), images)


@pytest.mark.usefixtures("network")
@pytest.mark.parametrize("number", [1, 3])
def test_photographs_of_many_interleaved_streams(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Read symbol by symbol, and in arrays."""
    monkeypatch.setattr(wavefront, "PIXELS_PER_STREAM", 40)
    codec, images = ResLossless(), photographs(number, (20, 18, 1))
    assert wavefront.stream_count(20, 18) == 9
    assert 9 <= wavefront.FEW < 27
    streams = codec.encode(images)
    assert np.array_equal(codec.decode(streams), images)
    assert codec.container_bytes(streams[0]) == 1 + 1 + 1 + 8
    with pytest.raises(BitstreamError, match=r"^res_lossless: the stream"):
        codec.decode([stream[:-1] for stream in streams])


@pytest.mark.usefixtures("network")
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")
@pytest.mark.parametrize(("there", "back"), [("cuda", "cpu"), ("cpu", "cuda")])
def test_devices_do_not_matter(there: str, back: str) -> None:
    for shape in ((12, 12, 3), (28, 28, 1)):
        images = photographs(20, shape)
        streams = ResLossless().on(there).encode(images)
        assert streams == ResLossless().on(back).encode(images)
        assert np.array_equal(ResLossless().on(back).decode(streams), images)


@pytest.mark.parametrize("shape", [(4, 9, 3), (9, 4, 1), (1, 1, 3), (1, 6, 1), (6, 2, 3)])
def test_networks_are_told_what_they_were_trained_on(network: torch.nn.Module, shape: tuple[int, int, int]) -> None:
    height, width, channels = shape
    images = np.random.default_rng(1).integers(0, 256, (2, *shape), dtype=np.uint8)
    canvas = wavefront.Canvas(images.shape, module.WINDOW, module.MIDDLE, "cpu")
    canvas.fill(images)
    places = torch.arange(height * width)
    inputs, base = module.surroundings(torch.tensor(images).movedim(3, 1).float(), places)
    for number in range(2):
        image = torch.full_like(places, number)
        exact, found = module.exact_surroundings(canvas, image, places // width, places % width)
        assert torch.equal(found, base[number].double())
        assert torch.equal(exact[:, : inputs.shape[2]] / module.FINE, inputs[number].double())
    assert inputs.shape[2] == (network.gray if channels == 1 else network.colour[0]).first.in_features


@pytest.mark.parametrize("shape", [(16, 16, 1), (14, 12, 3)])
def test_streams_cost_what_training_counts(network: torch.nn.Module, shape: tuple[int, int, int]) -> None:
    images = photographs(3, shape)
    trained_for = network(torch.tensor(images).movedim(3, 1) / 255)
    coded = ResLossless().estimate_bits(images)
    assert coded == pytest.approx(trained_for.double().numpy(), rel=0.005)


@pytest.mark.usefixtures("network")
def test_damage_is_noticed() -> None:
    codec = ResLossless()
    stream = codec.encode(photographs(1, (6, 7, 3)))[0]
    start = codec.container_bytes(stream)
    foreign = [b"", b"\0", b"\xff", b"\0\0\5", b"\0\5\0", b"\0\5\1", stream + b"\0", stream + b"\7"]
    cut = [stream[:end] for end in range(start, len(stream), 9)]
    flipped = [
        stream[:place] + bytes([stream[place] ^ 16]) + stream[place + 1 :] for place in range(start, len(stream), 33)
    ]
    for damaged in (*foreign, *cut, *flipped):
        with pytest.raises(BitstreamError, match=r"^res_lossless: [^\n]+$"):
            codec.decode([damaged])
    with pytest.raises(BitstreamError, match="images of different shapes"):
        codec.decode([stream, codec.encode(photographs(1, (6, 6, 3)))[0]])
    with pytest.raises(BitstreamError, match=r"header tells of no image|far too short"):
        codec.decode([b"\0" + b"\xff\xff\3" * 2 + stream[start:]])


@pytest.mark.usefixtures("network")
def test_conformance_without_trained_weights() -> None:
    codec, shape = ResLossless(), (4, 5, 3)
    check_types(codec, shape)
    check_batches(codec, shape)
    check_truncation(codec, shape, cuts=2)
    check_damage(codec, shape, trials=22)
    for wrong in ((1, 4, 4, 2), (1, 0, 4, 3)):
        with pytest.raises(UnsupportedImageError, match="takes gray or RGB images"):
            codec.encode(np.zeros(wrong, np.uint8))


@pytest.mark.parametrize(
    "shape", [(1, 1, 1), (127, 127, 1), (127, 127, 3), (128, 128, 3), (64, 63, 1), (1, 1 << 16, 3), (1 << 15, 9, 1)]
)
def test_headers(shape: tuple[int, int, int]) -> None:
    header = module.pack_header(shape)
    assert (len(header) == 1) == (shape[0] == shape[1] < 128)
    assert module.unpack_header(header + b"\1\2\3", "it") == (shape, len(header))


@pytest.mark.parametrize(
    "header",
    [b"\xff", b"\0\0\2", b"\0\2\0", b"\0\2\1", b"\0\2\4", b"\0\x80\x80\x80\x10\4", b"\0\x82\0\6", b"\0\x80"],
)
def test_headers_that_none_writes(header: bytes) -> None:
    with pytest.raises(BitstreamError, match="it: the header"):
        module.unpack_header(header, "it")


@pytest.mark.parametrize(("height", "width"), [(1, (1 << 17) - 3), ((1 << 17) // 3, 2)])
def test_images_of_too_many_lines_are_refused(height: int, width: int) -> None:
    ResLossless().check_shape((height, width, 3))
    shape = (height, width + 1, 3)
    with pytest.raises(UnsupportedImageError, match="131,072 at most"):
        ResLossless().check_shape(shape)
    with pytest.raises(BitstreamError, match="tells of no image"):
        ResLossless().decode([module.pack_header(shape) + bytes(1 << 14)])


@pytest.mark.skipif(not weights_path(ResLossless).is_file(), reason="no trained weights here")
def test_shipped_weights() -> None:
    codec = ResLossless()
    for shape in ((20, 24, 3), (16, 16, 1)):
        images = photographs(2, shape)
        streams = codec.encode(images)
        assert np.array_equal(codec.decode(streams), images)
        png = CODECS.get("png")().encode(images)
        assert sum(map(len, streams)) < sum(map(len, png))
