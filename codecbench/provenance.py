"""Where a figure comes from: versions, machine, threads and commit, as plain JSON values."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

from codecbench import __version__
from codecbench.errors import UsageError

LIBRARIES = ("numpy", "pandas", "pillow", "pyarrow", "scikit-image", "torch")


def versions() -> dict[str, str]:
    """Versions of Python, codecbench and the libraries that figures depend on; imports none of them."""
    found = {"python": platform.python_version(), "codecbench": __version__}
    for name in LIBRARIES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = "absent"
    return found


def machine(device: str = "cpu") -> dict[str, Any]:
    """The processor, its cores, the memory and the accelerator; nothing that names the person or the host.

    Args:
        device: ``cpu`` or ``cuda``; torch is loaded for the latter only.
    """
    return {
        "system": f"{platform.system()} {platform.machine()}",
        "cpu": _cpu_model(),
        "cores": available_cores(),
        "memory_gib": _memory_gib(),
        "device": device_name(device),
    }


def resolve_device(device: str, useful: bool) -> str:
    """Turns ``auto`` into ``cuda`` or ``cpu``.

    Args:
        device: ``auto``, ``cpu`` or ``cuda``.
        useful: whether anything that was asked for computes on a GPU; if not, ``auto`` does not load torch.

    Raises:
        UsageError: an unknown device, or ``cuda`` where there is none.
    """
    if device not in ("auto", "cpu", "cuda"):
        raise UsageError(f"device={device} is not allowed; allowed: auto, cpu, cuda")
    if device == "cpu" or (device == "auto" and not useful):
        return "cpu"
    import torch

    if torch.cuda.is_available():
        return "cuda"
    if device == "cuda":
        raise UsageError("device=cuda was asked for, but PyTorch finds no CUDA device; allowed here: auto, cpu")
    return "cpu"


def device_name(device: str) -> str:
    """``cpu``, or the accelerator's product name."""
    if device == "cpu":
        return "cpu"
    import torch

    return str(torch.cuda.get_device_name(device))


def available_cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def git_commit() -> str:
    """The checkout's commit, with ``+changes`` behind it when tracked files differ; empty outside a checkout."""
    root = Path(__file__).resolve().parents[1]
    if not (root / ".git").exists():
        return ""
    try:
        commit = _git(root, "rev-parse", "--short=12", "HEAD")
        return commit + ("+changes" if _git(root, "status", "--porcelain", "--untracked-files=no") else "")
    except (OSError, subprocess.SubprocessError):
        return ""


def _git(root: Path, *arguments: str) -> str:
    done = subprocess.run(["git", "-C", str(root), *arguments], capture_output=True, text=True, check=True, timeout=10)
    return done.stdout.strip()


def _cpu_model() -> str:
    if sys.platform == "linux":
        try:
            for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
                if line.startswith("model name"):
                    return line.partition(":")[2].strip()
        except OSError:
            return platform.machine()
    return platform.processor() or platform.machine()


def _memory_gib() -> float | None:
    try:
        return round(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30, 1)
    except (ValueError, OSError, AttributeError):
        return None
