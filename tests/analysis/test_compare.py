"""Comparing runs: what differs, by how much, how surely, and what counts as a failure."""

from __future__ import annotations

import csv
import io
import json
import math
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from measuring import measure
from plugins import forget, write_codec
from runs import MadeUpRun, usual_run
from scipy import stats

from codecbench.analysis.compare import Comparison, compare, points, statistics, thresholds
from codecbench.analysis.compare.manifests import differences
from codecbench.analysis.summary import summarise
from codecbench.cli.main import main
from codecbench.errors import StoreError, UsageError
from codecbench.measure.timing import Timing
from codecbench.store.folder import RunFolder

BYTES = (100, 120, 80, 200, 150, 90, 110, 130)
ERRORS = (1e-3, 2e-3, 1.5e-3, 3e-3, 1e-3, 2e-3, 1e-3, 4e-3)
ROUNDS = (1.00e-4, 1.01e-4, 0.99e-4, 1.02e-4, 0.98e-4)
LABEL = "mnist"


def made_up(path: Path, **point: Any) -> MadeUpRun:
    """A run of one codec at one point of one dataset."""
    run = MadeUpRun(path, {LABEL: (28, 28, 1)}, ["c"])
    run.point(LABEL, "c", {"q": 1}, **({"num_bytes": BYTES, "mse": ERRORS} | point))
    return run


def pair(tmp_path: Path, a: Mapping[str, Any], b: Mapping[str, Any]) -> tuple[RunFolder, RunFolder]:
    """Two such runs."""
    return made_up(tmp_path / "a", **a).store, made_up(tmp_path / "b", **b).store


def timed(run: MadeUpRun, seconds: Any = ROUNDS, settings: Any = None, codec: str = "c", **more: Any) -> None:
    """Gives a point times, by default on one host."""
    record = {"threads": 1, "device": "cpu", "host": "aaaaaaaa"} | more
    timing = Timing(record.pop("images", 8), tuple(seconds), ROUNDS[: len(seconds)], **record)
    run.store.write_timing(run.task(LABEL, codec, settings or {"q": 1}, range(8), None), timing)


def altered(path: Path, change: Any) -> RunFolder:
    """A run whose ``run.json`` was changed in place by a function."""
    manifest = json.loads((path / "run.json").read_text(encoding="utf-8"))
    change(manifest)
    (path / "run.json").write_text(json.dumps(manifest), encoding="utf-8")
    return RunFolder(path)


def row(found: Comparison, measure: str, settings: str = "q=1") -> dict[str, Any]:
    """The one row of a measure at a point."""
    rows = found.table[(found.table["measure"] == measure) & (found.table["settings"] == settings)]
    assert len(rows) == 1, rows
    return dict(rows.iloc[0])


# ---- intervals and tests --------------------------------------------------------------------------------------------


def test_the_mean_difference_is_scipys_paired_t() -> None:
    rng = np.random.default_rng(1)
    a = rng.normal(30.0, 3.0, 40)
    b = a + rng.normal(0.1, 0.5, 40)
    found = statistics.mean_difference(a, b, 0.9)
    expected = stats.ttest_rel(b, a).confidence_interval(0.9)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))
    assert found.value == pytest.approx(np.mean(b - a))


@pytest.mark.parametrize(
    ("images", "sizes", "least"),
    [(15, "normal", 0.93), (100, "normal", 0.93), (200, "skewed", 0.92)],
)
def test_intervals_cover_the_truth_as_often_as_they_say(images: int, sizes: str, least: float) -> None:
    rng = np.random.default_rng(7)
    trials, true_percent, true_difference = 1500, 2.0, 5.0
    covered = np.zeros(2)
    for _ in range(trials):
        a = rng.normal(1000.0, 100.0, images) if sizes == "normal" else rng.lognormal(6.0, 1.0, images)
        b = a * (1.0 + true_percent / 100.0) + rng.normal(0.0, 30.0, images)  # the mean ratio is 1.02
        relative = statistics.relative_difference(a, b, 0.95)
        noise = rng.normal(0.0, 20.0, images) if sizes == "normal" else rng.lognormal(0.0, 0.8, images) - math.exp(0.32)
        absolute = statistics.mean_difference(a, a + true_difference + noise, 0.95)
        covered += [relative.low <= true_percent <= relative.high, absolute.low <= true_difference <= absolute.high]
    assert (covered / trials >= least).all(), covered / trials
    assert (covered / trials <= 0.975).all(), covered / trials


