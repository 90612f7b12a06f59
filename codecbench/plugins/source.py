"""The identity of source code: what decides the results of a class or function, and nothing else.

The fingerprint covers the syntax tree of a definition and of every definition that it uses, transitively, in
codecbench (also by ``cb.NAME``) and in the plugin's own package. Of other packages the names that are used count. What
does not count: comments, docstrings, annotations, messages of errors, help texts, where our own definitions stand and
how they are imported, the registering of plugins, and the version of Python (3.11 or newer) that reads the source.
Nothing is imported for it.
"""

from __future__ import annotations

import ast
import functools
import hashlib
import json
import sys
import threading
from collections.abc import Iterable, Iterator
from importlib.machinery import PathFinder
from pathlib import Path
from typing import Any

from codecbench.errors import PluginError
from codecbench.fingerprint import digest

NOT_FOLLOWED = (
    "codecbench.columns",
    "codecbench.learned.training",
    "codecbench.plugins.registry",
    "codecbench.plugins.settings",
)
"""Our modules that decide no result at a point of the settings: the meanings of columns; training, since a codec's
fingerprint has the digests of its weights; the names of plugins; and the checks of settings, whose values are part of a
task's identity."""
_REGISTERING = {"register_codec", "register_dataset", "register_metric"}
_NOT_COMPARED = {"annotation", "ctx", "kind", "returns", "simple", "type_comment", "type_params"}
"""Fields of syntax trees that decide nothing, or that not every version of Python has."""
_EFFECTS = "<effects>"
"""Stands for the statements of a module that define no name, such as loops and calls."""
_ALL = "<all>"
"""Stands for everything in a module."""
_parsing = threading.Lock()
"""Held while a tree is built: Python 3.11 raises SystemError where two threads build one at the same time."""

Place = tuple[str, str]
"""A module and the name of a definition in it."""
Reference = tuple[str, tuple[str, ...]]
"""A module and the chain of attributes that is looked up there."""


def source_fingerprint(*roots: Any) -> str:
    """Returns 24 hexadecimal digits that identify the source code of classes, functions or whole modules (by name).

    Raises:
        PluginError: the source of a root is not there, or cannot be parsed.
    """
    places = [(root, _ALL) if isinstance(root, str) else _place(root) for root in roots]
    walk = _Walk({"codecbench", *(module.partition(".")[0] for module, _ in places)})
    return digest(list(walk.follow(places)))


def _place(root: Any) -> Place:
    name = root.__qualname__.partition(".")[0]
    return root.__module__, name if name in _parsed(root.__module__).definitions else _ALL


class _Walk:
    """Visits definitions and numbers them in the order of their first use, so that their places do not matter."""

    def __init__(self, own: set[str]):
        self.own, self.numbers, self.places = own, dict[Place, int](), list[Place]()
        self.parsed = functools.cache(_parsed)  # each file is looked at once

    def follow(self, roots: Iterable[Place]) -> Iterator[Any]:
        """Yields each definition's digest and, for each reference in it, what is referred to."""
        for root in roots:
            self._number(root)
        for module, name in self.places:  # which grows meanwhile
            parsed = self.parsed(module)
            tree, references = parsed.normalised(name)
            yield tree, [self._target(*reference) for reference in references]
            if name == _EFFECTS:  # an import that nothing uses is there for what it does
                yield [unused for unused in parsed.unused if unused.partition(".")[0] not in self.own]

    def _number(self, place: Place) -> int:
        for visited in (place, (place[0], _EFFECTS)):
            if visited not in self.numbers:
                self.numbers[visited] = len(self.places)
                self.places.append(visited)
        return self.numbers[place]

    def _target(self, module: str, chain: tuple[str, ...]) -> Any:
        """The number of a definition of ours with the attributes looked up there, or a foreign name."""
        while True:
            if module.partition(".")[0] not in self.own:
                return ".".join((module, *chain))
            if module.startswith(NOT_FOLLOWED):
                return chain[-1:]
            if not chain:
                return self._number((module, _ALL))
            name, rest = chain[0], chain[1:]
            parsed = self.parsed(module)
            if name in parsed.imports and parsed.imports[name] != (module, (name,)):  # that imports a module of its own
                module, chain = parsed.imports[name][0], parsed.imports[name][1] + rest
            elif name in parsed.definitions:
                return self._number((module, name)), rest
            elif _file_of(f"{module}.{name}") is not None:
                module, chain = f"{module}.{name}", rest
            else:
                return chain


