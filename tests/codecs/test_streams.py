"""Streams that were made to do harm: those that once did, and many altered ones."""

from __future__ import annotations

from pathlib import Path

import fuzz
import pytest

import codecbench as cb

FOLDER = Path(__file__).parents[1] / "fixtures" / "streams"


@pytest.mark.parametrize("file", sorted(FOLDER.glob("*.bin")), ids=lambda file: file.stem)
def test_streams_that_ended_the_process_are_refused(file):
    name = file.name.partition("_")[0]
    with pytest.raises(cb.BitstreamError, match=f"^{name}: ") as refusal:
        cb.open_codec(name).decode([file.read_bytes()])
    assert "\n" not in str(refusal.value)


@pytest.mark.slow
def test_ten_thousand_altered_streams(tmp_path, capsys):
    assert fuzz.main("10000", "1", str(tmp_path)) == 0, capsys.readouterr().out
