"""The stored notebooks: executed in full with the weights that are shipped, fit to be published, public names alone.

That they run is tested beside this: pytest executes the notebooks themselves, on small settings.
"""

from __future__ import annotations

import ast
import getpass
import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
WEIGHTS = {
    "01_mnist_autoencoders": ("lossy_ae", "lossless_ae"),
    "02_stl10_conv_autoencoder": ("stl10_ae",),
}
PUBLIC = re.compile(r"codecbench(\.(analysis|figures|learned)(\.[a-z]\w*)*)?")
MOST_BYTES = 3_000_000
MACHINE = re.compile(r"(?<![\w.])/(?:home|root|tmp|work|mnt|Users|opt|usr|var)\b|[A-Z]:\\")

each = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def cells(path):
    return json.loads(path.read_text(encoding="utf-8"))["cells"]


def code_cells(path):
    return [cell for cell in cells(path) if cell["cell_type"] == "code"]


def source(cell):
    return "".join(cell["source"])


def shown(cell):
    """What a cell put out, without pictures."""
    parts = []
    for output in cell.get("outputs", ()):
        parts.append("".join(output.get("text", ())))
        parts += ["".join(text) for kind, text in output.get("data", {}).items() if not kind.startswith("image/")]
    return "\n".join(parts)


@each
def test_it_was_executed_in_order_without_warnings_in_full_with_real_data_and_the_shipped_weights(path):
    executed = code_cells(path)
    assert [cell["execution_count"] for cell in executed] == list(range(1, len(executed) + 1))
    assert not [source(cell) for cell in executed if not cell["outputs"] or "Warning" in shown(cell)]
    outputs = [output for cell in executed for output in cell["outputs"]]
    assert not [output for output in outputs if output["output_type"] == "error" or output.get("name") == "stderr"]
    everything = "\n".join(map(shown, code_cells(path)))
    assert "Settings: full." in everything
    assert "is not on disk" not in everything
    assert "not part of this installation" not in everything
    for name in WEIGHTS[path.stem]:
        card = json.loads((ROOT / "codecs" / "weights" / f"{name}.json").read_text(encoding="utf-8"))
        assert card["sha256"][:12] in everything, f"`make notebooks`: {name} has other weights now"


@each
def test_it_is_small_and_names_no_machine_no_user_and_nothing_of_the_kernel(path):
    text = "\n".join(source(cell) + "\n" + shown(cell) for cell in cells(path))
    assert not MACHINE.findall(text)
    assert str(ROOT) not in text
    if getpass.getuser() != "root":  # a word that may stand anywhere
        assert getpass.getuser() not in text.split()
    assert path.stat().st_size < MOST_BYTES
    notebook = json.loads(path.read_text(encoding="utf-8"))
    assert notebook["metadata"].keys() == {"kernelspec", "language_info"}
    assert notebook["metadata"]["language_info"] == {"name": "python"}
    assert not [cell["metadata"] for cell in notebook["cells"] if cell["metadata"]]


@each
def test_it_uses_public_names_alone(path):
    nodes = [node for cell in code_cells(path) for node in ast.walk(ast.parse(source(cell)))]
    imports = [node for node in nodes if isinstance(node, ast.ImportFrom)]
    modules = [str(node.module) for node in imports]
    modules += [name.name for node in nodes if isinstance(node, ast.Import) for name in node.names]
    ours = [module for module in modules if module.partition(".")[0] == "codecbench"]
    assert ours
    assert not [module for module in ours if not PUBLIC.fullmatch(module)]
    names = [name.name for node in imports for name in node.names]
    names += [node.attr for node in nodes if isinstance(node, ast.Attribute)]
    assert not [name for name in names if name.startswith("_") and name not in ("__file__", "__version__")]