class _Parsed:
    """A module's syntax tree by the names that it defines."""

    def __init__(self, name: str, file: Path):
        self.name = name
        self.package = name if file.stem == "__init__" else name.rpartition(".")[0]
        try:
            with _parsing:
                tree = ast.parse(file.read_bytes())
        except (SyntaxError, ValueError) as error:
            raise PluginError(f"{file} cannot be parsed: {error}") from error
        self.definitions: dict[str, list[ast.stmt]] = {}
        self.effects: list[ast.stmt] = []
        self.imports: dict[str, Reference] = {}
        self._normalised: dict[str, tuple[str, list[Reference]]] = {}
        for statement in _without_type_checking(tree.body):
            if isinstance(statement, ast.Import | ast.ImportFrom):
                self.imports |= _imported(statement, self.package)
            elif names := _defined(statement):
                for defined in names:
                    self.definitions.setdefault(defined, []).append(statement)
            else:
                self.effects.append(statement)
        for statement in self.effects:  # a name may be defined in a branch, as in try: import …
            for node in ast.walk(statement):
                for bound in _bound(node):
                    self.definitions.setdefault(bound, []).append(statement)
        used = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
        self.unused = sorted(module for bound, (module, _) in self.imports.items() if bound not in used)

    def normalised(self, name: str) -> tuple[str, list[Reference]]:
        """The digest of a definition without what does not count, and its references in order."""
        if name not in self._normalised:
            if name == _ALL:
                self._normalised[name] = "", [(self.name, (each,)) for each in sorted(self.definitions)]
            else:
                reader = _Reader(self)
                found = reader.block(self.effects if name == _EFFECTS else self.definitions[name])
                text = json.dumps(found, separators=(",", ":"))
                self._normalised[name] = hashlib.sha256(text.encode()).hexdigest(), reader.references
        return self._normalised[name]


class _Reader:
    """Turns statements of a module into nested lists, the same on every version of Python, and notes references."""

    def __init__(self, module: _Parsed):
        self.module = module
        self.references: list[Reference] = []
        self.scopes: list[tuple[set[str], dict[str, Reference]]] = []
        """Of the functions around a node: the names that they bind, and those that they import."""

    def block(self, statements: Iterable[ast.stmt]) -> list[Any]:
        """Statements without those that do nothing or only import."""
        kept = []
        for statement in _without_type_checking(statements):
            does_nothing = isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)
            declares = isinstance(statement, ast.AnnAssign) and statement.value is None and bool(self.scopes)
            if not (does_nothing or declares or isinstance(statement, ast.Pass | ast.Import | ast.ImportFrom)):
                kept.append(self.plain(statement))
        return kept

    def plain(self, node: Any) -> Any:
        """A node, a list of nodes or a value of a field."""
        if isinstance(node, list):
            return self.block(node) if node and isinstance(node[0], ast.stmt) else [self.plain(one) for one in node]
        if not isinstance(node, ast.AST):
            return node
        if (reference := self._reference(node)) is not None:
            self.references.append(reference)
            return ["reference", len(self.references)]
        special = getattr(self, f"_{type(node).__name__}", None)
        return special(node) if special else self._fields(node)

    def _fields(self, node: ast.AST, **changed: Any) -> list[Any]:
        fields = {name: getattr(node, name, None) for name in node._fields if name not in _NOT_COMPARED} | changed
        return [
            type(node).__name__,
            *([name, self.plain(value)] for name, value in fields.items() if value not in (None, [])),
        ]

    def _reference(self, node: ast.AST) -> Reference | None:
        chain: list[str] = []
        while isinstance(node, ast.Attribute):
            chain.insert(0, node.attr)
            node = node.value
        if not isinstance(node, ast.Name):
            return None
        for bound, imports in reversed(self.scopes):
            if node.id in imports:
                return imports[node.id][0], imports[node.id][1] + tuple(chain)
            if node.id in bound:
                return None
        if node.id in self.module.imports:
            return self.module.imports[node.id][0], self.module.imports[node.id][1] + tuple(chain)
        return (self.module.name, (node.id, *chain)) if node.id in self.module.definitions else None

    def _FunctionDef(self, node: ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda) -> list[Any]:
        """A function; a name that it binds anywhere hides the module's."""
        inside = [inner for inner in ast.walk(node) if inner is not node]
        shared = {name for inner in inside if isinstance(inner, ast.Global) for name in inner.names}
        bound = {name for inner in inside for name in _bound(inner)} - shared
        imports: dict[str, Reference] = {}
        for inner in inside:
            if isinstance(inner, ast.Import | ast.ImportFrom):
                imports |= _imported(inner, self.module.package)
        outside = self._decorators(node)
        self.scopes.append((bound - imports.keys(), imports))
        try:
            return [outside, self._fields(node, decorator_list=[])]
        finally:
            self.scopes.pop()

    _AsyncFunctionDef = _Lambda = _FunctionDef

    def _ClassDef(self, node: ast.ClassDef) -> list[Any]:
        return [self._decorators(node), self._fields(node, decorator_list=[])]

    def _decorators(self, node: Any) -> list[Any]:
        """The decorators, but for that which registers a plugin."""
        found = getattr(node, "decorator_list", [])
        return [self.plain(one) for one in found if _last_name(getattr(one, "func", one)) not in _REGISTERING]

    def _AnnAssign(self, node: ast.AnnAssign) -> list[Any]:
        """An assignment; of the annotation it counts whether a dataclass has a field of it."""
        names = {_last_name(inner) for inner in ast.walk(node.annotation)}
        return [self._fields(node), bool(names & {"ClassVar", "InitVar"})]

    def _Call(self, node: ast.Call) -> list[Any]:
        """A call, without the help text of a setting."""
        words = "help" if _last_name(node.func) == "setting" else None
        return self._fields(node, keywords=[one for one in node.keywords if words is None or one.arg != words])

    def _Raise(self, node: ast.Raise) -> list[Any]:
        """Raises an error, whatever its message is."""
        error = node.exc.func if isinstance(node.exc, ast.Call) else node.exc
        return self._fields(node, exc=error)

    def _JoinedStr(self, node: ast.JoinedStr) -> list[Any]:
        """An f-string; how its text is cut into constants differs between versions of Python."""
        parts: list[Any] = []
        for value in node.values:
            one = self.plain(value)
            if not isinstance(value, ast.Constant):
                parts.append(one)
            elif parts and isinstance(parts[-1], str):
                parts[-1] += str(value.value)
            elif value.value:
                parts.append(str(value.value))
        return ["JoinedStr", parts]

    def _Constant(self, node: ast.Constant) -> list[Any]:
        value = node.value
        return [type(value).__name__, hex(value) if type(value) is int else repr(value)]