def test_false_alarms_of_many_times_stay_rare() -> None:
    """Of codecs that did not change, at most about one in twenty may have a point that is called changed."""
    rng = np.random.default_rng(3)
    alarms = 0
    for _ in range(100):
        rows = []
        for point in range(10):
            times = [Timing(8, tuple(rng.lognormal(0.0, 0.1, 5)), (), 1, "cpu", host="h") for _ in range(2)]
            rows += points.of_times((LABEL, "c", f"q={point}"), *times)
        points.settle(rows, 0.05)
        alarms += any(one["verdict"] != points.UNCLEAR for one in rows)
    assert alarms <= 10


# ---- rates and distortions ------------------------------------------------------------------------------------------


def test_a_run_against_itself_has_no_differences(usual_folder: Path) -> None:
    store = RunFolder.existing(usual_folder)
    found = compare(store, store, fail_above={"bits": 0.0, "mse": 0.0, "psnr_db": 0.0, "encode_s": 0.0})
    assert found.differences == found.only_in_a == found.only_in_b == found.failures == found.passed_over == []
    assert set(found.rates["verdict"]) == set(found.times["verdict"]) == {points.SAME}
    assert found.rates[["low", "high"]].isna().all(axis=None), "no interval of what is identical"
    assert set(found.overall["ratio"]) == {1.0}
    some = compare(store, store, dataset="stl10", codecs="lossy:quality=10/50,exact")
    chosen = {("stl10", "lossy", "quality=10"), ("stl10", "lossy", "quality=50"), ("stl10", "exact", "")}
    assert set(some.rates[["dataset", "codec", "settings"]].itertuples(index=False, name=None)) == chosen


