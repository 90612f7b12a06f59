"""What the bootstrap over images costs beside the one pass that makes the summary, in one run.

Run with ``pytest tests/benchmarks/test_resampling_speed.py --benchmark-enable``.
"""

import numpy as np
from clock import medians
from runs import MadeUpRun

from codecbench.analysis.aggregate import aggregate
from codecbench.analysis.bootstrap import resample
from codecbench.analysis.summary import summarise

CHUNK = 2_000
LIMIT = 5.0
"""How many times as long as the summary's pass 200 replicates may take."""


def write_rows(path, points, images):
    """Writes a run of made-up rows, in parts of ``CHUNK`` images."""
    rng = np.random.default_rng(0)
    run = MadeUpRun(path, {"mnist": (28, 28, 1)}, ["codec"])
    for quality in range(points):
        for first in range(0, images, CHUNK):
            count = min(CHUNK, images - first)
            sizes, errors = rng.integers(100, 900, count), rng.exponential(1e-3, count)
            indices = range(first, first + count)
            run.point("mnist", "codec", {"quality": quality}, num_bytes=sizes, mse=errors, indices=indices)
    return run


def test_resampling_beside_the_summary(benchmark, tmp_path):
    plain = benchmark.disabled
    store = write_rows(tmp_path, *((2, 50) if plain else (100, 10_000))).store
    points = summarise(store)
    found = benchmark.pedantic(lambda: resample(store, points), rounds=1 if plain else 5, warmup_rounds=0)
    for _, point in points.iterrows():
        low, high = found.interval(("mnist", "codec", point["settings"]), "bits_per_pixel")
        assert low < point["bits_per_pixel"] < high
    if plain:  # the plain test run: that there are intervals
        return
    one_pass, bootstrap = medians(lambda: aggregate(store), lambda: resample(store, points))
    benchmark.extra_info["times as long as the summary's pass"] = round(bootstrap / one_pass, 2)
    assert bootstrap / one_pass < LIMIT
