"""``rd_ae``: exact across batches, threads and devices; headers, checksums, any size; what altered streams do."""

from __future__ import annotations

import functools
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from small_weights import find_weights_in, store

from codecbench.errors import BitstreamError, SettingError, UnsupportedImageError, WeightsError
from codecbench.learned import ratedistortion
from codecbench.learned.coding.scales import logistic_tables
from codecbench.learned.layers.contexts import Layout
from codecbench.learned.ratedistortion import BATCH_PIXELS
from codecbench.learned.training import count_symbols
from codecbench.learned.weights import weights_path
from codecbench.plugins.codec import MAX_PIXELS
from codecbench.plugins.registry import CODECS
from codecbench.plugins.varint import pack_numbers
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

RdAe = CODECS.get("rd_ae")
COLOUR = Layout(slices=(4, 4, 8), hyper=4, hidden=16, spread=(60.0, 6.0))
DIGITS = Layout(slices=(4, 4, 8), checkerboard=False, hidden=16, kernel=1, spread=(60.0, 6.0))


def shaken(network: torch.nn.Module) -> torch.nn.Module:
    """The network, its means and scales no longer the same everywhere."""
    generator = torch.Generator().manual_seed(1)
    for parameter in network.contexts.parameters():
        parameter.data += 0.08 * torch.randn(parameter.shape, generator=generator)
    return network


