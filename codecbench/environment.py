"""Where a figure comes from: versions, machine, load, threads and commit, as plain JSON values.

Complete enough to say why two runs differ (see ``codecbench.analysis.compare``), and quick: nothing here imports
pandas, SciPy, pyarrow or, without a GPU, torch.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.metadata
import os
import platform
import re
import resource
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psutil

from codecbench import __version__
from codecbench.errors import UsageError

LIBRARIES = ("numpy", "scipy", "pandas", "pillow", "pyarrow", "scikit-image", "constriction", "torch", "torchvision")
OPTIONAL_LIBRARIES = ("imagecodecs", "distributed")
"""Listed where they are installed; codecbench works without them."""
PILLOW_LIBRARIES = ("libjpeg_turbo", "mozjpeg", "jpg", "jpg_2000", "webp", "avif", "zlib", "zlib_ng")
"""Libraries inside Pillow that write or read streams, by its own names; libavif's AV1 codecs are listed with them."""
_LIBRARIES = ("OMP", "OPENBLAS", "MKL", "BLIS", "NUMEXPR", "RAYON")
THREAD_COUNTS = (*(f"{library}_NUM_THREADS" for library in _LIBRARIES), "VECLIB_MAXIMUM_THREADS")
"""Environment variables that decide how many threads libraries use; set in every process that a run starts."""
THREAD_VARIABLES = (*THREAD_COUNTS, "OMP_PROC_BIND", "OMP_WAIT_POLICY", "GOMP_CPU_AFFINITY", "KMP_AFFINITY")
"""The same, and those that decide where threads run and how they wait."""
CPUS = Path("/sys/devices/system/cpu")
NVIDIA_DRIVER = Path("/proc/driver/nvidia/version")


def versions() -> dict[str, str]:
    """Versions by name: of Python, codecbench, libraries that figures depend on, NumPy's BLAS, those inside Pillow.

    A package that is missing is ``absent``. Only NumPy and Pillow's core are imported.
    """
    found = {"python": platform.python_version(), "codecbench": __version__}
    for name in (*LIBRARIES, *OPTIONAL_LIBRARIES):
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            if name in LIBRARIES:
                found[name] = "absent"
    return found | _blas() | pillow_libraries()


def pillow_libraries() -> dict[str, str]:
    """Versions of the codec libraries inside Pillow, ``unknown`` where it does not report one; empty without Pillow."""
    try:
        from PIL import features
    except ImportError:
        return {}
    found = {name: features.version(name) or "unknown" for name in PILLOW_LIBRARIES if features.check(name)}
    with contextlib.suppress(ImportError, AttributeError):
        from PIL import _avif

        # "dav1d [dec]:1.5.1-0-g42b2b24, aom [enc]:3.12.1"
        for name, version in re.findall(r"(\w+) \[[^\]]*\]:([^,\s]+)", _avif.codec_versions()):
            found[name] = version
    return found


def machine(device: str = "cpu") -> dict[str, Any]:
    """The processor, its cores, the memory and the accelerator; nothing that names the person or the host.

    ``cores`` are those that this process may use. A value is None where the system does not tell, as ``governor`` and
    ``boost`` in most virtual machines. It is the same for every command on a machine whose settings stay.
    """
    found = {
        "system": f"{platform.system()} {platform.machine()}",
        "cpu": _cpu_model(),
        "cores": available_cores(),
        "logical_cores": os.cpu_count(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "governor": _read(CPUS / "cpu0" / "cpufreq" / "scaling_governor"),
        "boost": _boost(),
        "virtual": _virtual(),
        "device": device_name(device),
    }
    return found if device == "cpu" else found | {"driver": _driver()}


def host_id(machine: Mapping[str, Any]) -> str:
    """8 hexadecimal digits that tell machines apart without naming them: of the network name and :func:`machine`.

    A new container usually has another network name, and so counts as another machine.
    """
    parts = [platform.node(), *(machine.get(key) for key in ("system", "cpu", "logical_cores", "memory_gib"))]
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:8]


def conditions() -> dict[str, Any]:
    """What may change from one command to the next on one machine: the load average and variables of threads.

    The variables are those of ``THREAD_VARIABLES`` as they were before any worker changed them.
    """
    load = None
    with contextlib.suppress(OSError):
        load = round(os.getloadavg()[0], 2)
    variables = {name: os.environ[name] for name in THREAD_VARIABLES if name in os.environ}
    return {"load_1min": load, "thread_variables": variables}


def resolve_device(device: str, useful: bool) -> str:
    """Turns ``auto`` into ``cuda`` or ``cpu``; where a GPU is not ``useful``, without loading torch.

    Raises UsageError for an unknown device, or ``cuda`` where there is none.
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


def peak_bytes() -> int:
    """The most memory that this process ever had resident, in bytes."""
    # On Linux getrusage also counts what the process had before it began to run this program.
    if peak := re.search(r"^VmHWM:\s*(\d+)", _read(Path("/proc/self/status")) or "", re.MULTILINE):
        return int(peak[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


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
    # Without optional locks, "status" writes nothing: no file of git's is left behind where a run is ended meanwhile.
    command = ["git", "--no-optional-locks", "-C", str(root), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=10)
    return done.stdout.strip()


def _cpu_model() -> str:
    if sys.platform == "linux":
        model = re.search(r"^model name\s*:(.*)$", _read(Path("/proc/cpuinfo")) or "", re.MULTILINE)
        return model[1].strip() if model else platform.machine()
    return platform.processor() or platform.machine()


def _blas() -> dict[str, str]:
    import numpy as np

    try:
        found = np.show_config(mode="dicts")["Build Dependencies"]["blas"]  # type: ignore[call-overload,unused-ignore]
        return {"blas": f"{found['name']} {found['version']}"}
    except (KeyError, TypeError):
        return {}


def _boost() -> bool | None:
    """Whether the clock may rise above its base, by the two files that Linux has for it."""
    no_turbo = _read(CPUS / "intel_pstate" / "no_turbo")
    if no_turbo is not None:
        return no_turbo == "0"
    boost = _read(CPUS / "cpufreq" / "boost")
    return None if boost is None else boost == "1"


def _virtual() -> bool | None:
    """Whether this is a virtual machine, by the flag that x86 hypervisors set; None where the system does not tell."""
    flags = re.search(r"^flags\s*:(.*)$", _read(Path("/proc/cpuinfo")) or "", re.MULTILINE)
    return None if flags is None else "hypervisor" in flags[1].split()


def _driver() -> str | None:
    """The version of NVIDIA's driver, from the kernel module's own words or from ``nvidia-smi``."""
    words = re.search(r"Kernel Module.*?\s(\d+(?:\.\d+)+)\s", _read(NVIDIA_DRIVER) or "")
    if words:
        return words[1]
    command = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=10)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip().partition("\n")[0] or None


def _read(file: Path) -> str | None:
    try:
        return file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError):
        return None
