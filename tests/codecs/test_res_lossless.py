"""Lossless images of any size: interleaved streams, headers, damage, and what is coded is what was trained."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from codecbench.codecs import res_lossless
from codecbench.codecs.res_lossless import ResLossless
from codecbench.errors import BitstreamError
from codecbench.learned.coding import wavefront

pytestmark = pytest.mark.usefixtures("small_networks")
Shape = tuple[int, int, int]


@pytest.fixture
def network() -> res_lossless.ResidualNetwork:
    return ResLossless().shipped_network()


def photographs(number: int, shape: Shape, seed: int = 0) -> np.ndarray:
    """Slopes with noise upon them."""
    rng = np.random.default_rng(seed)
    slopes = rng.normal(0, 2, (2, number, 1, 1, 1))
    levels = slopes[0] * np.arange(shape[0])[:, None, None] + slopes[1] * np.arange(shape[1])[:, None]
    return np.clip(120 + levels + rng.normal(0, 5, (number, *shape)).cumsum(-1), 0, 255).astype(np.uint8)


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
    flipped = [stream[:20] + bytes([stream[20] ^ 4]) + stream[21:] for stream in streams]
    for damaged in ([stream[:-1] for stream in streams], [stream + b"\0" for stream in streams], flipped):
        with pytest.raises(BitstreamError, match=r"^res_lossless: the stream"):
            codec.decode(damaged)


@pytest.mark.parametrize("shape", [(4, 9, 3), (9, 4, 1), (1, 1, 3), (1, 6, 1), (6, 2, 3)])
def test_networks_are_told_what_they_were_trained_on(network: torch.nn.Module, shape: Shape) -> None:
    height, width, channels = shape
    images = np.random.default_rng(1).integers(0, 256, (2, *shape), dtype=np.uint8)
    canvas = wavefront.Canvas(images.shape, res_lossless.WINDOW, res_lossless.MIDDLE, "cpu")
    canvas.fill(images)
    places = torch.arange(height * width)
    inputs, base = res_lossless.surroundings(torch.tensor(images).movedim(3, 1).float(), places)
    for number in range(2):
        image = torch.full_like(places, number)
        exact, found = res_lossless.exact_surroundings(canvas, image, places // width, places % width)
        assert torch.equal(found, base[number].double())
        assert torch.equal(exact[:, : inputs.shape[2]] / res_lossless.FINE, inputs[number].double())
    assert inputs.shape[2] == (network.gray if channels == 1 else network.colour[0]).first.in_features


@pytest.mark.parametrize("shape", [(16, 16, 1), (14, 12, 3)])
def test_streams_cost_what_training_counts(network: torch.nn.Module, shape: Shape) -> None:
    images = photographs(3, shape)
    trained_for = network(torch.tensor(images).movedim(3, 1) / 255)
    coded = ResLossless().estimate_bits(images)
    assert coded == pytest.approx(trained_for.double().numpy(), rel=0.005)


def test_damage_is_noticed() -> None:
    codec = ResLossless()
    stream = codec.encode(photographs(1, (6, 7, 3)))[0]
    start = codec.container_bytes(stream)
    cut = [stream[:end] for end in range(start, len(stream), 9)]
    flipped = [
        stream[:place] + bytes([stream[place] ^ 16]) + stream[place + 1 :] for place in range(start, len(stream), 33)
    ]
    for damaged in (*cut, *flipped):
        with pytest.raises(BitstreamError, match=r"^res_lossless: [^\n]+$"):
            codec.decode([damaged])
    with pytest.raises(BitstreamError, match="images of different shapes"):
        codec.decode([stream, codec.encode(photographs(1, (6, 6, 3)))[0]])
    with pytest.raises(BitstreamError, match=r"header tells of no image|far too short"):
        codec.decode([b"\0" + b"\xff\xff\3" * 2 + stream[start:]])


@pytest.mark.parametrize(
    "header",
    [
        *(b"", b"\0", b"\xff", b"\0\0\2", b"\0\2\0", b"\0\2\1", b"\0\2\4", b"\0\x80\x80\x80\x10\4", b"\0\x82\0\6"),
        *(b"\0\x80", res_lossless.pack_header((1, (1 << 17) - 2, 3)), res_lossless.pack_header(((1 << 17) // 3, 3, 3))),
    ],
)
def test_headers_that_none_writes(header: bytes) -> None:
    with pytest.raises(BitstreamError, match=r"^res_lossless: the (header|stream)"):
        ResLossless().decode([header + bytes(1 << 14) * (len(header) > 3)])


@pytest.mark.parametrize(("height", "width"), [(1, (1 << 17) - 3), ((1 << 17) // 3, 2)])
def test_long_images_of_few_enough_lines_are_taken(height: int, width: int) -> None:
    ResLossless().check_shape((height, width, 3))
