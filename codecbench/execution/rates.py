"""The passes of a run: rates and distortions, latents to look at, and then timings."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from typing import Any

from codecbench import environment
from codecbench.execution import timings
from codecbench.execution.cluster_worker import time_points
from codecbench.execution.engines import Engine, Entry, LocalEngine, drain
from codecbench.execution.workers import Done, Job, Place, exhibit, work
from codecbench.measure.timing import ROUNDS, Timing
from codecbench.plan.planner import Plan
from codecbench.plan.tasks import Task
from codecbench.plugins.codec import CodecSpec
from codecbench.plugins.registry import CODECS
from codecbench.store import latents
from codecbench.store.folder import RunFolder

WORKER_DIED = "the worker process died (killed, or out of memory), twice"


@dataclass(frozen=True)
class Event:
    """Something a watcher of a run may want to show.

    Attributes:
        kind: ``note``, ``measured``, ``packed`` (whole sets), ``timed`` or ``failed``.
        text: the note, or the reason of a failure.
        dataset: the dataset's label, or empty.
        codec: the codec with its settings, or empty.
        done: finished steps of this pass, those of earlier runs included: tasks, or rounds of timings.
        total: steps of this pass.
        seconds_left: expected time to the end of this pass, or None.
    """

    kind: str
    text: str = ""
    dataset: str = ""
    codec: str = ""
    done: int = 0
    total: int = 0
    seconds_left: float | None = None


Watch = Callable[[Event], None]


@contextmanager
def terminable() -> Iterator[None]:
    """Lets SIGTERM break a pass off as Ctrl-C does: in order, and with a word on how to go on."""
    ours = threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    if ours:
        signal.signal(signal.SIGTERM, _interrupt)
    try:
        yield
    finally:
        if ours:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


@terminable()
def measure_all(plan: Plan, store: RunFolder, engine: Engine, place: Place, watch: Watch) -> int:
    """Measures every task of a plan that is not stored yet, in worker processes.

    A worker that dies costs the jobs it could have been working on one more try, each alone; a job that kills its
    worker again is recorded as failed.

    Returns:
        How many tasks failed.

    Raises:
        StoreError: the run folder cannot be written any more; what was measured is kept.
    """
    finished = store.finished()
    for name in store.damaged():
        watch(Event("note", f"damaged and set aside: {store.path / 'parts' / name}"))
    waiting = [task for task in plan.tasks if task.id not in finished]
    progress = Progress("measured", len(plan.tasks), len(plan.tasks) - len(waiting), watch)
    failed = 0
    said: set[tuple[str, str, str]] = set()

    def finish(name: Job, done: list[Done]) -> None:
        nonlocal failed
        for one in done:
            store.write_into(store.path, one.files)
            if one.reason:
                failed += 1
                watch(Event("failed", one.reason, one.task.dataset, str(one.task.codec)))
            elif one.first_attempt:
                watch(Event("note", f"{one.task.codec} on {one.task.dataset} needed a second try: {one.first_attempt}"))
            for metric, why in one.metrics_failed.items():
                about = (metric, one.task.codec.name, one.task.dataset)
                if about not in said:  # a codec may have many points
                    said.add(about)
                    watch(Event("note", f"no {metric} of {one.task.codec} on {one.task.dataset}: {why}"))
            progress.step(one.task.dataset, str(one.task.codec))

    entries = [Entry(job, job.tasks[0].codec.name, work, (job, place)) for job in jobs(plan, waiting)]
    for entry in twice(entries, engine, place, finish):
        finished = store.finished()
        lost = [task for task in entry.name.tasks if task.id not in finished]
        for task in lost:
            store.write_failure(task, WORKER_DIED, "", 0.0, attempts=2)
        finish(entry.name, [Done(task, WORKER_DIED) for task in lost])
    return failed


def jobs(plan: Plan, tasks: Iterable[Task]) -> list[Job]:
    """Tasks, cut into jobs: one each, but one for all points of a codec that shares work between them.

    Codecs stay together, and within a codec the points on the same images, which are then read once.
    """
    datasets = {source.selection.label: source.dataset for source in plan.sources}
    groups: dict[tuple[Any, ...], list[Task]] = {}
    for task in tasks:
        shares = CODECS.get(task.codec.name).shares_work()
        key = (task.codec.name, task.dataset, task.indices[0], task.shape)
        groups.setdefault(key if shares else (*key, task.codec), []).append(task)
    order = {name: number for number, name in enumerate(plan.codec_fingerprints)}
    ordered = sorted(
        groups.values(), key=lambda group: (order[group[0].codec.name], group[0].dataset, group[0].indices[0])
    )
    return [Job(tuple(group), datasets[group[0].dataset]) for group in ordered]


def twice(entries: list[Entry], engine: Engine, place: Place, finish: Callable[[Any, Any], None]) -> list[Entry]:
    """Runs jobs, and those whose worker died once more, each alone; gives those whose worker died again."""
    died = []
    for entry in drain(entries, engine, finish):
        if isinstance(engine, LocalEngine):
            with LocalEngine(1, place.threads) as alone:
                died += drain([entry], alone, finish)
        else:
            died += drain([entry], engine, finish)
    return died


@terminable()
def keep_latents(plan: Plan, store: RunFolder, engine: Engine, place: Place, watch: Watch) -> None:
    """Keeps what a report shows of learned codecs' latents, computed in worker processes; a failure is but a note."""
    datasets = {source.selection.label: source.dataset for source in plan.sources}

    def finish(request: latents.Request, found: tuple[str, bytes]) -> None:
        reason, content = found
        if reason:
            latents.write_failure(store, request, reason)
            watch(Event("note", f"no latents of {request.task.codec} on {request.task.dataset}: {reason}"))
        else:
            latents.write(store, request, content)

    entries = [
        Entry(request, request.task.codec.name, exhibit, (request, datasets[request.task.dataset], place))
        for request in latents.requests(plan, store)
    ]
    for entry in twice(entries, engine, place, finish):
        finish(entry.name, (WORKER_DIED, b""))


