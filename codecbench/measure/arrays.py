"""What NumPy and torch spell differently, for code that runs on both; torch is loaded for other devices only."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

Array = Any
"""A NumPy array or a torch tensor: code over it uses only what both understand."""


def put(array: npt.NDArray[Any], device: str) -> Array:
    """The array on a device: itself for ``"cpu"``, a torch tensor elsewhere."""
    if device == "cpu":
        return array
    # torch.tensor copies, and so takes read-only arrays too, such as those that np.frombuffer gives.
    return importlib.import_module("torch").tensor(np.ascontiguousarray(array), device=device)


def get(values: Array) -> npt.NDArray[Any]:
    """Back from :func:`put`."""
    array: npt.NDArray[Any] = values if isinstance(values, np.ndarray) else values.cpu().numpy()
    return array


def home(array: Array) -> Any:
    """The module that the array belongs to: NumPy or torch."""
    return np if isinstance(array, np.ndarray) else importlib.import_module("torch")


def cast(array: Array, dtype: str) -> Array:
    """A contiguous array of another type."""
    if isinstance(array, np.ndarray):
        return array.astype(dtype, order="C")
    return array.to(getattr(home(array), dtype)).contiguous()


def turn(array: Array, axes: Sequence[int]) -> Array:
    """A view with the axes in another order."""
    return array.transpose(axes) if isinstance(array, np.ndarray) else array.permute(*axes)


def beside(like: Array, array: npt.NDArray[Any]) -> Array:
    """The array where another one lies."""
    return array if isinstance(like, np.ndarray) else home(like).tensor(array, device=like.device)


def empty(like: Array, *shape: int) -> Array:
    """A float64 array of any content, on the device of another one."""
    if isinstance(like, np.ndarray):
        return np.empty(shape)
    torch = home(like)
    return torch.empty(shape, dtype=torch.float64, device=like.device)


def largest(rows: Array) -> Array:
    """The largest value of each row."""
    return rows.max(1) if isinstance(rows, np.ndarray) else rows.amax(1)


def budget(images: Array) -> int:
    """Bytes of one float64 array of a block: a processor's cache holds a few, a GPU wants more."""
    return 200_000 if isinstance(images, np.ndarray) else 64_000_000


def blocks(images: Array, values_per_image: int) -> Iterator[slice]:
    """Cuts a batch into blocks of images that fit the budget."""
    step = max(1, budget(images) // (8 * values_per_image))
    for start in range(0, len(images), step):
        yield slice(start, start + step)
