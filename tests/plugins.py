"""Codec plugins that tests write into a folder of their own, and packages of plugins that tests install."""

import configparser
import contextlib
import importlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

from codecbench.plugins import registry
from codecbench.plugins.registry import CODECS

HEAD = """
import os, signal, sys, time
from dataclasses import dataclass
import numpy as np
import codecbench as cb
from codecbench.plugins.registry import CODECS

def pack(image):
    return bytes(image.shape) + image.tobytes()

def unpack(stream):
    return np.frombuffer(stream[3:], np.uint8).reshape(tuple(stream[:3]))

@cb.register_codec
@dataclass(frozen=True)
class Mine(cb.PerImageCodec):
    level: int = cb.setting(0, low=0, high=99)

    @property
    def lossless(self):
        return {lossless}

    def encode_image(self, image):
        {encode}
        return pack(image)

    def decode_image(self, stream):
        {decode}
        return unpack(stream)
"""


def forget(name: str, plugins: registry.Registry[Any] = CODECS) -> None:
    """Lets an edited plugin be imported again, as a new process would import it."""
    module = f"{plugins.package}.{name}"
    sys.modules.pop(module, None)
    registry._registered.pop(module, None)
    vars(importlib.import_module(plugins.package)).pop(name, None)
    importlib.invalidate_caches()


@contextlib.contextmanager
def temporary(plugins: registry.Registry[Any], *folders: str | Path) -> Iterator[None]:
    """Within, there are the built-in plugins and those of the folders; afterwards everything is as it was before."""
    package, prefix = importlib.import_module(plugins.package), f"{plugins.package}."
    before = {name: module for name, module in sys.modules.items() if name.startswith(prefix)}
    registered = {name: found for name, found in registry._registered.items() if name in before}
    with (
        mock.patch.dict(os.environ),
        mock.patch.object(package, "__path__", list(package.__path__)),
        # Bytecode of a file that is rewritten within a second would be taken for the new file's.
        mock.patch.object(sys, "dont_write_bytecode", True),
    ):
        os.environ.pop(plugins.variable, None)
        for folder in folders:
            plugins.add_folder(folder)
        try:
            yield
        finally:
            for name in [name for name in sys.modules if name.startswith(prefix)]:
                forget(name.removeprefix(prefix), plugins)
            for name, module in before.items():
                sys.modules[name] = module
                setattr(package, name.removeprefix(prefix), module)
            registry._registered.update(registered)


@contextlib.contextmanager
def use_folder(folder: Path) -> Iterator[Path]:
    """Puts a folder of plugins among the codecs for a while; makes it if it is not there."""
    folder.mkdir(exist_ok=True)
    with temporary(CODECS, folder):
        yield folder


def write_codec(
    folder: Path, name: str, encode: str = "pass", decode: str = "pass", lossless: bool = False, extra: str = ""
) -> Path:
    """Writes a plugin whose encoding and decoding begin with a line of the test's choice."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"{name}.py"
    source = HEAD.format(encode=encode, decode=decode, lossless=lossless) + extra
    file.write_text(source, encoding="utf-8")
    return file


def install(folder: Path, name: str, entry_points: dict[str, dict[str, str]]) -> None:
    """Writes what pip leaves of a package beside its modules: a dist-info folder with its entry points, by group."""
    info = folder / f"{name.replace('-', '_')}-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.4\nName: {name}\nVersion: 1.0\n", encoding="utf-8")
    groups = configparser.ConfigParser()
    groups.read_dict(entry_points)
    with (info / "entry_points.txt").open("w", encoding="utf-8") as file:
        groups.write(file)
