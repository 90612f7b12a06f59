"""Worker processes as an engine: what comes back, what a death costs, and what is left when a run is broken off."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import Future

import pytest

from codecbench.errors import StoreError
from codecbench.execution.engines import LocalEngine, QueuedJob, drain, interruptible, run_stage


def fail(words):
    raise StoreError(words)


def die(flag):
    """Ends its process, but for the third time."""
    with flag.open("a") as file:
        file.write(".")
    if flag.stat().st_size < 3:
        os._exit(1)
    return "alive"


def go(jobs, slots=2):
    """What a stage of jobs gives: results and deaths, by name."""
    done, died = {}, []
    queued = [QueuedJob(name, kind, function, arguments) for name, kind, function, arguments in jobs]
    with LocalEngine(slots, 1) as engine:
        run_stage(engine, queued, done.__setitem__, died.append)
    return done, died


def test_a_slot_does_the_jobs_of_one_kind_in_their_order_in_one_process():
    jobs = [((kind, number), kind, os.getpid, ()) for number in range(3) for kind in "ab"]
    done, died = go(jobs, slots=1)
    assert died == []
    assert list(done) == sorted(done), "a kind is done before the next one begins"
    assert len(set(done.values())) == 1


def test_what_a_plugin_prints_in_a_worker_steers_no_terminal(capfd):
    go([("say", "a", print, ("\x1b]0;title\x07\u202e",))])
    assert capfd.readouterr().out == "\\x1b]0;title\\x07\\u202e\n"


class AtOnce:
    """An engine whose jobs are done when they are queued, so that many are found done at the same time."""

    slots = 40

    def submit(self, slot, function, *arguments):
        future = Future()
        future.set_result(function(*arguments))
        return future


def test_jobs_that_are_found_done_at_the_same_time_are_finished_in_their_order():
    jobs, finished = [QueuedJob(number, "a", abs, (number,)) for number in range(80)], []
    assert drain(jobs, AtOnce(), lambda name, _: finished.append(name)) == []
    assert finished == list(range(80))


def test_a_job_whose_worker_dies_is_tried_once_more_and_alone(tmp_path):
    twice, thrice = tmp_path / "twice", tmp_path / "thrice"
    thrice.write_text("..")
    stops = ("stops", "c", signal.raise_signal, (signal.SIGSTOP,))
    done, died = go(
        [("dies", "a", die, (twice,)), ("works", "a", os.getppid, ()), ("late", "b", die, (thrice,)), stops]
    )
    assert sorted(died) == ["dies", "stops"]
    assert done == {"works": os.getpid(), "late": "alive"}
    assert twice.read_text() == ".."


def test_what_a_job_raises_ends_the_stage_and_says_where_it_was_raised():
    with pytest.raises(StoreError, match="no room") as raised:
        go([("fails", "a", fail, ("no room",)), ("waits", "b", time.sleep, (1000,))])
    assert "in fail" in raised.value.__notes__[0]


def threads():
    return os.environ["RAYON_NUM_THREADS"], "numpy" in sys.modules


def test_libraries_with_threads_are_imported_after_their_number_is_set():
    assert go([("says", "a", threads, ())]) == ({"says": ("1", False)}, [])


def test_ctrl_c_is_held_back_from_a_worker_before_its_first_line():
    """Else Python itself is interrupted while it starts, with a traceback; the first worker starts a helper as well."""
    script = (
        "import signal\n"
        "from codecbench.execution.engines import LocalEngine\n"
        "with LocalEngine(2, 1) as engine:\n"
        "    masks = [engine.submit(n, signal.pthread_sigmask, signal.SIG_BLOCK, []).result() for n in range(2)]\n"
        "print([signal.SIGINT in mask for mask in masks])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "[True, True]\n"


def broken_off():
    """An engine that is left by Ctrl-C: its processes, and what became of their calls."""
    pids, calls = [], []
    with contextlib.suppress(KeyboardInterrupt), LocalEngine(2, 1) as engine:
        pids += [engine.submit(slot, os.getpid).result() for slot in range(2)]
        calls += [engine.submit(slot, time.sleep, 1000) for slot in (0, 0, 1)]
        raise KeyboardInterrupt
    return pids, calls


@pytest.mark.parametrize("attempt", range(3))
def test_an_engine_that_is_broken_off_leaves_no_process_and_no_thread_behind(attempt):
    """A thread that reads from a pipe that is closed meanwhile would write a traceback after the last message."""
    before = set(threading.enumerate())
    pids, calls = broken_off()
    assert set(threading.enumerate()) <= before
    assert all(call.done() for call in calls)
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


class InterruptedWhileDeleted:
    """Ctrl-C that comes while Python runs a finaliser, which drops every exception."""

    def __del__(self):
        signal.raise_signal(signal.SIGINT)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_an_interrupt_that_python_drops_still_ends_the_stage():
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with interruptible():
            InterruptedWhileDeleted()
            with pytest.raises(KeyboardInterrupt):
                go([("works", "a", os.getpid, ())])
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, before)
