"""Runs that are killed, interrupted, or started twice: what was measured stays, and no process is left over."""

import json
import os
import random
import re
import signal
import subprocess
import sys
import time

import psutil
import pytest
from measuring import measure, measured, parts
from plugins import use_folder, write_codec
from processes import INTERRUPTIBLE, is_running, role, wait_until

import codecbench as cb
from codecbench.errors import UsageError
from codecbench.measure.timing import ROUNDS
from codecbench.store.lock import hold

CODECS = "slow:level=0..7,none,jpeg:quality=5"
"""What is killed, over and over."""
KILLS = 20


class Command:
    """A codecbench command, or a Python script, in a process group of its own, as a terminal starts it."""

    def __init__(self, *arguments, codec_folder):
        environment = os.environ | {"CODECBENCH_CODEC_PATH": str(codec_folder), "PYTHONDONTWRITEBYTECODE": "1"}
        self.process = subprocess.Popen(
            [sys.executable, *arguments],
            env=environment,
            start_new_session=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.seen = {}

    @classmethod
    def run(cls, out, codecs, codec_folder, *options):
        common = ("--datasets", "digits", "--images", "2", "--workers", "2", "--out", str(out))
        return cls(*INTERRUPTIBLE[1:], "run", "--codecs", codecs, *common, *options, codec_folder=codec_folder)

    @classmethod
    def script(cls, out, codecs, codec_folder, **options):
        options = {"images": 3, "workers": 2, "timing": False} | options
        heeding = "import signal, sys, codecbench as cb\nsignal.signal(signal.SIGINT, signal.default_int_handler)"
        lines = f"{heeding}\nrun = cb.run({codecs!r}, 'digits', out={str(out)!r}, **{options!r})\n"
        return cls("-c", f"{lines}sys.exit(run.failed_tasks)", codec_folder=codec_folder)

    def family(self):
        """All processes below this one, by what they are for; they are remembered."""
        kinds = {"worker": [], "sandbox": []}
        try:
            family = psutil.Process(self.process.pid).children(recursive=True)
        except psutil.NoSuchProcess:
            return kinds
        for member in family:
            self.seen[member.pid] = member
            kinds.setdefault(role(member), []).append(member)
        return kinds

    def running(self):
        """The processes below this one that were seen and have not ended."""
        return [pid for pid, member in self.seen.items() if member.is_running() and is_running(pid)]

    def end(self):
        """Waits for the end; nothing that was seen may be left over. Gives the exit code, and both outputs."""
        out, err = self.process.communicate(timeout=120)
        wait_until(lambda: not self.running(), 20)
        return self.process.returncode, out, err

    def kill(self):
        self.family()
        self.process.kill()
        return self.end()


@pytest.fixture(scope="module")
def slow_codecs(tmp_path_factory):
    with use_folder(tmp_path_factory.mktemp("kills") / "plugins") as codec_folder:
        write_codec(codec_folder, "slow", "time.sleep(0.02)", "time.sleep(0.02)")
        write_codec(codec_folder, "stuck", decode="os.getpid() and time.sleep(1000)")
        yield codec_folder


@pytest.fixture(scope="module")
def whole(slow_codecs, tmp_path_factory):
    """An uninterrupted run, and how long its process took."""
    began = time.monotonic()
    command = Command.script(tmp_path_factory.mktemp("whole") / "run", CODECS, slow_codecs)
    assert command.end()[0] == 0
    return parts(tmp_path_factory.getbasetemp() / "whole0" / "run"), time.monotonic() - began


@pytest.mark.parametrize("seed", [pytest.param(n, marks=[pytest.mark.slow] * (n > 0)) for n in range(KILLS)])
def test_a_run_that_is_killed_at_any_moment_goes_on_to_the_same_rows(tmp_path, slow_codecs, whole, seed):
    expected, seconds = whole
    moment = random.Random(seed)
    victim = ("parent", "worker", "sandbox")[seed % 3]
    command = Command.script(tmp_path / "run", CODECS, slow_codecs)
    end = time.monotonic() + moment.uniform(0.05, 0.95) * seconds
    while time.monotonic() < end:
        command.family()
        time.sleep(0.01)
    candidates = command.family().get(victim, [])
    if victim == "parent":
        command.process.kill()
    elif candidates:
        moment.choice(candidates).kill()
    code, _, err = command.end()
    assert victim == "parent" or code == 0, err
    kept = len(list((tmp_path / "run" / "parts").glob("*.json")))
    events = []
    again = measure(CODECS, tmp_path / "run", images=3, workers=2, events=events)
    assert again.failed_tasks == 0
    assert parts(tmp_path / "run") == expected, "byte for byte"
    assert len(again.rows()) == 3 * len(expected)
    assert measured(events) == len(expected) - kept
    assert victim == "parent" or kept == len(expected)
    assert not list((tmp_path / "run").rglob("*.tmp"))


@pytest.mark.slow
def test_a_run_that_is_killed_while_it_takes_times_keeps_its_rounds(tmp_path, slow_codecs):
    codecs, folder = "jpeg:quality=5..60:5,none", tmp_path / "run" / "timings"
    measure(codecs, tmp_path / "run")
    command = Command.script(tmp_path / "run", codecs, slow_codecs, timing=True)
    wait_until(lambda: folder.is_dir() and sum(map(len, rounds(folder).values())) >= 16)
    command.kill()
    before = rounds(folder)
    assert 16 <= sum(map(len, before.values())) < 13 * ROUNDS, "in the middle"
    events = []
    run = measure(codecs, tmp_path / "run", timing=True, events=events)
    after = rounds(folder)
    assert {len(times) for times in after.values()} == {ROUNDS}
    assert len(after) == 13
    assert all(after[name][: len(times)] == times for name, times in before.items())
    steps = [event.done for event in events if event.kind == "timed"]
    assert steps[0] == sum(map(len, before.values()))
    assert (run.summary()["encode_s"] > 0).all()


def rounds(folder):
    """The wall times of encoding that lie in a folder of timings."""
    return {file.name: json.loads(file.read_text(encoding="utf-8"))["encode_s"] for file in folder.glob("*.json")}


# ---- Ctrl-C ---------------------------------------------------------------------------------------------------------


def interrupt(command, how):
    """Ctrl-C as a terminal sends it, or SIGTERM as a scheduler does; gives how long the command took to end."""
    command.family()
    began = time.monotonic()
    if how == "ctrl-c":
        os.killpg(command.process.pid, signal.SIGINT)
    else:
        command.process.send_signal(signal.SIGTERM)
    command.process.wait(10)  # the promise is 2 seconds; tests run on busy machines
    return time.monotonic() - began


@pytest.mark.parametrize(
    ("while_it", "how"),
    [
        ("measures", "ctrl-c"),
        pytest.param("measures", "sigterm", marks=pytest.mark.slow),
        pytest.param("times", "ctrl-c", marks=pytest.mark.slow),
        pytest.param("times", "sigterm", marks=pytest.mark.slow),
        pytest.param("hangs", "ctrl-c", marks=pytest.mark.slow),
        pytest.param("hangs", "sigterm", marks=pytest.mark.slow),
    ],
)
def test_an_interrupted_command_says_what_is_kept_and_how_to_go_on(tmp_path, slow_codecs, while_it, how):
    out = tmp_path / "run"
    if while_it == "measures":
        command = Command.run(out, "slow:level=0..60", slow_codecs, "--no-timing")
        wait_until(lambda: len(list((out / "parts").glob("*.json"))) >= 2)
    elif while_it == "times":
        command = Command.run(out, "jpeg:quality=5..95:2", slow_codecs)
        wait_until(lambda: len(list((out / "timings").glob("*.json"))) >= 2)
    else:
        command = Command.run(out, "none,stuck:level=0..3", slow_codecs, "--no-timing")
        wait_until(lambda: list((out / "parts").glob("*.json")) and len(command.family()["sandbox"]) >= 4)
    print(f"{how} while it {while_it}: ended after {interrupt(command, how):.2f} s")
    code, _, err = command.end()
    assert code == 130, err
    assert err.strip() == "interrupted; what was measured is kept, the same command goes on from there"
    kept = len(list((out / "parts").glob("*.json")))  # written last
    assert kept >= 1
    assert len(cb.load_run(out).rows()) == 2 * kept
    assert not list(out.rglob("*.tmp"))


@pytest.mark.slow
def test_ctrl_c_while_processes_start_is_no_tracebacks_either(tmp_path, slow_codecs):
    command = Command.run(tmp_path / "run", "slow:level=0..60", slow_codecs, "--no-timing")
    wait_until(lambda: command.family()["worker"])
    interrupt(command, "ctrl-c")
    code, _, err = command.end()
    assert (code, "Traceback" in err) == (130, False), err


@pytest.mark.parametrize("process_that", [pytest.param("encode", marks=pytest.mark.slow), "decode"])
def test_all_processes_end_with_a_parent_that_was_killed(tmp_path, codec_folder, process_that):
    line = "ctypes.PyDLL(None).sleep(1000)"  # with Python's lock held, so that nothing there can look around
    write_codec(codec_folder, "held", **{process_that: line}, extra="import ctypes\n")
    command = Command.script(tmp_path / "run", "held:level=0..3", codec_folder, workers=1)
    wait_until(lambda: len(command.family()["sandbox"]) == 2 and (tmp_path / "run" / "samples").is_dir())
    time.sleep(0.5)
    code, _, _ = command.kill()
    assert code == -signal.SIGKILL


# ---- two commands into one folder -----------------------------------------------------------------------------------


def test_the_second_of_two_commands_into_a_folder_is_told(tmp_path, slow_codecs):
    out = tmp_path / "run"
    first = Command.run(out, "slow:level=0..60", slow_codecs, "--no-timing")
    wait_until(lambda: list((out / "parts").glob("*.json")))
    second = Command.run(out, "none", slow_codecs, "--no-timing")
    code, _, err = second.end()
    assert code == 2
    assert re.fullmatch(r"error: another codecbench command measures into .*; wait .* or name another --out\n", err)
    first.kill()
    assert measure("none", out, images=2).failed_tasks == 0, "the lock has ended with its process"


@pytest.mark.slow
def test_commands_that_start_together_never_damage_the_folder(tmp_path, slow_codecs):
    for attempt in range(3):
        out = tmp_path / str(attempt)
        commands = [Command.script(out, name, slow_codecs, workers=1) for name in ("none", "slow:level=0/1")]
        ends = [command.end() for command in commands]
        assert 0 in [code for code, _, _ in ends]
        assert all(code == 0 or "another codecbench command measures into" in err for code, _, err in ends)
        manifest = json.loads((out / "run.json").read_text(encoding="utf-8"))
        assert len(manifest["invocations"]) == sum(code == 0 for code, _, _ in ends)
        assert measure("none,slow:level=0/1", out).failed_tasks == 0
        assert len(cb.load_run(out).rows()) == 9


def test_of_two_runs_of_one_process_into_a_folder_the_second_is_told(tmp_path):
    with hold(tmp_path / "run"), pytest.raises(UsageError, match="another codecbench command measures into"):
        measure("none", tmp_path / "run")
    assert len(measure("none", tmp_path / "run").rows()) == 3