def test_differences_have_the_sign_and_size_of_b_less_a(tmp_path: Path) -> None:
    more = [size + size // 10 for size in BYTES]
    better = [error / 2 for error in ERRORS]
    a, b = pair(tmp_path, {}, {"num_bytes": more, "mse": better, "ssim": 0.95})
    found = compare(a, b)
    bits, mse, psnr, ssim = (row(found, name) for name in ("bits", "mse", "psnr_db", "ssim"))
    assert bits["difference"] == pytest.approx(10.0)
    assert (bits["a"], bits["b"]) == (8 * np.mean(BYTES), 8 * np.mean(more))
    assert bits["low"] == pytest.approx(10.0) == bits["high"], "10 % more of every image, without any spread"
    assert mse["difference"] == pytest.approx(-50.0)
    assert psnr["difference"] == pytest.approx(10 * math.log10(2))
    assert psnr["unit"] == "dB"
    assert ssim["difference"] == pytest.approx(0.05)
    assert [one["verdict"] for one in (bits, mse, psnr, ssim)] == ["worse", "better", "better", "better"]
    backwards = compare(b, a)
    assert row(backwards, "bits")["verdict"] == "better"
    assert row(backwards, "psnr_db")["verdict"] == "worse"


def test_images_are_paired_by_index_and_those_of_one_run_are_left_out(tmp_path: Path) -> None:
    def part(run: MadeUpRun, indices: range, more: int = 0) -> None:
        sizes, errors = zip(*[(BYTES[index] + more, ERRORS[index]) for index in indices], strict=True)
        run.point(LABEL, "c", {"q": 1}, indices=indices, num_bytes=sizes, mse=errors)

    a = made_up(tmp_path / "a")
    b, c, d = (MadeUpRun(tmp_path / name, {LABEL: (28, 28, 1)}, ["c"]) for name in "bcd")
    for indices in (range(4, 8), range(4)):  # two parts, whose order on disk is that of their names
        part(b, indices, more=1)
    found = compare(a.store, b.store)
    bits = row(found, "bits")
    assert bits["n"] == 8
    assert bits["high"] - bits["low"] < 1.0, "one byte more everywhere has a narrow interval"
    assert row(found, "mse")["verdict"] == points.SAME
    part(c, range(2, 8))
    bits = row(compare(a.store, c.store), "bits")
    assert (bits["n"], bits["verdict"], bits["note"]) == (6, points.SAME, "over the 6 images in both (8 and 6)")
    part(d, range(2))
    apart = row(compare(c.store, d.store), "bits")
    assert (apart["verdict"], apart["note"]) == ("not tested", "no image is in both")


def test_a_change_in_one_image_of_many_is_not_significant(tmp_path: Path) -> None:
    a, b = pair(tmp_path, {}, {"num_bytes": (*BYTES[:-1], BYTES[-1] + 9)})
    bits = row(compare(a, b, fail_above={"bits": 0.0}), "bits")
    assert bits["verdict"] == points.UNCLEAR
    assert bits["low"] < 0.0 < bits["high"]
    assert row(compare(a, b, confidence=0.5), "bits")["verdict"] == "worse", "a narrower interval excludes 0"


def test_exact_images_never_make_an_infinity(tmp_path: Path) -> None:
    mixed = [0.0, *ERRORS[1:]]
    a, b = pair(tmp_path, {"mse": mixed}, {"mse": [*(2 * error for error in mixed[:-1]), 0.0]})
    found = compare(a, b)
    psnr = row(found, "psnr_db")
    assert psnr["n"] == 6
    assert psnr["difference"] == pytest.approx(-10 * math.log10(2))
    assert psnr["note"] == "over the 6 images that neither restores exactly"
    mean = row(found, "psnr_of_mean_mse_db")
    ratio = sum(2 * error for error in mixed[:-1]) / sum(mixed)
    assert mean["difference"] == pytest.approx(-10 * math.log10(ratio))
    assert not np.isinf(found.table[["a", "b", "difference"]].to_numpy(float)).any()


def test_a_codec_that_is_no_longer_lossless_fails_every_threshold_of_mse(tmp_path: Path) -> None:
    a, b = pair(tmp_path, {"mse": 0.0, "lossless": True}, {"mse": [*[0.0] * 7, 1e-9]})
    found = compare(a, b, fail_above={"mse": 1000.0})
    mse = row(found, "mse")
    assert (mse["verdict"], mse["note"]) == ("worse", "every image was restored exactly")
    assert math.isnan(mse["difference"])
    assert "psnr_db" not in set(found.rates["measure"])
    assert found.failures == ["c:q=1 on mnist: mse from 0 to 1.25e-10, beyond 1000 %"]
    assert compare(b, a, fail_above={"mse": 0.0}).failures == []
    assert row(compare(b, a), "mse")["difference"] == -100.0


def test_one_image_is_told_but_not_judged(tmp_path: Path) -> None:
    one = {"indices": [3], "mse": 0.001}
    a, b = pair(tmp_path, one | {"num_bytes": 100}, one | {"num_bytes": 200})
    found = compare(a, b, fail_above={"bits": 1.0})
    assert row(found, "bits")["difference"] == pytest.approx(100.0)
    assert found.failures == []
    assert found.passed_over == ["bits: 1 of 1 point not judged: one image: no interval"]


def test_other_images_are_said_in_one_line_and_not_paired(tmp_path: Path) -> None:
    a, b = pair(tmp_path, {}, {"num_bytes": [2 * size for size in BYTES]})
    b = altered(b.path, lambda manifest: manifest["datasets"][LABEL].update(fingerprint="other pixels", seed=4))
    found = compare(a, b, fail_above={"bits": 1.0})
    (line,) = [line for line in found.warnings if "different images" in line]
    assert line.startswith("mnist: ")
    assert row(found, "bits")["difference"] == pytest.approx(100.0)
    assert set(found.rates["verdict"]) == {points.UNTESTED}
    assert found.rates[["low", "high"]].isna().all(axis=None)
    assert found.failures == []
    assert found.passed_over == ["bits: 1 of 1 point not judged: means only: other images"]
    assert [line for line in found.differences if line.startswith("dataset mnist: other images")]


def test_datasets_are_the_same_where_their_images_are(tmp_path: Path) -> None:
    """A folder that was moved is compared, and another one that took its place is not."""
    a, b = made_up(tmp_path / "a"), MadeUpRun(tmp_path / "b", {LABEL: (28, 28, 1), "moved": (28, 28, 1)}, ["c"])
    for label, factor in ((LABEL, 5), ("moved", 2)):
        b.point(label, "c", {"q": 1}, num_bytes=[factor * size for size in BYTES], mse=ERRORS)
    prints = {LABEL: "other pixels", "moved": f"pixels of {LABEL}"}

    def change(manifest: dict[str, Any]) -> None:
        for label, record in manifest["datasets"].items():
            record["fingerprint"] = prints[label]

    found = compare(a.store, altered(b.store.path, change), fail_above={"bits": 1.0})
    assert [line.partition(" [")[0] for line in found.failures] == [f"c:q=1 on {LABEL}: bits +100.0 %"]
    assert found.only_in_b == [f"c on {LABEL} (B): q=1"]
    assert f"dataset {LABEL}: named moved in B, the same images" in found.differences


@pytest.mark.parametrize("published", ["a", "b", "both"])
def test_published_runs_are_compared_by_their_means(published: str, tmp_path: Path) -> None:
    runs = {name: usual_run(tmp_path / name) for name in "ab"}
    runs["b"].point("mnist", "exact", {"level": 2}, num_bytes=60, mse=0.0)
    for name, run in runs.items():
        if published in (name, "both"):
            run.store.write_file("summary.csv", summarise(run.store).to_csv(index=False).encode())
            shutil.rmtree(tmp_path / name / "parts")
            shutil.rmtree(tmp_path / name / "timings")
    found = compare(*(RunFolder.existing(tmp_path / name) for name in "ab"))
    assert "no rows by image" in found.warnings[0]
    assert set(found.rates["verdict"]) == {points.UNTESTED}
    assert np.allclose(found.rates["a"], found.rates["b"], rtol=1e-12), "the same means by both ways"
    assert set(found.times["verdict"]) == {points.UNTESTED}
    assert np.allclose(found.times["a"], found.times["b"], rtol=1e-12)
    assert found.only_in_b == ["exact on mnist: level=2"]


def test_points_of_one_run_are_listed(tmp_path: Path) -> None:
    a, b = (MadeUpRun(tmp_path / name, {LABEL: (28, 28, 1)}, ["c", "d"]) for name in "ab")
    for quality in range(10):
        a.point(LABEL, "c", {"q": quality, "m": "x"})
    a.point(LABEL, "d")
    b.point(LABEL, "c", {"q": 0, "m": "x"})
    b.failure(LABEL, "d", "ValueError: no")
    found = compare(a.store, b.store)
    assert found.only_in_a == [
        "c on mnist: q=1; q=2; q=3; q=4; q=5; q=6 and 3 more",
        "d on mnist (failed in B: ValueError: no)",
    ]
    assert found.only_in_b == []
    assert set(found.rates["settings"]) == {"q=0,m=x"}


def test_a_damaged_part_is_named(tmp_path: Path) -> None:
    a, b = pair(tmp_path, {}, {})
    (part,) = (b.path / "parts").glob("*.parquet")
    content = bytearray(part.read_bytes())
    content[10] ^= 255
    part.write_bytes(content)
    with pytest.raises(StoreError, match=f"{part.name} is damaged"):
        compare(a, b)


# ---- times ----------------------------------------------------------------------------------------------------------


def timed_pair(tmp_path: Path, factor: float, strict: bool = False, **more: Any) -> Comparison:
    """Two runs whose encoding times differ by a factor; fails above 10 %."""
    a, b = (made_up(tmp_path / name) for name in "ab")
    timed(a)
    timed(b, [factor * second for second in ROUNDS], **more)
    return compare(a.store, b.store, fail_above={"encode_s": 10.0}, strict=strict)


def test_times_on_the_same_host_are_judged(tmp_path: Path) -> None:
    found = timed_pair(tmp_path / "slower", 1.5)
    encode = row(found, "encode_s")
    assert (encode["verdict"], encode["counts"], encode["n"]) == ("worse", True, 5)
    assert encode["difference"] == pytest.approx(50.0)
    assert encode["p_value"] == pytest.approx(2 / 252)
    assert found.failures == ["c:q=1 on mnist: encode_s +50.0 % (p = 0.0079), beyond 10 %"]
    assert row(found, "decode_s")["verdict"] == points.SAME
    overall = found.overall.set_index("measure").loc["encode_s"]
    assert tuple(overall[["points", "slower", "faster"]]) == (1, 1, 0)
    assert overall["ratio"] == pytest.approx(1.5)
    assert found.warnings == []
    for factor, verdict in ((0.5, "better"), (1.09, "worse")):  # less than the threshold of 10 %
        found = timed_pair(tmp_path / verdict, factor)
        assert row(found, "encode_s")["verdict"] == verdict
        assert (found.failures, found.passed_over) == ([], [])


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ({"host": "bbbbbbbb"}, "other host"),
        ({"host": ""}, "the host is not recorded"),
        ({"threads": 2}, "other threads (1 and 2)"),
        ({"device": "A GPU"}, "other device (cpu and A GPU)"),
        ({"images": 4}, "other timed images (8 and 4)"),
        ({"encode_cpu_s": ROUNDS}, "the machine was busy in B"),
    ],
)
def test_times_that_are_not_comparable_warn_and_never_fail(more: dict[str, Any], why: str, tmp_path: Path) -> None:
    found = timed_pair(tmp_path, 3.0, **more)
    assert found.failures == []
    assert found.passed_over == [f"encode_s: 1 of 1 point not judged: {why}"]
    assert timed_pair(tmp_path / "strict", 3.0, strict=True, **more).failures == found.passed_over
    assert found.warnings == [
        f"all times: {why}; they say nothing about the codecs, are shown, and fail with --strict alone"
    ]


