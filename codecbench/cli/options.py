"""What several commands share: options, the record of the command line, the end by Ctrl-C."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])
LEAST_MEMORY = 64 << 20
"""Bytes; Python with NumPy takes half of it."""
FOLDER_OPTIONS = ("--data-dir", "--out", "--codec-dir", "--metric-dir", "--worker-data-dir", "--scheduler")


class Interrupted(click.ClickException):
    """Ctrl-C, with a word on how to go on."""


def command_line() -> str:
    """The command that is running, without the folders and names of machines, which say nothing to another reader."""
    arguments: list[str] = click.get_current_context().find_root().obj or []
    kept, skip_next = ["codecbench"], False
    for argument in arguments:
        name = argument.partition("=")[0]
        if not skip_next and name not in FOLDER_OPTIONS:
            kept.append(argument)
        skip_next = not skip_next and argument in FOLDER_OPTIONS
    return shlex.join(kept)


def codec_folders(command: F) -> F:
    """Adds ``--codec-dir`` to a command; the folders are registered before the command runs."""
    return _folders("codec")(command)


def metric_folders(command: F) -> F:
    """Adds ``--metric-dir`` to a command, likewise."""
    return _folders("metric")(command)


def _folders(kind: str) -> Callable[[F], F]:
    def add_folders(context: click.Context, parameter: click.Parameter, folders: tuple[str, ...]) -> None:
        if folders:
            from codecbench.plugins import registry

            registered: registry.Registry[Any] = getattr(registry, f"{kind.upper()}S")
            for folder in folders:
                registered.add_folder(folder)

    return click.option(
        f"--{kind}-dir",
        f"{kind}_dirs",
        multiple=True,
        metavar="DIR",
        expose_value=False,
        callback=add_folders,
        help=f"Also use the {kind}s in this folder of plugin files (repeatable; or $CODECBENCH_{kind.upper()}_PATH).",
    )


data_folder = click.option(
    "--data-dir",
    metavar="DIR",
    help="The data root [default: $CODECBENCH_DATA, else the user's cache folder].",
)


class ImageCount(click.ParamType):  # type: ignore[type-arg,unused-ignore]
    """A number of images, or ``all``."""

    name = "N|all"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Turns the text into a number, or None for all."""
        if value == "all" or value is None:
            return None
        if not str(value).isdecimal() or len(str(value)) > 18 or int(value) < 1:
            self.fail(f"{value!r} is not allowed; allowed: a whole number of 1 or more, or all")
        return int(value)


class Seconds(click.ParamType):  # type: ignore[type-arg,unused-ignore]
    """Seconds of more than 0, or ``none``."""

    name = "S|none"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Turns the text into a number, or None for no limit."""
        if value == "none" or value is None:
            return None
        if not re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,9})?", str(value)) or float(value) == 0:
            self.fail(f"{value!r} is not allowed; allowed: seconds of more than 0, or none")
        return float(value)


class Memory(click.ParamType):  # type: ignore[type-arg,unused-ignore]
    """An amount of memory: bytes, or with K, M, G or T behind it for powers of 1024."""

    name = "BYTES"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Turns the text into bytes."""
        found = re.fullmatch(r"([0-9]{1,15})([KMGT]?)", str(value).upper())
        size = int(found[1]) << {"": 0, "K": 10, "M": 20, "G": 30, "T": 40}[found[2]] if found else 0
        if size < LEAST_MEMORY:
            self.fail(
                f"{value!r} is not allowed; allowed: 64M or more, in bytes or with K, M, G or T, such as 500M or 4G"
            )
        return size
