"""How a report writes numbers and texts: the filters of its templates, and what these say of columns and commands."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pandas as pd
from markupsafe import Markup, escape

from codecbench.text import format_memory, format_rate, format_seconds, format_significant, format_ssim, printable

CODE = re.compile(r"``([^`]+)``|`([^`]+)`")
STRONG = re.compile(r"(?:\*\*|\ue000)(.+?)(?:\*\*|\ue000)")
MARKUP = re.compile(r"[\\`*\[\]|~]|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])")
"""What would be markup in the middle of a line of Markdown; an underscore inside a word is none."""
CALL_FACTS = {
    "started": "began",
    "git_commit": "commit",
    "seed": "seed",
    "workers": "workers",
    "threads_per_worker": "threads per worker",
    "timing_threads": "threads while timing",
}
"""What the page says of each command, by its key in ``run.json``."""
MACHINE_FACTS = {"memory_gib": "memory (GiB)", "logical_cores": "cores of the machine", "virtual": "virtual machine"}
"""Names of what the page says of a machine, where they are not its keys."""


def absent(value: Any) -> bool:
    """Whether there is no number: None, NaN or pandas' NA."""
    return value is None or value is pd.NA or (isinstance(value, float) and math.isnan(value))


def _or_dash(write: Callable[[Any], str]) -> Callable[[Any], str]:
    return lambda value: "–" if absent(value) else write(value)


def shown(value: object) -> object:
    """What a template writes of a value: of a text what can be shown."""
    return printable(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def marked(text: object) -> Markup:
    """A text for a page: escaped, with what is between backticks as code."""
    return Markup(CODE.sub(lambda found: f"<code>{found[1] or found[2]}</code>", str(escape(printable(str(text))))))


def plain(text: object) -> str:
    """A text for where there is no code: without the backticks around it. Escaping is left to the template."""
    return CODE.sub(lambda found: found[1] or found[2], str(text))


def prose(text: object) -> Markup:
    """A sentence of ours for a page: escaped, with code between backticks and strong words between two asterisks."""
    return Markup(STRONG.sub(r"<strong>\g<1></strong>", str(marked(text))))


def prose_markdown(text: object) -> str:
    """The same in Markdown."""
    return STRONG.sub(r"**\g<1>**", markdown_marked(str(text).replace("**", "\ue000"))).replace("\ue000", "\\*\\*")


def markdown(text: object) -> str:
    """A text as it is, in Markdown: nothing in it is markup, ends a table's cell or begins a line of its own."""
    return _literal(" ".join(printable(str(text)).split()))


def markdown_marked(text: object) -> str:
    """A text in Markdown, with what is between backticks as code and the rest as it is."""
    words, parts, end = " ".join(printable(str(text)).split()), [], 0
    for found in CODE.finditer(words):
        parts += [_literal(words[end : found.start()]), "`" + (found[1] or found[2]).replace("|", "\\|") + "`"]
        end = found.end()
    return "".join(parts) + _literal(words[end:])


def _literal(text: str) -> str:
    """Escapes what Markdown takes for markup; names and addresses are no mentions, and tags no tags."""
    escaped = MARKUP.sub(r"\\\g<0>", text.replace("&", "&amp;"))
    return escaped.replace("<", "&lt;").replace("@", "&#64;")


def breakable(settings: object) -> Markup:
    """Settings that may break behind their commas, and copy as they are."""
    return Markup(str(escape(printable(str(settings)))).replace(",", ",<wbr>"))


def measured_with(calls: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The ``invocations`` of ``run.json``, those with the same machine, versions and device together.

    Each group has ``facts``, pairs of name and value that hold for all its ``commands``, and these their own.
    """
    groups: dict[str, list[Mapping[str, Any]]] = {}
    for call in calls:
        groups.setdefault(repr(_surroundings(call)), []).append(call)
    found = []
    for members in groups.values():
        own = [_call_facts(call) for call in members]
        shared = [fact for fact in own[0] if len(members) > 1 and all(fact in facts for facts in own)]
        commands = [
            {"command": call.get("command", "unknown"), "facts": [fact for fact in facts if fact not in shared]}
            for call, facts in zip(members, own, strict=True)
        ]
        found.append({"commands": commands, "facts": shared + _surroundings(members[0])})
    return found


def _call_facts(call: Mapping[str, Any]) -> list[tuple[str, str]]:
    facts = [(name, str(call[key])) for key, name in CALL_FACTS.items() if call.get(key) not in (None, "")]
    conditions = call.get("conditions", {})
    if conditions.get("load_1min") is not None:
        facts.append(("load at the start", str(conditions["load_1min"])))
    facts += [(name, str(value)) for name, value in conditions.get("thread_variables", {}).items()]
    untimed = "timing_threads" in call and call["timing_threads"] is None
    return facts + ([("timings", "none taken")] if untimed else [])


def _surroundings(call: Mapping[str, Any]) -> list[tuple[str, str]]:
    known = {key: value for key, value in call.get("machine", {}).items() if value is not None}
    machine = {
        key: str({True: "yes", False: "no"}[value] if isinstance(value, bool) else value)
        for key, value in known.items()
    }
    used, name = str(call.get("device") or ""), machine.pop("device", "")
    device = f"{name} ({used})" if name and used and name != used else name or used
    facts = [("host", str(call["host"]))] if call.get("host") else []
    facts += [(MACHINE_FACTS.get(key, key), value) for key, value in machine.items()]
    facts += [("device", device)] if device else []
    return facts + [(key, str(value)) for key, value in call.get("versions", {}).items()]


FILTERS: dict[str, Callable[[Any], str]] = {
    name: _or_dash(write)
    for name, write in {
        "whole": lambda value: f"{value:,.0f}",
        "rate": format_rate,
        "ratio": lambda value: f"{value:,.2f}" if value < 100 else f"{value:,.0f}",
        "mse": lambda value: "0" if value == 0 else f"{value:.3e}",
        "db": lambda value: f"{value:.2f}",
        "ssim": format_ssim,
        "seconds": format_seconds,
        "significant": format_significant,
        "memory": format_memory,
        "exactly": lambda value: repr(float(value)),
    }.items()
} | {"marked": marked, "prose": prose, "plain": plain, "breakable": breakable}
