"""Codecs that misbehave cost their own tasks only: real plugins that raise, exit, crash, hang, litter and lie.

Each stands in one run with codecs that do nothing wrong; the tests look at what the run folder has of each.
"""

import dataclasses
import json
import re

import psutil
import pytest
from measuring import measure, parts
from plugins import use_folder, write_codec
from processes import is_running, role, wait_until

from codecbench.measure.timing import ROUNDS
from codecbench.store.folder import RunFolder

GOOD = "none,jpeg:quality=5"
EXTRA = """
import ctypes, threading

SEEN = []

class Bytes(bytes):
    pass

class Array(np.ndarray):
    pass

class Strange:
    def __bool__(self):
        return False

class Unprintable(Exception):
    def __init__(self, one, two):
        self.lock = threading.Lock()
    def __str__(self):
        raise RuntimeError("not even this")

def crash():
    ctypes.string_at(0)

def hold_everything():
    ctypes.PyDLL(None).sleep(1000)  # unlike CDLL, with Python's lock held

def hoard():
    kept = []
    for _ in range(60):  # at most 3 GB, should nobody stop it
        kept.append(np.ones(50_000_000, np.uint8))
        time.sleep(0.02)

def detach():
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            os.write(OPENED, b'%d ' % os.getpid())
            time.sleep(1000)
        os._exit(0)
    os.wait()

def fork_and_die(code):
    if os.fork() == 0:
        time.sleep(1000)
    os._exit(code)
"""


@dataclasses.dataclass
class Fault:
    """A codec that fails, and what is to be recorded of it."""

    reason: str
    encode: str = "pass"
    decode: str = "pass"
    lossless: str = "False"
    details: str = ""