def test_a_record_without_host_is_not_comparable_even_with_itself() -> None:
    old = Timing(8, (1.0,) * 5, (1.0,) * 5, 1, "cpu")
    assert [one["counts"] for one in points.of_times((LABEL, "c", ""), old, old)] == [False, False]


def test_one_of_many_points_is_not_significant_and_most_of_them_are(tmp_path: Path) -> None:
    def with_slow(name: str, slow: int) -> MadeUpRun:
        run = MadeUpRun(tmp_path / name, {LABEL: (28, 28, 1)}, ["c"])
        for quality in range(11):
            run.point(LABEL, "c", {"q": quality})
            timed(run, [(2.0 if quality < slow else 1.0) * second for second in ROUNDS[::-1]], {"q": quality})
        return run

    base = with_slow("base", 0)
    limits = {"encode_s": 10.0}
    one = compare(base.store, with_slow("one", 1).store, fail_above=limits)
    assert one.failures == []
    assert one.passed_over == ["encode_s: 1 point of 11 beyond 10 %, not counted: not significant"]
    assert row(one, "encode_s", "q=0")["p_value"] == pytest.approx(11 * 2 / 252)
    assert len(compare(base.store, with_slow("most", 8).store, fail_above=limits).failures) == 8


def test_times_of_a_codec_do_not_hide_those_of_another() -> None:
    still = Timing(8, tuple(ROUNDS), (), 1, "cpu", host="h")
    slow = replace(still, encode_s=tuple(2 * second for second in ROUNDS))
    rows = points.of_times((LABEL, "mine", ""), still, slow)
    for other in range(50):
        rows += points.of_times((LABEL, "other", f"q={other}"), still, still)
    points.settle(rows, 0.05)
    assert rows[0]["verdict"] == "worse"


