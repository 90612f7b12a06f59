"""What every stage of a run is given (what to measure, where results go, where jobs run), and what it reports."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from codecbench.execution.engines import Engine, QueuedJob, run_stage
from codecbench.execution.limits import WorkerLimits
from codecbench.plan.planner import Plan
from codecbench.plan.tasks import Task
from codecbench.store.folder import RunFolder
from codecbench.store.io import Record


@dataclass(frozen=True)
class Event:
    """Something a watcher of a run may want to show."""

    kind: str  # ``note``, ``measured``, ``packed`` (whole sets), ``timed`` or ``failed``
    text: str = ""  # the note, or the reason of a failure
    dataset: str = ""
    codec: str = ""  # the codec with its settings, or empty
    done: int = 0  # finished steps of this stage, those of earlier commands included: tasks, or rounds of timings
    total: int = 0  # steps of this stage
    seconds_left: float | None = None  # expected time to the end of this stage, or None


Watch = Callable[[Event], None]


class Progress:
    """Counts finished steps and failures of a stage, and estimates the time left from this command's own pace."""

    def __init__(self, kind: str, total: int, done: int, watch: Watch):
        self.kind, self.total, self.done, self.watch = kind, total, done, watch
        self.failed = 0
        self._fresh, self._began = 0, time.perf_counter()
        watch(Event(kind, done=done, total=total))

    def step(self, task: Task, steps: int = 1, failed: str = "") -> None:
        """Counts and reports finished steps; ``failed`` is the reason why they gave nothing, if they did not."""
        dataset, codec = task.dataset, str(task.codec)
        if failed:
            self.failed += 1
            self.watch(Event("failed", failed, dataset, codec))
        self.done += steps
        self._fresh += steps
        spent = time.perf_counter() - self._began
        known = self._fresh >= 5 and spent > 3.0  # the first steps wait for processes to start
        left = spent / self._fresh * (self.total - self.done) if known else None
        self.watch(Event(self.kind, "", dataset, codec, self.done, self.total, left))


@dataclass(frozen=True)
class RunContext:
    """A plan, the run folder, an engine, what its jobs are given, and who watches."""

    plan: Plan
    store: RunFolder
    engine: Engine
    limits: WorkerLimits
    watch: Watch

    def note(self, text: str) -> None:
        """Tells the watcher something that is no failure."""
        self.watch(Event("note", text))

    def note_damaged(self, kind: type[Record]) -> None:
        """Names the files of a kind that were set aside."""
        for name in self.store.damaged(kind):
            self.note(f"damaged and set aside: {self.store.path / kind.FOLDER / name}")

    def run(
        self,
        function: Callable[..., Any],
        jobs: Iterable[tuple[Any, Task]],
        finish: Callable[[Any, Any], None],
        died: Callable[[Any], None],
        kind: Callable[[Task], str] = lambda task: task.codec.name,
    ) -> None:
        """Calls ``function(job, dataset, limits)`` in the engine for every job, given with a task that it is about.

        ``finish`` gets the job and the result, ``died`` the job where its worker died twice.
        """
        datasets = {source.selection.label: source.dataset for source in self.plan.sources}
        queued = [
            QueuedJob(job, kind(task), function, (job, datasets[task.dataset], self.limits)) for job, task in jobs
        ]
        run_stage(self.engine, queued, finish, died)
