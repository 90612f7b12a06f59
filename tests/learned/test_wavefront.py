"""Lines of a wavefront: every pixel once, after its neighbours; and what is read equals what was written."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from codecbench.errors import BitstreamError
from codecbench.learned.coding import interleaved, wavefront
from codecbench.learned.coding.mixtures import MOST_COUNT, Mixtures
from codecbench.learned.coding.wavefront import SYMBOLS_PER_BYTE, Canvas, WavefrontDecoder, neighbours, window

WINDOW = ((-2, -1), (-2, 3), (-1, -2), (-1, 0), (-1, 2), (0, -2), (0, -1))
SLANT = 3
SIZES = [(1, 1), (1, 9), (9, 1), (2, 2), (5, 4), (4, 13), (13, 4)]


@pytest.mark.parametrize(("height", "width"), SIZES)
def test_lines_come_after_their_neighbours_and_give_the_reading_order(height: int, width: int) -> None:
    known, order = np.zeros((height, width), bool), []
    for rows, line in wavefront.lines(height, width, SLANT):
        row = np.arange(rows.start, rows.stop)
        column = line - SLANT * row
        assert len(row) > 0
        assert not known[row, column].any()
        for down, across in WINDOW:
            seen = [(r + down, c + across) for r, c in zip(row, column, strict=True)]
            assert all(known[r, c] for r, c in seen if r >= 0 and 0 <= c < width)
        known[row, column] = True
        order += [(r, (r * width + line - SLANT * r) * 3 + channel) for channel in range(3) for r in row]
    assert known.all()
    for rows in (np.arange(height), np.arange(0, height, 2)):
        expected = [place for row, place in order if row in rows]
        assert wavefront.reading_order(rows, width, 3, SLANT).tolist() == expected


def test_stream_counts() -> None:
    counts = {(1, 1): 1, (64, 64): 1, (96, 85): 1, (96, 96): 2, (512, 768): 96, (1, 1 << 25): 1, (1 << 25, 1): 1 << 13}
    assert {size: wavefront.stream_count(*size) for size in counts} == counts


@pytest.mark.parametrize("size", [(3, 5, 7, 1), (2, 5, 4, 3), (20, 4, 6, 1), (1, 15, 20, 1), (5, 15, 20, 1)])
def test_what_is_written_is_read(size: tuple[int, int, int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    """In one stream and in four, symbol by symbol and in arrays."""
    monkeypatch.setattr(wavefront, "PIXELS_PER_STREAM", 75)
    number, height, width, channels = size
    rng = np.random.default_rng(1)
    images = rng.integers(100, 130, size)
    parameters = np.rint(rng.normal(0, 1, (images.size, 6)) * 1024) / 1024
    known = Mixtures(parameters, np.full(images.size, 115), 1.0)
    starts, counts = (part.reshape(size) for part in known.bounds(images.ravel()))
    streams = wavefront.encode(starts, counts, SLANT)
    assert [wavefront.encode(starts[[i]], counts[[i]], SLANT)[0] for i in range(number)] == streams
    reader = WavefrontDecoder(streams, size[1:], "it")
    numbers = np.arange(images.size).reshape(size)
    for rows, line in wavefront.lines(height, width, SLANT):
        row = np.arange(rows.start, rows.stop)
        for channel in range(channels):
            chosen = numbers[:, row, line - SLANT * row, channel].T.ravel()
            mixtures = Mixtures(parameters[chosen], np.full(len(chosen), 115), 1.0)
            assert np.array_equal(reader.decode(mixtures, rows), images.ravel()[chosen])
    reader.finish()
    with pytest.raises(BitstreamError, match="it: the stream was altered or cut short"):
        WavefrontDecoder(streams, size[1:], "it").finish()


def test_the_margin_is_what_is_known() -> None:
    """Line by line, neighbours are those of the whole image."""
    size = (2, 6, 5, 3)
    images = np.random.default_rng(2).integers(0, 256, size, dtype=np.uint8)
    images.flags.writeable = False
    whole, growing = (Canvas(size, WINDOW, 77, "cpu") for _ in range(2))
    whole.fill(images)
    for rows, line in wavefront.lines(*size[1:3], SLANT):
        row = torch.arange(rows.start, rows.stop).repeat(2)
        image = torch.arange(2).repeat_interleave(rows.stop - rows.start)
        seen = growing.seen(image, row, line - SLANT * row)
        assert torch.equal(seen, whole.seen(image, row, line - SLANT * row))
        places = np.arange(rows.start, rows.stop)
        growing.put(torch.tensor(images[:, places, line - SLANT * places]).movedim(1, 0), rows, line, SLANT)
    assert np.array_equal(growing.inside().numpy(), images)
    corner = whole.seen(*(torch.zeros(1, dtype=torch.int64) for _ in range(3)))
    assert (corner == 77).all()
    right = whole.seen(torch.tensor([1]), torch.tensor([3]), torch.tensor([4]))[0, WINDOW.index((-1, 2))]
    assert right.tolist() == images[1, 2, 4].tolist()
    left = whole.seen(torch.tensor([1]), torch.tensor([3]), torch.tensor([0]))[0, WINDOW.index((0, -1))]
    assert left.tolist() == images[1, 2, 0].tolist()


def test_streams_far_too_short_are_refused_at_once_and_the_cheapest_images_are_not() -> None:
    """Symbols as likely as they may be: what is written of them is never taken for too short."""
    with pytest.raises(BitstreamError, match="it: the stream is far too short for an image of 4000×5000 pixels"):
        WavefrontDecoder([b"\1" * 10], (4_000, 5_000, 3), "it")
    steps = 3 * SYMBOLS_PER_BYTE // 2
    starts, counts = (np.full((steps, 1), value) for value in (interleaved.TOTAL - MOST_COUNT, MOST_COUNT))
    stream = interleaved.encode(starts, counts)[0]
    assert len(stream) <= 3
    WavefrontDecoder([stream], (1, steps, 1), "it")
    with pytest.raises(BitstreamError, match="far too short"):
        WavefrontDecoder([stream], (1, 4 * SYMBOLS_PER_BYTE, 1), "it")


def test_a_reader_without_bytes_stops_at_once() -> None:
    for copies in (1, 40):
        mixtures = Mixtures(np.array([[0.0, 0.0, 5.0]] * copies), np.zeros(copies), 32.0)
        reader = WavefrontDecoder([b"\x7f\xff"] * copies, (1, 8_000, 1), "it")
        with pytest.raises(BitstreamError, match="it ends before its symbols do"):  # noqa: PT012
            for _ in range(8):
                reader.decode(mixtures, slice(0, 1))


@pytest.mark.parametrize(("above", "aside"), [(1, 1), (2, 3), (3, 0)])
def test_a_window_holds_each_earlier_pixel_nearby_once(above: int, aside: int) -> None:
    offsets = window(above, aside)
    assert len(set(offsets)) == len(offsets) == above * (2 * aside + 1) + aside
    assert all(-above <= row <= 0 and abs(column) <= aside and (row, column) < (0, 0) for row, column in offsets)
    images = torch.arange(1, 2 * 2 * 4 * 5 + 1).view(2, 2, 4, 5)
    found = neighbours(images, above, aside).view(2, 4, 5, 2, -1)
    for number, (down, right) in enumerate(offsets):
        for row, column in np.ndindex(4, 5):
            inside = 0 <= row + down < 4 and 0 <= column + right < 5
            expected = images[:, :, row + down, column + right] if inside else torch.zeros(2, 2)
            assert torch.equal(found[:, row, column, :, number], expected.long())
