"""Bounds of memory for work that may ask for any amount of it."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def memory_limit(extra_bytes: int) -> Iterator[None]:
    """Refuses this process more memory than it has now and so many bytes; on Linux only, elsewhere nothing happens.

    What counts is the memory asked for (RLIMIT_AS), touched or not: an allocation beyond it raises ``MemoryError``.
    Nothing is limited while a GPU is in use, whose driver reserves addresses by the terabyte.
    """
    torch = sys.modules.get("torch")
    if sys.platform != "linux" or (torch is not None and torch.cuda.is_initialized()):
        yield
        return
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    limits = [pages * resource.getpagesize() + extra_bytes, *(end for end in (soft, hard) if end >= 0)]
    resource.setrlimit(resource.RLIMIT_AS, (min(limits), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def asked_for_too_much(error: BaseException | None) -> bool:
    """Whether an exception is about memory that was refused, or stands in for one that is."""
    seen = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        # PyTorch's allocator raises RuntimeError.
        if isinstance(error, MemoryError) or "can't allocate memory" in str(error):
            return True
        error = error.__cause__ or error.__context__
    return False


def peak_bytes() -> int:
    """The most memory that this process ever held, in bytes; 0 where the system does not tell."""
    try:
        import resource
    except ImportError:
        return 0
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def resident_bytes(process: int) -> int:
    """The memory that another process holds now, in bytes; 0 where the system does not tell."""
    try:
        import resource

        pages = int(Path(f"/proc/{process}/statm").read_text(encoding="ascii").split()[1])
    except (ImportError, OSError, IndexError):
        return 0
    return pages * resource.getpagesize()
