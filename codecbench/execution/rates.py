"""The first stage of a run: rates and distortions of all tasks, in worker processes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from codecbench.execution.context import Progress, RunContext
from codecbench.execution.engines import WORKER_DIED
from codecbench.execution.sandbox import SandboxError
from codecbench.execution.workers import TaskResult, failed_task, measure_tasks
from codecbench.plan.planner import Plan
from codecbench.plan.tasks import Task
from codecbench.plugins.registry import CODECS
from codecbench.store.tasks import TaskRecord


def measure_all(run: RunContext) -> int:
    """Measures every task of a plan that is not stored yet; returns how many failed."""
    store = run.store
    finished = store.finished()
    run.note_damaged(TaskRecord)
    waiting = [task for task in run.plan.tasks if task.id not in finished]
    progress = Progress("measured", len(run.plan.tasks), len(run.plan.tasks) - len(waiting), run.watch)
    noted: set[tuple[str, str, str]] = set()

    def finish(tasks: tuple[Task, ...], results: list[TaskResult]) -> None:
        for one in results:
            store.write_files(one.files)
            about = f"{one.task.codec} on {one.task.dataset}"
            if one.first_attempt:
                run.note(f"{about} needed a second try: {one.first_attempt}")
            for metric, why in one.metrics_failed.items():
                point = (metric, one.task.codec.name, one.task.dataset)
                if point not in noted:  # a codec may have many points
                    noted.add(point)
                    run.note(f"no {metric} of {about}: {why}")
            progress.step(one.task, failed=one.reason)

    def died(tasks: tuple[Task, ...]) -> None:
        finished = store.finished()
        lost = [task for task in tasks if task.id not in finished]
        finish(tasks, [failed_task(task, SandboxError(WORKER_DIED), attempts=2) for task in lost])

    run.run(measure_tasks, [(tasks, tasks[0]) for tasks in jobs(run.plan, waiting)], finish, died)
    return progress.failed


def jobs(plan: Plan, tasks: Iterable[Task]) -> list[tuple[Task, ...]]:
    """Tasks, cut into jobs: one each, but one for all points of a codec that shares work between them.

    Codecs stay together, and within a codec the points on the same images, which are then read once.
    """
    order = {name: number for number, name in enumerate(plan.codec_fingerprints)}
    groups: dict[tuple[Any, ...], list[Task]] = {}
    for task in sorted(tasks, key=lambda task: (order[task.codec.name], task.dataset, task.indices[0])):
        shares = CODECS.get(task.codec.name).shares_work()
        key = (task.codec.name, task.dataset, task.indices[0], task.shape)
        groups.setdefault(key if shares else (*key, task.codec), []).append(task)
    return [tuple(group) for group in groups.values()]
