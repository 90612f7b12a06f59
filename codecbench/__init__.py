"""codecbench: which image codec? Rate, distortion and speed, measured on real bitstreams.

    >>> import codecbench as cb
    >>> df = cb.run(codecs="jpeg,svd", datasets="mnist", images=1000).summary()     # doctest: +SKIP

Names are loaded when they are first used, so ``import codecbench`` is quick and loads neither torch nor pandas.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from codecbench.api import Run, load_run
    from codecbench.data import data_root
    from codecbench.errors import (
        BitstreamError,
        CodecbenchError,
        ContractError,
        DatasetError,
        UnsupportedImageError,
        UsageError,
    )
    from codecbench.execution.runner import run
    from codecbench.plan.opening import open_codec, open_dataset
    from codecbench.plugins.codec import Codec, FloatCodec, PerImageCodec
    from codecbench.plugins.dataset import ArrayImages, Dataset, DatasetStatus, ImageSet
    from codecbench.plugins.registry import register_codec, register_dataset, register_metric
    from codecbench.plugins.setcodec import SetCodec
    from codecbench.plugins.settings import setting

_HOMES = {
    "codecbench.plugins.codec": ("Codec", "FloatCodec", "PerImageCodec"),
    "codecbench.data": ("data_root",),
    "codecbench.plugins.dataset": ("ArrayImages", "Dataset", "DatasetStatus", "ImageSet"),
    "codecbench.errors": (
        "BitstreamError",
        "CodecbenchError",
        "ContractError",
        "DatasetError",
        "UnsupportedImageError",
        "UsageError",
    ),
    "codecbench.plan.opening": ("open_codec", "open_dataset"),
    "codecbench.plugins.registry": ("register_codec", "register_dataset", "register_metric"),
    "codecbench.api": ("Run", "load_run"),
    "codecbench.execution.runner": ("run",),
    "codecbench.plugins.setcodec": ("SetCodec",),
    "codecbench.plugins.settings": ("setting",),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "ArrayImages",
    "BitstreamError",
    "Codec",
    "CodecbenchError",
    "ContractError",
    "Dataset",
    "DatasetError",
    "DatasetStatus",
    "FloatCodec",
    "ImageSet",
    "PerImageCodec",
    "Run",
    "SetCodec",
    "UnsupportedImageError",
    "UsageError",
    "__version__",
    "data_root",
    "load_run",
    "open_codec",
    "open_dataset",
    "register_codec",
    "register_dataset",
    "register_metric",
    "run",
    "setting",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module 'codecbench' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOME_OF[name]), name)
