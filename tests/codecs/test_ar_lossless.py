"""The autoregressive codec of digits: the same bytes and pixels everywhere, short streams, and aware of damage."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from small_weights import find_weights_in, store

from codecbench.codecs import ar_lossless
from codecbench.codecs.ar_lossless import SIDE, ArLossless, CausalNetwork
from codecbench.errors import BitstreamError, UnsupportedImageError
from codecbench.learned import ExactResidual, Softmax, neighbours, on_grid, weights_path
from codecbench.plugins.registry import CODECS

Png = CODECS.get("png")
CUDA = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
SHIPPED = pytest.mark.skipif(not weights_path(ArLossless).is_file(), reason="no weights of ar_lossless")


def drawn_digits(count: int, seed: int = 0) -> np.ndarray:
    """Strokes of soft edges on black; the first image is black, the second noise, the third white."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:SIDE, :SIDE]
    images = np.zeros((count, SIDE, SIDE, 1), np.uint8)
    for image in images:
        for _ in range(3):
            row, column, angle = rng.uniform((6, 6, 0), (22, 22, 3.2))
            off = np.abs((rows - row) * np.cos(angle) + (columns - column) * np.sin(angle))
            near = np.hypot(rows - row, columns - column) < 7
            image[..., 0] = np.maximum(image[..., 0], np.where(near, np.clip(400 - 200 * off, 0, 255), 0))
    images[0] = 0
    images[1:2] = rng.integers(0, 256, images[1:2].shape)
    images[2:3] = 255
    return images


@pytest.fixture(scope="module")
def network() -> CausalNetwork:
    """Small, random, with a table of blanks counted over drawn digits."""
    torch.manual_seed(1)
    network = CausalNetwork(width=16, blocks=1)
    for name, parameter in network.named_parameters():
        parameter.data += torch.randn_like(parameter) * (0.3 if name.startswith(("rows", "columns")) else 0.1)
    ar_lossless.count_blanks(network, torch.from_numpy(drawn_digits(200, 9)).permute(0, 3, 1, 2))
    return network.eval().requires_grad_(False)


@pytest.fixture(scope="module")
def codec(network: CausalNetwork, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ArLossless]:
    """The codec over that network."""
    folder = tmp_path_factory.mktemp("weights")
    store(folder / "ar_lossless.safetensors", network)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ArLossless, "network", functools.partial(CausalNetwork, width=16, blocks=1))
        find_weights_in(folder, patch)
        yield ArLossless()


@pytest.fixture(scope="module")
def digits() -> np.ndarray:
    return drawn_digits(60)


@pytest.fixture(scope="module")
def streams(codec: ArLossless, digits: np.ndarray) -> list[bytes]:
    """All of them encoded together."""
    return codec.encode(digits)


def test_a_batch_decodes_one_by_one_and_its_bytes_depend_on_no_neighbour(
    codec: ArLossless, digits: np.ndarray, streams: list[bytes]
) -> None:
    assert np.array_equal(codec.decode(streams), digits)
    for number in (0, 57):
        alone = digits[number : number + 1]
        assert codec.encode(alone) == streams[number : number + 1]
        assert np.array_equal(codec.decode(streams[number : number + 1]), alone)
    assert codec.encode(digits[52:]) == streams[52:]


