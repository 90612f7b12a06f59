"""What a cluster's workers do: show that they are what a run needs, do its jobs, time, and forget it.

A worker process may have several threads, each with sandboxes of its own (``codecbench.execution.workers``), and
may work for several runs at once. It does the jobs of a run only after it was introduced to it: after the caller sent
it the run's :class:`WorkerRequest`, and it found the same versions, codecs and images as the caller has.
"""

from __future__ import annotations

import os
import pickle
import platform
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from importlib import metadata
from pathlib import Path
from typing import Any

from codecbench import __version__, environment
from codecbench.data import VARIABLE
from codecbench.execution import workers
from codecbench.execution.limits import WorkerLimits
from codecbench.execution.sandbox import Sandbox, SandboxError
from codecbench.fingerprint import digest, file_sha256
from codecbench.plan.tasks import Task, codec_fingerprint, measuring_fingerprint
from codecbench.plugins.dataset import Dataset
from codecbench.plugins.registry import CODECS, METRICS
from codecbench.plugins.source import source_fingerprint
from codecbench.text import one_line

LIBRARIES = ("numpy", "scipy", "pyarrow")
"""Libraries beside the codecs' own that rows are made with."""
MEASURING = "codecbench's measuring code"
CHECK_S = 300.0
"""Seconds that the look at one dataset or at the codecs may take."""
INTRODUCTION_S = 15.0
"""How long a job waits in a worker that is not introduced to its run before it is given back, in seconds."""


@dataclass(frozen=True)
class WorkerRequest:
    """What a run needs of a worker."""

    run: str  # tells runs on one cluster apart
    limits: WorkerLimits  # its data root, run folder and folders of plugins are the caller's
    data_dir: str  # the data root on the workers; empty for their own ``$CODECBENCH_DATA``, else the caller's path
    codecs: tuple[str, ...]  # names of the planned codecs
    expected: dict[str, str]  # what :func:`describe` gave of them at the caller, with its ``LOADED``
    first_tasks: tuple[tuple[Dataset, Task], ...]  # one per dataset, by whose images the worker's data is checked

    @property
    def token(self) -> str:
        """Name of the file in a shared run folder whose content is ``run``."""
        return f"token.{self.run[:8]}.tmp"


@dataclass(frozen=True)
class Report:
    """What a worker found when it looked at itself."""

    problems: tuple[str, ...]  # in one line each, why it cannot take part; empty where it can
    host: str  # tells machines apart, see ``environment.host_id``
    machine: dict[str, Any]  # see ``environment.machine``
    threads: int = 0  # jobs that it does at once, as its scheduler says
    times: bool = False  # it declares to its scheduler that times may be taken on it


class Refused(Exception):
    """A job came to a worker that cannot take part in its run, before the scheduler knew."""


@dataclass
class _Run:
    """A run that this worker was introduced to."""

    data_dir: Path
    fits: bool
    over: threading.Event = field(default_factory=threading.Event)


def _own_sources() -> str:
    metrics = METRICS.origins()
    own = [origin.file for name in METRICS.built_in() if (origin := metrics[name]).file]
    sources = sorted({*Path(__file__).parents[1].rglob("*.py"), *own})
    return digest([file_sha256(file) for file in sources])[:12]


LOADED = {"codecbench's sources": _own_sources()}
"""What this process was started with: a worker that is older than an edited installation must be started again."""
_runs: dict[str, _Run] = {}


def describe(codecs: Iterable[str], device: str, metrics: Iterable[str] = ()) -> dict[str, str]:
    """Everything that decides rows and can differ between machines, by name; one line each."""
    found = {"codecbench": __version__, "Python": ".".join(platform.python_version_tuple()[:2])}
    found |= {name: metadata.version(name) for name in LIBRARIES}
    found[MEASURING] = measuring_fingerprint()
    for name in codecs:
        cls = CODECS.get(name)
        found |= {f"{name}: {library}": version for library, version in cls.versions().items()}
        found[f"{name}: source"] = source_fingerprint(cls)
        found |= {f"{name}: {Path(file).name}": file_sha256(Path(file))[:12] for file in cls.weight_files()}
        found[f"{name}: fingerprint"] = codec_fingerprint(cls, environment.device_name(device))
    for name in metrics:
        metric = METRICS.get(name)
        found[f"metric {name}"] = metric.unavailable() or source_fingerprint(metric.function)
        found |= {f"metric {name}: {package}": version for package, version in metric.versions().items()}
    return found


