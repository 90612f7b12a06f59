"""Bridge to the folder of dataset plugins; holds no dataset itself.

In a checkout the plugins lie in the top-level folder ``datasets/``, in a wheel beside this file, and a user's own in
the folders named by ``CODECBENCH_DATASET_PATH``. All import as ``codecbench.datasets.NAME``, so their classes pickle
into worker processes.
"""

import os
from pathlib import Path

_checkout = Path(__file__).resolve().parents[2]
if (_checkout / "pyproject.toml").is_file() and (_checkout / "datasets").is_dir():
    __path__.append(str(_checkout / "datasets"))
__path__.extend(folder for folder in os.environ.get("CODECBENCH_DATASET_PATH", "").split(os.pathsep) if folder)
