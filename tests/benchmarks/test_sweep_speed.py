"""What the harness adds to a sweep, as ratios taken in one run: ``pytest tests/benchmarks --benchmark-enable``.

Digits: a JPEG sweep with all rows stored, without the plugin metrics and without kept images, beside a bare loop that
only encodes and decodes with Pillow and measures nothing. Photographs: the Kodak pictures (``$CODECBENCH_DATA/kodak``)
beside CompressAI's own benchmark where this Python can import it or ``$COMPRESSAI_PYTHON`` names one that can, else
beside a plain loop with Pillow and scikit-image.
"""

from __future__ import annotations

import importlib.util
import itertools
import os
import statistics
import subprocess
import sys
from io import BytesIO

import numpy as np
import pytest
from clock import seconds
from PIL import Image
from skimage.metrics import mean_squared_error, structural_similarity

import codecbench as cb
from codecbench.plugins.registry import DATASETS

pytestmark = pytest.mark.real_data

DIGIT_QUALITIES = (5, 10, 20, 30, 40, 50, 60, 70, 80, 90, 95)
PHOTO_QUALITIES = tuple(range(5, 100, 5))
ROUNDS = 3


def encode(image, quality):
    """One image with the options that the codec's defaults stand for."""
    buffer = BytesIO()
    picture = Image.fromarray(image[:, :, 0] if image.shape[2] == 1 else image)
    picture.save(buffer, format="JPEG", quality=quality, optimize=True)
    return buffer.getvalue()


def bare_loop(images):
    for quality in DIGIT_QUALITIES:
        for image in images:
            np.asarray(Image.open(BytesIO(encode(image, quality))))


def plain_metrics(image, stream):
    """MSE on the [0, 1] scale and SSIM, with scikit-image."""
    decoded = np.asarray(Image.open(BytesIO(stream))).reshape(image.shape)
    options = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "data_range": 255}
    return mean_squared_error(image, decoded) / 255**2, structural_similarity(
        image, decoded, channel_axis=-1, **options
    )


def plain_loop(paths):
    for quality in PHOTO_QUALITIES:
        for path in paths:
            image = np.asarray(Image.open(path))
            plain_metrics(image, encode(image, quality))


@pytest.mark.parametrize(("workers", "limit", "aim"), [(1, 1.35, 1.15), (2, 0.75, 0.62)], ids=["1 worker", "2 workers"])
def test_digits_beside_a_bare_loop(benchmark, data_root, tmp_path, workers, limit, aim):
    """Start-up apart: the time of the same sweep over one image is subtracted. Below 1 with one worker, since the codec
    goes straight to libjpeg to decode, which takes less than Pillow's `Image.open` in the bare loop.
    """
    digits = DATASETS.get("mnist")().load(data_root)
    folders = (tmp_path / str(number) for number in itertools.count())

    def sweep(images=None):
        alone = {"timing": False, "metrics": "none", "keep_images": 0}  # as the bare loop does
        return cb.run("jpeg", "mnist", images=images, out=next(folders), workers=workers, data_dir=data_root, **alone)

    if benchmark.disabled:  # the plain test run: that it works
        assert len(benchmark(sweep, 3).rows()) == 3 * len(DIGIT_QUALITIES)
        return
    images = digits.read(range(len(digits)))
    bare, start = [], []

    def beside():  # in every round, so that noise hits all
        bare.append(seconds(bare_loop, images))
        start.append(seconds(sweep, 1))

    run = benchmark.pedantic(sweep, setup=beside, rounds=ROUNDS)
    bare.append(seconds(bare_loop, images))
    assert len(run.rows()) == len(images) * len(DIGIT_QUALITIES)
    whole = benchmark.stats.stats.data
    around = [statistics.mean(pair) for pair in itertools.pairwise(bare)]  # before and after each sweep
    ratio = statistics.median((w - s) / b for w, s, b in zip(whole, start, around, strict=True))
    benchmark.extra_info["workers"] = workers
    benchmark.extra_info["bare_loop_s"] = [round(value, 2) for value in bare]
    benchmark.extra_info["sweep_s"] = [round(value, 2) for value in whole]
    benchmark.extra_info["sweep_of_one_image_s"] = [round(value, 2) for value in start]
    benchmark.extra_info["times_the_bare_loop"] = round(ratio, 3)
    benchmark.extra_info["limit"], benchmark.extra_info["aim"] = limit, aim
    assert ratio <= limit


def python_with_compressai():
    if "COMPRESSAI_PYTHON" in os.environ:
        return os.environ["COMPRESSAI_PYTHON"]
    return sys.executable if importlib.util.find_spec("compressai") else None


def compressai(python, folder):
    """CompressAI's benchmark as a person would start it: PSNR and MS-SSIM, one job, threads as it likes."""
    environment = {name: value for name, value in os.environ.items() if not name.endswith("_NUM_THREADS")}
    qualities = ",".join(map(str, PHOTO_QUALITIES))
    command = [python, "-m", "compressai.utils.bench", "jpeg", str(folder), "-q", qualities]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment)


def test_photographs_beside_other_programs(benchmark, data_root, tmp_path):
    """Start-up included on both sides. The limit is one beside CompressAI; the plain loop is there for want of it."""
    folder = data_root / "kodak"
    paths = sorted(folder.glob("*.png"))
    if not paths:
        pytest.skip(f"no Kodak pictures (*.png) in {folder}")
    folders = (tmp_path / str(number) for number in itertools.count())

    def sweep(qualities="5..95:5", images=None):
        spec = f"jpeg:quality={qualities}"
        same = {"timing": False, "metrics": "ms_ssim", "keep_images": 0}  # CompressAI measures MS-SSIM as well
        return cb.run(spec, f"folder:{folder}", images=images, out=next(folders), workers=2, **same)

    if benchmark.disabled:
        assert len(benchmark(sweep, "5..95:90", 1).rows()) == 2
        return
    python = python_with_compressai()
    theirs = []

    def beside():
        theirs.append(seconds(compressai, python, folder) if python else seconds(plain_loop, paths))

    run = benchmark.pedantic(sweep, setup=beside, rounds=ROUNDS)
    beside()
    assert len(run.rows()) == len(paths) * len(PHOTO_QUALITIES)
    ours = benchmark.stats.stats.data
    around = [statistics.mean(pair) for pair in itertools.pairwise(theirs)]
    ratio = statistics.median(one / other for one, other in zip(ours, around, strict=True))
    what = "CompressAI's benchmark" if python else "a plain loop of Pillow and scikit-image (no CompressAI found)"
    benchmark.extra_info["beside"] = what
    benchmark.extra_info["theirs_s"] = [round(value, 2) for value in theirs]
    benchmark.extra_info["ours_with_2_workers_s"] = [round(value, 2) for value in ours]
    benchmark.extra_info["times_theirs"] = round(ratio, 3)
    if python:
        assert ratio <= 0.5
