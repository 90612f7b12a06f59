"""Benchmarks run on small inputs in the slow tests, and in full with ``pytest tests/benchmarks --benchmark-enable``."""

from __future__ import annotations

from pathlib import Path

import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks this folder's tests as slow."""
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent):
            item.add_marker(pytest.mark.slow)
