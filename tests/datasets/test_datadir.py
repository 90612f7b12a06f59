from __future__ import annotations

from pathlib import Path

import pytest

from codecbench.data import data_root as find_data_root


def test_the_option_wins_over_the_variable_over_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CODECBENCH_DATA", str(tmp_path / "variable"))
    assert find_data_root(tmp_path / "option") == tmp_path / "option"
    assert find_data_root() == tmp_path / "variable"
    monkeypatch.delenv("CODECBENCH_DATA")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert find_data_root(None).name == "codecbench"


def test_nothing_is_created_and_the_home_folder_is_understood(tmp_path: Path) -> None:
    assert not find_data_root(tmp_path / "no").exists()
    assert find_data_root("~/data") == Path.home() / "data"
