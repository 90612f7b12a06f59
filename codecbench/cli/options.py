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


def _folders(kind: str) -> Callable[[F], F]:
    """The option for folders of plugin files, which are registered before the command runs."""

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


codec_folders, metric_folders = _folders("codec"), _folders("metric")
data_folder = click.option(
    "--data-dir", metavar="DIR", help="The data root [default: $CODECBENCH_DATA, else the user's cache folder]."
)
one_dataset = click.option("--dataset", metavar="NAME", help="One of the run's datasets [all].")
csv = click.option("--csv", "as_csv", is_flag=True, help="Print CSV, with every column and digit.")
json = click.option("--json", "as_json", is_flag=True, help="Print everything as JSON.")


def device(help: str | None = None) -> Callable[[F], F]:
    """The option for where to compute."""
    names = ["auto", "cpu", "cuda"]
    return click.option("--device", type=click.Choice(names), default="auto", help=help)


class Number(click.ParamType):  # type: ignore[type-arg,unused-ignore]
    """A number in a notation of its own; ``read`` gives None for a text that is not allowed."""

    def __init__(self, name: str, read: Callable[[str], float | None], allowed: str, none: str = ""):
        self.name = name
        self.read = read
        self.allowed = allowed
        self.none = none  # the text for None

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Turns the text into a number, or None."""
        found = None if value == self.none else self.read(str(value))
        if found is None and value != self.none:
            self.fail(f"{value!r} is not allowed; allowed: {self.allowed}")
        return found


def _count(text: str) -> int | None:
    return int(text) or None if re.fullmatch(r"\d{1,18}", text) else None


def _seconds(text: str) -> float | None:
    return float(text) or None if re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,9})?", text) else None


def _bytes(text: str) -> int | None:
    found = re.fullmatch(r"([0-9]{1,15})([KMGT]?)", text.upper())
    size = int(found[1]) << {"": 0, "K": 10, "M": 20, "G": 30, "T": 40}[found[2]] if found else 0
    return size if size >= LEAST_MEMORY else None


IMAGE_COUNT = Number("N|all", _count, "a whole number of 1 or more, or all", none="all")
SECONDS = Number("S|none", _seconds, "seconds of more than 0, or none", none="none")
MEMORY = Number("BYTES", _bytes, "64M or more, in bytes or with K, M, G or T, such as 500M or 4G")
