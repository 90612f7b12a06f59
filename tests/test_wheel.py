"""A wheel built from the tree, installed into an environment of its own, works the same from any folder."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from pathlib import Path

import pytest
from hatchling.builders.wheel import WheelBuilder
from test_docs import CODEC_DOC, write_example

ROOT = Path(__file__).resolve().parents[1]


def call(*command: object, cwd: Path) -> str:
    """Runs a command without what this process's environment says about Python and codecbench."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "CODECBENCH_"))}
    done = subprocess.run(
        [str(part) for part in command], cwd=cwd, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def content(wheel: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def listed_files() -> set[str]:
    """What Hatchling would put into a wheel of the tree, without building it."""
    builder = WheelBuilder(str(ROOT))
    with builder.config.set_build_data({"artifacts": [], "force_include": {}}):
        return {file.distribution_path for file in builder.recurse_included_files()}


def files(folder: Path, pattern: str) -> set[str]:
    return {file.relative_to(ROOT).as_posix() for file in (ROOT / folder).rglob(pattern) if file.is_file()}


@pytest.fixture(scope="module")
def tree(tmp_path_factory) -> Path:
    """A copy of what git tracks or would track, so that nothing is built in the repository."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if listed.returncode:
        pytest.skip("not a git checkout")
    copy = tmp_path_factory.mktemp("tree")
    for name in filter(None, listed.stdout.split("\0")):
        if (ROOT / name).is_file():
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, copy / name)
    return copy


@pytest.fixture(scope="module")
def built(tree) -> Path:
    """A folder with the wheel and the source archive of the tree."""
    call(sys.executable, "-m", "hatchling", "build", cwd=tree)
    return tree / "dist"


@pytest.fixture(scope="module")
def wheel(built) -> Path:
    (file,) = built.glob("*.whl")
    return file


@pytest.fixture(scope="module")
def environment(wheel, tmp_path_factory) -> Path:
    """The interpreter of an environment with the wheel; the dependencies are those of this process.

    A ``.pth`` file puts this process's site-packages behind the environment's own. Python does not read the ``.pth``
    files of a folder added so, hence the editable installation in there stays out of sight.
    """
    folder = tmp_path_factory.mktemp("environment")
    call(sys.executable, "-m", "venv", "--without-pip", folder, cwd=folder)
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    pip = (sys.executable, "-m", "pip", "--python", python, "--disable-pip-version-check")
    call(*pip, "install", "--quiet", "--no-deps", "--no-index", wheel, cwd=folder)
    purelib = "import sysconfig; print(sysconfig.get_path('purelib'))"
    own = Path(call(python, "-c", purelib, cwd=folder).strip())
    shared = dict.fromkeys(sysconfig.get_path(kind) for kind in ("purelib", "platlib"))
    (own / "dependencies.pth").write_text("\n".join(shared) + "\n", encoding="utf-8")
    return python


@pytest.mark.slow
def test_the_wheel_has_the_files_that_are_listed(wheel):
    names = {name for name in content(wheel) if ".dist-info/" not in name}
    assert names == listed_files()
    assert {name.partition("/")[0].partition("-")[0] for name in content(wheel)} == {"codecbench"}


def test_a_wheel_has_the_package_and_the_plugins_and_nothing_else():
    names = listed_files()
    for folder in ("codecs", "datasets", "metrics"):
        plugins = {f"codecbench/{name}" for name in files(Path(folder), "*.py")}
        assert plugins
        assert {name for name in names if name.startswith(f"codecbench/{folder}/") and name.endswith(".py")} == {
            *plugins,
            f"codecbench/{folder}/__init__.py",
        }
    weights = files(Path("codecs/weights"), "*.safetensors") | files(Path("codecs/weights"), "*.json")
    weights |= files(Path("codecs/weights"), "*.csv")
    assert {f"codecbench/{name}" for name in weights} <= names
    folders = (
        Path("codecbench/plugins/templates"),
        Path("codecbench/report/templates"),
        Path("codecbench/report/static"),
    )
    assert files(Path("codecbench"), "*.py").union(*(files(folder, "*.*") for folder in folders)) <= names
    assert {"codecbench/py.typed", "codecbench/__init__.pyi"} <= names
    assert {name.partition("/")[0] for name in names} == {"codecbench"}
    assert not [name for name in names if "__pycache__" in name or name.endswith((".pyc", ".tmp"))]


@pytest.mark.slow
def test_the_source_archive_builds_the_same_wheel(built, wheel, tmp_path):
    (archive,) = built.glob("*.tar.gz")
    with tarfile.open(archive) as tar:
        assert not [name for name in tar.getnames() if "/tests/" in name or "/results/" in name]
        tar.extractall(tmp_path, filter="data")
    (source,) = tmp_path.iterdir()
    call(sys.executable, "-m", "hatchling", "build", "-t", "wheel", cwd=source)
    (again,) = (source / "dist").glob("*.whl")
    assert again.name == wheel.name
    assert content(again) == content(wheel)


@pytest.mark.slow
def test_the_installed_wheel_measures(environment, tmp_path):
    """It is the one that runs, with a codec of the user's own beside the built-in ones, from a folder of theirs."""
    where = call(environment, "-c", "import codecbench; print(codecbench.__file__)", cwd=tmp_path).strip()
    assert Path(where).is_relative_to(environment.parents[1])
    command = environment.with_name("codecbench")
    names = call(command, "list", "--names", cwd=tmp_path).split()
    assert names == sorted(file.stem for file in (ROOT / "codecs").glob("*.py") if not file.stem.startswith("_"))
    write_example(tmp_path / "my_codecs", CODEC_DOC, "quantised_zlib.py")
    codecs = ("--codecs", "jpeg,none,quantised_zlib:step=8", "--codec-dir", "my_codecs")
    options = ("--datasets", "digits", "--images", 5, "--no-timing")
    assert "report.html" in call(command, "run", *codecs, *options, cwd=tmp_path)
    run = tmp_path / "results" / "digits-5"
    assert (run / "report.html").stat().st_size > 10_000
    lines = (run / "summary.csv").read_text(encoding="utf-8").splitlines()
    assert sum(line.startswith(("digits,jpeg,", "digits,none,", "digits,quantised_zlib,")) for line in lines) == 13


@pytest.mark.slow
def test_the_shipped_weights_decode_from_the_wheel(environment, wheel, tmp_path):
    weights = [Path(name).stem for name in content(wheel) if name.endswith(".safetensors")]
    learned = sorted({stem.partition("-")[0] for stem in weights})  # a codec may have several, NAME-VARIANT
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
    call(environment, "-c", code, *learned, cwd=tmp_path)
