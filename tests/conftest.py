"""Fixtures that several test folders share."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from plugins import put_on_shelf


@pytest.fixture
def shelf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder of plugins that is on the codec shelf for one test."""
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    with put_on_shelf(tmp_path / "shelf") as folder:
        yield folder


@pytest.fixture(scope="session")
def data_root() -> Path:
    """The data root with MNIST and STL-10; tests that need it carry ``@pytest.mark.real_data``."""
    folder = os.environ.get("CODECBENCH_DATA")
    if not folder:
        pytest.skip("CODECBENCH_DATA is not set: no real data")
    return Path(folder)
