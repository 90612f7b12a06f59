"""The table of columns: complete, told without docstrings; and one value for each name of a constant."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import codecbench
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


def test_constants_of_one_name_are_one_number() -> None:
    found: dict[str, set[float]] = {}
    for file in Path(codecbench.__file__).parent.rglob("*.py"):
        for node in ast.parse(file.read_bytes()).body:
            if isinstance(node, ast.Assign) and isinstance(getattr(node.value, "value", None), float):
                found.setdefault(ast.unparse(node.targets[0]), set()).add(ast.literal_eval(node.value))
    assert len(found) > 10
    assert {name for name, values in found.items() if len(values) > 1} == set()
