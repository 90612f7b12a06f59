"""Fixtures that several test folders share."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def data_root() -> Path:
    """The data root with MNIST and STL-10; tests that need it carry ``@pytest.mark.real_data``."""
    folder = os.environ.get("CODECBENCH_DATA")
    if not folder:
        pytest.skip("CODECBENCH_DATA is not set: no real data")
    return Path(folder)