def test_unsteady_times_are_said(tmp_path: Path) -> None:
    a, b = (made_up(tmp_path / name) for name in "ab")
    timed(a)
    timed(b, (1e-4, 1e-4, 2e-4, 3e-4, 9e-4))
    found = compare(a.store, b.store)
    assert row(found, "encode_s")["note"] == "unsteady in B"
    assert found.warnings[0].startswith("1 of 2 times spread by more than 25% between rounds")


def test_latency_is_compared_where_both_have_it(tmp_path: Path) -> None:
    a, b = (made_up(tmp_path / name) for name in "ab")
    latency = {"encode_latency_s": ROUNDS, "decode_latency_s": ROUNDS}
    timed(a, **latency)
    timed(b, **(latency | {"encode_latency_s": [3 * second for second in ROUNDS]}))
    found = compare(a.store, b.store, fail_above={"encode_latency_s": 10.0})
    assert row(found, "encode_latency_s")["difference"] == pytest.approx(200.0)
    assert len(found.failures) == 1


def test_runs_without_times_say_so(tmp_path: Path) -> None:
    a, b = pair(tmp_path, {}, {})
    found = compare(a, b, fail_above={"encode_s": 1.0})
    assert found.times.empty
    assert found.warnings == ["no point has times in both runs: nothing is said about speed"]
    assert found.passed_over == ["encode_s: 1 of 1 point not judged: not measured in both runs"]


