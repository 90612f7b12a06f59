"""What the bootstrap over images costs beside the one pass that makes the summary, in one run.

Run with ``pytest tests/benchmarks/test_resampling_speed.py --benchmark-enable``.
"""

from clock import medians
from rows import write_rows

from codecbench.analysis.aggregate import aggregate
from codecbench.analysis.bootstrap import resample
from codecbench.analysis.summary import summarise

LIMIT = 5.0
"""How many times as long as the summary's pass 200 replicates may take."""


def test_resampling_beside_the_summary(benchmark, tmp_path):
    plain = benchmark.disabled
    store = write_rows(tmp_path, *((1, 2, 1, 50) if plain else (1, 100, 5, 2_000)))
    points = summarise(store)
    found = benchmark.pedantic(lambda: resample(store, points), rounds=1 if plain else 5, warmup_rounds=0)
    for _, point in points.iterrows():
        low, high = found.interval(("mnist", "codec0", point["settings"]), "bits_per_pixel")
        assert low < point["bits_per_pixel"] < high
    if plain:  # the plain test run: that there are intervals
        return
    one_pass, bootstrap = medians(lambda: aggregate(store), lambda: resample(store, points))
    benchmark.extra_info["times as long as the summary's pass"] = round(bootstrap / one_pass, 2)
    assert bootstrap / one_pass < LIMIT
