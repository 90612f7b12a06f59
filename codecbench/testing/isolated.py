"""Checks a plugin from the outside: in a sandbox, where it may hang, die, eat memory or write anything."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from codecbench.errors import PluginError, SpecError, UnknownNameError, UsageError
from codecbench.execution.orphans import adopted
from codecbench.execution.sandbox import Sandbox, SandboxError
from codecbench.execution.sandbox_child import emit
from codecbench.plan.specs import expand, split_specs
from codecbench.plugins.codec import Codec
from codecbench.plugins.registry import CODECS
from codecbench.plugins.settings import Value, settings_of
from codecbench.store.schema import fitting
from codecbench.testing.images import SHAPES, taken_shapes
from codecbench.testing.results import FAILED, SKIPPED, CheckFailed, Report, Result, listener
from codecbench.testing.suite import CHECKS, Subject, run_check
from codecbench.text import one_line, printable

TIME_LIMIT_S = 60.0
"""A codec that does not come back from one step for so long is taken to hang."""
MEMORY_LIMIT_BYTES = 8 << 30
"""Memory that the process may hold; beyond it, it is killed."""
MAX_DEATHS = 2
"""So often a codec may end its process before the checks that are left are not tried."""


def check_plugin(
    spec: str, seed: int = 0, damages: int = 100, time_limit_s: float = TIME_LIMIT_S, memory_limit: int | None = None
) -> Report:
    """Runs every check on a registered codec; its file is imported in another process only.

    Args:
        spec: a codec's name, for its default and the first, the middle and the last point of its default sweep; or a
            name with settings, for these.
        seed: decides images and damages.
        damages: how many damaged streams are decoded at each point.
        time_limit_s: longest time that the codec may take for one step of a check, such as decoding a batch.
        memory_limit: bytes that its process may hold [``MEMORY_LIMIT_BYTES``].

    Returns:
        How every check ended. What the codec does wrong is in there, and never raised.

    Raises:
        UsageError: no such codec, or settings that it does not have.
        PluginError: two codecs have that name.
    """
    specs = split_specs(spec)
    if len(specs) != 1:
        raise SpecError(f"{spec!r} names {len(specs)} codecs; allowed: one")
    origins = CODECS.origins()
    if specs[0].name not in origins:
        raise UnknownNameError("codec", specs[0].name, origins)
    session = _Session(spec)
    for deaths in range(1, MAX_DEATHS + 1):
        options = ("--time-limit", "the kit's own")
        try:
            limits = (1, time_limit_s, memory_limit or MEMORY_LIMIT_BYTES)
            with adopted(), Sandbox("codec's", *limits, options=options) as sandbox:
                for event in sandbox.stream(run_checks, spec, seed, damages, len(session.results)):
                    session.hear(*event)
            break
        except SandboxError as error:
            session.fail(error)
        if not session.rows or deaths == MAX_DEATHS:
            why = f"not tried, since the codec's process had to be given up {deaths} times"
            left = session.rows[len(session.results) :]
            session.results += [Result(check, point, SKIPPED, why) for point, check in left]
            break
    return Report(spec, seed, damages, tuple(session.results))


@dataclass
class _Session:
    """What is known so far."""

    spec: str
    rows: list[tuple[str, str]] = field(default_factory=list)  # spec and check of every row, once they are known
    results: list[Result] = field(default_factory=list)  # of the first rows
    step: str = "importing the plugin"  # what the sandbox was doing when it was last heard of

    def hear(self, kind: str, content: Any) -> None:
        """Takes one message of :func:`run_checks`."""
        if kind == "refused":
            raise UsageError(content)
        if kind == "broken":
            self.results.append(Result("import", self.spec, FAILED, content))
            self.rows = []
        elif kind == "rows":
            self.rows = fitting(content, list[tuple[str, str]])
        elif kind == "result":
            self.results.append(fitting(content, Result))
        elif content:
            self.step = content

    def fail(self, error: SandboxError) -> None:
        """The row that the sandbox was at failed."""
        point, check = self.rows[len(self.results)] if self.rows else (self.spec, "import")
        crashed = "Extension modules: " in error.details and "Fatal Python error" not in error.details
        wrote = [""] if crashed or not error.died else error.details.partition("Fatal Python error")[0].split("\n")
        words = next((line.strip() for line in reversed(wrote) if line.strip()), "")
        reason = f"{error.reason}; last step: {self.step}" + f"; last words: {words[:200]}" * bool(words)
        self.results.append(Result(check, point, FAILED, reason))
        self.step = "importing the plugin"


# ---- in the sandbox -------------------------------------------------------------------------------------------------


def run_checks(spec: str, seed: int, damages: int, first: int) -> Iterator[tuple[str, Any]]:
    """Runs the checks from row ``first`` on, and yields what happens: a kind, and what there is to say.

    The kinds are ``rows`` (spec and check of each), ``step`` (what is done next), ``result``, and in their place
    ``refused`` (a wrong request) or ``broken`` (the plugin cannot be imported, or gives no points).
    """
    try:
        (raw,) = split_specs(spec)
        cls = CODECS.get(raw.name)
        points = points_of(cls, spec)
        rows = [(point, check) for point in points for check in CHECKS if point == points[0] or not check.once]
        yield "rows", [(str(cls(**point).spec), check.name) for point, check in rows]
        for point, check in rows[first:]:
            yield "step", f"the check {check.name!r}"
            with listener(lambda what: emit(("step", printable(what)))):
                yield "result", run_check(check, Subject(cls(**point), SHAPES, seed, damages))
    except UsageError as error:
        yield "refused", printable(str(error))
    except (PluginError, CheckFailed) as error:
        yield "broken", printable(str(error))
    except Exception as error:  # a plugin's class methods may raise anything
        yield "broken", one_line(error)


def points_of(cls: type[Codec], spec: str) -> list[dict[str, Value]]:
    """The points that a spec stands for; without settings the default, and three of the default sweep."""
    (raw,) = split_specs(spec)
    given = expand(raw, settings_of(cls))
    if not raw.parts:
        sweep = [cls(**point).settings for point in cls.default_points(taken_shapes(cls(**given[0]))[0])]
        given += [sweep[0], sweep[len(sweep) // 2], sweep[-1]]
    return [dict(items) for items in dict.fromkeys(tuple(point.items()) for point in given)]