# ---- what differs ---------------------------------------------------------------------------------------------------


def manifest_of(tmp_path: Path) -> dict[str, Any]:
    """``run.json`` of a run of two codecs."""
    run = MadeUpRun(tmp_path, {LABEL: (28, 28, 1), "stl10": (32, 32, 3)}, ["jpeg", "png"], {"net": ("mnist",)})
    manifest: dict[str, Any] = json.loads(json.dumps(run.store.manifest))
    for codec in manifest["codecs"].values():
        codec["source"] = "s"
    manifest["codecs"]["net"]["weights"] = {"net.safetensors": "1", "net.json": "1"}
    manifest["invocations"][0] |= {
        "host": "aaaaaaaa",
        "conditions": {"load_1min": 0.1, "thread_variables": {"OMP_NUM_THREADS": "1"}},
    }
    return manifest


def test_the_lines_name_what_changed(tmp_path: Path) -> None:
    a = manifest_of(tmp_path)
    b = json.loads(json.dumps(a))
    assert differences(a, b) == []
    for name in ("jpeg", "png"):
        b["codecs"][name] |= {"fingerprint": "new", "versions": {"lib": "2.0"}}
    b["codecs"]["jpeg"]["versions"]["libjpeg_turbo"] = "3.1"
    b["codecs"]["png"]["source"] = "t"
    b["codecs"]["net"] |= {"fingerprint": "new", "weights": {"net.safetensors": "2", "new.json": "1"}}
    del b["datasets"]["stl10"]
    b["datasets"]["mnist"] |= {"fingerprint": "new", "seed": 5}
    b["invocations"][0]["machine"] |= {"cpu": "Other CPU", "governor": "powersave"}
    b["invocations"][0]["versions"] |= {"lib": "2.0", "numpy": "2.0"}
    b["invocations"][0] |= {"host": "bbbbbbbb", "seed": 4, "timing_threads": 2}
    b["invocations"][0]["conditions"] = {"load_1min": 1.6, "thread_variables": {}}
    assert differences(a, b) == [
        "codecs jpeg, png: lib 1.0 -> 2.0",
        "codec jpeg: libjpeg_turbo absent -> 3.1",
        "codec png: plugin source changed",
        "codec net: weights net.json only in A",
        "codec net: weights new.json only in B",
        "codec net: weights net.safetensors changed",
        "dataset mnist: other images: 8 images of 100 (seed 3, fingerprint pixels o) -> "
        "8 images of 100 (seed 5, fingerprint new)",
        "dataset stl10: only in A",
        "host aaaaaaaa -> bbbbbbbb",
        "cpu Test CPU -> Other CPU",
        "seed 3 -> 4",
        "thread variables OMP_NUM_THREADS=1 -> none set",
        "only B tells: governor, threads while timing, lib, numpy",
    ]


def test_codecs_of_one_run_and_several_commands(tmp_path: Path) -> None:
    a = manifest_of(tmp_path)
    b = json.loads(json.dumps(a))
    del b["codecs"]["png"]
    b["codecs"]["svd"] = b["codecs"]["net"]
    b["codecs"]["jpeg"]["fingerprint"] = "new"
    expected = [
        "codec jpeg: same source, libraries and weights; another codecbench, measuring code or device",
        "codec png: only in A",
        "codec svd: only in B",
    ]
    b["invocations"].append(b["invocations"][0])
    assert differences(a, b) == expected
    b["invocations"][1] = b["invocations"][0] | {"host": "bbbbbbbb"}  # all commands of a run are one set
    assert differences(a, b) == [*expected, "host aaaaaaaa -> aaaaaaaa and bbbbbbbb"]


