"""Where a run's jobs are done, and within which limits: what every job is given."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class WorkerLimits:
    """Where, and within which limits, a run's jobs are done."""

    data_dir: Path
    """The data root."""
    folder: Path | None
    """The run folder, which a worker writes into; None where its results travel back to the caller."""
    device: str
    """``cpu`` or ``cuda``, for codecs with device use and the metrics."""
    threads: int
    """How many each process may use."""
    timeout_s: float | None = None
    """Seconds that a codec may take to encode or decode one task; None for any."""
    memory_limit: int | None = None
    """Bytes of resident memory that an encoding or decoding process may use; None for any."""
    codec_path: str = ""
    """The folders of codec plugins, as ``$CODECBENCH_CODEC_PATH`` names them."""
    metrics: tuple[tuple[str, str], ...] = ()
    """The plugin metrics that are measured: pairs of name and fingerprint."""
    metric_path: str = ""
    """The folders of metric plugins, as ``$CODECBENCH_METRIC_PATH`` names them."""
