"""``rd_ae``: headers, checksums, and what altered streams do."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from codecbench.codecs.rd_ae import RdAe
from codecbench.errors import BitstreamError, SettingError
from codecbench.learned import ratedistortion
from codecbench.learned.training import count_symbols
from codecbench.plugins.codec import MAX_PIXELS
from codecbench.plugins.varint import pack_numbers
from codecbench.testing import sample_images

pytestmark = pytest.mark.usefixtures("small_networks")
GRAY, COLOUR = (28, 28, 1), (64, 64, 3)


def images(shape: tuple[int, int, int], count: int) -> np.ndarray:
    return np.resize(sample_images(shape)[:3], (count, *shape))


def test_qualities_are_rounded() -> None:
    streams = [RdAe(quality=quality).encode(images(GRAY, 2)) for quality in (2.0, 2.004, 2.3)]
    assert streams[0] == streams[1] != streams[2]


def test_headers_and_checksums_are_counted() -> None:
    some = images(COLOUR, 2)
    fixed, free = RdAe(shape="64x64x3").encode(some), RdAe().encode(some)
    header = pack_numbers((128, 64))
    assert free == [header + stream for stream in fixed]
    assert (RdAe(shape="64x64x3").container_bytes(fixed[0]), RdAe().container_bytes(free[0])) == (0, 3)
    checked = RdAe(checksum=True)
    streams = checked.encode(some)
    assert [stream[:-2] for stream in streams] == free
    assert checked.container_bytes(streams[0]) == 5


def test_a_checksum_finds_every_other_picture() -> None:
    codec = RdAe(quality=6.0, shape="28x28x1", checksum=True)
    (stream,) = codec.encode(images(GRAY, 1))
    for position in range(len(stream)):
        for bit in range(8):
            altered = bytearray(stream)
            altered[position] ^= 1 << bit
            with pytest.raises(BitstreamError):
                codec.decode([bytes(altered)])


def test_a_decoder_that_computes_otherwise_is_found_out() -> None:
    codec = RdAe(quality=6.0, shape="28x28x1", checksum=True)
    streams = codec.encode(images(GRAY, 3))
    layer = codec.shipped_network().contexts.networks[1].third
    before = layer.weight.clone()
    try:
        layer.weight += 0.01
        with pytest.raises(BitstreamError, match=r"^rd_ae: the (checksum is not that|stream)"):
            codec.decode(streams)
    finally:
        layer.weight.copy_(before)
    codec.decode(streams)


def test_a_checksum_covers_the_header_which_is_written_in_one_way() -> None:
    codec = RdAe(checksum=True)
    (stream,) = codec.encode(images(COLOUR, 1))
    start = codec.container_bytes(stream) - ratedistortion.CHECKSUM_BYTES
    for numbers in ((2 * 63, 64), (2 * 64, 33), (2 * 64 + 1, 64)):  # filled, all are as large
        with pytest.raises(BitstreamError, match="checksum"):
            codec.decode([pack_numbers(numbers) + stream[start:]])
    (small,) = RdAe().encode(images((8, 8, 3), 1))
    assert small[:2] == bytes([16, 8])
    with pytest.raises(BitstreamError, match="header"):
        RdAe().decode([bytes([16 | 0x80, 0, 8]) + small[2:]])


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


@pytest.mark.parametrize(
    ("stream", "reason"),
    [
        (b"", "the stream is empty"),
        (b"\x80", "the header does not end within 1 bytes"),
        (pack_numbers((0, 5)) + b"\1", r"tells of no image \(0×5\)"),
        (pack_numbers((1, 5)) + b"\1", r"tells of no image \(0×5\)"),
        (pack_numbers((2 * 6000, 6000)) + b"\1", r"tells of no image \(6000×6000\)"),
        (pack_numbers((2 * MAX_PIXELS, 1)) + bytes(100), "tells of no image"),
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


def test_settings_and_the_sweep_which_fixes_the_shape() -> None:
    RdAe().check_shape((MAX_PIXELS // 16, 1, 3))
    with pytest.raises(SettingError, match="allowed: a number from 1"):
        RdAe(quality=8.5)
    with pytest.raises(SettingError, match="allowed: any, 64x64x3, 28x28x1"):
        RdAe(shape="64x64")
    for shape, named in ((COLOUR, "64x64x3"), (GRAY, "28x28x1"), ((64, 64, 1), "any")):
        points = RdAe.default_points(shape)
        assert {point["shape"] for point in points} == {named}
        assert [point["quality"] for point in points] == [1, 2, 3, 4, 5, 6, 7, 8]
        RdAe(**points[0]).check_shape(shape)


def test_tables_at_the_end_of_training(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(count_symbols, "COUNTED_PIXELS", 20 * 28 * 28)
    monkeypatch.setattr(count_symbols, "TRIED_PIXELS", 5 * 28 * 28)
    network = RdAe(shape="28x28x1").shipped_network()
    some = torch.from_numpy(images(GRAY, 20)).permute(0, 3, 1, 2)
    tables = RdAe.tables_for(network, some)
    assert set(tables) == {"counts", "slopes"}
    assert set(tables["slopes"].tolist()) <= set(count_symbols.SLOPES)
    told = RdAe.judge_tables(network, tables, some)
    assert told["held_out_written_loss"] < told["held_out_written_loss_logistic"]