# ---- timings --------------------------------------------------------------------------------------------------------


@terminable()
def time_all(plan: Plan, store: RunFolder, place: Place, seed: int, watch: Watch) -> int:
    """Times every codec point of a plan that has rows and is not timed yet, on this machine.

    Returns:
        How many points could not be timed.
    """
    for name in store.damaged_timings():
        watch(Event("note", f"damaged and set aside: {store.path / 'timings' / name}"))
    points = timing_points(plan, store, place, seed)
    waiting = [point for point in points if not timings.is_complete(point.found)]
    total = len(points) * ROUNDS
    missing = sum(ROUNDS - len(point.found.encode_s) for point in waiting)
    progress = Progress("timed", total, total - missing, watch)
    images = {source.selection.label: source.images for source in plan.sources}
    failed = 0
    said = False

    def wait() -> None:
        nonlocal said
        if not said:
            watch(Event("note", "another process takes times on this machine; waiting for it to end"))
        said = True

    for group in timings.groups(waiting, seed, place.device):
        task = group[0].task
        pixels = images[task.dataset].read(task.indices[: timings.timed_count(task.shape)])
        # The processes of a group end with its steps, also where these are left.
        with timings.alone(wait), closing(timings.time_group(group, pixels, place, seed)) as steps:
            for step in steps:
                failed += keep_step(store, step, progress, watch)
    return failed


