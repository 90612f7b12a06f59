"""Where a run's jobs are done, and within which limits: what every job is given."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from codecbench.plugins.registry import CODECS, METRICS


@dataclass(frozen=True)
class WorkerLimits:
    """Where, and within which limits, a run's jobs are done."""

    data_dir: Path  # the data root
    folder: Path | None  # the run folder, which a worker writes into; None where its results travel back to the caller
    device: str  # ``cpu`` or ``cuda``, for codecs with device use and the metrics
    threads: int  # how many each process may use
    timeout_s: float | None = None  # seconds that a codec may take to encode or decode one task; None for any
    memory_limit: int | None = None  # bytes of resident memory that the process may use for that; None for any
    codec_path: str = ""  # the folders of codec plugins, as ``$CODECBENCH_CODEC_PATH`` names them
    metrics: tuple[tuple[str, str], ...] = ()  # the plugin metrics that are measured: pairs of name and fingerprint
    metric_path: str = ""  # the folders of metric plugins, as ``$CODECBENCH_METRIC_PATH`` names them

    @property
    def variables(self) -> dict[str, str]:
        """Environment variables by which a sandbox finds the caller's plugins."""
        return {CODECS.variable: self.codec_path, METRICS.variable: self.metric_path}
