"""Checks a plugin from the outside: in a process of its own, which may hang, die, eat memory or write anything."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field
from typing import IO, Any

from codecbench.errors import SpecError, UnknownNameError, UsageError
from codecbench.plan.specs import split_specs
from codecbench.plugins.registry import CODECS
from codecbench.testing.limits import resident_bytes
from codecbench.testing.processes import python
from codecbench.testing.report import Report
from codecbench.testing.results import FAILED, SKIPPED, Result
from codecbench.text import one_line

TIME_LIMIT_S = 60.0
"""A codec that does not come back from one step for so long is taken to hang."""
MEMORY_LIMIT_BYTES = 8 << 30
"""Memory that the process may hold; beyond it, it is ended."""
MOST_DEATHS = 2
"""So often a codec may end its process before the checks that are left are not tried."""

_CODE = """
import json, sys
sys.path[:] = json.loads(sys.argv[1])
from codecbench.testing.child import main
main()
"""


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
    name = specs[0].name
    origins = CODECS.origins()
    if name not in origins:
        raise UnknownNameError("codec", name, origins)
    task = {"name": name, "spec": spec, "seed": seed, "damages": damages, "first": 0}
    session = _Session(spec, time_limit_s, memory_limit or MEMORY_LIMIT_BYTES)
    deaths = 0
    while (death := session.run(task | {"first": len(session.results)})) is not None:
        session.fail(death)
        deaths += 1
        if not session.rows or deaths == MOST_DEATHS:
            break
    session.skip_the_rest(f"not tried, since the codec's process had to be given up {deaths} times")
    return Report(spec, seed, damages, tuple(session.results))


@dataclass
class _Session:
    """What is known so far.

    Attributes:
        spec: what is checked.
        time_limit_s: see :func:`check_plugin`.
        memory_limit: likewise.
        rows: spec and check of every row, once the process has told them.
        results: of the first rows.
        doing: what the process did when it was last heard of.
    """

    spec: str
    time_limit_s: float
    memory_limit: int
    rows: list[list[str]] = field(default_factory=list)
    results: list[Result] = field(default_factory=list)
    doing: str = ""

    def run(self, task: dict[str, Any]) -> str | None:
        """Has a new process do the rows that are left; returns why it ended before it was done, or None."""
        self.doing = "importing the plugin"
        with tempfile.TemporaryFile() as errors:
            process = subprocess.Popen(
                python(_CODE),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                env={"OMP_NUM_THREADS": "1", **os.environ},
                start_new_session=True,
            )
            lines: queue.Queue[bytes] = queue.Queue()
            assert process.stdin is not None
            assert process.stdout is not None
            threading.Thread(target=_read, args=(process.stdout, lines), daemon=True).start()
            try:
                with contextlib.suppress(BrokenPipeError):
                    process.stdin.write(json.dumps(task).encode() + b"\n")
                    process.stdin.flush()
                reason = self._follow(process, lines)
            finally:
                _end(process)
            return None if reason is None else f"{reason}{_last_words(errors)}"

    def _follow(self, process: subprocess.Popen[bytes], lines: queue.Queue[bytes]) -> str | None:
        heard = time.monotonic()
        while True:
            try:
                line = lines.get(timeout=0.1)
            except queue.Empty:
                if time.monotonic() - heard > self.time_limit_s:
                    return f"hangs: no answer for {self.time_limit_s:g} s from {self.doing}"
                held = resident_bytes(process.pid)
                if held > self.memory_limit:
                    return f"holds {held / 2**30:.1f} GiB of memory; stopped at {self.doing}"
                continue
            heard = time.monotonic()
            if not line:
                return f"the process {_ending(process)} at {self.doing}"
            if self._hear(json.loads(line)):
                return None

    def _hear(self, message: dict[str, Any]) -> bool:
        """Takes one answer; true for the last."""
        kind = message["kind"]
        if kind == "refused":
            raise UsageError(message["reason"])
        if kind == "broken":
            self.results.append(Result("import", self.spec, FAILED, message["reason"]))
            self.rows = []
        elif kind == "rows":
            self.rows = message["rows"]
        elif kind == "begin":
            self.doing = f"the check {self.rows[message['row']][1]!r}"
        elif kind == "trying":
            self.doing = message["what"] or self.doing
        elif kind == "result":
            point, check = self.rows[message["row"]]
            self.results.append(Result(check, point, message["result"], message["reason"]))
        return bool(kind == "end")

    def fail(self, reason: str) -> None:
        """The row that the process was at failed."""
        point, check = self.rows[len(self.results)] if self.rows else (self.spec, "import")
        self.results.append(Result(check, point, FAILED, reason))

    def skip_the_rest(self, reason: str) -> None:
        """What is left was not tried."""
        for point, check in self.rows[len(self.results) :]:
            self.results.append(Result(check, point, SKIPPED, reason))


def _read(pipe: IO[bytes], lines: queue.Queue[bytes]) -> None:
    """Hands on lines, and an empty one at the end."""
    with contextlib.suppress(OSError, ValueError):
        for line in pipe:
            lines.put(line)
    lines.put(b"")


def _end(process: subprocess.Popen[bytes]) -> None:
    """Ends a process with all that it has started."""
    if sys.platform == "win32":
        process.kill()
    else:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            with contextlib.suppress(OSError):
                pipe.close()


def _ending(process: subprocess.Popen[bytes]) -> str:
    try:
        code = process.wait(timeout=5)
    except subprocess.TimeoutExpired:
        return "stopped to answer"
    if code >= 0:
        return f"ended itself (exit code {code})"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = f"signal {-code}"
    return f"was ended by {name}"


def _last_words(errors: IO[bytes]) -> str:
    """The last line that a process wrote to its standard error, for the end of a sentence."""
    try:
        errors.seek(0)
        words = errors.read()[-4_000:].decode("utf-8", "replace").strip().splitlines()
    except OSError as error:
        return f"; {one_line(error)}"
    return f"; its last words: {words[-1][:200]}" if words else ""
