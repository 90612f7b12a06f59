"""Bridge to the folder of codec plugins; holds no codec itself.

In a checkout the plugins lie in the top-level folder ``codecs/``, in a wheel beside this file, and a user's own in
the folders named by ``CODECBENCH_CODEC_PATH``. All import as ``codecbench.codecs.NAME``, so their classes pickle
into worker processes.
"""

import os
from pathlib import Path

_checkout = Path(__file__).resolve().parents[2]
if (_checkout / "pyproject.toml").is_file() and (_checkout / "codecs").is_dir():
    __path__.append(str(_checkout / "codecs"))
__path__.extend(folder for folder in os.environ.get("CODECBENCH_CODEC_PATH", "").split(os.pathsep) if folder)
