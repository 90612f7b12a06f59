"""What is loaded when: a quick start is part of the interface."""

import subprocess
import sys

import pytest

import codecbench

HEAVY = ("torch", "torchvision", "pandas", "matplotlib", "PIL", "skimage", "scipy", "pyarrow")
IN_COMMANDS = ("torch", "torchvision", "pandas", "matplotlib", "skimage", "scipy", "pyarrow")


def loaded_after(code, candidates):
    """The modules among ``candidates`` that a fresh interpreter has loaded after running ``code``."""
    report = f"import sys; print([m for m in {candidates!r} if m in sys.modules], file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", f"{code}\n{report}"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stderr.strip().splitlines()[-1]


def command(*arguments):
    return f"""
import sys
from codecbench.cli.main import main
sys.argv = ["codecbench", *{arguments!r}]
try:
    main()
except SystemExit as end:
    assert not end.code, end.code
"""


def test_import_codecbench_loads_nothing_heavy():
    assert loaded_after("import codecbench", (*HEAVY, "numpy", "click", "rich", "jinja2")) == "[]"


def test_the_contracts_load_numpy_and_nothing_heavier():
    code = "from codecbench import Codec, Dataset, register_codec; import codecbench.measure.distortion, codecbench.plan.specs"  # noqa: E501
    assert loaded_after(code, HEAVY) == "[]"


@pytest.mark.parametrize("arguments", [("--help",), ("list", "--names")], ids=" ".join)
def test_quick_commands_load_nothing_heavy(arguments):
    assert loaded_after(command(*arguments), IN_COMMANDS) == "[]"


def test_dataset_plugins_load_nothing_heavy():
    code = "from codecbench.plugins.registry import DATASETS; print([DATASETS.get(name) for name in DATASETS.names()])"
    assert loaded_after(code, IN_COMMANDS) == "[]"


def test_the_source_of_a_learned_codec_is_read_without_torch():
    code = """
from types import SimpleNamespace
import codecbench.codecs
from codecbench.plugins.source import source_fingerprint
source_fingerprint(SimpleNamespace(__module__="codecbench.codecs.rd_ae", __qualname__="RdAe"))
"""
    assert loaded_after(code, ("codecbench.codecs.rd_ae", "torch")) == "[]"


def test_every_public_name_is_there():
    for name in codecbench.__all__:
        assert getattr(codecbench, name) is not None
    assert set(codecbench.__all__) <= set(dir(codecbench))
    with pytest.raises(AttributeError, match="absent"):
        _ = codecbench.absent
