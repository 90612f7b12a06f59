"""What the identity of source code covers, and what it does not."""

import ast
import gc
import importlib
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import pytest

from codecbench.errors import PluginError
from codecbench.plan.tasks import codec_fingerprint, measuring_fingerprint
from codecbench.plugins import source
from codecbench.plugins.registry import CODECS
from codecbench.plugins.source import source_fingerprint

HOUSE = {
    "__init__.py": "",
    "codec.py": '''
"""A codec."""

from __future__ import annotations

import math
from dataclasses import dataclass

import codecbench as cb
from house import tables
from house.helper import LIMIT, pack

from .base import Base

FACTOR = 2
UNUSED = 1


@cb.register_codec
@dataclass(frozen=True)
class Mine(Base):
    """Words."""

    level: int = cb.setting(1, low=0, help="how much")

    def encode(self, images: list[bytes]) -> list[bytes]:
        """Encodes."""
        if len(images) > LIMIT:  # a limit
            raise cb.BitstreamError(f"more than {LIMIT} images")
        return [pack(image, FACTOR, tables.TABLE) for image in images]

    def decode(self, bitstreams):
        return [math.floor(len(stream) / 2) for stream in bitstreams]
''',
    "helper.py": '''
"""A helper."""

import zlib

LIMIT = 7
OTHER = 8


def pack(image, factor, table):
    level = 3
    return zlib.compress(bytes(image) * factor, level) + _tail(table)


def _tail(table):
    """The end."""
    return bytes(table)


def unused():
    return OTHER
''',
    "base.py": """
import abc


class Base(abc.ABC):
    def twice(self):
        return self.level * 2
""",
    "tables.py": """
TABLE = [1, 2]
for number in (3, 4):
    TABLE.append(number)
""",
}
MINE = SimpleNamespace(__module__="house.codec", __qualname__="Mine")


@pytest.fixture
def house(tmp_path, monkeypatch):
    """Gives the fingerprint of ``Mine`` in the package ``house`` after edits: file, old text, new text."""
    count = iter(range(1000))

    def fingerprint(*edits, files=HOUSE, root=MINE):
        files = dict(files)
        for name, old, new in edits:
            assert old in files[name]
            files[name] = files[name].replace(old, new)
        folder = tmp_path / str(next(count))
        for name, text in files.items():
            (folder / "house" / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / "house" / name).write_text(text, encoding="utf-8")
        with monkeypatch.context() as patch:
            patch.syspath_prepend(str(folder))
            return source_fingerprint(root)

    return fingerprint


@pytest.mark.parametrize(
    "edits",
    {
        "a docstring": [("codec.py", '"""Words."""', '"""Other words."""'), ("helper.py", '"""The end."""', "")],
        "a comment": [("codec.py", "# a limit", "# the limit")],
        "formatting": [("helper.py", "bytes(image) * factor, level", "(bytes(image)\n        * factor), (level)")],
        "annotations": [
            ("codec.py", "images: list[bytes]) -> list[bytes]", "images)"),
            ("codec.py", "level: int", "level: float"),
        ],
        "the message of an error": [("codec.py", "more than {LIMIT} images", "too many: {len(images)}")],
        "a help text": [("codec.py", "how much", "how much of it")],
        "an import of ours": [
            ("codec.py", "from house import tables\n", "import house.tables\n"),
            ("codec.py", "tables.TABLE", "house.tables.TABLE"),
            ("codec.py", "from house.helper import LIMIT, pack\n", "from .helper import pack as packed\n"),
            ("codec.py", "FACTOR = 2\n", "FACTOR = 2\nfrom . import helper\n"),
            ("codec.py", "> LIMIT", "> helper.LIMIT"),
            ("codec.py", "[pack(", "[packed("),
        ],
        "the front door": [
            ("codec.py", "import codecbench as cb\n", "from codecbench import register_codec, setting\n"),
            ("codec.py", "FACTOR = 2\n", "FACTOR = 2\nfrom codecbench.errors import BitstreamError\n"),
            ("codec.py", "@cb.register_codec", "@register_codec"),
            ("codec.py", "cb.setting(", "setting("),
            ("codec.py", "cb.BitstreamError", "BitstreamError"),
        ],
        "where a foreign import stands": [
            ("codec.py", "import math\n", ""),
            ("codec.py", "(self, bitstreams):", "(self, bitstreams):\n        import math\n"),
        ],
        "what a foreign import is called here": [
            ("codec.py", "import math\n", "from math import floor as whole\n"),
            ("codec.py", "math.floor(", "whole("),
        ],
        "what is not used": [("codec.py", "UNUSED = 1", "UNUSED = 2"), ("helper.py", "OTHER = 8", "OTHER = 9")],
        "the order of definitions": [("helper.py", "LIMIT = 7\nOTHER = 8\n", "OTHER = 8\nLIMIT = 7\n")],
        "names for type checking": [
            ("codec.py", "import math\n", "import math\nfrom typing import TYPE_CHECKING\n"),
            ("codec.py", "FACTOR = 2\n", "FACTOR = 2\nif TYPE_CHECKING:\n    import decimal\n"),
        ],
    }.items(),
    ids=lambda item: item[0],
)
def test_what_decides_no_result_does_not_count(house, edits):
    assert house(*edits[1]) == house()


