"""What a run costs beyond its codecs: growth with images, finished runs, one more codec, work shared in a sweep.

Run with ``CODECBENCH_DATA=... pytest tests/benchmarks --benchmark-enable``.
"""

import subprocess
import sys
import threading
import time

import numpy as np
import psutil
import pytest
import torch
from clock import seconds

import codecbench as cb
from codecbench.plugins.registry import CODECS

MOST_GROWTH_BYTES = 300 << 20
MOST_FINISHED_S = 2.0


def tree_bytes(process):
    """Resident memory of a process and all below it, in bytes."""
    total = 0
    try:
        for member in (process, *process.children(recursive=True)):
            total += member.memory_info().rss
    except psutil.Error:
        pass
    return total


def run_apart(out, *options):
    """Seconds and peak resident memory, in bytes, of a command and all of its processes."""
    command = [sys.executable, "-m", "codecbench", "run", "--no-timing", "--out", str(out), *options]
    began, peak = time.perf_counter(), 0
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    watched = psutil.Process(process.pid)
    ended = threading.Event()

    def watch():
        nonlocal peak
        while not ended.wait(0.05):
            peak = max(peak, tree_bytes(watched))

    watcher = threading.Thread(target=watch)
    watcher.start()
    assert process.wait() == 0
    taken = time.perf_counter() - began
    ended.set()
    watcher.join()
    return taken, peak


@pytest.mark.real_data
def test_growth_from_1000_to_60000_images(benchmark, tmp_path, data_root):
    """Memory stays flat, and the second half of 60,000 images costs no more than the first."""
    options = ("--codecs", "jpeg:quality=50,none", "--datasets", "mnist:split=train", "--data-dir", str(data_root))
    few, half, many = (1_000, 30_000, 60_000) if benchmark.enabled else (20, 50, 100)

    def run(images, name=""):
        return run_apart(tmp_path / (name or str(images)), *options, "--images", str(images), "--workers", "1")

    if benchmark.enabled:  # what is on disk is in memory after this
        run(1)
    one_s, _ = run(1, "one-again")
    few_s, few_bytes = run(few)
    half_s, _ = run(half)
    many_s, many_bytes = benchmark.pedantic(run, (many,), rounds=1)
    assert len(cb.load_run(tmp_path / str(many)).rows()) == 2 * many
    growth = (many_s - one_s) / (half_s - one_s)
    if benchmark.enabled:
        benchmark.extra_info |= {
            "start-up: the same run over 1 image (s)": round(one_s, 2),
            "1,000 images (s)": round(few_s, 2),
            "30,000 images (s)": round(half_s, 2),
            "60,000 images (s)": round(many_s, 2),
            "time beyond start-up, 60,000 over 30,000 images (2 is linear; limit 3)": round(growth, 2),
            "peak memory of all processes, 1,000 images (MiB)": round(few_bytes / 2**20),
            "peak memory of all processes, 60,000 images (MiB)": round(many_bytes / 2**20),
            "growth of peak memory (MiB; limit 300)": round((many_bytes - few_bytes) / 2**20),
        }
        assert many_bytes - few_bytes < MOST_GROWTH_BYTES
        assert growth < 3


@pytest.mark.real_data
def test_a_finished_run_and_one_more_codec(benchmark, tmp_path, data_root):
    """The same command again finds nothing to do, without importing PyTorch; one more codec measures only itself."""
    images = "1000" if benchmark.enabled else "3"
    codecs = "all" if benchmark.enabled else "none,jpeg:quality=5"

    def run(codecs, *options):
        given = ("--datasets", "mnist,stl10", "--images", images, "--data-dir", str(data_root))
        return run_apart(tmp_path / "run", "--codecs", codecs, *options, *given)

    first_s, _ = run(codecs, "--skip", "png")
    before = set((tmp_path / "run" / "parts").iterdir())
    benchmark.pedantic(run, (codecs, "--skip", "png"), rounds=5 if benchmark.enabled else 1)
    assert set((tmp_path / "run" / "parts").iterdir()) == before
    more_s, _ = run(f"{codecs},png")
    added = {file.name for file in set((tmp_path / "run" / "parts").iterdir()) - before}
    rows = cb.load_run(tmp_path / "run").rows()
    assert len(added) == 2 * len(rows[rows["codec"] == "png"].drop_duplicates(["dataset", "settings"]))
    if benchmark.enabled:
        finished_s = benchmark.stats.stats.median
        benchmark.extra_info |= {
            "first run of all codecs but png, 1,000 images each (s)": round(first_s, 1),
            "the same command again, median of 5 (s; limit 2)": round(finished_s, 2),
            "with png added (s)": round(more_s, 1),
            "share of the first run": round(more_s / first_s, 3),
        }
        assert finished_s < MOST_FINISHED_S


def test_all_ranks_take_one_decomposition(benchmark, monkeypatch):
    """SVD's 29 ranks of 1,000 digits in the rate pass, beside 29 plain encodings."""
    images = cb.open_dataset("digits:count=1000").read(range(1_000 if benchmark.enabled else 5))
    cls = CODECS.get("svd")
    points = [cls(**point).settings for point in cls.default_points(images.shape[1:])]
    decompositions = []
    decompose = torch.linalg.svd
    monkeypatch.setattr(torch.linalg, "svd", lambda *args, **how: decompositions.append(1) or decompose(*args, **how))
    swept = benchmark.pedantic(
        lambda: list(cls.encode_sweep(images, points, "cpu")), rounds=3 if benchmark.enabled else 1
    )
    assert len(decompositions) == (3 if benchmark.enabled else 1)
    one_by_one = []
    taken = seconds(lambda: one_by_one.extend(cls(**point).encode(images) for point in points))
    assert swept == one_by_one
    assert np.ptp([len(stream) for stream in swept[-1]]) == 0
    if benchmark.enabled:
        ratio = taken / benchmark.stats.stats.median
        benchmark.extra_info["29 encodings over one sweep (times)"] = round(ratio, 1)
        assert ratio > 3
