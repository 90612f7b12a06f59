"""Processes that tests start, interrupt and wait for."""

import sys
import time
from collections.abc import Callable

import psutil

INTERRUPTIBLE = [
    sys.executable,
    "-c",
    "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler); "
    "from codecbench.cli.main import main; sys.exit(main())",
]
"""``codecbench`` that heeds Ctrl-C also where the tests run in the background: there a shell has SIGINT ignored, and
processes inherit that."""


def is_running(pid: int) -> bool:
    """Whether a process has not ended."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def role(process: psutil.Process) -> str:
    """What a process of a run does, ``worker`` or ``sandbox``; empty for another, and for one that has ended."""
    try:
        line = " ".join(process.cmdline())
    except psutil.Error:
        return ""
    return "sandbox" if "codecbench.execution.sandbox_child" in line else "worker" if "spawn_main" in line else ""


def wait_until(holds: Callable[[], object], seconds: float = 60) -> None:
    """Waits until something holds; fails if that takes too long."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)