def test_neither_threads_nor_how_many_go_together_make_a_difference(
    codec: ArLossless, digits: np.ndarray, streams: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (("PIXELS_AT_ONCE", 50), ("IMAGES", 3), ("ENCODED", 2)):
        monkeypatch.setattr(ar_lossless, name, value)
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        assert codec.encode(digits[3:8]) == streams[3:8]
    finally:
        torch.set_num_threads(before)
    assert np.array_equal(codec.decode(streams[3:8]), digits[3:8])


@CUDA
def test_a_gpu_reads_what_a_processor_wrote_and_the_other_way_round(
    codec: ArLossless, digits: np.ndarray, streams: list[bytes]
) -> None:
    there = codec.on("cuda")
    assert there.encode(digits) == streams
    assert np.array_equal(there.decode(streams), digits)


def test_streams_are_as_long_as_the_model_says(codec: ArLossless, digits: np.ndarray, streams: list[bytes]) -> None:
    sizes = np.array([len(stream) for stream in streams[:20]])
    estimate = codec.estimate_bits(digits[:20])
    assert estimate.shape == (20,)
    assert (8 * sizes <= estimate + 10).all()
    assert (8 * sizes - estimate)[1:].mean() < 8


def test_the_model_is_the_one_that_was_trained(network: CausalNetwork, codec: ArLossless, digits: np.ndarray) -> None:
    ordinary = digits[3:15]  # to the network, noise and white are all but impossible, but no count is below 1
    with torch.inference_mode():
        bits = network(torch.from_numpy(ordinary).permute(0, 3, 1, 2) / 255).numpy()
    assert codec.estimate_bits(ordinary).mean() == pytest.approx(bits.mean(), rel=0.002)


def test_distributions_come_from_the_exact_network(network: CausalNetwork, digits: np.ndarray) -> None:
    image = torch.from_numpy(digits[5, :, :, 0].copy())[None]
    place = 14 * SIDE + 14
    known = neighbours(image.double()[:, None], ar_lossless.ABOVE, ar_lossless.ASIDE)[:, place, 0]
    assert bool(known.any())
    slow = ExactResidual(ar_lossless.FEATURES * known.shape[1], 16, 1, 256)
    slow.load_state_dict({k: v for k, v in network.state_dict().items() if k.startswith(("first", "inner", "last"))})
    rows, columns = (on_grid(p.detach()).view(SIDE, -1) for p in (network.rows, network.columns))
    logits = slow.exact(ar_lossless.features(known), rows[14] + columns[14])
    expected = Softmax(logits * 2**10).bounds(torch.tensor([77]))
    block = ar_lossless.planes(image)[:, :, 14 : 14 + ar_lossless.HIGH, 14 : 14 + ar_lossless.WIDE]
    found = ar_lossless.ExactModel(network).distributions(block, place).bounds(torch.tensor([77]))
    assert found == expected


def test_damage_is_an_error_or_a_picture(codec: ArLossless, streams: list[bytes]) -> None:
    stream, rng = streams[3], np.random.default_rng(0)
    place = len(stream) // 2
    damaged = [stream[:place], stream[:place] + bytes([stream[place] ^ 4]) + stream[place + 1 :]]
    for altered in damaged:
        with contextlib.suppress(BitstreamError):
            assert codec.decode([altered]).shape == (1, SIDE, SIDE, 1)
            assert altered != stream[:place]
    for foreign in (b"", stream + b"\1", b"\x89PNG\r\n\x1a\n" + bytes(60), rng.bytes(4000)):
        with pytest.raises(BitstreamError, match=r"^ar_lossless: the stream"):
            codec.decode([streams[0], foreign])


@pytest.mark.parametrize("shape", [(28, 28, 3), (27, 28, 1), (64, 64, 3)])
def test_other_shapes_are_refused(codec: ArLossless, shape: tuple[int, int, int]) -> None:
    with pytest.raises(UnsupportedImageError, match=r"^ar_lossless takes 28×28×1 images, not "):
        codec.encode(np.zeros((2, *shape), np.uint8))


@SHIPPED
def test_the_shipped_network_restores_digits_it_never_saw_from_few_bytes(digits: np.ndarray) -> None:
    codec = ArLossless()
    streams = codec.encode(digits[:4])
    assert np.array_equal(codec.decode(streams), digits[:4])
    sizes = np.array([len(stream) for stream in streams])
    assert (8 * sizes <= codec.estimate_bits(digits[:4]) + 10).all()
    assert sizes[0] < min(len(Png().encode(digits[:1])[0]), *sizes[1:])  # black
