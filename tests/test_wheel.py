"""A wheel built from the tree, installed into a folder of its own, works the same from anywhere."""

from __future__ import annotations

import tarfile
import zipfile
from pathlib import Path

import pytest
from hatchling.builders.wheel import WheelBuilder
from test_docs import CODEC_DOC, call, write_example

ROOT = Path(__file__).resolve().parents[1]


def content(wheel: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def listed_files() -> set[str]:
    """What Hatchling would put into a wheel of the tree, without building it."""
    builder = WheelBuilder(str(ROOT))
    with builder.config.set_build_data({"artifacts": [], "force_include": {}}):
        return {file.distribution_path for file in builder.recurse_included_files()}


def files(folder: str, pattern: str) -> set[str]:
    return {file.relative_to(ROOT).as_posix() for file in (ROOT / folder).rglob(pattern) if file.is_file()}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    """The wheel of the tree, beside its source archive; nothing is built in the repository."""
    folder = tmp_path_factory.mktemp("dist")
    call("-m", "hatchling", "build", "--directory", folder, cwd=ROOT)
    (file,) = folder.glob("*.whl")
    return file


@pytest.fixture(scope="module")
def site(wheel, tmp_path_factory) -> Path:
    """A folder with the wheel installed, to go before the packages of this process, from which dependencies come."""
    folder = tmp_path_factory.mktemp("site")
    pip = ("-m", "pip", "--disable-pip-version-check", "install", "--quiet", "--no-deps", "--no-index")
    call(*pip, "--target", folder, wheel, cwd=folder)
    return folder


def test_a_wheel_has_the_package_and_the_plugins_and_nothing_else():
    names = listed_files()
    for folder in ("codecs", "datasets", "metrics"):
        plugins = {f"codecbench/{name}" for name in files(folder, "*.py")}
        assert plugins
        listed = {name for name in names if name.startswith(f"codecbench/{folder}/") and name.endswith(".py")}
        assert listed == plugins | {f"codecbench/{folder}/__init__.py"}
    weights = set().union(*(files("codecs/weights", f"*.{kind}") for kind in ("safetensors", "json", "csv")))
    assert {f"codecbench/{name}" for name in weights} <= names
    folders = ("codecbench/plugins/templates", "codecbench/report/templates", "codecbench/report/static")
    assert files("codecbench", "*.py").union(*(files(folder, "*.*") for folder in folders)) <= names
    stubs = {f"codecbench/{folder}__init__.pyi" for folder in ("", "figures/", "learned/")}
    assert stubs | {"codecbench/py.typed", "codecbench/figures/house.mplstyle"} <= names
    assert {name.partition("/")[0] for name in names} == {"codecbench"}
    assert not [name for name in names if "__pycache__" in name or name.endswith((".pyc", ".tmp"))]


@pytest.mark.slow
def test_the_wheel_has_the_files_that_are_listed_and_the_source_archive_builds_the_same(wheel, tmp_path):
    assert {name for name in content(wheel) if ".dist-info/" not in name} == listed_files()
    (archive,) = wheel.parent.glob("*.tar.gz")
    with tarfile.open(archive) as tar:
        assert not [name for name in tar.getnames() if "/tests/" in name or "/results/" in name]
        tar.extractall(tmp_path, filter="data")
    (source,) = tmp_path.iterdir()
    call("-m", "hatchling", "build", "-t", "wheel", cwd=source)
    (again,) = (source / "dist").glob("*.whl")
    assert again.name == wheel.name
    assert content(again) == content(wheel)


@pytest.mark.slow
def test_the_installed_wheel_measures(site, tmp_path):
    """It is the one that runs, with a codec of the user's own beside the built-in ones, and with the weights."""
    where = call("-c", "import codecbench; print(codecbench.__file__)", cwd=tmp_path, PYTHONPATH=site)
    assert Path(where.strip()).is_relative_to(site)
    command = site / "bin" / "codecbench"
    names = call(command, "list", "--names", cwd=tmp_path, PYTHONPATH=site).split()
    assert names == sorted(file.stem for file in (ROOT / "codecs").glob("*.py") if not file.stem.startswith("_"))
    write_example(tmp_path / "my_codecs", CODEC_DOC, "quantised_zlib.py")
    codecs = ("--codecs", "jpeg,none,quantised_zlib:step=8", "--codec-dir", "my_codecs")
    options = ("--datasets", "digits", "--images", 5, "--no-timing")
    assert "report.html" in call(command, "run", *codecs, *options, cwd=tmp_path, PYTHONPATH=site)
    run = tmp_path / "results" / "digits-5"
    assert (run / "report.html").stat().st_size > 10_000
    lines = (run / "summary.csv").read_text(encoding="utf-8").splitlines()
    assert sum(line.startswith(("digits,jpeg,", "digits,none,", "digits,quantised_zlib,")) for line in lines) == 13
    weights = (site / "codecbench" / "codecs" / "weights").glob("*.safetensors")
    learned = sorted({file.stem.partition("-")[0] for file in weights})  # a codec may have several, NAME-VARIANT
    assert learned
    code = """
import sys
import numpy as np
from codecbench.plugins.registry import CODECS
for name in sys.argv[1:]:
    cls = CODECS.get(name)
    images = np.zeros((1, *(cls.image_shape or (9, 8, 3))), np.uint8)
    assert cls().decode(cls().encode(images)).shape == images.shape
"""
    call("-c", code, *learned, cwd=tmp_path, PYTHONPATH=site)
