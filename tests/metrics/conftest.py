"""A codec_folder of metrics of a test's own."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import codecbench.metrics
from codecbench.plugins import registry
from codecbench.plugins.registry import METRICS


@pytest.fixture
def put(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str, str], Path]]:
    """Writes a metric, whose body is given, into a folder that is registered for one test."""
    folder = tmp_path / "metrics"
    folder.mkdir()
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    monkeypatch.setenv("CODECBENCH_METRIC_PATH", "")
    before = list(codecbench.metrics.__path__)
    METRICS.add_folder(folder)

    def write(name: str, body: str, options: str = 'title="Mine", better="lower"') -> Path:
        head = (
            f"import os, numpy as np, codecbench as cb\n@cb.register_metric({options})\ndef mine(original, decoded):\n"
        )
        file = folder / f"{name}.py"
        file.write_text(head + textwrap.indent(body, "    "), encoding="utf-8")
        return file

    yield write
    codecbench.metrics.__path__[:] = before
    for name in [name for name in sys.modules if name.startswith("codecbench.metrics.")]:
        if not hasattr(sys.modules[name], "__file__") or str(folder) in str(sys.modules[name].__file__):
            del sys.modules[name]
            registry._registered.pop(name, None)