def differences(there: dict[str, str], here: dict[str, str]) -> list[str]:
    """What differs, in words; a codec's fingerprint is named only where nothing that it is made of differs."""
    names = [name for name in {**here, **there} if there.get(name) != here.get(name)]
    plain = {name.partition(": ")[0] for name in names if not name.endswith(": fingerprint")}
    measuring = MEASURING in plain
    return [
        f"{name} is {there.get(name, 'absent')} there, {here.get(name, 'absent')} here"
        for name in names
        if not (name.endswith(": fingerprint") and (measuring or name.partition(": ")[0] in plain))
    ]


# ---- on the worker, called by the client ----------------------------------------------------------------------------


async def in_thread(function: Callable[..., Any], *arguments: Any) -> Any:
    """Calls a function in a thread, so that the worker answers its scheduler meanwhile."""
    import asyncio

    return await asyncio.to_thread(function, *arguments)


def look(request: WorkerRequest) -> Report:
    """Looks whether this worker can take part in a run, and lets it take part if so.

    In a sandbox, since codecs and datasets are plugins.
    """
    limits = request.limits
    chosen = request.data_dir or os.environ.get(VARIABLE)
    data_dir = Path(chosen).expanduser() if chosen else limits.data_dir
    problems = list(folder_problems(request))
    try:
        with Sandbox("checking", 1, CHECK_S, None, limits.variables) as sandbox:
            metrics = [name for name, _ in limits.metrics]
            there = LOADED | sandbox.call(describe, request.codecs, limits.device, metrics)
            problems += differences(there, request.expected)
            for dataset, task in request.first_tasks:
                if sandbox.call(fingerprint, dataset, data_dir, task.indices) != task.data_fingerprint:
                    problems.append(f"other images of {dataset.label} under {data_dir}")
    except SandboxError as error:
        problems.append(error.reason)
    machine = environment.machine(limits.device) if not problems else environment.machine()
    _runs[request.run] = _Run(data_dir, not problems)
    return Report(tuple(problems), environment.host_id(machine), machine)


def fingerprint(dataset: Dataset, data_dir: Path, indices: tuple[int, ...]) -> str:
    """Identifies images of a dataset as they are under a data root here."""
    return dataset.load(data_dir).fingerprint(indices)


def folder_problems(request: WorkerRequest) -> Iterator[str]:
    """Whether a shared run folder here is the caller's, and can be written."""
    folder = request.limits.folder
    if folder is None:
        return
    try:
        if (folder / request.token).read_text(encoding="utf-8") != request.run:
            yield f"{folder} is another folder there (--shared-out)"
            return
        trial = folder / f"trial.{uuid.uuid4().hex[:8]}.tmp"
        trial.write_bytes(b"")
        trial.unlink()
    except FileNotFoundError:
        yield f"the run folder {folder} is not there (--shared-out)"
    except OSError as error:
        yield f"the run folder {folder} cannot be used there: {error.strerror or one_line(error)}"


def end_run(run: str) -> None:
    """Forgets a run: what still works for it stops and is not recorded, and no sandbox is left of it."""
    known = _runs.pop(run, None)
    if known is not None:
        known.over.set()
    workers.close_idle()


# ---- on the worker, as tasks ----------------------------------------------------------------------------------------


def perform(run: str, call: bytes) -> Any:
    """Does a job of a run: a pickle of a function and its arguments, whose limits get the data root of this worker.

    Pickled by the caller, so that neither the scheduler nor Dask looks inside.
    Raises Refused where this worker is not introduced to the run, or does not fit; another one may do the job.
    """
    here = _introduced(run)
    function, arguments = pickle.loads(call)
    arguments = [
        replace(argument, data_dir=here.data_dir) if isinstance(argument, WorkerLimits) else argument
        for argument in arguments
    ]
    with workers.working_until(here.over):
        return function(*arguments)


def _introduced(run: str) -> _Run:
    """The run as this worker knows it; one that has just started is introduced by the caller within seconds."""
    deadline = time.monotonic() + INTRODUCTION_S
    while (known := _runs.get(run)) is None and time.monotonic() < deadline:
        time.sleep(0.05)
    if known is None or not known.fits:
        raise Refused
    return known
