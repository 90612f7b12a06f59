"""The first stage of a run: rates and distortions of all tasks, in worker processes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from codecbench.execution.context import RunContext
from codecbench.execution.engines import WORKER_DIED
from codecbench.execution.events import Event, Progress
from codecbench.execution.workers import TaskResult, measure_tasks
from codecbench.plan.planner import Plan
from codecbench.plan.tasks import Task
from codecbench.plugins.registry import CODECS
from codecbench.store.tasks import failure_files


def measure_all(run: RunContext) -> int:
    """Measures every task of a plan that is not stored yet; returns how many failed."""
    store, watch = run.store, run.watch
    finished = store.finished()
    for name in store.damaged():
        run.note(f"damaged and set aside: {store.path / 'parts' / name}")
    waiting = [task for task in run.plan.tasks if task.id not in finished]
    progress = Progress("measured", len(run.plan.tasks), len(run.plan.tasks) - len(waiting), watch)
    failed = 0
    noted: set[tuple[str, str, str]] = set()

    def finish(tasks: tuple[Task, ...], results: list[TaskResult]) -> None:
        nonlocal failed
        for one in results:
            store.write_files(one.files)
            if one.reason:
                failed += 1
                watch(Event("failed", one.reason, one.task.dataset, str(one.task.codec)))
            elif one.first_attempt:
                run.note(f"{one.task.codec} on {one.task.dataset} needed a second try: {one.first_attempt}")
            for metric, why in one.metrics_failed.items():
                about = (metric, one.task.codec.name, one.task.dataset)
                if about not in noted:  # a codec may have many points
                    noted.add(about)
                    run.note(f"no {metric} of {one.task.codec} on {one.task.dataset}: {why}")
            progress.step(one.task.dataset, str(one.task.codec))

    def died(tasks: tuple[Task, ...]) -> None:
        finished = store.finished()
        lost = [task for task in tasks if task.id not in finished]
        for task in lost:
            store.write_files(failure_files(task, WORKER_DIED, "", 0.0, attempts=2))
        finish(tasks, [TaskResult(task, WORKER_DIED) for task in lost])

    run.run(measure_tasks, [(tasks, tasks[0]) for tasks in jobs(run.plan, waiting)], finish, died)
    return failed


def jobs(plan: Plan, tasks: Iterable[Task]) -> list[tuple[Task, ...]]:
    """Tasks, cut into jobs: one each, but one for all points of a codec that shares work between them.

    Codecs stay together, and within a codec the points on the same images, which are then read once.
    """
    groups: dict[tuple[Any, ...], list[Task]] = {}
    for task in tasks:
        shares = CODECS.get(task.codec.name).shares_work()
        key = (task.codec.name, task.dataset, task.indices[0], task.shape)
        groups.setdefault(key if shares else (*key, task.codec), []).append(task)
    order = {name: number for number, name in enumerate(plan.codec_fingerprints)}
    return [
        tuple(group)
        for group in sorted(
            groups.values(), key=lambda group: (order[group[0].codec.name], group[0].dataset, group[0].indices[0])
        )
    ]
