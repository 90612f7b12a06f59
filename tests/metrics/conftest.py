"""A folder of metrics of a test's own."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from plugins import temporary

from codecbench.plugins.registry import METRICS


@pytest.fixture
def put(tmp_path: Path) -> Iterator[Callable[[str, str], Path]]:
    """Writes a metric, whose body is given, into a folder that is registered for one test."""
    folder = tmp_path / "metrics"
    folder.mkdir()

    def write(name: str, body: str, options: str = 'title="Mine", better="lower"') -> Path:
        head = f"import os, numpy as np, codecbench as cb\n@cb.register_metric({options})\n"
        file = folder / f"{name}.py"
        body = textwrap.indent(body, "    ")
        file.write_text(f"{head}def mine(original, decoded):\n{body}", encoding="utf-8")
        return file

    with temporary(METRICS, folder):
        yield write
