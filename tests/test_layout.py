"""The rule of imports: a package or file of codecbench imports only from those above it in CONTRIBUTING.md's list."""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FRONT_DOOR = "codecbench"
"""The public API, loaded lazily; it may name anything, and ``__version__`` may be taken from it anywhere."""


def listed_rooms():
    """Packages and files of codecbench in the order of CONTRIBUTING.md, as modules."""
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    return [
        name.removesuffix("/").removesuffix(".py").replace("/", ".")
        for name in re.findall(r"^(codecbench/\w+(?:/|\.py)) ", text, re.MULTILINE)
    ]


def module_files():
    """Every module of codecbench, plugins apart, with its file."""
    for file in sorted((ROOT / "codecbench").rglob("*.py")):
        module = ".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        if "templates" not in file.parts and module not in (FRONT_DOOR, "codecbench.__main__"):
            yield module, file


def room_of(module):
    return ".".join(module.split(".")[:2])


def is_type_checking(node):
    return isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)


def imports(node, package):
    """Pairs of line and imported module, those inside functions included, those for type checking left out."""
    if isinstance(node, ast.Import):
        yield from ((node.lineno, alias.name) for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        base = package.split(".")[: len(package.split(".")) + 1 - node.level] if node.level else []
        module = ".".join([*base, *filter(None, [node.module])])
        # ``from codecbench import files`` imports a package, ``from codecbench import run`` a name of the front door.
        names = [f"{module}.{alias.name}" for alias in node.names]
        yield from ((node.lineno, name if module == FRONT_DOOR else module) for name in names)
    for child in node.orelse if is_type_checking(node) else ast.iter_child_nodes(node):
        yield from imports(child, package)


def edges():
    """Imports from one room to another: module, file, line, imported module."""
    for module, file in module_files():
        package = module if file.name == "__init__.py" else module.rpartition(".")[0]
        for line, target in imports(ast.parse(file.read_bytes()), package):
            own = target.startswith("codecbench.") and target != f"{FRONT_DOOR}.__version__"
            if own and room_of(target) != room_of(module):
                yield module, file.relative_to(ROOT), line, target


def test_every_package_and_file_is_in_the_list_and_nothing_else():
    assert set(listed_rooms()) == {room_of(module) for module, _ in module_files()}


def test_imports_go_up_the_list_only():
    rank = {room: number for number, room in enumerate(listed_rooms())}
    wrong = [
        f"{file}:{line} imports {target}, which is not above {room_of(module)} in CONTRIBUTING.md"
        for module, file, line, target in edges()
        if room_of(target) not in rank or rank[room_of(target)] >= rank[room_of(module)]
    ]
    assert not wrong, "\n".join(wrong)


def test_an_import_that_breaks_the_rule_is_found():
    """The walk above sees imports of every kind, and leaves out those for type checking."""
    source = """
import codecbench.store.io
from codecbench import report, __version__
from codecbench.cli import main
from ..execution import runner
if TYPE_CHECKING:
    from codecbench.api import Run
def late():
    from codecbench.testing.suite import check
"""
    assert list(imports(ast.parse(source), "codecbench.plan")) == [
        (2, "codecbench.store.io"),
        (3, "codecbench.report"),
        (3, "codecbench.__version__"),
        (4, "codecbench.cli"),
        (5, "codecbench.execution"),
        (9, "codecbench.testing.suite"),
    ]


def test_codecs_need_the_front_door_learned_and_their_helpers_alone():
    for file in sorted((ROOT / "codecs").glob("*.py")):
        for line, target in imports(ast.parse(file.read_bytes()), "codecbench.codecs"):
            allowed = room_of(target) in ("codecbench.codecs", "codecbench.learned") or target.count(".") == 0
            assert allowed or not target.startswith("codecbench."), f"codecs/{file.name}:{line} imports {target}"