FAILING = {
    "raises": Fault("ValueError: no <luck>", "print('so far'); raise ValueError('no <luck>')", details="so far"),
    "raises_back": Fault("BitstreamError: cut", decode="raise cb.BitstreamError('cut')", details="Traceback"),
    "exits": Fault("SystemExit: 3", "raise SystemExit(3)"),
    "leaves": Fault("encoding process died with exit code 7", "print('last words'); os._exit(7)", details="last words"),
    "kills_back": Fault("decoding process died of SIGKILL", decode="os.kill(os.getpid(), 9)"),
    "crashes": Fault("encoding process died of SIGSEGV", "crash()", details="Segmentation fault.*in crash"),
    "forks": Fault("encoding process died with exit code 5", "fork_and_die(5)"),
    "detaches": Fault("decoding process died with exit code 6", decode="detach(); os._exit(6)"),
    "stops": Fault("decoding process was stopped by a signal", decode="os.kill(os.getpid(), signal.SIGSTOP)"),
    "closes_all": Fault("decoding process", decode="os.closerange(3, 64)"),
    "asks": Fault("EOFError", "input('which? ')", details="which?"),
    "unprintable": Fault("Unprintable", "raise Unprintable(1, 2)", details="Unprintable"),
    "unpicklable": Fault("no plain data", lossless="(lambda: True)"),
    "strange": Fault("no plain data", lossless="Strange()"),
    "remembers": Fault("IndexError", "SEEN.append(image)", "return SEEN[0]"),
    "hoards": Fault("more than the limit of 500 MiB (--memory-limit)", "print('hungry'); hoard()", details="hungry"),
}
CONTRACT = {
    "text": Fault("a list of str", "return 'text'"),
    "bytes_like": Fault("a list of Bytes", "return Bytes(pack(image))"),
    "cuts": Fault("3×27×28×1 instead of 3×28×28×1", decode="return unpack(stream)[1:]"),
    "floats": Fault("uint8", decode="return unpack(stream).astype(float)"),
    "liar": Fault("claims to be lossless, but 3 of 3 images differ", decode="return unpack(stream) ^ 1", lossless="1"),
    "spoils": Fault("read-only", "image[...] = 0"),
    "surrogate": Fault(r"OSError: no file \udcff", r"raise OSError('no file \udcff')"),
}
"""What a codec gives is looked at, wherever it runs."""
WILD = """
import codecbench as cb
import numpy as np
from dataclasses import dataclass

@cb.register_codec
@dataclass(frozen=True)
class Wild(cb.FloatCodec):
    def encode(self, images):
        return [bytes(image.shape) for image in images]

    def decode_float(self, streams):
        return np.full((len(streams), *streams[0]), np.nan)
"""
STUCK = {
    "sleeps": Fault("encoding process gave no answer for 1 s (--task-timeout)", "time.sleep(1000)"),
    "holds": Fault("encoding process gave no answer for 1 s (--task-timeout)", "hold_everything()"),
}
LITTERING = {
    "plain": {},
    "chatters": {
        "encode": "print('x' * 1_000_000); os.write(1, os.urandom(1_500_000)); os.write(2, bytes(1_500_000))",
        "decode": "sys.stderr.write('é' * 500_000); os.write(1, b'no answer')",
    },
    "reads": {"encode": "assert sys.stdin.read() == '' == sys.stdin.readline()", "decode": "assert not os.read(0, 9)"},
    "threads": {"encode": "threading.Thread(target=time.sleep, args=(1000,)).start()"},
    "detaches_well": {"encode": "detach()", "decode": "detach()"},
    "deaf": {
        "encode": "[signal.signal(s, signal.SIG_IGN) for s in (signal.SIGTERM, signal.SIGHUP, signal.SIGPIPE)]",
        "decode": "signal.signal(signal.SIGINT, signal.default_int_handler); signal.signal(signal.SIGCHLD, print)",
    },
    "moves": {
        "encode": "os.environ.clear(); os.chdir('/'); sys.path.clear()",
        "decode": "os.chdir('/'); os.umask(63)",
    },
    "closes": {"encode": "os.closerange(0, 3)", "decode": "os.closerange(0, 3)"},
    "subclass": {"decode": "return unpack(stream).view(Array)"},
    "numpy_bool": {"lossless": "np.bool_(True)"},
}
SWEEP = """
    @classmethod
    def encode_sweep(cls, images, points, device="cpu"):
        for point in points:
            if point["level"] == 2:
                os._exit(1)
            yield cls(**point).encode(images)
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("faults")


@pytest.fixture(scope="module")
def faulty(folder):
    """All of these codecs registered."""
    opened = "\nOPENED = os.open({!r}, os.O_CREAT | os.O_RDWR | os.O_APPEND)\n"  # before the codec is watched
    pids, flag, mark = (opened.format(str(folder / name)) for name in ("pids", "flag", "mark"))
    with use_folder(folder / "plugins") as codec_folder:
        for name, fault in (FAILING | STUCK).items():
            write_codec(codec_folder, name, fault.encode, fault.decode, fault.lossless, EXTRA + pids)
        for name, lines in LITTERING.items():
            write_codec(codec_folder, name, **lines, extra=EXTRA + pids)
        once = "if not os.fstat(OPENED).st_size: print('first'); os.write(OPENED, b'x'); "
        write_codec(codec_folder, "sweeps", "self.level == 3 and os._exit(2)", extra=SWEEP)
        write_codec(codec_folder, "moody", once + "os._exit(9)", extra=flag)
        write_codec(codec_folder, "moody_back", decode=once + "raise OSError('too early')", extra=mark)
        yield codec_folder


@pytest.fixture(scope="module")
def alone(folder):
    """A run of the codecs that do nothing wrong, without the others."""
    return measure(GOOD, folder / "alone")


@pytest.fixture(scope="module")
def run(faulty, folder):
    """A run of everything that fails quickly or only litters, with its events."""
    events = []
    names = [*FAILING, "sweeps:level=0..4", "none", *LITTERING, "moody", "moody_back", "jpeg:quality=5"]
    return measure(",".join(names), folder / "run", workers=2, events=events, memory_limit=500 << 20), events


@pytest.fixture(scope="module")
def stuck(faulty, folder):
    """A run of what hangs."""
    events = []
    codecs = f"{','.join(STUCK)},{GOOD}"
    return measure(codecs, folder / "stuck", workers=2, events=events, task_timeout_s=1), events


def record_of(run, name):
    (found,) = [record for record in RunFolder(run.path).tasks() if record.codec == name]
    return found


def parts_of(run, *names):
    """What lies in the parts of some codecs, by the identity of their task."""
    found = {record.task_id for record in RunFolder(run.path).tasks() if record.codec in names and not record.failed}
    return {task: content for task, content in parts(run.path).items() if task in found}


def check(run, events, name, fault):
    record = record_of(run, name)
    assert fault.reason in record.failed
    assert record.attempts == 2
    assert re.search(fault.details, record.details, re.DOTALL), record.details
    assert [event.text for event in events if event.kind == "failed" and event.codec.partition(":")[0] == name] == [
        record.failed
    ]
    row = run.summary().set_index("codec").loc[name]
    assert (row["images"], row["failed"]) == (0, 3)
    assert fault.reason in row["reason"]


@pytest.mark.parametrize("name", FAILING)
def test_a_codec_that_fails_is_tried_twice_and_recorded_with_the_reason(run, name):
    check(*run, name, FAILING[name])


def test_a_codec_that_gives_something_else_than_it_must(tmp_path, codec_folder, in_process):
    for name, fault in CONTRACT.items():
        write_codec(codec_folder, name, fault.encode, fault.decode, fault.lossless, EXTRA)
    (codec_folder / "wild.py").write_text(WILD)
    events = []
    run = measure(",".join([*CONTRACT, "wild"]), tmp_path / "run", events=events)
    for name, fault in CONTRACT.items():
        check(run, events, name, fault)
    check(run, events, "wild", Fault("not finite"))


@pytest.mark.parametrize("name", STUCK)
def test_a_codec_that_hangs_is_ended(stuck, name):
    check(*stuck, name, STUCK[name])


@pytest.mark.parametrize("name", [name for name in LITTERING if name != "plain"])
def test_a_codec_that_only_litters_is_measured(run, name):
    record = record_of(run[0], name)
    assert (record.failed, record.first_attempt) == ("", "")
    rows = run[0].rows().drop(columns=["lossless", "settings"]).set_index(["codec", "image"])
    assert rows.loc[name].equals(rows.loc["plain"])


@pytest.mark.parametrize("made", ["run", "stuck"])
def test_the_rows_of_all_others_are_the_same_as_alone(request, alone, made):
    run, events = request.getfixturevalue(made)
    expected = parts(alone.path)
    assert len(expected) == 2
    assert parts_of(run, "none", "jpeg") == expected, "byte for byte"
    failing = [*FAILING, "sweeps:level=3"] if made == "run" else STUCK
    assert run.failed_tasks == len(failing) == sum(event.kind == "failed" for event in events)


def test_a_codec_that_fails_once_is_measured_and_the_first_failure_told(run):
    done, events = run
    first = {
        "moody": "the encoding process died with exit code 9",
        "moody_back": r"OSError: too early \(decoding image \d of a batch by itself\)",
    }
    for name, pattern in first.items():
        why = record_of(done, name).first_attempt
        assert re.fullmatch(pattern, why)
        assert record_of(done, name).failed == ""
        assert f"{name}:level=0 on digits needed a second try: {why}" in [event.text for event in events]
        assert (done.rows()["codec"] == name).sum() == 3


def test_what_a_codec_started_ends_with_its_process(run, folder):
    pids = [int(text) for text in (folder / "pids").read_text().split()]
    assert len(pids) == 3 + 3 + 1 + 2, "one an image, also alone, and one an attempt of the codec that fails"
    wait_until(lambda: not any(is_running(pid) for pid in pids))
    assert "sandbox" not in map(role, psutil.Process().children(recursive=True))


def test_one_bad_point_of_a_codec_that_shares_work_costs_the_others_nothing(run):
    summary = run[0].summary().query("codec == 'sweeps'").set_index("settings")
    assert summary["images"].to_dict() == {"level=0": 3, "level=1": 3, "level=2": 3, "level=4": 3, "level=3": 0}
    assert summary.loc["level=3", "reason"] == "the encoding process died with exit code 2"


def test_a_failed_task_is_tried_again_and_its_failure_forgotten_when_it_works(tmp_path, codec_folder, in_process):
    flag = tmp_path / "flag"
    write_codec(codec_folder, "waits", encode=f"assert os.path.exists({str(flag)!r}), 'not yet'")
    assert measure("waits", tmp_path / "run").failed_tasks == 1
    flag.touch()
    run = measure("waits", tmp_path / "run")
    assert run.failed_tasks == 0
    assert run.summary().loc[0, ["images", "failed"]].tolist() == [3, 0]


# ---- while being timed ----------------------------------------------------------------------------------------------

TIMED = {
    "late": ("ValueError: not now", "raise ValueError('not now')"),
    "shot": ("decoding process died of SIGKILL", "os.kill(os.getpid(), 9)"),
    "dozes": ("decoding process gave no answer for 1 s (--task-timeout)", "time.sleep(1000)"),
}


def test_a_codec_that_fails_while_it_is_timed_keeps_its_rows_and_costs_nobody_elses_times(tmp_path, codec_folder):
    measured, failed = tmp_path / "measured", tmp_path / "failed"
    once = f"os.path.exists({str(failed)!r}) or (open({str(failed)!r}, 'w'), os._exit(1))"
    lines = {name: line for name, (_, line) in TIMED.items()} | {"sulky": once}
    for name, line in lines.items():
        counted = f"calls.append(1); len(calls) > 20 and os.path.exists({str(measured)!r}) and act()"
        write_codec(codec_folder, name, decode=counted, extra=f"\ncalls = []\ndef act():\n    {line}\n")
    fine = ["sulky", "none", "jpeg"]
    codecs = f"{','.join(lines)},{GOOD}"
    measure(codecs, tmp_path / "run", workers=2)
    measured.touch()
    events, again = [], []
    run = measure(codecs, tmp_path / "run", timing=True, task_timeout_s=1, events=events)
    assert failed.exists()
    assert run.failed_tasks == len(TIMED)
    assert len(run.rows()) == 3 * len([*TIMED, *fine])
    summary = run.summary().set_index("codec")
    assert summary.loc[list(TIMED), "encode_s"].isna().all()
    assert (summary.loc[fine, ["encode_s", "decode_s"]] > 0).all(axis=None)
    told = {event.codec.partition(":")[0]: event.text for event in events if event.kind == "failed"}
    for name, (reason, _) in TIMED.items():
        assert reason in told[name]
        (record,) = timing_files(run, [name]).values()
        assert reason in record["failed"]
    kept = timing_files(run, fine)
    assert [len(record["encode_s"]) for record in kept.values()] == [ROUNDS] * len(fine)
    measured.unlink()
    assert measure(codecs, tmp_path / "run", timing=True, events=again).failed_tasks == 0
    steps = [event for event in again if event.kind == "timed"]
    assert {event.codec.partition(":")[0] for event in steps} - {""} == set(TIMED), "the missing ones only"
    assert steps[-1].done - steps[0].done == ROUNDS * len(TIMED)
    assert timing_files(run, fine) == kept
    assert (run.summary()["encode_s"] > 0).all()


def timing_files(run, names):
    files = {file.name: json.loads(file.read_text(encoding="utf-8")) for file in (run.path / "timings").iterdir()}
    return {name: record for name, record in files.items() if record["codec"] in names}
