"""Disks that are full, rows and timings that are damaged, run folders of other versions."""

import errno
import json
import subprocess
import sys
from pathlib import Path

import pytest
from measuring import MEASURED, measure, measured, sorted_rows
from runs import usual_run

import codecbench as cb
from codecbench.cli.main import main
from codecbench.errors import StoreError, UsageError
from codecbench.measure.timing import ROUNDS
from codecbench.report.context import Context
from codecbench.store.folder import RunFolder
from codecbench.store.lock import LOCK, OWN
from codecbench.store.manifest import SCHEMA, empty
from codecbench.store.timings import TimingRecord

FOLDERS = ("parts", "timings")
FEW = "none,jpeg:quality=5/95"
FULL = "error: no space left to write {}; what was measured is kept, make room and run the same command again"
LIMITED = """
import resource, sys
from codecbench.cli.main import main
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]), resource.RLIM_INFINITY))
sys.exit(main(sys.argv[2:]))
"""


def run_into(out, limit=None):
    """Runs the command; with a limit, no process of it can write a file of more bytes."""
    start = ["-m", "codecbench"] if limit is None else ["-c", LIMITED, str(limit)]
    few = ["--datasets", "digits", "--images", "400", "--keep-images", "6", "--workers", "1", "--no-timing"]
    command = [sys.executable, *start, "run", *few, "--codecs", FEW, "--out", str(out)]
    return subprocess.run(command, capture_output=True, text=True, timeout=300)


def full_file(stderr):
    """The file for which there was no room, from the one line that says so."""
    (line,) = [line for line in stderr.splitlines() if line.startswith("error: ")]
    before, after = FULL.split("{}")
    assert line.startswith(before)
    assert line.endswith(after)
    return Path(line.removeprefix(before).removesuffix(after))


@pytest.mark.parametrize(("folder", "tasks", "times"), [("parts", 1, 0), ("timings", 3, 1)])
def test_a_command_that_finds_no_room_says_so_and_goes_on_where_it_stopped(
    tmp_path, in_process, monkeypatch, capsys, folder, tasks, times
):
    out, write = tmp_path / "run", Path.write_bytes

    def full(self, content):
        if self.parent.name == folder and len(list(self.parent.glob("*.json"))) == 1:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(self, content)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", full)
        assert main(["run", "--codecs", FEW, "--datasets", "digits", "--images", "3", "--out", str(out)]) == 1
    assert full_file(capsys.readouterr().err).parent == out / folder
    assert not list(out.rglob("*.tmp"))
    assert len(cb.load_run(out).rows()) == 3 * tasks
    kept = rounds(out)
    assert len(kept) == times
    events = []
    again = measure(FEW, out, timing=bool(times), events=events)
    assert len(again.rows()) == 9
    assert measured(events) == 3 - tasks
    assert all(rounds(out)[name][: len(taken)] == taken for name, taken in kept.items())
    assert [len(taken) for taken in rounds(out).values()] == [ROUNDS] * 3 * times


def rounds(out):
    return {file.name: json.loads(file.read_text())["encode_s"] for file in (out / "timings").glob("*.json")}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("limit", "where", "tasks"),
    [(10_000, "parts", 1), (2_000, "", 0), (30_000, "figures", 3)],
    ids=["a part", "run.json", "a figure"],
)
def test_a_file_that_finds_no_room_ends_the_command_with_one_line(tmp_path, limit, where, tasks):
    out = tmp_path / "run"
    done = run_into(out, limit)
    assert full_file(done.stderr).parent == out / where
    assert (done.returncode, done.stderr.strip().count("\n")) == (1, 0)
    assert len(list((out / "parts").glob("*.json"))) == tasks
    assert not list(out.rglob("*.tmp"))
    again = run_into(out)
    assert again.returncode == 0, again.stderr
    assert (out / "report.html").is_file()
    assert len(cb.load_run(out).rows()) == 3 * 400


