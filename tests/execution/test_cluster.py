"""Runs on a real Dask scheduler with real workers on loopback, started by the commands of ``docs/cluster.md``."""

from __future__ import annotations

import json
import os
import re
import runpy
import shlex
import signal
import socket
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
from measuring import measure, parts
from plugins import write_codec
from processes import INTERRUPTIBLE, is_running, role, wait_until

from codecbench.errors import ClusterError, UsageError
from codecbench.execution import cluster, cluster_worker
from codecbench.execution.limits import WorkerLimits

distributed = pytest.importorskip("distributed", reason="distributed is not installed (codecbench[cluster])")

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "cluster.md"
FAST = {
    "DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": "0",
    "DASK_LOGGING__DISTRIBUTED": "critical",
    "OMP_NUM_THREADS": "1",
}


def commands():
    """The commands of the page, one a line, without its comments."""
    block = PAGE.read_text(encoding="utf-8").partition("<!-- commands -->")[2]
    lines = re.search(r"^```sh\n(.*?)^```$", block, re.MULTILINE | re.DOTALL)[1].splitlines()
    return [line.partition("  #")[0].strip() for line in lines]


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Nodes:
    """A scheduler and workers in processes of their own."""

    def __init__(self, folder, lines):
        self.folder, self.port = folder, free_port()
        self.address = f"tcp://127.0.0.1:{self.port}"
        self.processes = []
        self.environment = {key: value for key, value in os.environ.items() if not key.startswith("CODECBENCH_")} | FAST
        for line in lines:
            self.start(line)

    def start(self, line, cwd=None, **environment):
        line = line.replace("$HOST", "127.0.0.1").replace("$PORT", str(self.port)).removesuffix("&")
        program, kind, *arguments = shlex.split(line)
        assert program == "dask"
        extra = ["--no-dashboard"] + (["--local-directory", str(self.folder)] if kind == "worker" else [])
        self.processes.append(
            subprocess.Popen(
                [sys.executable, "-m", f"distributed.cli.dask_{kind}", *arguments, *extra],
                env=self.environment | environment,
                cwd=cwd or self.folder,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
        )
        return self.processes[-1]

    def wait_for(self, count):
        with distributed.Client(self.address, timeout=30, set_as_default=False) as client:
            client.wait_for_workers(count, timeout=60)

    def workers(self):
        """The processes that work, by their nannies."""
        found = []
        for process in self.processes[1:]:
            found += [child for child in psutil.Process(process.pid).children() if role(child) == "worker"]
        return found

    def sandboxes(self):
        """Processes below the workers that run a codec's code."""
        below = [child for process in self.processes for child in psutil.Process(process.pid).children(recursive=True)]
        return [child for child in below if role(child) == "sandbox"]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for process in reversed(self.processes):
            process.send_signal(signal.SIGTERM)
        for process in reversed(self.processes):
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


@pytest.fixture(scope="module")
def nodes(tmp_path_factory):
    """The scheduler and the three workers of the page."""
    lines = [line for line in commands() if line.startswith("dask ")]
    assert len(lines) == 4
    with Nodes(tmp_path_factory.mktemp("dask"), lines) as running:
        running.wait_for(3)
        yield running


def measure_on(scheduler, codecs, out, **options):
    """Without ``workers``, which are the scheduler's affair."""
    return measure(codecs, out, scheduler=scheduler, workers=None, **options)


def invocation(run):
    """What ``run.json`` has of the last command."""
    return json.loads((run.path / "run.json").read_text(encoding="utf-8"))["invocations"][-1]


def notes(events):
    return [event.text for event in events if event.kind == "note"]


def test_rows_are_the_bytes_of_a_local_run_and_times_are_of_one_machine(tmp_path, nodes):
    events = []
    codecs = "jpeg:quality=20/80,none"
    here = measure(codecs, tmp_path / "here")
    there = measure_on(nodes.address, codecs, tmp_path / "there", events=events, timing=True)
    assert parts(here.path) == parts(there.path)
    assert len(parts(there.path)) == 3
    assert not there.failed_tasks
    done = [(event.kind, event.done, event.total) for event in events if event.total]
    assert {("measured", 3, 3), ("timed", 15, 15)} <= set(done)
    record = invocation(there)["cluster"]
    (host,) = record["hosts"]
    assert (record["scheduler"], record["workers"], record["threads"]) == ("tcp", 3, 6)
    assert record["hosts"][host]["machine"]["cores"] >= 1
    assert record["hosts"][host]["timing"] is True
    manifest = (there.path / "run.json").read_text(encoding="utf-8")
    assert "127.0.0.1" not in manifest
    assert socket.gethostname() not in manifest
    timings = [json.loads(file.read_text(encoding="utf-8")) for file in (there.path / "timings").iterdir()]
    assert len(timings) == 3
    assert {timing["host"] for timing in timings} == {host}
    assert all(len(timing["encode_s"]) == len(timing["decode_s"]) == 5 for timing in timings)
    wait_until(lambda: not nodes.sandboxes())  # nothing is left when a run has ended
    again = []
    measure_on(nodes.address, codecs, tmp_path / "there", events=again, timing=True)
    assert "nothing to measure: all 3 tasks are there" in notes(again)


@pytest.mark.slow
def test_a_worker_killed_while_all_write_into_a_shared_folder_costs_nothing_but_time(tmp_path, nodes, codec_folder):
    write_codec(codec_folder, "slow", encode="time.sleep(0.1)")
    points = "slow:level=0..11,svd:rank=3/5"  # the last two are one job
    killed = []

    def watch(event):
        if event.kind == "measured" and event.done >= 2 and not killed:
            victim = max(nodes.workers(), key=lambda worker: len(worker.children()))
            hosts = [child for child in victim.children() if role(child) == "sandbox"]
            assert hosts
            os.kill(victim.pid, signal.SIGKILL)
            killed.extend([victim, *hosts])

    there = measure_on(nodes.address, points, tmp_path / "there", shared_out=True, watch=watch)
    assert len(killed) > 1
    wait_until(lambda: not any(is_running(process.pid) for process in killed))  # its hosts end with it
    here = measure(points, tmp_path / "here", workers=2)
    assert not there.failed_tasks
    assert parts(here.path) == parts(there.path)
    assert len(parts(there.path)) == 14
    assert invocation(there)["cluster"]["results"] == "shared"
    assert not list(there.path.glob("*.tmp"))
    nodes.wait_for(3)


@pytest.mark.slow
def test_a_job_that_always_kills_its_worker_is_a_failure_and_no_hang(tmp_path, nodes, codec_folder):
    write_codec(codec_folder, "deadly", encode="self.level == 1 and os.kill(os.getppid(), 9)")
    events = []
    run = measure_on(nodes.address, "deadly:level=0..2,none", tmp_path / "run", events=events)
    assert run.failed_tasks == 1
    (failure,) = [event for event in events if event.kind == "failed"]
    assert (failure.codec, failure.text) == (
        "deadly:level=1",
        "the worker process died (killed, stopped, or out of memory), twice",
    )
    assert len(parts(run.path)) == 3
    nodes.wait_for(3)


def test_a_folder_that_is_not_the_callers_is_refused(tmp_path):
    out = tmp_path / "out"
    limits = WorkerLimits(tmp_path, out, "cpu", threads=1)
    request = cluster_worker.WorkerRequest("run", limits, "", (), {}, ())

    def problems(request=request):
        return list(cluster_worker.folder_problems(request))

    assert problems() == [f"the run folder {out} is not there (--shared-out)"]
    out.mkdir()
    (out / request.token).write_text("another", encoding="utf-8")
    assert problems() == [f"{out} is another folder there (--shared-out)"]
    (out / request.token).write_text("run", encoding="utf-8")
    assert problems() == problems(replace(request, limits=replace(limits, folder=None))) == []


def test_a_worker_with_other_versions_is_refused_by_name(tmp_path, nodes, monkeypatch):
    real = cluster_worker.describe
    monkeypatch.setattr(cluster_worker, "describe", lambda *about: real(*about) | {"jpeg: pillow": "1.0"})
    with pytest.raises(ClusterError) as error:
        measure_on(nodes.address, "jpeg:quality=20", tmp_path / "run")
    version = real(["jpeg"], "cpu")["jpeg: pillow"]
    what = f"jpeg: pillow is {version} there, 1.0 here (and 2 more workers)"
    assert re.fullmatch(rf"worker tcp://127.0.0.1:\d+ differs from here: {re.escape(what)}", str(error.value))


def test_differences_name_what_a_fingerprint_is_made_of():
    here = {"numpy": "2", "jpeg: pillow": "12", "jpeg: fingerprint": "a", "svd: fingerprint": "b"}
    assert cluster_worker.differences(here, here) == []
    there = here | {"jpeg: pillow": "11", "jpeg: fingerprint": "c"}
    assert cluster_worker.differences(there, here) == ["jpeg: pillow is 11 there, 12 here"]
    there = here | {"svd: fingerprint": "c"}
    assert cluster_worker.differences(there, here) == ["svd: fingerprint is c there, b here"]


@pytest.mark.slow
def test_a_worker_that_joins_later_helps_or_is_refused(tmp_path, codec_folder, monkeypatch):
    from PIL import Image

    write_codec(codec_folder, "slow", encode="time.sleep(1)")
    for name, gray in (("one", 10), ("two", 20)):
        (tmp_path / name / "pictures").mkdir(parents=True)
        Image.new("L", (16, 16), gray).save(tmp_path / name / "pictures" / "one.png")
    monkeypatch.chdir(tmp_path / "one")
    join = "dask worker tcp://$HOST:$PORT --nthreads 1"
    slots, events, joined = [], [], []
    real = cluster.ClusterEngine.submit

    def submit(self, slot, function, *arguments):
        slots.append(slot)
        return real(self, slot, function, *arguments)

    def watch(event):
        events.append(event)
        if event.kind == "measured" and event.done == 1 and not joined:
            joined.extend([alone.start(join, tmp_path / "two"), alone.start(join, tmp_path / "one")])

    monkeypatch.setattr(cluster.ClusterEngine, "submit", submit)
    with Nodes(tmp_path / "one", ["dask scheduler --host $HOST --port $PORT"]) as alone:
        alone.start(join, tmp_path / "one")
        points, out = "slow:level=0..14", tmp_path / "run"
        run = measure_on(alone.address, points, out, datasets="folder:pictures", images=1, watch=watch)
    refusal = r"worker tcp://\S+ differs from here: other images of folder:pictures under \S+; it gets no jobs"
    assert any(re.fullmatch(refusal, note) for note in notes(events)), notes(events)
    assert not run.failed_tasks
    assert len(parts(run.path)) == 15
    assert set(slots) == {0, 1}


@pytest.mark.slow
def test_times_are_not_taken_without_a_worker_for_them_and_no_worker_is_an_error(tmp_path, monkeypatch):
    events = []
    with Nodes(tmp_path, ["dask scheduler --host $HOST --port $PORT"]) as few:
        monkeypatch.setattr(cluster, "WORKERS_S", 1.0)
        with pytest.raises(ClusterError, match=rf"no worker at {few.address}; start some with `dask worker"):
            measure_on(few.address, "none", tmp_path / "none", events=events)
        assert f"no worker at {few.address} yet; waiting for one, up to 1 s" in notes(events)
        monkeypatch.setattr(cluster, "WORKERS_S", 60.0)
        few.start("dask worker tcp://$HOST:$PORT --nthreads 1")
        run = measure_on(few.address, "none", tmp_path / "run", events=events, timing=True)
    (note,) = [note for note in notes(events) if note.startswith("times are not taken")]
    assert f"dask worker {few.address} --nthreads 1 --resources timing=1" in note
    assert len(parts(run.path)) == 1
    assert not (run.path / "timings").exists()
    assert invocation(run)["timing_threads"] is None


@pytest.mark.slow
def test_a_scheduler_that_goes_away_ends_the_run_with_a_word(tmp_path, codec_folder):
    write_codec(codec_folder, "slow", encode="time.sleep(0.5)")
    lines = ["dask scheduler --host $HOST --port $PORT", "dask worker tcp://$HOST:$PORT --nthreads 1"]

    def watch(event):
        if event.kind == "measured" and event.done == 1:
            doomed.processes[0].kill()

    with (
        Nodes(tmp_path, lines) as doomed,
        pytest.raises(ClusterError, match=r"the scheduler at \S+ is gone; what was measured is kept"),
    ):
        measure_on(doomed.address, "slow:level=0..9", tmp_path / "run", images=1, watch=watch)
    run = measure("slow:level=0..9", tmp_path / "run", images=1, workers=2)
    assert len(parts(run.path)) == 10


def test_no_scheduler_and_something_else_at_its_port(tmp_path, monkeypatch):
    monkeypatch.setattr(cluster, "CONNECT_S", 1.0)
    address = f"tcp://127.0.0.1:{free_port()}"
    with pytest.raises(ClusterError, match=f"no Dask scheduler answers at {address} within 1 s"):
        measure_on(address, "none", tmp_path / "run")
    with socket.socket() as mute:
        mute.bind(("127.0.0.1", 0))
        mute.listen()
        address = f"tcp://127.0.0.1:{mute.getsockname()[1]}"
        with pytest.raises(ClusterError, match=rf"{address} (does not answer as a Dask scheduler|within 1 s)"):
            measure_on(address, "none", tmp_path / "run")


def test_requests_that_cannot_be_carried_out(tmp_path, monkeypatch):
    with pytest.raises(UsageError, match="scheduler=nowhere is not allowed; allowed: local, tcp://HOST:PORT"):
        measure_on("nowhere", "none", tmp_path / "run")
    with pytest.raises(UsageError, match="workers=2 counts processes of this machine"):
        measure("none", tmp_path / "run", scheduler="tcp://127.0.0.1:1", workers=2)
    for option in ({"shared_out": True}, {"worker_data_dir": "/data"}):
        with pytest.raises(UsageError, match="is for a cluster's workers; name its scheduler"):
            measure("none", tmp_path / "run", **option)
    monkeypatch.setattr(cluster.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match=re.escape("a run on a cluster needs Dask: pip install 'codecbench[cluster]'")):
        measure_on("local", "none", tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_the_pages_command_and_ctrl_c(tmp_path, nodes, codec_folder):
    (line,) = [line for line in commands() if line.startswith("codecbench ")]
    line = line.replace("$HOST", "127.0.0.1").replace("$PORT", str(nodes.port))
    arguments = shlex.split(line)[1:]
    place = {"cwd": tmp_path, "env": nodes.environment, "text": True}
    command = [sys.executable, "-m", "codecbench", *arguments, "--no-timing"]
    done = subprocess.run(command, capture_output=True, check=False, **place)
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "results" / "cluster" / "report.html").is_file()

    write_codec(codec_folder, "slow", encode="time.sleep(30 if self.level else 0)")
    options = "--codecs slow:level=0..9 --datasets digits --images 1 --out run --no-timing --scheduler"
    command = [*INTERRUPTIBLE, "run", *options.split(), nodes.address, "--codec-dir", str(codec_folder)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, **place)
    wait_until(lambda: list((tmp_path / "run" / "parts").glob("*.json")), 60)
    time.sleep(1)  # another task is under way
    process.send_signal(signal.SIGINT)
    _, error = process.communicate(timeout=30)
    assert process.returncode == 130
    assert error == "interrupted; what was measured is kept, the same command goes on from there\n"
    wait_until(lambda: not nodes.sandboxes())  # also those that would have slept on
    assert len(list((tmp_path / "run" / "parts").glob("*.json"))) == 1


@pytest.mark.slow
def test_a_cluster_of_this_machine(tmp_path):
    script = tmp_path / "script.py"  # without a guard, which the worker processes must not need
    script.write_text(
        "import codecbench as cb\n"
        "run = cb.run('jpeg:quality=20/80', 'digits', images=3, out='there', scheduler='local', workers=2)\n"
        "print(len(run.rows()))\n",
        encoding="utf-8",
    )
    environment = os.environ | {"TMPDIR": str(tmp_path)}  # else it waits for whoever takes times on this machine
    done = subprocess.run(
        [sys.executable, script], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "6\n", "")
    here = measure("jpeg:quality=20/80", tmp_path / "here")
    assert parts(here.path) == parts(tmp_path / "there")
    assert len(list((tmp_path / "there" / "timings").iterdir())) == 2


@pytest.mark.usefixtures("in_process")
def test_the_sum_of_the_page(tmp_path):
    script = runpy.run_path(str(ROOT / "docs" / "cluster_sum.py"))
    run = measure("none,jpeg:quality=20", tmp_path / "run", images=10)
    found = script["figures"](run.path, ROOT / "results" / "reference")
    stored = sum(file.stat().st_size for file in (run.path / "parts").iterdir())
    assert found["row_bytes"] == stored / 20
    assert found["harness_s"] > 0
    text = script["table"]({"row_bytes": 30.0, "harness_s": 0.0002, "codec_s": 0.0016})
    for expected in ("2,000,000,000", "1,000,000 |", "60 GB", "1.80 ms", "1,000 core hours", "16 hours"):
        assert expected in text
    page = PAGE.read_text(encoding="utf-8").partition("<!-- sum -->")[2].partition("<!-- /sum -->")[0]
    shape = re.sub(r"[\d,.]+", "#", page.strip())
    assert shape == re.sub(r"[\d,.]+", "#", text.strip())
