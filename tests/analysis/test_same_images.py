"""Quality and rate are means over the same images: fixtures whose right figures are known, and runs made up."""

from __future__ import annotations

import itertools
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from in_process import in_this_process
from measuring import measure
from runs import MadeUpRun

import codecbench as cb
from codecbench.analysis.bd_rate import default_anchor
from codecbench.analysis.points import annotate
from codecbench.analysis.rd_curves import NOT_AVAILABLE, read_curves
from codecbench.analysis.same_images import EVERY_IMAGE, SameImages
from codecbench.analysis.summary import summarise
from codecbench.cli.main import main

FOLDERS = Path(__file__).parents[1] / "fixtures" / "folders"


POINTS = {
    "pages": "jpeg:quality=5/10/20/30/40/50/60/70/80/90/95,subsampling=4:2:0,"
    "webp:mode=lossy,quality=1/5/10/20/30/40/50/60/75/85/95,method=6,webp:mode=lossless,quality=75,method=4",
    "tiny": "jpeg:quality=20/80,webp:mode=lossy,quality=20/85,method=4",
}
"""JPEG and WebP over 6 blank pages and 6 photographs, and over 18 images, 16 of them below SSIM's window."""


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    found = {name: tmp_path_factory.mktemp("same_images") / name for name in POINTS}
    with in_this_process():
        for name, out in found.items():
            images = f"folder:{FOLDERS / name}"
            measure(POINTS[name], out, images, None, sets=False, metrics="none", keep_images=0)
    return found


@pytest.mark.parametrize(
    ("folder", "quality", "percent", "note"),
    [
        ("pages", "psnr_db", -37.5, "over 6 of 12 images"),
        ("pages", "psnr_of_mean_mse_db", -45.6, ""),
        ("pages", "ssim", -43.9, ""),
        ("tiny", "psnr_db", -67.1, "over 16 of 18 images"),
    ],
)
def test_a_bd_rate_is_over_the_same_images(
    swept: dict[str, Path], folder: str, quality: str, percent: float, note: str
) -> None:
    found = cb.load_run(swept[folder]).bd_rates(by=quality, replicates=50).set_index("codec").loc["webp"]
    assert found["bd_rate_percent"] == pytest.approx(percent, abs=0.05)
    assert found["note"] == note
    few = note == "over 6 of 12 images"  # fewer than an interval needs
    assert math.isnan(found["low_percent"]) if few else found["low_percent"] < percent < found["high_percent"]


def test_what_too_few_images_have_is_not_given(swept: dict[str, Path], capsys: pytest.CaptureFixture[str]) -> None:
    why = "not available: only 2 of 18 images have SSIM at every point"
    run = cb.load_run(swept["tiny"])
    assert set(run.bd_rates(by="ssim")["status"]) == set(run.savings(by="ssim")["status"]) == {why}
    assert main(["bd", str(run.path), "--by", "ssim"]) == 0
    assert f"jpeg and webp: {why}" in capsys.readouterr().out


SIZES = np.arange(100, 180, 10)
"""Bytes of eight images."""


@pytest.mark.parametrize(
    ("near", "half", "kept", "notes"),
    [
        (0, 0, range(8), ("", "")),
        (6, 0, range(8), ("", "1 point of fewer images left out")),  # a nearly lossless point costs the others nothing
        (6, 2, range(2, 8), ("over 6 of 8 images", "over 6 of 8 images; 1 point of fewer images left out")),
        (0, 5, None, ("only 3 of 8 images have PSNR at every point",) * 2),
    ],
)
def test_the_points_that_keep_most_values_are_compared(
    near: int, half: int, kept: range | None, notes: tuple[str, str], tmp_path: Path
) -> None:
    """Of two codecs with three points each some images are restored exactly: at one point, or at all of both."""
    run = MadeUpRun(tmp_path, {"data": (16, 16, 1)}, ["jpeg", "other", "exact"])
    for codec, quality in itertools.product(("jpeg", "other"), (30, 35, 40)):
        exact = near if (codec, quality) == ("other", 40) and near else half
        errors = np.where(np.arange(8) < exact, 0.0, 10 ** (-quality / 10))
        run.point("data", codec, {"quality": quality}, num_bytes=SIZES * quality, mse=errors)
    run.point("data", "exact", num_bytes=9 * SIZES, mse=0.0, lossless=True)
    same = SameImages(run.store, annotate(summarise(run.store), run.store.manifest))
    table = same.over("psnr_db")
    curves = [curve for curve in read_curves(table) if curve.codec != "exact"]
    for curve, note in zip(curves, notes, strict=True):
        assert note == (curve.note or curve.status.removeprefix(NOT_AVAILABLE))
    for _, point in table.iterrows() if kept else ():
        if point["images"]:
            factor = 9 if point["codec"] == "exact" else int(point["settings"].partition("=")[2])
            assert point["bits_per_image"] == pytest.approx(8 * factor * SIZES[list(kept or ())].mean())
    assert default_anchor(table) == ("jpeg" if kept else "")
    everything = same.over(EVERY_IMAGE)
    pd.testing.assert_frame_equal(everything, same.points)
