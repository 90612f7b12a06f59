"""Run folders that somebody else made, or damaged: read, named, or refused, and nothing outside is touched."""

import hashlib
import json
import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pages import figures_as_stubs
from runs import usual_run

from codecbench.cli.main import main
from codecbench.store.folder import RunFolder
from codecbench.store.lock import DIRECTORIES

ODD: list[Any] = [
    -1,
    10**30,
    1e308,
    -0.5,
    float("nan"),
    "",
    "\x1b]0;x\x07",
    None,
    True,
    [],
    {},
    [[]],
    {"a": 1},
    "x" * 999,
]


def damage_json(content: bytes, chance: random.Random) -> bytes:
    """Some value anywhere in a JSON file is another one, or gone; or the whole is nested deeply."""
    if chance.random() < 0.05:
        return b"[" * 100_000
    whole = at = json.loads(content)
    while True:
        keys = list(at) if isinstance(at, dict) else list(range(len(at)))
        if not keys:
            break
        key = chance.choice(keys)
        if isinstance(at[key], dict | list) and at[key] and chance.random() < 0.8:
            at = at[key]
            continue
        if chance.random() < 0.2:
            del at[key]
        else:
            at[key] = chance.choice(ODD)
        break
    return json.dumps(whole).encode()


def damage_rows(file: Path, chance: random.Random) -> None:
    """Rows with other columns, types, lengths or values, under a right checksum."""
    table = pq.read_table(file)
    name = chance.choice(table.column_names)
    place = table.column_names.index(name)
    others: list[Callable[[], pa.Table]] = [
        lambda: table.drop_columns([name]),
        lambda: table.set_column(place, name, pa.array(["x"] * len(table))),
        lambda: table.set_column(place, name, pa.array([-1] * len(table))),
        lambda: table.set_column(place, name, pa.array([None] * len(table), table.schema.field(name).type)),
        lambda: table.append_column("more", pa.array([[1]] * len(table))),
        lambda: pa.concat_tables([table, table]),
        lambda: table.slice(0, 0),
    ]
    pq.write_table(chance.choice(others)(), file)
    record = file.with_suffix(".json")
    content = json.loads(record.read_bytes())
    content |= {"sha256": hashlib.sha256(file.read_bytes()).hexdigest(), "num_bytes": file.stat().st_size}
    record.write_text(json.dumps(content), encoding="utf-8")


def damage_arrays(file: Path, chance: random.Random) -> None:
    with np.load(file) as archive:
        arrays = {name: archive[name] for name in archive.files}
    name = chance.choice(list(arrays))
    shapes = [
        np.zeros((0,)),
        np.zeros((3, 3)),
        np.zeros((2, 2, 2, 2), np.uint8),
        np.array("x"),
        np.full((4, 4, 3), np.nan),
    ]
    arrays[name] = chance.choice(shapes)
    np.savez(file, **arrays)


def damage(run: Path, outside: Path, chance: random.Random) -> str:
    """Damages one thing in a run folder; says what."""
    file = chance.choice([entry for entry in sorted(run.rglob("*")) if entry.is_file()])
    how = chance.choice(["content", "content", "content", "cut", "link", "pipe", "folder"])
    if how == "cut":
        file.write_bytes(file.read_bytes()[: chance.randrange(50)])
    elif how == "link":
        entry = chance.choice([file, *(run / name for name in DIRECTORIES)])
        shutil.rmtree(entry) if entry.is_dir() else entry.unlink(missing_ok=True)
        entry.symlink_to(outside / ("kept" if chance.random() < 0.8 else "nothing"))
    elif how in ("pipe", "folder"):
        file.unlink()
        os.mkfifo(file) if how == "pipe" else file.mkdir()
    elif file.suffix == ".json":
        file.write_bytes(damage_json(file.read_bytes(), chance))
    elif file.suffix == ".parquet":
        damage_rows(file, chance)
    elif file.suffix == ".npz":
        damage_arrays(file, chance)
    else:
        file.write_bytes(file.read_bytes().replace(b"1", chance.choice([b"x", b"-", b"1e999", b"\xff"])))
    return f"{how} of {file.relative_to(run)}"


def everything(folder: Path) -> dict[str, bytes]:
    return {str(file): file.read_bytes() for file in sorted(folder.rglob("*")) if file.is_file()}


def survives(seeds: range, whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    outside = tmp_path / "outside"
    for name in ("kept", "kept/parts"):
        (outside / name).mkdir(parents=True)
    (outside / "kept" / "rate-distortion.svg").write_text("somebody's")
    (outside / "kept" / f"{'0' * 24}.json").write_text("{}")
    before = everything(outside)
    run = tmp_path / "run"
    for seed in seeds:
        shutil.rmtree(run, ignore_errors=True)
        shutil.copytree(whole, run)
        what = f"seed {seed}: {damage(run, outside, random.Random(seed))}"
        commands = [["show", str(run)], ["compare", str(whole), str(run)], ["match", str(run), "--at", "psnr_db=30"]]
        for command in [*commands, *([["report", str(run)]] if seed % 8 == 0 else [])]:
            try:
                code = main(command)
            except Exception as error:
                raise AssertionError(f"{what}: {' '.join(command[:1])}") from error
            shown = capsys.readouterr()
            assert code in (0, 1, 2), what
            assert "Traceback" not in shown.err, what
            assert not {"\x1b", "\x07"} & set(shown.out + shown.err), what
        assert everything(outside) == before, what


@pytest.fixture
def whole(tmp_path: Path) -> Path:
    path: Path = usual_run(tmp_path / "whole").store.path
    with figures_as_stubs():
        assert main(["report", str(path)]) == 0
    return path


def test_few_foreign_folders(whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with figures_as_stubs():
        survives(range(8, 16), whole, tmp_path, capsys)


@pytest.mark.parametrize("kind", ["link", "pipe", "folder"])
@pytest.mark.parametrize("place", ["parts/*.json", "parts/*.parquet", "samples/*.npz"])
def test_what_is_no_file_of_the_run_is_set_aside_unread(
    kind: str, place: str, usual_folder: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    shutil.copytree(usual_folder, run)
    file = min(file for file in run.glob(place) if "original" not in file.name)
    there = file.rename(tmp_path / file.name)
    makes: dict[str, Callable[[], object]] = {
        "link": lambda: file.symlink_to(there),
        "pipe": lambda: os.mkfifo(file),
        "folder": file.mkdir,
    }
    makes[kind]()
    store = RunFolder(run)
    assert file.stem not in {task.task_id for task, _ in store.tables()} or file.suffix == ".npz"
    assert store.sample_indices(file.name) == set()
    assert store.reconstructions_of(file.stem) == {} or file.suffix != ".npz"
    assert not os.path.lexists(file)
    assert os.path.lexists(f"{file}.damaged")
    assert there.is_file(), "it is not the run's"


@pytest.mark.slow
def test_many_foreign_folders(whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with figures_as_stubs():
        survives(range(1_000, 1_250), whole, tmp_path, capsys)
