"""Work of a command in a process of its own, within limits of time and memory: a file may ask for much of both."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from codecbench.cli import options

F = TypeVar("F", bound=Callable[..., Any])


def limits(command: F) -> F:
    """The options ``--timeout`` and ``--memory-limit``."""
    time = click.option(
        "--timeout", type=options.SECONDS, default="600", show_default=True, help="Longest time that it may take."
    )
    memory = click.option(
        "--memory-limit", type=options.MEMORY, default="8G", show_default=True, help="Most memory that it may use."
    )
    return time(memory(command))


def within(timeout: float | None, memory_limit: int, name: str, function: Callable[..., Any], *arguments: Any) -> Any:
    """Calls a function of a module in another process, about a file of that name; raises its error, of one line."""
    from codecbench.errors import CodecError, UsageError
    from codecbench.execution.sandbox import Sandbox, SandboxError

    try:
        with Sandbox("codec's", None, timeout, memory_limit, options=("--timeout", "--memory-limit")) as sandbox:
            sandbox.call(attempt, str)  # it has started: the time counts from here
            kind, found = sandbox.call(attempt, function, *arguments)
    except SandboxError as error:
        raise CodecError(f"{name}: {error.reason}") from None
    if kind != "done":
        raise (UsageError if kind == "refused" else CodecError)(found)
    return found


def attempt(function: Callable[..., Any], *arguments: Any) -> tuple[str, Any]:
    """In that process: what a function gives, or the message of what it raises."""
    from codecbench.errors import CodecbenchError, PluginError, UsageError

    try:
        return "done", function(*arguments)
    except (UsageError, PluginError) as error:
        return "refused", str(error)
    except CodecbenchError as error:
        return "failed", str(error)
