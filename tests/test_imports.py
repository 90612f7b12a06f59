"""What is loaded when: a quick start is part of the interface."""

import subprocess
import sys

import pytest

import codecbench

IN_COMMANDS = ("torch", "torchvision", "pandas", "matplotlib", "skimage", "scipy", "pyarrow")
HEAVY = (*IN_COMMANDS, "PIL")


SOURCE_OF_A_LEARNED_CODEC = """
from types import SimpleNamespace
import codecbench.codecs
from codecbench.plugins.source import source_fingerprint
source_fingerprint(SimpleNamespace(__module__="codecbench.codecs.rd_ae", __qualname__="RdAe"))
"""


def command(*arguments):
    return f"from codecbench.cli.main import main; assert main({list(arguments)}) == 0"


@pytest.mark.parametrize(
    ("code", "heavy"),
    [
        ("import codecbench", (*HEAVY, "numpy", "click", "rich", "jinja2")),
        ("from codecbench import Codec, Dataset, register_codec", HEAVY),
        ("import codecbench.measure.distortion, codecbench.plan.specs", HEAVY),
        ("from codecbench import environment as e; e.versions(), e.conditions(), e.host_id(e.machine())", IN_COMMANDS),
        ("from codecbench.plugins.registry import DATASETS as d; [d.get(name) for name in d.names()]", IN_COMMANDS),
        (SOURCE_OF_A_LEARNED_CODEC, ("codecbench.codecs.rd_ae", "torch")),
        (command("--help"), IN_COMMANDS),
        (command("list", "--names"), IN_COMMANDS),
    ],
)
def test_nothing_heavy_is_loaded(code, heavy):
    report = f"import sys; print([name for name in {heavy} if name in sys.modules], file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", f"{code}\n{report}"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr.strip()) == (0, "[]")


def test_every_public_name_is_there():
    for name in codecbench.__all__:
        assert getattr(codecbench, name) is not None
    assert set(codecbench.__all__) <= set(dir(codecbench))
    with pytest.raises(AttributeError, match="absent"):
        _ = codecbench.absent
