"""A run on a cluster: Dask's scheduler and workers, through Dask's own executor (``codecbench run --scheduler``).

Jobs are those of a local run. Every worker is looked at before it gets one: its versions, its codecs and the first
images of each dataset must be the caller's (``codecbench.execution.cluster_worker``). A worker that joins later is
looked at when it joins. One that dies costs the jobs that it had, which Dask gives to others.
"""

from __future__ import annotations

import contextlib
import importlib.util
import logging
import os
import pickle
import re
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, InvalidStateError, wait
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from codecbench.errors import ClusterError, CodecbenchError, UsageError
from codecbench.execution import cluster_worker, timings
from codecbench.execution import workers as worker_jobs
from codecbench.execution.context import Event, RunContext, Watch
from codecbench.execution.engines import WorkerDied, hidden_main, without_interrupts
from codecbench.execution.limits import WorkerLimits
from codecbench.plan.planner import Plan
from codecbench.store.io import write_whole
from codecbench.text import one_line

LOCAL = "local"
ADDRESS = r"(tcp|tls|ws|wss)://[^/\s]+:(?P<port>\d{1,5})/?"
CONNECT_S = 10.0
"""How long the scheduler may take to answer, in seconds."""
TIMING = "timing"
"""The resource that workers declare on which times may be taken."""
WORKERS_S = 60.0
"""How long a run waits for a worker where there is none, in seconds."""
LOOK_S = 1.0
"""How often the workers are looked at, in seconds."""


@contextlib.contextmanager
def reach(
    scheduler: str,
    plan: Plan,
    limits: WorkerLimits,
    watch: Watch,
    workers: int = 1,
    worker_data_dir: str | os.PathLike[str] | None = None,
) -> Iterator[Cluster]:
    """Connects to a cluster (``local``: ``workers`` processes of this machine), and looks at all its workers.

    They write into the run folder themselves where ``limits`` name it. Leaves nothing behind at the end.
    Raises ClusterError where no scheduler answers there, it has no workers, or one differs.
    """
    datasets = {source.selection.label: source.dataset for source in plan.sources}
    first_tasks = {task.dataset: task for task in reversed(plan.tasks)}
    data_dir = limits.data_dir if scheduler == LOCAL and not worker_data_dir else worker_data_dir
    request = cluster_worker.WorkerRequest(
        uuid.uuid4().hex,
        limits,
        str(data_dir or ""),
        tuple(plan.codec_fingerprints),
        cluster_worker.LOADED | cluster_worker.describe(plan.codec_fingerprints, limits.device, plan.metrics),
        tuple((dataset, first_tasks[label]) for label, dataset in datasets.items() if label in first_tasks),
    )
    with contextlib.ExitStack() as stack:
        log = logging.getLogger("distributed")  # which repeats what codecbench says in a line
        stack.callback(log.setLevel, log.level)
        log.setLevel(logging.CRITICAL + 1)
        address = stack.enter_context(local_cluster(workers)) if scheduler == LOCAL else scheduler.rstrip("/")
        client = connect(address)
        stack.callback(close, client)
        if limits.folder is not None:
            token = limits.folder / request.token
            write_whole(token, request.run.encode())
            stack.callback(token.unlink, missing_ok=True)
        cluster = Cluster(scheduler, address, client, request, watch)
        stack.push(cluster.leave)
        cluster.introduce_all()
        yield cluster