def _last_name(node: ast.AST) -> str:
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


def _bound(node: ast.AST) -> Iterator[str]:
    """The names that a node itself binds."""
    if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
        yield node.id
    elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        yield node.name
    elif isinstance(node, ast.arg):
        yield node.arg
    elif isinstance(node, ast.ExceptHandler | ast.MatchAs | ast.MatchStar) and node.name:
        yield node.name
    elif isinstance(node, ast.MatchMapping) and node.rest:
        yield node.rest
    elif isinstance(node, ast.Import | ast.ImportFrom):
        yield from _imported(node, "")


def _defined(statement: ast.stmt) -> list[str]:
    """The names that a statement defines, where that is all it does."""
    if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return [statement.name]
    if not isinstance(statement, ast.Assign | ast.AnnAssign):
        return []
    targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
    parts = [one for target in targets for one in (target.elts if isinstance(target, ast.Tuple) else [target])]
    names = [part.id for part in parts if isinstance(part, ast.Name)]
    return names if len(names) == len(parts) else []


def _imported(statement: ast.Import | ast.ImportFrom, package: str) -> dict[str, Reference]:
    """What an import binds, by name."""
    if isinstance(statement, ast.Import):
        return {
            one.asname or one.name.partition(".")[0]: (one.name if one.asname else one.name.partition(".")[0], ())
            for one in statement.names
        }
    base = package.split(".")[: len(package.split(".")) + 1 - statement.level] if statement.level else []
    module = ".".join([*base, *filter(None, [statement.module])])
    return {one.asname or one.name: (module, (one.name,)) for one in statement.names if module != "__future__"}


def _without_type_checking(statements: Iterable[ast.stmt]) -> Iterator[ast.stmt]:
    for statement in statements:
        if isinstance(statement, ast.If) and _last_name(statement.test) == "TYPE_CHECKING":
            yield from statement.orelse
        else:
            yield statement


def _file_of(module: str) -> Path | None:
    """The source file of a module, which need not be imported; None where there is none."""
    loaded = getattr(sys.modules.get(module), "__file__", None)
    if loaded is not None:
        return Path(loaded)
    parent = module.rpartition(".")[0]
    path = None
    if parent:
        path = getattr(sys.modules.get(parent), "__path__", None)
        if path is None:
            file = _file_of(parent)
            if file is None or file.name != "__init__.py":
                return None
            path = [str(file.parent)]
    spec = PathFinder.find_spec(module, path)
    return Path(spec.origin) if spec is not None and spec.origin and spec.origin.endswith(".py") else None


def _parsed(module: str) -> _Parsed:
    file = _file_of(module)
    if file is None or not file.is_file():
        raise PluginError(f"the source of the module {module} cannot be found")
    stub = file.with_suffix(".pyi")  # where our packages load their names lazily, it says from where
    file = stub if stub.is_file() and module.partition(".")[0] == "codecbench" else file
    status = file.stat()
    return _parse(module, file, status.st_mtime_ns, status.st_size)


@functools.lru_cache(maxsize=512)
def _parse(module: str, file: Path, mtime_ns: int, size: int) -> _Parsed:
    return _Parsed(module, file)
