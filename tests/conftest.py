"""Fixtures that several test folders share, and run folders that are made once for the whole test run.

``usual_folder``, ``drawn_folder`` and ``measured_folder`` are for reading only; a test that changes a run takes
``copied(folder)``. Under pytest-xdist all processes share them.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING
from unittest import mock

import pytest
from filelock import FileLock
from in_process import in_this_process
from measuring import MEASURED, measure
from plugins import use_folder
from runs import usual_run

import codecbench as cb

if TYPE_CHECKING:
    from playwright.sync_api import Browser

CHROMIUM = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
CHROMIUM_FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


@pytest.fixture
def codec_folder(tmp_path: Path) -> Iterator[Path]:
    """A folder of plugins that is among the codecs for one test."""
    with use_folder(tmp_path / "plugins") as folder:
        yield folder


@pytest.fixture(scope="session")
def data_root() -> Path:
    """The data root with MNIST and STL-10; tests that need it carry ``@pytest.mark.real_data``."""
    folder = os.environ.get("CODECBENCH_DATA")
    if not folder:
        pytest.skip("CODECBENCH_DATA is not set: no real data")
    return Path(folder)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Headless Chromium, driven by Playwright; without one the test is skipped."""
    path = next((found for name in CHROMIUM if (found := shutil.which(name))), None)
    if path is None:
        pytest.skip("no Chromium here (Debian: apt-get install chromium), so pages are not opened")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=path, args=list(CHROMIUM_FLAGS))
        yield started
        started.close()


def made_once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], object]) -> Path:
    """A folder that ``make`` fills once for the whole test run, also where several processes share the tests."""
    base = factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "shared" / name
    folder.parent.mkdir(exist_ok=True)
    finished = folder.with_name(f"{name}.finished")
    with FileLock(f"{folder}.lock"):
        if not finished.exists():
            make(folder)
            finished.touch()
    return folder


@pytest.fixture(scope="session")
def usual_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The made-up run of ``runs.usual_run``, without a report: no codec ran. For reading only."""
    return made_once(tmp_path_factory, "usual", usual_run)


@pytest.fixture(scope="session")
def drawn_folder(tmp_path_factory: pytest.TempPathFactory, usual_folder: Path) -> Path:
    """The same run with its report: ``summary.csv``, ``figures/``, ``report.html`` and ``report.md``. Reading only."""

    def draw(folder: Path) -> None:
        shutil.copytree(usual_folder, folder)
        cb.load_run(folder).report()

    return made_once(tmp_path_factory, "drawn", draw)


@pytest.fixture(scope="session")
def measured_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that was really measured: JPEG, PNG and DEFLATE on 4 digits, with times, sets and pictures. Reading only.

    It is what ``measure(MEASURED, folder, images=4, timing=True)`` gives; no codec of it needs PyTorch.
    """
    return made_once(tmp_path_factory, "measured", lambda folder: measure(MEASURED, folder, images=4, timing=True))


@pytest.fixture
def copied(tmp_path: Path) -> Callable[[Path], Path]:
    """Copies a shared run folder for a test that changes it: ``copied(folder)`` gives the copy's path."""

    def copy(folder: Path) -> Path:
        return Path(shutil.copytree(folder, tmp_path / folder.name))

    return copy


@pytest.fixture(scope="session", autouse=True)
def _own_temporary_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Timings wait until no other process of this machine and user takes some; tests run at once wait for none."""
    folder = str(tmp_path_factory.mktemp("temporary"))
    with mock.patch.dict(os.environ, {"TMPDIR": folder}), mock.patch.object(tempfile, "tempdir", folder):
        yield


@pytest.fixture
def in_process() -> Iterator[None]:
    """Runs of this test measure in this process, see ``in_this_process``."""
    with in_this_process():
        yield
