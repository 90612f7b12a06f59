"""The command line: the group of all commands, and what their errors become. The only module that exits."""

from __future__ import annotations

import contextlib
import errno
import itertools
import os
import sys

import click

from codecbench import __version__
from codecbench.cli.bd import bd
from codecbench.cli.check import check
from codecbench.cli.compare import compare
from codecbench.cli.console import say
from codecbench.cli.data import data
from codecbench.cli.decode import decode
from codecbench.cli.encode import encode
from codecbench.cli.list import list_
from codecbench.cli.match import match
from codecbench.cli.new import new
from codecbench.cli.options import Interrupted
from codecbench.cli.report import report
from codecbench.cli.run import run
from codecbench.cli.show import show
from codecbench.cli.train import train
from codecbench.errors import CodecbenchError, PluginError, UsageError

LISTS = ("--codecs", "--datasets", "--metrics", "--skip")
"""Options that take several names or specs."""
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""Errors of writing that are nobody's mistake here: no space left, in one way or another."""


def main(arguments: list[str] | None = None) -> int:
    """Runs the command line on the arguments after ``codecbench``, by default the process's own.

    The exit code is 0, 1 if something could not be measured or done, 2 for a wrong request, 130 if interrupted.
    """
    given = sys.argv[1:] if arguments is None else list(arguments)
    try:
        code = cli.main(given, prog_name="codecbench", standalone_mode=False, obj=given)
        return code if isinstance(code, int) else 0
    except Interrupted as error:
        say(f"interrupted; {error.format_message()}", err=True)
        return 130
    except click.exceptions.NoArgsIsHelpError as error:
        say(error.format_message())
        return error.exit_code
    except click.ClickException as error:
        say(f"error: {_in_our_words(error, given)}", err=True)
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        say("interrupted", err=True)
        return 130
    except (UsageError, PluginError) as error:
        say(f"error: {error}", err=True)
        return 2
    except CodecbenchError as error:
        say(f"error: {error}", err=True)
        return 1
    except BrokenPipeError:
        sys.stderr.close()
        return 1
    except OSError as error:
        if error.errno not in FULL:
            raise
        with contextlib.suppress(OSError, ValueError):  # what is left over would fail once more at the end
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        say(f"error: cannot write: {error.strerror}", err=True)
        return 1


def _in_our_words(error: click.ClickException, given: list[str]) -> str:
    """Click's message of a wrong command line as all errors are: what was wrong, and what is allowed."""
    context = getattr(error, "ctx", None)
    where = f"; `{context.command_path} --help` lists what is allowed" if context else ""
    if isinstance(error, click.NoSuchOption):
        near = f"; did you mean {' or '.join(sorted(error.possibilities))}?" if error.possibilities else where
        return f"unknown option {error.option_name}{near}"
    if isinstance(error, click.BadParameter) and not isinstance(error, click.MissingParameter):
        name = error.param.opts[0] if error.param and error.param.param_type_name == "option" else error.param_hint
        return f"{name}: {error.message.rstrip('.')}" if name else error.message.rstrip(".")
    text = error.format_message().rstrip(".")
    if text.startswith("Got unexpected extra"):
        return f"unexpected {text.partition('(')[2].removesuffix(')')}{_with_commas(given) or where}"
    text = text.replace(". Did", "; did").removesuffix("?")
    return text[0].lower() + text[1:] + ("?" if "; did" in text else where)


def _with_commas(given: list[str]) -> str:
    """How a list is written that stands with spaces behind one of the options that take lists; empty for none."""
    for at, argument in enumerate(given):
        name, equals, value = argument.partition("=")
        if name in LISTS:
            words = [value] * bool(equals) + [*itertools.takewhile(lambda word: word[:1] != "-", given[at + 1 :])]
            if len(words) > 1:
                return f"; a list is written with commas: {','.join(word.strip(',') for word in words)}"
    return ""


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100, "show_default": True})
@click.version_option(__version__, prog_name="codecbench")
def cli() -> None:
    """Which image codec? Rate, distortion and speed, measured on real bitstreams.

    A SPEC is a name (its default sweep) or NAME:KEY=VALUE[/VALUE...][,KEY=...], with ranges LO..HI[:STEP]:

        jpeg:quality=10..90:20,subsampling=4:4:4/4:2:0,png,svd:rank=5/13
    """


for command in (run, show, report, match, bd, compare, list_, new, check, data, train, encode, decode):
    cli.add_command(command)
