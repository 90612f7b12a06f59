"""The table of columns: complete, and told without docstrings."""

from __future__ import annotations

import subprocess
import sys

from codecbench.columns import MEANINGS, RESERVED, ROWS, SUMMARY


def test_every_column_has_a_type_and_a_meaning() -> None:
    for column in [*ROWS.values(), *SUMMARY.values()]:
        assert column.kind
        assert column.meaning
        assert column.better in ("", "higher", "lower")
        assert column.name in RESERVED


def test_headings_have_their_meanings_without_docstrings() -> None:
    script = "from codecbench.report import ranked; print(ranked.MEANINGS['bits_per_pixel'])"
    done = subprocess.run([sys.executable, "-OO", "-c", script], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == MEANINGS["bits_per_pixel"]
