"""Reaching a Dask scheduler, or starting one here: each within a bounded time, and quietly."""

from __future__ import annotations

import contextlib
import importlib.util
import logging
import re
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from functools import partial
from multiprocessing import resource_tracker
from pathlib import Path
from typing import Any

from codecbench.errors import ClusterError, CodecbenchError, StoreError, UsageError
from codecbench.execution.engines import hidden_main, without_interrupts
from codecbench.text import one_line

LOCAL = "local"
ADDRESS = r"(tcp|tls|ws|wss)://[^/\s]+:(?P<port>\d{1,5})/?"
CONNECT_S = 10.0
"""How long the scheduler may take to answer, in seconds."""
TIMING = "timing"
"""The resource that workers declare on which times may be taken."""


def connect(address: str) -> Any:
    """Connects to a scheduler.

    Returns:
        A ``distributed.Client``.

    Raises:
        ClusterError: none answers there.
    """
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


def check_options(scheduler: str | None, workers: int | None, worker_data_dir: object, shared_out: bool) -> None:
    """Makes sure that what was asked for can be carried out here.

    Raises:
        UsageError: no address, options that do not go together, or Dask is not installed.
    """
    if scheduler is None:
        for name, given in (("worker_data_dir", worker_data_dir), ("shared_out", shared_out)):
            if given:
                raise UsageError(f"{name} is for a cluster's workers; name its scheduler (--scheduler) too")
        return
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

    resource_tracker.ensure_running()  # its start would let Ctrl-C through again
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


@contextlib.contextmanager
def token_in(folder: Path, run: str) -> Iterator[str]:
    """A file by which workers see that a folder is the caller's."""
    file = folder / f"token.{run[:8]}.tmp"
    try:
        file.write_text(run, encoding="utf-8")
    except OSError as error:
        raise StoreError(f"cannot write {folder}: {error.strerror or error}") from error
    try:
        yield file.name
    finally:
        file.unlink(missing_ok=True)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keeps Dask's own log, which repeats what codecbench says in a line, off the terminal."""
    logger = logging.getLogger("distributed")
    before = logger.level
    logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        logger.setLevel(before)


def bounded(call: Callable[[], Any], seconds: float, who: str) -> Any:
    """What a call returns, if it returns in time.

    Raises:
        ClusterError: it does not.
    """
    answer: Future[Any] = Future()

    def ask() -> None:
        try:
            answer.set_result(call())
        except BaseException as error:
            answer.set_exception(error)

    threading.Thread(target=ask, daemon=True).start()
    try:
        return answer.result(timeout=seconds)
    except TimeoutError:
        if answer.done():
            raise
        raise ClusterError(f"{who} gave no answer for {seconds:g} s") from None