class Cluster:
    """Workers that a run was introduced to."""

    def __init__(self, scheduler: str, address: str, client: Any, request: cluster_worker.WorkerRequest, watch: Watch):
        self.client, self.run = client, request.run
        self._scheduler, self._address, self._request, self._watch = scheduler, address, request, watch
        self._workers: dict[str, cluster_worker.Report] = {}
        self._refused: set[str] = set()

    def introduce_all(self) -> None:
        """Waits for a worker, and looks at all; raises ClusterError where there is none, or one differs from here."""
        deadline = time.monotonic() + WORKERS_S
        if not self._present():
            self._watch(Event("note", f"no worker at {self._address} yet; waiting for one, up to {WORKERS_S:g} s"))
        while not self._present():
            if time.monotonic() > deadline:
                raise ClusterError(f"no worker at {self._address}; start some with `dask worker {self._address}`")
            time.sleep(0.2)
        problems = self._introduce(self._present())
        if problems:
            others = f" (and {len(problems) - 1} more workers)" if len(problems) > 1 else ""
            raise ClusterError(f"{next(iter(problems.values()))}{others}")
        if not self._workers:
            raise ClusterError(f"all workers at {self._address} went away while they were looked at")

    def record(self) -> dict[str, Any]:
        """What ``run.json`` keeps of a cluster: its kind, its workers, and their machines without names."""
        hosts: dict[str, dict[str, Any]] = {}
        for worker in self._workers.values():
            empty = {"machine": worker.machine, "workers": 0, "threads": 0, "timing": False}
            host = hosts.setdefault(worker.host, empty)
            host["workers"] += 1
            host["threads"] += worker.threads
            host["timing"] |= worker.times
        return {
            "scheduler": self._scheduler.partition("://")[0],
            "workers": len(self._workers),
            "threads": sum(worker.threads for worker in self._workers.values()),
            "results": "shared" if self._request.limits.folder else "returned",
            "hosts": hosts,
        }

    def can_time(self) -> bool:
        """Whether a worker declares the resource ``timing``; a note says so where none does."""
        if self._timing_workers():
            return True
        how = f"`dask worker {self._address} --nthreads 1 --resources {TIMING}=1`"
        self._watch(Event("note", f"times are not taken: no worker declares {TIMING}; start one a machine with {how}"))
        return False

    def time_all(self, run: RunContext, seed: int) -> int:
        """Times points, one at a time on each machine that has a worker for it; returns how many failed."""
        by_host = self._timing_workers()
        for workers in by_host.values():
            if len(workers) > 1 and self._scheduler != LOCAL:
                names = ", ".join(workers)
                run.note(f"one machine has several workers for {TIMING} ({names}); {workers[0]} is used")
        host = next(iter(by_host)) if len(by_host) == 1 else ""  # rounds of one machine are gone on with
        with ClusterEngine(self, TIMING) as engine:
            return timings.time_elsewhere(replace(run, engine=engine), seed, host)

    def _timing_workers(self) -> dict[str, list[str]]:
        """Addresses of the workers on which times may be taken, by machine."""
        found: dict[str, list[str]] = {}
        for address, worker in sorted(self._workers.items()):
            if worker.times:
                found.setdefault(worker.host, []).append(address)
        return found

    def usable(self, resource: str) -> dict[str, int]:
        """Addresses of the workers that may do jobs, and how many at once; for times one a machine, and one job."""
        if resource:
            return {workers[0]: 1 for workers in self._timing_workers().values()}
        return {address: worker.threads for address, worker in self._workers.items()}

    def must_name(self, resource: str) -> bool:
        """Whether the scheduler knows workers that would fit a job and may not do it."""
        return bool(self._refused) or (resource != "" and any(len(w) > 1 for w in self._timing_workers().values()))

    # ---- workers that come and go -------------------------------------------------------------------------------

    def look(self) -> None:
        """Forgets workers that went away, and introduces those that came."""
        present = self._present()
        self._workers = {address: worker for address, worker in self._workers.items() if address in present}
        self._refused &= present.keys()
        known = self._workers.keys() | self._refused
        new = {address: facts for address, facts in present.items() if address not in known}
        if new:
            for address, problem in self._introduce(new).items():
                self._refused.add(address)
                self._watch(Event("note", f"{problem}; it gets no jobs"))

    def _present(self) -> dict[str, Mapping[str, Any]]:
        """The workers that the scheduler knows now, by address."""
        if self.client.status != "running":
            raise self.gone()
        return {
            address: facts
            for address, facts in self.client.scheduler_info()["workers"].items()
            if facts.get("status", "running") == "running"
        }

    def _introduce(self, workers: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
        """Looks at workers; tells what is wrong with those that cannot take part, by address."""
        problems = {}
        reports = self._ask(cluster_worker.CHECK_S, "return", cluster_worker.look, self._request, workers=list(workers))
        for address, report in reports.items():
            if isinstance(report, OSError):
                continue  # it went away
            if isinstance(report, BaseException):
                problems[address] = f"worker {address} cannot take part: {one_line(report)}"
            elif report.problems:
                problems[address] = f"worker {address} differs from here: {'; '.join(report.problems)}"
            else:
                facts = workers[address]
                times = facts.get("resources", {}).get(TIMING, 0) >= 1
                self._workers[address] = replace(report, threads=int(facts["nthreads"]), times=times)
        return problems

    def _ask(self, seconds: float, on_error: str, function: Callable[..., Any], *given: Any, **options: Any) -> Any:
        """What a function gives on every worker, by address."""
        call = partial(self.client.run, cluster_worker.in_thread, function, *given, on_error=on_error, **options)
        return bounded(call, seconds, "its workers")

    def gone(self) -> ClusterError:
        """What is said when the scheduler is gone."""
        kept = "what was measured is kept, the same command goes on"
        return ClusterError(f"the scheduler at {self._address} is gone; {kept}")

    # ---- the end ------------------------------------------------------------------------------------------------

    def rest(self) -> None:
        """Ends the sandboxes of workers that have nothing to do."""
        with contextlib.suppress(Exception):
            self._ask(CONNECT_S, "ignore", worker_jobs.close_idle)

    def leave(self, kind: type[BaseException] | None, *_: object) -> None:
        """Lets every worker forget the run; waits for that where the run ended well."""
        if self.client.status == "running":
            with contextlib.suppress(Exception):
                self._ask(CONNECT_S if kind is None else 1.0, "ignore", cluster_worker.end_run, self.run)


@dataclass
class _Sent:
    """A call on its way."""

    call: bytes
    inner: Future[Any] | None  # Dask's; None after a worker refused it
    named: list[str] | None  # the workers that it is for, if not for all


class ClusterEngine:
    """Slots of a cluster, among whose workers Dask spreads the jobs itself.

    While it is open, a thread looks at the workers: it introduces new ones, and lets all that is queued fail once
    there has been none for ``WORKERS_S``, or the scheduler is gone. ``resource``, if any, a worker must declare.
    """

    def __init__(self, cluster: Cluster, resource: str = ""):
        self.slots = max(1, sum(cluster.usable(resource).values()))
        self._cluster, self._resource = cluster, resource
        self._executor = cluster.client.get_executor(pure=False, resources={resource: 1} if resource else None)
        self._open: dict[Future[Any], _Sent] = {}
        self._closed = threading.Event()
        self._watcher = threading.Thread(target=self._look, daemon=True)

    def submit(self, slot: int, function: Callable[..., Any], *arguments: Any) -> Future[Any]:
        """Queues a call on whichever worker."""
        call = pickle.dumps((function, arguments), protocol=pickle.HIGHEST_PROTOCOL)
        promise: Future[Any] = Future()
        self._send(promise, call)
        return promise

    def alone(self) -> contextlib.AbstractContextManager[ClusterEngine]:
        """This engine: Dask tells which job a death belongs to."""
        return contextlib.nullcontext(self)

    def _send(self, promise: Future[Any], call: bytes) -> None:
        named = list(self._cluster.usable(self._resource)) if self._cluster.must_name(self._resource) else None
        options = {} if named is None else {"workers": named, "allow_other_workers": False}
        inner: Future[Any] = self._executor.submit(cluster_worker.perform, self._cluster.run, call, **options)
        self._open[promise] = _Sent(call, inner, named)
        inner.add_done_callback(partial(self._pass_on, promise))

    def _pass_on(self, promise: Future[Any], inner: Future[Any]) -> None:
        from distributed import KilledWorker

        sent = self._open.get(promise)
        if sent is None or sent.inner is not inner:
            return  # given up, or sent again
        if not inner.cancelled() and isinstance(inner.exception(), cluster_worker.Refused):
            sent.inner = None
            return
        self._open.pop(promise, None)
        with contextlib.suppress(InvalidStateError):  # it was given up
            if inner.cancelled():
                promise.set_exception(self._cluster.gone())
            elif (error := inner.exception()) is None:
                promise.set_result(inner.result())
            elif isinstance(error, KilledWorker):
                promise.set_exception(WorkerDied())
            elif isinstance(error, CodecbenchError):
                promise.set_exception(error)
            else:
                promise.set_exception(ClusterError(f"a job failed on the cluster: {one_line(error)}"))

    def _look(self) -> None:
        last = time.monotonic()
        while not self._closed.wait(LOOK_S):
            try:
                bounded(self._cluster.look, cluster_worker.CHECK_S, "its scheduler")
                usable = self._cluster.usable(self._resource)
                self.slots = max(1, sum(usable.values()))
                if usable:
                    last = time.monotonic()
                    self._send_again(usable)
                if time.monotonic() - last > WORKERS_S:
                    which = f"no worker that declares {self._resource}" if self._resource else "no worker"
                    gone = f"there has been {which} for {WORKERS_S:g} s; what was measured is kept, start workers"
                    raise ClusterError(f"{gone} and run the same command again")
            except ClusterError as error:
                if not self._closed.is_set():
                    self._give_up(error)
                    return
            except Exception as error:  # a scheduler that is just closing; the next look will tell
                logging.getLogger(__name__).debug("look at the workers: %s", one_line(error))

    def _send_again(self, usable: Mapping[str, int]) -> None:
        """Sends again what a worker refused, and what waits for workers that went away."""
        for promise, sent in list(self._open.items()):
            gone = sent.named is not None and not usable.keys() & set(sent.named)
            if sent.inner is None or gone:
                before, sent.inner = sent.inner, None
                if before is not None:
                    before.cancel()
                self._send(promise, sent.call)

    def _give_up(self, error: ClusterError) -> None:
        while not self._closed.is_set():  # also what is queued from now on
            for promise in list(self._open):
                with contextlib.suppress(InvalidStateError):
                    promise.set_exception(error)
                self._open.pop(promise, None)
            self._closed.wait(0.1)

    def __enter__(self) -> ClusterEngine:
        self._watcher.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._closed.set()
        if kind is None:
            self._cluster.rest()
        elif self._cluster.client.status == "running":
            with contextlib.suppress(Exception):
                bounded(partial(self._executor.shutdown, wait=False), 1.0, "its scheduler")


# ---- reaching a scheduler, or starting one here, each within a bounded time ------------------------------------------


def connect(address: str) -> Any:
    """A ``distributed.Client`` of a scheduler; raises ClusterError where none answers there."""
    from distributed import Client

    # In a thread: a port where something else listens can keep Dask waiting for ever.
    try:
        return bounded(partial(Client, address, timeout=CONNECT_S, set_as_default=False), 2 * CONNECT_S, "it")
    except CodecbenchError:
        raise ClusterError(f"what listens at {address} does not answer as a Dask scheduler") from None
    except Exception as error:
        raise ClusterError(
            f"no Dask scheduler answers at {address} within {CONNECT_S:g} s ({one_line(error)})"
        ) from None


def close(client: Any) -> None:
    """Disconnects, whatever has become of the scheduler."""
    with contextlib.suppress(Exception):
        bounded(partial(client.close, timeout=2), 4.0, "it")


def check_scheduler(scheduler: str, workers: int | None) -> None:
    """Raises UsageError for no address, workers that are the scheduler's affair, or where Dask is not installed."""
    found = re.fullmatch(ADDRESS, scheduler)
    if scheduler != LOCAL and not (found and int(found["port"]) <= 65_535):
        raise UsageError(f"scheduler={scheduler} is not allowed; allowed: local, tcp://HOST:PORT, tls://HOST:PORT")
    if scheduler != LOCAL and workers is not None:
        raise UsageError(f"workers={workers} counts processes of this machine; {scheduler} has workers of its own")
    if importlib.util.find_spec("distributed") is None:
        raise UsageError("a run on a cluster needs Dask: pip install 'codecbench[cluster]'")


@contextlib.contextmanager
def local_cluster(workers: int) -> Iterator[str]:
    """Worker processes on this machine, one thread each, and their scheduler."""
    from distributed import LocalCluster

    with hidden_main():  # also for workers that are started again
        with without_interrupts():  # Ctrl-C at a terminal goes to all processes; this one ends the others in order
            cluster = LocalCluster(  # type: ignore[no-untyped-call,unused-ignore]
                n_workers=workers,
                threads_per_worker=1,
                processes=True,
                dashboard_address="127.0.0.1:0",
                silence_logs=logging.CRITICAL,
                resources={TIMING: 1},
            )
        try:
            yield str(cluster.scheduler_address)
        finally:
            with contextlib.suppress(Exception):
                cluster.close(timeout=5)


def bounded(call: Callable[[], Any], seconds: float, who: str) -> Any:
    """What a call returns, if it returns in time; raises ClusterError if it does not."""
    answer: Future[Any] = Future()

    def ask() -> None:
        try:
            answer.set_result(call())
        except BaseException as error:
            answer.set_exception(error)

    threading.Thread(target=ask, daemon=True).start()
    if not wait([answer], seconds).done:
        raise ClusterError(f"{who} gave no answer for {seconds:g} s")
    return answer.result()
