"""Plugin metrics in worker processes: what they give, and what is recorded where one fails.

Codecbench's own are computed in the worker, as those of ``codecbench.measure.distortion`` are. Other people's, and
those that need more than codecbench does, run in a sandbox, so that a crash, a hang or a call of exit costs their own
values only: the task keeps all else that was measured, and its record says why a metric has no value.
"""

from __future__ import annotations

import functools
from typing import Annotated

import numpy as np

from codecbench.errors import PluginError
from codecbench.execution.limits import WorkerLimits
from codecbench.execution.sandbox import Sandbox, SandboxError
from codecbench.plugins.codec import Images
from codecbench.plugins.metric import Values
from codecbench.plugins.registry import METRICS, metric_fingerprint
from codecbench.text import one_line

Found = tuple[dict[str, Values], dict[str, str]]
"""Values (N,) of every metric by name, and the reasons of those that failed, which are NaN."""


class PluginMetrics:
    """Measures the metrics of a run; the sandbox for those that need one starts with the first of them."""

    def __init__(self, limits: WorkerLimits) -> None:
        self.limits = limits
        self._sandbox: Sandbox | None = None

    def measure(self, original: Images, decoded: Images) -> Found:
        """Measures all of them on images uint8 (N, H, W, C); never raises for what a metric does."""
        values: dict[str, Values] = {}
        failed: dict[str, str] = {}
        for name, expected in self.limits.metrics:
            try:
                measure = measure_one if is_own(name) else functools.partial(self._started().call, measure_one)
                values[name] = measure(name, expected, original, decoded)
            except SandboxError as error:
                failed[name] = error.reason
                if error.died:
                    self.close()
            except Exception as error:
                failed[name] = one_line(error)
            if name in failed:
                values[name] = np.full(len(original), np.nan)
        return values, failed

    def _started(self) -> Sandbox:
        if self._sandbox is None:
            limits = self.limits
            self._sandbox = Sandbox("measuring", limits.threads, limits.timeout_s, None, limits.variables)
        return self._sandbox

    def kill(self) -> None:
        """Ends its process at once; from any thread."""
        if self._sandbox is not None:
            self._sandbox.kill()

    def close(self) -> None:
        """Ends its process."""
        if self._sandbox is not None:
            self._sandbox.close()
        self._sandbox = None


@functools.cache
def is_own(name: str) -> bool:
    """Whether a metric is codecbench's own, and needs nothing that codecbench does not."""
    return name in METRICS.built_in() and METRICS.get(name).missing is None


def measure_one(
    name: str, expected: str, original: Images, decoded: Images
) -> Annotated[Values, "NaN where there is none"]:
    """What one metric gives; raises PluginError where it is not the one that the run was planned with."""
    metric = METRICS.get(name)
    if metric_fingerprint(metric) != expected:
        raise PluginError(f"the source of the metric {name} changed while the run went on; run again")
    return metric.measure(original, decoded)
