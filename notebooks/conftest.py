"""The tests execute the notebooks on small settings, without storing what comes out: see the Makefile's `notebooks`."""

from __future__ import annotations

import os
from collections.abc import Generator

import pytest

VARIABLE = "CODECBENCH_NOTEBOOK"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Notebooks take half a minute and more each; tests/test_notebooks.py has quick checks of their names."""
    for item in items:
        if item.path.suffix == ".ipynb":
            item.add_marker(pytest.mark.slow)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Sets the variable for the kernel of a notebook below this folder, and for nothing else."""
    before = os.environ.get(VARIABLE)
    os.environ[VARIABLE] = "small"
    try:
        return (yield)
    finally:
        if before is None:
            del os.environ[VARIABLE]
        else:
            os.environ[VARIABLE] = before