def test_a_moved_module_does_not_count(house):
    files = dict(HOUSE)
    files["deep/__init__.py"], files["deep/tools.py"] = "", files.pop("helper.py")
    files["codec.py"] = files["codec.py"].replace("house.helper", "house.deep.tools")
    assert house(files=files) == house()
    files["codec.py"] = files["codec.py"].replace("house.deep.tools", "house.deep")
    files["deep/__init__.py"] = "from .tools import LIMIT, pack\n"
    assert house(files=files) == house()


@pytest.mark.parametrize(
    "edit",
    {
        "a constant": ("codec.py", "FACTOR = 2", "FACTOR = 3"),
        "the kind of a constant": ("codec.py", "FACTOR = 2", "FACTOR = 2.0"),
        "a default": ("codec.py", "setting(1,", "setting(2,"),
        "a branch": ("codec.py", "len(images) > LIMIT", "len(images) >= LIMIT"),
        "the kind of an error": ("codec.py", "cb.BitstreamError", "cb.ContractError"),
        "a helper's constant": ("helper.py", "LIMIT = 7", "LIMIT = 8"),
        "a helper's local": ("helper.py", "level = 3", "level = 4"),
        "a helper's helper": ("helper.py", "bytes(table)", "bytes(table[1:])"),
        "a foreign import": ("helper.py", "import zlib", "import zlib_ng as zlib"),
        "a foreign name": ("codec.py", "math.floor", "math.ceil"),
        "a foreign import for its effect": ("helper.py", "import zlib\n", "import zlib\nimport pillow_heif\n"),
        "a base class": ("base.py", "self.level * 2", "self.level * 3"),
        "another base class": ("codec.py", "Mine(Base)", "Mine"),
        "a loop that fills a table": ("tables.py", "(3, 4)", "(3, 5)"),
        "a decorator": ("codec.py", "frozen=True", "frozen=True, order=True"),
        "a field": ("codec.py", "level: int = cb", "level: ClassVar[int] = cb"),
    }.items(),
    ids=lambda item: item[0],
)
def test_what_decides_a_result_counts(house, edit):
    assert house(edit[1]) != house()


def test_two_definitions_of_one_name_are_told_apart(house):
    other = ("helper.py", "    level = 3\n", "    level = LIMIT\n")
    assert len({house(), house(other), house(other, ("helper.py", "LIMIT = 7", "LIMIT = 3"))}) == 3
    swapped = [("codec.py", "> LIMIT", "> FACTOR"), ("codec.py", "image, FACTOR", "image, LIMIT")]
    assert house(*swapped) != house()


PINNED = """
import dataclasses
from functools import partial as p

SIZE: int = 0x10
NAMES = ("a", b"b", 1.5, 2j, None, ..., True)

@dataclasses.dataclass
class Box:
    width: int = SIZE

    def area(self, *sides: int, depth=None, **rest) -> float:
        def inner(x): return lambda y: f"{x!r:>{y}} of {self.width}" "!"
        with open(NAMES[0]) as file, file:
            total = sum(side ** 2 for side in sides if side) or -1
        try:
            match rest:
                case {"a": [1, *_], **others}: total += len(others)
                case str() | None: del total
        except* (ValueError, KeyError) as error:
            raise TypeError(f"{error}") from error
        return p(inner, [*sides][1:2])(total) if depth is None else {**rest}
"""


