"""Image by image: bits at equal quality against exact answers, contrasts, and the worst images."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from runs import MadeUpRun

from codecbench.analysis.per_image import QUANTILES, Worst, contrasts, worst
from codecbench.analysis.points import annotate, crossing, read_at
from codecbench.analysis.summary import summarise
from codecbench.store.folder import RunFolder

NAN, INF = np.nan, np.inf


def test_bits_at_a_quality() -> None:
    quality = np.array([[28, 31, 20, 28, 28, 30], [32, 33, 29, INF, NAN, 31], [36, 35, INF, INF, 32, 32]], dtype=float)
    bits = np.array([[100] * 6, [400] * 6, [1600] * 6], dtype=float)
    np.testing.assert_allclose(read_at(bits, *crossing(quality, 30.0)), [200, NAN, NAN, NAN, NAN, 100])
    turning = np.array([[28.0], [32.0], [29.0], [33.0]])  # the first crossing upwards counts
    assert read_at(np.array([[100.0], [400.0], [900.0], [1600.0]]), *crossing(turning, 30.0)) == pytest.approx([200.0])


def contrasted(path: Path) -> MadeUpRun:
    """Two codecs over eight images; the second needs 2^(k/4) times the bits, k from -4 to 3."""
    run = MadeUpRun(path, {"mnist": (28, 28, 1)}, ["jpeg", "other", "exact", "low", "huge", "tiny"])
    factor = 2.0 ** (np.arange(-4, 4) / 4)
    for quality, size, db in ((10, 1000, 28.0), (50, 4000, 32.0)):
        error = np.full(8, 10 ** (-db / 10))
        run.point("mnist", "jpeg", {"quality": quality}, num_bytes=size, mse=error)
        short = error.copy()
        short[0] = 0.0  # restored exactly: it has no curve
        run.point("mnist", "other", {"quality": quality}, num_bytes=np.round(size * factor).astype(int), mse=short)
        run.point("mnist", "low", {"quality": quality}, num_bytes=size, mse=0.1 / quality)
        run.point("mnist", "huge", {"quality": quality}, num_bytes=100 * size, mse=error)
        run.point("mnist", "tiny", {"quality": quality}, num_bytes=size // 100, mse=error)
    run.point("mnist", "exact", mse=0.0, lossless=True)
    return run


def test_contrasts(tmp_path: Path) -> None:
    run = contrasted(tmp_path)
    points = annotate(summarise(run.store), run.store.manifest)
    found = {contrast.codec: contrast for contrast in contrasts(run.store, points, "mnist", "jpeg", count=2)}
    assert list(found) == ["exact", "huge", "low", "other", "tiny"]
    other = found["other"]
    factor = 2.0 ** (np.arange(-3, 4) / 4)
    assert (other.images, other.not_available, other.status) == (7, 1, "")
    assert other.quantiles == pytest.approx(tuple(np.quantile(100 * (factor - 1), QUANTILES)), abs=0.05)
    assert other.mean_percent == pytest.approx(0.0, abs=0.05)
    assert (other.wins, other.losses) == (pytest.approx(3 / 7), pytest.approx(3 / 7))
    assert [(image.image, round(image.percent)) for image in other.worst] == [(7, 68), (6, 41)]
    assert [(image.image, round(image.percent)) for image in other.best] == [(1, -41), (2, -29)]
    assert other.worst[0].anchor_bits == pytest.approx(16_000)
    assert other.worst[0].bits == pytest.approx(16_000 * factor[-1], rel=1e-3)
    huge, tiny = found["huge"], found["tiny"]
    assert (huge.wins, huge.best, tiny.losses, tiny.worst) == (0.0, (), 0.0, ())
    assert found["exact"].status == "not available: restores every pixel"
    assert found["low"].status == "not available: no image reaches 30 dB in both"
    assert found["low"].not_available == 8
    assert {c.status for c in contrasts(run.store, points, "mnist", "exact", count=2)} >= {
        "not available: exact: restores every pixel"
    }


def test_the_worst_images_of_every_codec(tmp_path: Path, usual_folder: Path) -> None:
    run = MadeUpRun(tmp_path, {"mnist": (28, 28, 1)}, ["a", "exact", "nearly"])
    errors = np.array([1, 9, 2, 9, 3, 8, 0, 4]) * 1e-3
    run.point("mnist", "a", {"q": 1}, num_bytes=range(10, 18), mse=errors[::-1] * 100)
    run.point("mnist", "a", {"q": 2}, num_bytes=range(20, 24), mse=errors[:4], indices=range(4))
    run.point("mnist", "a", {"q": 2}, num_bytes=range(24, 28), mse=errors[4:], indices=range(4, 8))
    run.point("mnist", "exact", mse=0.0, lossless=True)
    run.point("mnist", "nearly", mse=[0, 0, 0, 0, 0, 1e-5, 0, 0])
    points = summarise(run.store)
    found = worst(run.store, points, "mnist", count=3)
    db = pytest.approx(-10 * np.log10(9e-3))
    assert found[:2] == [Worst("a", "q=2", 1, db, 21), Worst("a", "q=2", 3, db, 23)]
    assert [(one.codec, one.image) for one in found] == [("a", 1), ("a", 3), ("a", 5), ("nearly", 5)]
    assert worst(run.store, points, "mnist", count=0) == []
    usual = RunFolder.existing(usual_folder)
    assert {one.codec for one in worst(usual, summarise(usual), "stl10", count=2)} == {"lossy", "net"}
