"""What every stage of a run is given: what to measure, where the results go, and where the jobs run."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from codecbench.execution.engines import Engine, QueuedJob, run_stage
from codecbench.execution.events import Event, Watch
from codecbench.execution.limits import WorkerLimits
from codecbench.plan.planner import Plan
from codecbench.plan.tasks import Task
from codecbench.store.folder import RunFolder


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
