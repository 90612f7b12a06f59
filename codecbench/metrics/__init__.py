"""Bridge to the folder of metric plugins; holds no metric itself.

In a checkout the plugins lie in the top-level folder ``metrics/``, in a wheel beside this file, and a user's own in
the folders named by ``CODECBENCH_METRIC_PATH``. All import as ``codecbench.metrics.NAME``. The metrics that every run
measures are in ``codecbench.measure.distortion``.
"""

import os
from pathlib import Path

_checkout = Path(__file__).resolve().parents[2]
if (_checkout / "pyproject.toml").is_file() and (_checkout / "metrics").is_dir():
    __path__.append(str(_checkout / "metrics"))
__path__.extend(folder for folder in os.environ.get("CODECBENCH_METRIC_PATH", "").split(os.pathsep) if folder)