def test_the_fingerprint_is_the_same_on_every_version_of_python(house, monkeypatch):
    """The trees that other versions give have more fields, and f-strings cut otherwise."""

    def fingerprint():
        return house(files={"__init__.py": PINNED}, root="house")

    assert fingerprint() == "736f0460de4a4dfafe5096ce"
    parse = ast.parse

    def parse_as_others(text):
        tree = parse(text)
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.ClassDef):
                node._fields = (*node._fields, "type_params")
                node.type_params, node.type_comment = [], "a comment"
            if isinstance(node, ast.Constant):
                node.kind = "u"
            if isinstance(node, ast.JoinedStr):
                node.values = [ast.Constant(""), *node.values]
        return tree

    monkeypatch.setattr(source.ast, "parse", parse_as_others)
    assert fingerprint() == "736f0460de4a4dfafe5096ce"


# --- Of codecbench's own code -------------------------------------------------------------------------------


@pytest.fixture
def edited(tmp_path, monkeypatch):
    """Has a module of codecbench taken from an edited copy of its file."""

    def edit(name, old, new):
        module = importlib.import_module(f"codecbench.{name}")
        text = Path(module.__file__).read_text(encoding="utf-8")
        assert old in text
        copy = tmp_path / f"{name}.py"
        copy.write_text(text.replace(old, new), encoding="utf-8")
        monkeypatch.setattr(module, "__file__", str(copy))

    return edit


def test_a_codec_is_followed_through_the_front_door(edited):
    before = {name: source_fingerprint(CODECS.get(name)) for name in ("none", "png")}
    edited("plugins.varint", "MAX_BYTES = 4\n", "MAX_BYTES = 5\n")
    assert source_fingerprint(CODECS.get("none")) != before["none"]
    assert source_fingerprint(CODECS.get("png")) == before["png"]


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("measure.task", "len(stream) for stream", "len(stream) + 1 for stream"),
        ("measure.distortion", "PEAK = 255\n", "PEAK = 256\n"),
        ("plugins.codec", "np.rint(", "np.floor("),
    ],
)
def test_what_measures_is_followed_too(edited, name, old, new):
    before = codec_fingerprint(CODECS.get("png"), "cpu"), measuring_fingerprint()
    edited(name, old, new)
    after = codec_fingerprint(CODECS.get("png"), "cpu"), measuring_fingerprint()
    assert before[0] != after[0]
    assert before[1] != after[1]


def test_neither_the_meaning_of_a_column_nor_modules_beside_the_measuring_count(edited):
    before = measuring_fingerprint()
    edited("columns", "length of the bitstream", "bytes of the bitstream")
    assert measuring_fingerprint() == before
    for name in source.NOT_FOLLOWED:
        path = Path(source.__file__).parents[2].joinpath(*name.split("."))
        assert path.is_dir() or path.with_suffix(".py").is_file()


def test_source_that_is_not_there_is_an_error(house):
    with pytest.raises(PluginError, match="the source of the module absent_module cannot be found"):
        source_fingerprint("absent_module")
    with pytest.raises(PluginError, match=r"helper\.py cannot be parsed"):
        house(("helper.py", "LIMIT = 7", "LIMIT = ("))


def test_threads_that_parse_at_the_same_time_do_not_disturb_each_other(tmp_path, monkeypatch):
    """Other threads run in the middle of a tree where a garbage collection calls back, as in Dask's workers."""
    lines = "\n".join(f"def f{number}(x):\n    return [x + {number}, (x, f{number})]" for number in range(200))
    names = [f"parsed_{number}" for number in range(80)]
    for name in names:
        (tmp_path / f"{name}.py").write_text(lines, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)

    def let_others_run(*_):
        time.sleep(0)

    gc.callbacks.append(let_others_run)
    try:
        with ThreadPoolExecutor(4) as threads:
            assert len(set(threads.map(source_fingerprint, names))) == 1
    finally:
        gc.callbacks.remove(let_others_run)