@pytest.fixture(scope="module", autouse=True)
def random_weights(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Small untrained networks in place of the shipped ones; their linear parts are transform codes already."""
    folder = tmp_path_factory.mktemp("weights")
    build = {
        "colour": functools.partial(RdAe.networks["colour"], COLOUR, narrow=8, wide=8, thin=8),
        "digits": functools.partial(RdAe.networks["digits"], DIGITS, thin=4, narrow=4, wide=16),
    }
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    for variant, network in build.items():
        torch.manual_seed(5)
        store(folder / f"rd_ae-{variant}.safetensors", shaken(network()))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(RdAe, "networks", build)
        find_weights_in(folder, patch)
        yield
    torch.set_num_threads(threads)


def images(shape: tuple[int, int, int], count: int = 5) -> np.ndarray:
    """Smooth, noisy and drawn images, each a little brighter or darker."""
    found = np.resize(sample_images(shape)[:3], (count, *shape)).astype(int)
    return np.clip(found + np.arange(count)[:, None, None, None] % 50 - 25, 0, 255).astype(np.uint8)


CODECS_AND_SHAPES = [
    (RdAe(quality=3.3, shape="64x64x3"), (64, 64, 3)),
    (RdAe(quality=8.0, shape="28x28x1", checksum=True), (28, 28, 1)),
    (RdAe(quality=1.0), (33, 70, 3)),
    (RdAe(checksum=True), (31, 17, 1)),
]


@pytest.mark.parametrize(("codec", "shape"), CODECS_AND_SHAPES, ids=str)
def test_conformance(codec, shape) -> None:
    check_settings(codec)
    check_shapes(codec)
    for check in (check_types, check_determinism, check_batches, check_floats, check_containers, check_truncation):
        check(codec, shape)
    check_damage(codec, shape, trials=44)


@pytest.mark.parametrize("shape", [(1, 1, 3), (2, 150, 3), (50, 40, 1)], ids=str)
def test_any_size_and_gray_stays_gray(shape) -> None:
    codec = RdAe(quality=8.0)
    check_types(codec, shape)
    some = sample_images(shape)
    decoded = codec.decode(codec.encode(some)).astype(int)
    assert decoded.shape == some.shape
    assert shape[2] == 3 or np.abs(decoded[3:5] - some[3:5]).mean() < 8


def test_rate_rises_with_quality() -> None:
    for shape in ((28, 28, 1), (64, 64, 3)):
        assert check_rate(RdAe(), shape) is None


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("shape", [(28, 28, 1), (64, 64, 3)], ids=str)
def test_what_a_batch_encodes_single_streams_decode(shape, threads: int) -> None:
    codec = RdAe(**{**RdAe.default_points(shape)[6], "checksum": True})
    streams = codec.encode(images(shape, 40))[:: 4 if threads == 1 else 20]  # threads wait for one another
    together = codec.decode_float(streams)
    torch.set_num_threads(threads)
    try:
        alone = np.concatenate([codec.decode_float([stream]) for stream in streams])  # a checksum that is wrong raises
    finally:
        torch.set_num_threads(1)
    assert np.abs(alone - together).max() < 1e-4


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
@pytest.mark.parametrize("shape", [(28, 28, 1), (64, 64, 3), (40, 50, 3)], ids=str)
def test_devices(shape) -> None:
    codec = RdAe(**{**RdAe.default_points(shape)[6], "checksum": True})
    for one, other in (("cpu", "cuda"), ("cuda", "cpu")):
        streams = codec.on(one).encode(images(shape, 20))
        difference = codec.on(other).decode_float(streams) - codec.on(one).decode_float(streams)
        assert np.abs(difference).max() < 1e-3


def test_headers_and_checksums_are_counted() -> None:
    some = images((64, 64, 3), 2)
    fixed, free = RdAe(shape="64x64x3").encode(some), RdAe().encode(some)
    header = pack_numbers((128, 64))
    assert free == [header + stream for stream in fixed]
    assert (RdAe(shape="64x64x3").container_bytes(fixed[0]), RdAe().container_bytes(free[0])) == (0, 3)
    checked = RdAe(checksum=True)
    streams = checked.encode(some)
    assert [stream[:-2] for stream in streams] == free
    assert checked.container_bytes(streams[0]) == 5
    over = np.array([len(stream) for stream in fixed]) - RdAe(shape="64x64x3").estimate_bits(some) / 8
    assert 0 <= over.max() < 2


def test_a_checksum_finds_every_other_picture() -> None:
    codec = RdAe(quality=6.0, shape="28x28x1", checksum=True)
    (stream,) = codec.encode(images((28, 28, 1), 1))
    for position in range(len(stream)):
        for bit in range(8):
            altered = bytearray(stream)
            altered[position] ^= 1 << bit
            with pytest.raises(BitstreamError):
                codec.decode([bytes(altered)])


def test_a_decoder_that_computes_otherwise_is_found_out() -> None:
    codec = RdAe(quality=6.0, shape="28x28x1", checksum=True)
    streams = codec.encode(images((28, 28, 1), 3))
    layer = codec._network().contexts.networks[1].third
    before = layer.weight.clone()
    try:
        layer.weight += 0.01
        with pytest.raises(BitstreamError, match=r"^rd_ae: the (checksum is not that|stream)"):
            codec.decode(streams)
    finally:
        layer.weight.copy_(before)
    codec.decode(streams)


def test_large_images_are_cut_into_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ratedistortion, "LARGEST_BLOCK", 64)
    some = images((100, 150, 3), 3)
    codec = RdAe(quality=8.0, checksum=True)
    streams = codec.encode(some)
    decoded = codec.decode(streams)
    assert decoded.shape == some.shape
    assert np.array_equal(decoded[1:2], codec.decode(streams[1:2]))
    smooth, restored = some[0].astype(float), decoded[0].astype(float)
    assert np.abs(smooth - restored)[:64, :64].mean() < 1.5 * np.abs(smooth - restored).mean() + 1
    monkeypatch.setattr(ratedistortion, "LARGEST_BLOCK", 768)
    with pytest.raises(BitstreamError):
        codec.decode(streams)


def test_batches_beyond_the_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    assert BATCH_PIXELS >= 64 * 64
    some = images((28, 28, 1), 7)
    codec = RdAe(shape="28x28x1")
    whole = codec.decode(codec.encode(some))
    monkeypatch.setattr(ratedistortion, "BATCH_PIXELS", 3 * 28 * 28)
    streams = codec.encode(some)
    assert len(streams) == 7
    assert np.abs(codec.decode(streams).astype(int) - whole).max() <= 1
    assert codec.estimate_bits(some).shape == (7,)


@pytest.mark.parametrize(
    ("stream", "reason"),
    [
        (b"", "the stream is empty"),
        (b"\x80", "the header does not end within 1 bytes"),
        (pack_numbers((0, 5)) + b"\1", r"tells of no image \(0×5\)"),
        (pack_numbers((1, 5)) + b"\1", r"tells of no image \(0×5\)"),
        (pack_numbers((2 * 6000, 6000)) + b"\1", r"tells of no image \(6000×6000\)"),
        (pack_numbers((2 * 5000, 5000)) + b"\1" * 20, r"takes \d+ bytes or more, not 20"),
        (pack_numbers((2 * 64, 64)) + b"\1" * 900, "was cut short or altered|stand for no latent"),
    ],
)
def test_forged_streams(stream: bytes, reason: str) -> None:
    with pytest.raises(BitstreamError, match=f"^rd_ae: .*({reason})"):
        RdAe().decode([stream])


def test_streams_of_one_batch_have_one_size() -> None:
    streams = [RdAe().encode(images(shape, 1))[0] for shape in ((8, 8, 3), (8, 9, 3), (8, 8, 1))]
    for other, shape in ((1, "8×9×3"), (2, "8×8×1")):
        with pytest.raises(BitstreamError, match=f"stream 1 is of {shape}, the first of 8×8×3"):
            RdAe().decode([streams[0], streams[other]])


def test_a_checksum_covers_the_header_which_is_written_in_one_way() -> None:
    codec = RdAe(checksum=True)
    (stream,) = codec.encode(images((64, 64, 3), 1))
    start = codec.container_bytes(stream) - ratedistortion.CHECKSUM_BYTES
    for numbers in ((2 * 63, 64), (2 * 64, 33), (2 * 64 + 1, 64)):  # filled, all are as large
        with pytest.raises(BitstreamError, match="checksum"):
            codec.decode([pack_numbers(numbers) + stream[start:]])
    (small,) = RdAe().encode(images((8, 8, 3), 1))
    assert small[:2] == bytes([16, 8])
    with pytest.raises(BitstreamError, match="header"):
        RdAe().decode([bytes([16 | 0x80, 0, 8]) + small[2:]])


def test_shapes_and_settings_that_are_refused() -> None:
    RdAe().check_shape((MAX_PIXELS // 16, 1, 3))
    with pytest.raises(UnsupportedImageError, match="too thin"):
        RdAe().check_shape((1, MAX_PIXELS, 3))
    with pytest.raises(BitstreamError, match="tells of no image"):
        RdAe().decode([pack_numbers((2 * MAX_PIXELS, 1)) + bytes(100)])
    with pytest.raises(UnsupportedImageError, match=r"takes 28×28×1 images, not 28×28×3; with shape=any"):
        RdAe(shape="28x28x1").encode(np.zeros((1, 28, 28, 3), np.uint8))
    with pytest.raises(UnsupportedImageError, match=f"up to {MAX_PIXELS} pixels"):
        RdAe().check_shape((1 << 13, 1 << 13, 3))
    with pytest.raises(SettingError, match="allowed: a number from 1"):
        RdAe(quality=8.5)
    with pytest.raises(SettingError, match="allowed: any, 64x64x3, 28x28x1"):
        RdAe(shape="64x64")


def test_qualities_are_rounded() -> None:
    some = images((28, 28, 1), 2)
    assert RdAe(quality=2.0).encode(some) == RdAe(quality=2.004).encode(some)
    assert RdAe(quality=2.0).encode(some) != RdAe(quality=2.3).encode(some)


def test_sweeps_fix_the_shape() -> None:
    for shape, named in (((64, 64, 3), "64x64x3"), ((28, 28, 1), "28x28x1"), ((64, 64, 1), "any")):
        points = RdAe.default_points(shape)
        assert {point["shape"] for point in points} == {named}
        assert [point["quality"] for point in points] == [1, 2, 3, 4, 5, 6, 7, 8]
        RdAe(**points[0]).check_shape(shape)


def test_damaged_tables(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    tables = logistic_tables().tensors()
    network = RdAe.networks["digits"]()
    monkeypatch.setattr(RdAe, "weights_path", lambda _: tmp_path / "digits.safetensors")
    store(tmp_path / "digits.safetensors", network, {**tables, "counts": tables["counts"][1:]})
    with pytest.raises(WeightsError, match="rd_ae: the tables of the symbols have the wrong shapes"):
        RdAe(shape="28x28x1").encode(images((28, 28, 1), 1))
    (tmp_path / "digits.json").unlink()
    with pytest.raises(WeightsError, match="no model card"):
        RdAe(shape="28x28x1").encode(images((28, 28, 1), 1))


def test_tables_at_the_end_of_training(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(count_symbols, "COUNTED_PIXELS", 20 * 28 * 28)
    monkeypatch.setattr(count_symbols, "TRIED_PIXELS", 5 * 28 * 28)
    network = RdAe(shape="28x28x1")._network()
    some = torch.from_numpy(images((28, 28, 1), 20)).permute(0, 3, 1, 2)
    tables = RdAe.tables_for(network, some)
    assert set(tables) == {"counts", "slopes"}
    told = RdAe.judge_tables(network, tables, some)
    assert told["held_out_written_loss"] <= told["held_out_written_loss_logistic"]


@pytest.mark.parametrize("shape", [(64, 64, 3), (28, 28, 1)], ids=str)
def test_shipped_weights(shape, monkeypatch: pytest.MonkeyPatch) -> None:
    from codecbench.codecs.rd_ae import NETWORKS

    monkeypatch.setattr(RdAe, "networks", NETWORKS)
    monkeypatch.setattr(RdAe, "weights_path", lambda codec: weights_path(RdAe, codec.variant))
    points = RdAe.default_points(shape)
    if not (path := weights_path(RdAe, RdAe(**points[0]).variant)).is_file():
        pytest.skip(f"no weights {path.name}")
    some, before = sample_images(shape), 0
    for point in (points[0], points[4], points[7]):
        codec = RdAe(**{**point, "checksum": True})
        streams = codec.encode(some)
        alone = np.concatenate([codec.decode([stream]) for stream in streams])
        assert np.abs(alone.astype(int) - codec.decode(streams)).max() <= 1
        size = sum(map(len, streams))
        assert size > before
        before = size
    if shape[2] == 3:  # rare symbols alone, hundreds of them
        noise = np.random.default_rng(0).integers(0, 2, (1, 160, 160, 3), np.uint8) * 255
        assert RdAe(quality=8.0).decode(RdAe(quality=8.0).encode(noise)).shape == noise.shape
    known = 0 if shape[2] == 3 else 3  # the smooth image, or the black one: networks of digits know no smooth ones
    assert np.abs(alone[known].astype(int) - some[known]).mean() < 10
