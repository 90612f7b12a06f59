"""The process in which ``codecbench check`` runs a plugin: it may hang, die or write anything.

It reads one line of JSON, does what that says, and answers in lines of JSON on what was its standard output. That is
then no longer the standard output of the plugin, which writes to the null device.
"""

from __future__ import annotations

import json
import os
import sys
import threading
from typing import Any

from codecbench.errors import PluginError, UsageError
from codecbench.plan.specs import expand, split_specs
from codecbench.plugins.codec import Codec
from codecbench.plugins.registry import CODECS
from codecbench.plugins.settings import Value, settings_of
from codecbench.testing.images import SHAPES, taken_shapes
from codecbench.testing.results import CheckFailed, listener
from codecbench.testing.suite import CHECKS, Subject, run_check
from codecbench.text import one_line, printable


def main() -> None:
    """Answers one task; see ``codecbench.testing.isolated``."""
    answers = os.fdopen(os.dup(1), "w", encoding="ascii")
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    os.close(null)

    def tell(kind: str, **content: Any) -> None:
        answers.write(json.dumps({"kind": kind, **content}) + "\n")
        answers.flush()

    task = json.loads(sys.stdin.readline())
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        _work(task, tell)
    except UsageError as error:
        tell("refused", reason=printable(str(error)))
    except (PluginError, CheckFailed) as error:
        tell("broken", reason=printable(str(error)))
    except Exception as error:  # a plugin's class methods may raise anything
        tell("broken", reason=one_line(error))
    tell("end")


def _end_with_parent() -> None:
    while os.read(0, 4_096):  # sys.stdin would be locked when the interpreter ends
        pass
    os._exit(1)


def _work(task: dict[str, Any], tell: Any) -> None:
    cls = CODECS.get(task["name"])
    points = points_of(cls, task["spec"])
    rows = [(point, check) for point in points for check in CHECKS if point == points[0] or not check.once]
    tell("rows", rows=[[str(cls(**point).spec), check.name] for point, check in rows])
    for number in range(task["first"], len(rows)):
        point, check = rows[number]
        tell("begin", row=number)
        with listener(lambda what: tell("trying", what=printable(what))):
            subject = Subject(cls(**point), SHAPES, task["seed"], task["damages"])
            result = run_check(check, subject)
        tell("result", row=number, result=result.result, reason=printable(result.reason))


def points_of(cls: type[Codec], spec: str) -> list[dict[str, Value]]:
    """The settings that are checked.

    Args:
        cls: the codec.
        spec: its name, or a spec with settings.

    Returns:
        All points that the spec stands for; without settings the default, and the first, the middle and the last of
        the default sweep.

    Raises:
        UsageError: a spec that does not parse, or a value that is not allowed.
    """
    (raw,) = split_specs(spec)
    given = expand(raw, settings_of(cls))
    if not raw.parts:
        sweep = [cls(**point).settings for point in cls.default_points(taken_shapes(cls(**given[0]))[0])]
        given += [sweep[0], sweep[len(sweep) // 2], sweep[-1]]
    return [dict(items) for items in dict.fromkeys(tuple(point.items()) for point in given)]