# ---- thresholds and requests ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (["bits"], "fail-above='bits' is not KEY=VALUE; keys: bits, mse"),
        (["bit=1%"], "unknown key of a threshold 'bit'; did you mean 'bits'?"),
        (["bits=1"], "bits=1 is not allowed; allowed: per cent, for example 0.5%"),
        (["psnr_db=1%"], "psnr_db=1% is not allowed; allowed: a number of 0 or more without %"),
        *(([f"bits={text}%"], f"bits={text}% is not allowed") for text in ("-1", "nan", "")),
        (["bits=1%", "bits=2%"], "the threshold bits is given twice"),
    ],
)
def test_wrong_thresholds(texts: list[str], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        thresholds.read(texts)
    assert str(caught.value).startswith(message)


def test_wrong_requests(usual_folder: Path) -> None:
    store = RunFolder.existing(usual_folder)
    requests: list[tuple[dict[str, Any], str]] = [
        ({"dataset": "cifar"}, "unknown dataset of these runs 'cifar'; known: mnist"),
        ({"codecs": "d"}, "unknown codec of this run 'd'; known: exact, lossy, net"),
        ({"confidence": 95}, "confidence=95 is not allowed; allowed: above 0 and below 1"),
        ({"confidence": math.nan}, "confidence=nan is not allowed"),
        ({"fail_above": {"speed": 1.0}}, "unknown key of a threshold 'speed'"),
        ({"fail_above": {"bits": math.inf}}, "bits=inf is not allowed"),
    ]
    for options, message in requests:
        with pytest.raises(UsageError) as caught:
            compare(store, store, **options)
        assert str(caught.value).startswith(message)


def test_a_point_that_fails_or_vanishes_in_the_other_run_alone_fails_every_threshold(tmp_path: Path) -> None:
    a, b = made_up(tmp_path / "a"), MadeUpRun(tmp_path / "b", {LABEL: (28, 28, 1)}, ["c"])
    for run in (a, b):
        run.point(LABEL, "c", {"q": 2})
    for quality in (3, 4):
        a.point(LABEL, "c", {"q": quality})
    b.point(LABEL, "c", {"q": 4}, indices=range(5))
    b.failure(LABEL, "c", "ValueError: no luck", {"q": 1})
    found = compare(a.store, b.store, fail_above={"bits": 50.0})
    failed = f"c:q=1 on {LABEL}: failed in B: ValueError: no luck"
    missing = [f"c:q=3 on {LABEL}: 0 of 8 images in B", f"c:q=4 on {LABEL}: 5 of 8 images in B"]
    assert found.failures == [failed, *missing]
    assert compare(a.store, b.store, fail_above={"bits": 50.0}, allow_missing=True).failures == []
    assert compare(b.store, a.store, fail_above={"bits": 50.0}).failures == []


def test_thresholds_need_a_point_in_common(tmp_path: Path) -> None:
    a = made_up(tmp_path / "a").store
    b = MadeUpRun(tmp_path / "b", {LABEL: (28, 28, 1)}, ["c"])
    b.point(LABEL, "c", {"q": 2})
    with pytest.raises(UsageError, match=r"nothing to judge: .* have no point in common"):
        compare(a, b.store, fail_above={"bits": 1.0}, allow_missing=True)
    assert compare(a, b.store, fail_above={"bits": 1.0}).failures == ["c:q=1 on mnist: 0 of 8 images in B"]
    found = compare(a, b.store)
    assert (found.only_in_a, found.only_in_b) == (["c on mnist: q=1"], ["c on mnist: q=2"])


# ---- the command line, with real runs -------------------------------------------------------------------------------


def test_a_measured_run_against_itself(measured_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = str(measured_folder)
    assert main(["compare", run, run, "--fail-above", "bits=0%", "--fail-above", "encode_s=0%"]) == 0
    out = capsys.readouterr().out
    assert "What differs\n  nothing that the runs record" in out
    assert "identical at all" in out
    assert "Thresholds (bits=0 %, encode_s=0 %): 0 failures" in out


def test_an_edited_codec_is_found(
    tmp_path: Path, codec_folder: Path, in_process: None, capsys: pytest.CaptureFixture[str]
) -> None:
    write_codec(codec_folder, "mine", encode="image = image // 2 * 2")
    a = measure("mine:level=0/1,none", tmp_path / "a").path
    forget("mine")
    file = write_codec(codec_folder, "mine", encode="image = image // 8 * 8", decode="stream = stream[:-1]")
    source = file.read_text(encoding="utf-8").replace("return pack(image)", "return pack(image) + b'!'")
    file.write_text(source, encoding="utf-8")
    b = measure("mine:level=0/1,none", tmp_path / "b").path
    found = compare(RunFolder(a), RunFolder(b), codecs="mine")
    assert "codec mine: plugin source changed" in found.differences
    bits, mse, psnr = (row(found, name, "level=0") for name in ("bits", "mse", "psnr_db"))
    assert bits["difference"] == pytest.approx(100 / (28 * 28 + 3))
    assert [one["verdict"] for one in (bits, mse, psnr)] == ["worse"] * 3
    assert psnr["difference"] < 0 < mse["difference"]

    command = ["compare", str(a), str(b)]
    assert main(command) == 0
    assert "codec mine: plugin source changed" in capsys.readouterr().out
    assert main([*command, "--fail-above", "bits=0.1%"]) == 1
    out = capsys.readouterr().out
    assert "fails: mine:level=0 on digits: bits +0.127 %" in out
    assert "none" not in out.partition("Thresholds")[2]
    assert main([*command, "--fail-above", "bits=0.2%"]) == 0
    assert main([*command, "--fail-above", "bits=0.1%", "--codecs", "none"]) == 0
    assert main(["compare", str(b), str(a), "--fail-above", "bits=0%", "--fail-above", "psnr_db=0"]) == 0


def test_csv_and_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made_up(tmp_path / "a", mse=0.0)
    b = made_up(tmp_path / "b", num_bytes=[size + 5 for size in BYTES])
    timed(b)
    command = ["compare", str(tmp_path / "a"), str(tmp_path / "b"), "--fail-above", "bits=1%"]
    assert main([*command, "--csv"]) == 1
    captured = capsys.readouterr()
    rows = list(csv.DictReader(io.StringIO(captured.out)))
    assert tuple(rows[0]) == tuple(points.COLUMNS)
    assert {one["measure"] for one in rows} == {"bits", "mse", "ssim"}
    assert "fails: c:q=1 on mnist: bits" in captured.err
    assert main([*command, "--json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert found["failures"]
    assert [one["difference"] for one in found["rates"] if one["measure"] == "mse"] == [None]
    assert found["differences"] == []


def test_the_printed_table_is_no_wider_than_a_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    a, b = (usual_run(tmp_path / name) for name in "ab")
    for label in b.datasets:
        b.point(label, "lossy", {"quality": 10}, num_bytes=BYTES, mse=ERRORS)
    assert main(["compare", str(a.store.path), str(b.store.path)]) == 0
    out = capsys.readouterr().out
    table = [line.rstrip() for line in out.splitlines() if line.startswith(("  dataset", "  mnist", "  stl10"))]
    assert max(map(len, table)) <= 100
    assert len(table) > 4
    assert "2 of 10 points differ" in out


def test_wrong_commands_get_one_line(usual_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = str(usual_folder)
    for arguments, message in (
        (["absent", run], "no run at"),
        ([run], "missing argument 'B'"),
        ([run, run, "--csv", "--json"], "cannot be used together"),
        ([run, run, "--confidence", "2"], "confidence=2 is not allowed"),
    ):
        assert main(["compare", *arguments]) == 2
        captured = capsys.readouterr()
        assert captured.out == ""
        assert message in captured.err
        assert len(captured.err.strip().splitlines()) == 1