def test_what_killed_commands_left_is_removed_and_by_a_fresh_run_all_that_codecbench_wrote(tmp_path):
    folder = usual_run(tmp_path / "run").store.path
    left = [folder / "parts" / "abc.parquet.4711.tmp", folder / "run.json.00c0ffee.tmp"]  # by killed commands
    for file in left:
        file.write_bytes(b"half")
    RunFolder.for_writing(folder)
    assert not any(file.exists() for file in left)
    for name in (name for name in OWN if not (folder / name).exists()):
        (folder / name).touch() if "." in name else (folder / name).mkdir()
    (folder / "mine.txt").write_text("kept")
    store = RunFolder.for_writing(folder, fresh=True)
    assert {entry.name for entry in folder.iterdir()} == {"mine.txt", LOCK}
    assert store.manifest == empty()


# ---- damaged files --------------------------------------------------------------------------------------------------


@pytest.fixture
def finished(measured_folder, copied):
    """A run folder of five tasks of four images, of a test's own."""
    return copied(measured_folder)


def altered(file, without="", **values):
    record = json.loads(file.read_text(encoding="utf-8")) | values
    record.pop(without, None)
    file.write_text(json.dumps(record), encoding="utf-8")


def flip(file):
    content = file.read_bytes()
    file.write_bytes(content[:50] + bytes([content[50] ^ 255]) + content[51:])


