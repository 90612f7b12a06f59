"""How long it takes to read a large run into its summary and its report, and how much memory.

Run with ``pytest tests/benchmarks/test_reading_speed.py --benchmark-enable``: it writes 10 million rows, 0.4 GB, into
pytest's temporary folder, and removes them.
"""

import json
import shutil
import subprocess
import sys
import time

import numpy as np
from rows import write_rows

from codecbench.analysis.aggregate import POINT
from codecbench.analysis.summary import summarise

CHUNK = 2_000
SETTINGS = 50
CODECS = 10
CHUNKS = 10
LIMIT_S = 15.0
LIMIT_BYTES = 2e9
READER = """
import json, sys
import codecbench
from codecbench.environment import peak_bytes
table = codecbench.load_run(sys.argv[1]).summary()
print(json.dumps({"peak": peak_bytes(), "points": len(table), "rows": int(table["images"].sum())}))
"""


def test_ten_million_rows(benchmark, tmp_path):
    if benchmark.disabled:  # the plain test run: that the figures are right
        store = write_rows(tmp_path, 2, 3, 2, 25)
        found = summarise(store).sort_values(POINT, ignore_index=True)
        expected = store.rows().astype(dict.fromkeys(POINT, str)).groupby(POINT)["mse"].mean()
        np.testing.assert_allclose(found["mse"], expected, rtol=1e-12)
        benchmark(lambda: None)
        return
    try:
        write_rows(tmp_path, CODECS, SETTINGS, CHUNKS, CHUNK)
        command = [sys.executable, "-c", READER, str(tmp_path)]
        done = benchmark.pedantic(
            lambda: subprocess.run(command, check=True, capture_output=True, text=True), rounds=5, warmup_rounds=0
        )
        found = json.loads(done.stdout)
        began = time.perf_counter()
        subprocess.run([sys.executable, "-m", "codecbench", "report", str(tmp_path)], check=True, capture_output=True)
        benchmark.extra_info |= {
            "rows": found["rows"],
            "points": found["points"],
            "the summary, fastest round, with Python's start (s; limit 15)": round(benchmark.stats.stats.min, 1),
            "peak memory (MiB; limit 2,000 MB)": round(found["peak"] / 2**20),
            "`codecbench report` (s)": round(time.perf_counter() - began, 1),
        }
    finally:
        shutil.rmtree(tmp_path)
    assert (found["points"], found["rows"]) == (CODECS * SETTINGS, CODECS * SETTINGS * CHUNKS * CHUNK)
    assert found["rows"] == 10_000_000
    assert benchmark.stats.stats.min < LIMIT_S  # the whole process; what else runs on the machine can only add to it
    assert found["peak"] < LIMIT_BYTES
