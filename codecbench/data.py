"""Where the data sets lie: one data root, in torchvision's own layout (``MNIST/raw/``, ``stl10_binary/``)."""

from __future__ import annotations

import os
from pathlib import Path

import platformdirs

VARIABLE = "CODECBENCH_DATA"


def data_root(option: str | os.PathLike[str] | None = None) -> Path:
    """The data root: the option, else ``$CODECBENCH_DATA``, else ``codecbench`` in the user's cache folder.

    Nothing is created and nothing has to exist.

    Args:
        option: what the person asked for (``--data-dir``), or None.
    """
    chosen = option or os.environ.get(VARIABLE)
    return Path(chosen).expanduser() if chosen else Path(platformdirs.user_cache_dir("codecbench"))
