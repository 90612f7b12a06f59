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
    seconds = time.perf_counter() - began
    ended.set()
    watcher.join()
    return seconds, peak


@pytest.mark.real_data
def test_growth_from_1000_to_60000_images(benchmark, tmp_path, data_root):
    """Memory stays flat, and the second half of 60,000 images costs no more than the first."""
    options = ("--codecs", "jpeg:quality=50,none", "--datasets", "mnist:split=train", "--data-dir", str(data_root))
    few, half, many = ("1000", "30000", "60000") if benchmark.enabled else ("20", "50", "100")
    if benchmark.enabled:  # what lies on disk is in memory after this
        run_apart(tmp_path / "one", *options, "--images", "1", "--workers", "1")
    one_s, _ = run_apart(tmp_path / "one-again", *options, "--images", "1", "--workers", "1")
    few_s, few_bytes = run_apart(tmp_path / "few", *options, "--images", few, "--workers", "1")
    half_s, _ = run_apart(tmp_path / "half", *options, "--images", half, "--workers", "1")
    many_s, many_bytes = benchmark.pedantic(
        lambda: run_apart(tmp_path / "many", *options, "--images", many, "--workers", "1"), rounds=1
    )
    assert len(cb.load_run(tmp_path / "many").rows()) == 2 * int(many)
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
    options = ("--datasets", "mnist,stl10", "--images", images, "--data-dir", str(data_root))
    codecs = "all" if benchmark.enabled else "none,jpeg:quality=5"
    first_s, _ = run_apart(tmp_path / "run", "--codecs", codecs, "--skip", "png", *options)
    before = set((tmp_path / "run" / "parts").iterdir())
    benchmark.pedantic(
        lambda: run_apart(tmp_path / "run", "--codecs", codecs, "--skip", "png", *options),
        rounds=5 if benchmark.enabled else 1,
    )
    assert set((tmp_path / "run" / "parts").iterdir()) == before
    more_s, _ = run_apart(tmp_path / "run", "--codecs", f"{codecs},png", *options)
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
    began = time.perf_counter()
    one_by_one = [cls(**point).encode(images) for point in points]
    seconds = time.perf_counter() - began
    assert swept == one_by_one
    assert np.ptp([len(stream) for stream in swept[-1]]) == 0
    if benchmark.enabled:
        ratio = seconds / benchmark.stats.stats.median
        benchmark.extra_info["29 encodings over one sweep (times)"] = round(ratio, 1)
        assert ratio > 3