@terminable()
def time_elsewhere(
    plan: Plan, store: RunFolder, engine: Engine, place: Place, seed: int, watch: Watch, host: str
) -> int:
    """Times what :func:`time_all` times, on the machines of a cluster.

    Args:
        plan: what the run measures.
        store: the run folder.
        engine: with a lane for each machine; a lane does one group of points at a time.
        place: device, threads and limits.
        seed: of the order.
        watch: receives progress, when a group is finished, and failures.
        host: the machine whose rounds, where some are there, are gone on with; empty for none.

    Returns:
        How many points could not be timed.
    """
    points = timing_points(plan, store, place, seed, host)
    waiting = [point for point in points if not timings.is_complete(point.found)]
    total = len(points) * ROUNDS
    progress = Progress("timed", total, total - sum(ROUNDS - len(point.found.encode_s) for point in waiting), watch)
    datasets = {source.selection.label: source.dataset for source in plan.sources}
    failed = 0

    def finish(group: list[timings.Point], steps: list[timings.Step]) -> None:
        nonlocal failed
        for step in steps:
            failed += keep_step(store, step, progress, watch)

    entries = [
        Entry(group, f"group {number}", time_points, (group, datasets[group[0].task.dataset], seed, place))
        for number, group in enumerate(timings.groups(waiting, seed, place.device))
    ]
    for entry in twice(entries, engine, place, finish):
        died = [(point.task, replace(point.found, failed=WORKER_DIED)) for point in entry.name]
        finish(entry.name, [timings.Step(task, found, ROUNDS - len(found.encode_s)) for task, found in died])
    return failed


def keep_step(store: RunFolder, step: timings.Step, progress: Progress, watch: Watch) -> int:
    """Stores what a step of the timing pass gave; tells how many points failed with it: one or none."""
    store.write_timing(step.task.dataset, step.task.codec, step.task.codec_fingerprint, step.found)
    if step.rounds:
        progress.step(step.task.dataset, str(step.task.codec), step.rounds)
    if step.found.failed:
        watch(Event("failed", f"not timed: {step.found.failed}", step.task.dataset, str(step.task.codec)))
    return int(bool(step.found.failed))


def timing_points(
    plan: Plan, store: RunFolder, place: Place, seed: int, host: str | None = None
) -> list[timings.Point]:
    """Every codec point of a plan that has rows, with the times that the run folder has of it on a machine.

    The machine is ``host``, or this one; rounds of another one count only where all are there.
    """
    finished = store.finished()
    host = environment.host_id(environment.machine(place.device)) if host is None else host
    points: dict[tuple[str, CodecSpec], timings.Point] = {}
    begun: set[tuple[str, str]] = set()
    for task in plan.tasks:
        if task.id not in finished or (task.dataset, task.codec) in points:
            continue
        cls = CODECS.get(task.codec.name)
        device = environment.device_name(place.device) if cls.uses_device else "cpu"
        found = store.timing(task.dataset, task.codec, task.codec_fingerprint, place.threads)
        done = found is not None and timings.is_complete(found)
        if found is None or found.failed or not (done or found.host == host):  # rounds of one machine alone
            found = Timing(0, (), (), place.threads, device, shape=task.shape, seed=seed, host=host)
        points[task.dataset, task.codec] = timings.Point(
            task, cls.batched, cls.uses_device, (task.dataset, cls.name) not in begun, found
        )
        begun.add((task.dataset, cls.name))
    return list(points.values())


def untimed(plan: Plan, store: RunFolder, place: Place) -> bool:
    """Whether any codec point of a plan lacks times with these threads."""
    points = {(task.dataset, task.codec): task for task in plan.tasks}
    for task in points.values():
        found = store.timing(task.dataset, task.codec, task.codec_fingerprint, place.threads)
        if found is None or not timings.is_complete(found):
            return True
    return False


class Progress:
    """Counts finished steps and tells the time left from the pace of this command's own."""

    def __init__(self, kind: str, total: int, done: int, watch: Watch):
        self.kind, self.total, self.done, self.watch = kind, total, done, watch
        self.fresh, self.began = 0, time.perf_counter()
        watch(Event(kind, done=done, total=total))

    def step(self, dataset: str, codec: str, steps: int = 1) -> None:
        """Counts steps that were finished, and tells the watcher."""
        self.done += steps
        self.fresh += steps
        spent = time.perf_counter() - self.began
        known = self.fresh >= 5 and spent > 3.0  # the first steps wait for processes to start
        left = spent / self.fresh * (self.total - self.done) if known else None
        self.watch(Event(self.kind, "", dataset, codec, self.done, self.total, left))