DAMAGE = {
    "truncated": lambda rows, record: rows.write_bytes(rows.read_bytes()[:-10]),
    "altered": lambda rows, record: flip(rows),
    "gone": lambda rows, record: rows.unlink(),
    "no JSON": lambda rows, record: record.write_text("{", encoding="utf-8"),
    "another's": lambda rows, record: altered(record, task_id="0" * 24),
    "no length": lambda rows, record: altered(record, without="num_bytes"),
    "no reason": lambda rows, record: altered(record, without="failed"),
    "a wrong type": lambda rows, record: altered(record, shape="28x28", codec=["none"]),
    "no checksum": lambda rows, record: altered(record, sha256=None),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_damaged_rows_are_named_and_set_aside(finished, damage):
    part = sorted((finished / "parts").glob("*.parquet"))[0]
    content = {file.suffix: file.read_bytes() for file in (part, part.with_suffix(".json"))}
    DAMAGE[damage](part, part.with_suffix(".json"))
    run = cb.load_run(finished)
    assert len(run.rows()) == 16, "the damaged rows do not count"
    store = RunFolder(finished)
    aside = store.damaged()
    assert aside
    assert {name.partition(".")[0] for name in aside} == {part.stem}
    assert all((finished / "parts" / name).is_file() for name in aside), "nothing is thrown away"
    assert part.stem not in store.finished(), "so they are measured again"
    for suffix, original in content.items():
        part.with_suffix(suffix).write_bytes(original)
    assert store.damaged() == [], "what was measured again is no longer missing"
    assert len(run.rows()) == 20


def test_damaged_rows_are_measured_again(finished, in_process):
    whole = sorted_rows(cb.load_run(finished))
    first, second = sorted((finished / "parts").glob("*.parquet"))[:2]
    flip(first)
    cb.load_run(finished).rows()
    second.write_bytes(second.read_bytes()[:-1])  # found by the command itself
    events = []
    again = measure(MEASURED, finished, images=4, events=events)
    assert measured(events) == 2
    aside = {file.name for file in (finished / "parts").glob("*.damaged")}
    assert {name.partition(".")[0] for name in aside} == {first.stem, second.stem}
    notes = {event.text for event in events if event.text.startswith("damaged")}
    assert notes == {f"damaged and set aside: {finished / 'parts' / name}" for name in aside}
    assert sorted_rows(again).equals(whole)


def test_a_report_of_damaged_files_is_drawn_without_them_and_says_so(finished):
    record, times = (sorted((finished / folder).glob("*.json"))[index] for index, folder in enumerate(FOLDERS))
    altered(record, shape="28x28", codec=["none"])
    altered(times, encode_s="quick")
    notes = Context(RunFolder(finished)).notes
    (damaged,) = [note for note in notes if note.title == "Damaged"]
    assert f"found damaged and set aside ({record.stem})" in damaged.lines[0]


def test_files_of_others_among_the_records_are_left_alone(finished, in_process):
    for folder in FOLDERS:
        (finished / folder / "notes.json").write_text('{"mine": 1}', encoding="utf-8")
        (finished / folder / "table.parquet").write_bytes(b"mine")
        (finished / folder / "copy.json.tmp").write_bytes(b"mine")
        (finished / folder / "folder.json").mkdir()
    run = measure("none", finished, images=4)
    assert len(run.rows()) == 24
    assert len(run.summary()) == 6
    assert RunFolder(finished).damaged() == []
    for folder in FOLDERS:
        assert (finished / folder / "notes.json").read_text(encoding="utf-8") == '{"mine": 1}'
        assert (finished / folder / "table.parquet").read_bytes() == b"mine"
        assert (finished / folder / "copy.json.tmp").exists()


TIMES = {
    "other content": lambda file: file.write_text('{"mine": 1}', encoding="utf-8"),
    "no times": lambda file: altered(file, without="encode_s"),
    "times that are text": lambda file: altered(file, encode_s="quick", decode_s=["slow"] * ROUNDS),
    "a number as text": lambda file: altered(file, images="3", cold_encode_s="2"),
}


@pytest.mark.parametrize("damage", TIMES)
def test_damaged_times_are_named_and_set_aside(finished, damage):
    file, *others = sorted((finished / "timings").glob("*.json"))
    TIMES[damage](file)
    assert cb.load_run(finished).summary()["encode_s"].notna().sum() == len(others) == 4
    assert RunFolder(finished).damaged(TimingRecord) == [f"{file.name}.damaged"]


def test_damaged_times_are_taken_again(finished):
    file, *others = sorted((finished / "timings").glob("*.json"))
    kept = [other.read_bytes() for other in others]
    altered(file, without="encode_s")
    cb.load_run(finished).summary()
    events = []
    again = measure(MEASURED, finished, images=4, timing=True, events=events)
    assert f"damaged and set aside: {file}.damaged" in [event.text for event in events]
    steps = [event.done for event in events if event.kind == "timed"]
    assert steps[-1] - steps[0] == ROUNDS
    assert [other.read_bytes() for other in others] == kept
    assert (again.summary()["encode_s"] > 0).all()


# ---- other versions -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        (SCHEMA + 1, f"was written by a newer codecbench (schema {SCHEMA + 1}, known {SCHEMA})"),
        (SCHEMA - 1, f"an older codecbench (schema {SCHEMA - 1}, known {SCHEMA}); measure again with --fresh"),
    ],
    ids=["newer", "older"],
)
def test_a_run_of_another_version_is_refused_in_one_line(tmp_path, capsys, schema, words):
    folder = usual_run(tmp_path / "run").store.path
    altered(folder / "run.json", schema=schema)
    content = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    for arguments in (["report"], ["show"], ["run", "--codecs", "none", "--datasets", "digits", "--out"]):
        assert main([*arguments, str(folder)]) == 1
        (line,) = capsys.readouterr().err.strip().splitlines()
        assert words in line
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file() and path.name != ".lock"} == content


def test_a_damaged_manifest_is_said(tmp_path):
    folder = usual_run(tmp_path / "run").store.path
    for damaged in ("{", "{}", "[]", "", f'{{"schema": {SCHEMA}}}'):
        (folder / "run.json").write_text(damaged, encoding="utf-8")
        with pytest.raises(StoreError, match="damaged"):
            cb.load_run(folder)
    with pytest.raises(UsageError, match="no run at"):
        cb.load_run(folder / "nowhere")
