"""How long a person waits for the quick commands: `codecbench --help` and `codecbench list --names`.

Run with ``pytest tests/benchmarks --benchmark-enable``.
"""

import subprocess
import sys

import pytest

LIMIT_S = 0.3


@pytest.mark.parametrize("arguments", [("--help",), ("list", "--names")], ids=" ".join)
def test_startup(benchmark, arguments):
    command = [sys.executable, "-m", "codecbench", *arguments]
    benchmark.pedantic(
        lambda: subprocess.run(command, check=True, stdout=subprocess.DEVNULL), rounds=10, warmup_rounds=1
    )
    if benchmark.enabled:
        assert benchmark.stats.stats.median < LIMIT_S
