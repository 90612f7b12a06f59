"""What plugins say of themselves and answer, looked at in one place: they may be anybody's.

The attributes of codecs, datasets and metrics are looked at when they register, answers when they are asked for.
"""

from __future__ import annotations

import contextlib
import types
import typing
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import numpy.typing as npt

from codecbench.errors import CodecbenchError, ContractError, DatasetError, PluginError
from codecbench.text import format_shape, one_line

if TYPE_CHECKING:
    from codecbench.plugins.codec import Codec, Images, Shape
    from codecbench.plugins.dataset import ImageSet

Floats = npt.NDArray[np.float64]

MOST_BITS = 2.0**53
"""The largest estimate of an image's bits that is taken."""


def is_of(value: Any, kind: Any) -> bool:
    """Whether a value is of a type as annotations write it; True and False are no numbers."""
    origin, of = typing.get_origin(kind), typing.get_args(kind)
    if origin in (types.UnionType, typing.Union):
        return any(is_of(value, one) for one in of)
    if origin is tuple:
        kinds = of[:1] * len(value) if isinstance(value, tuple) and of[-1] is ... else of
        return isinstance(value, tuple) and len(value) == len(kinds) and all(map(is_of, value, kinds))
    if origin is list:
        return isinstance(value, list) and all(is_of(one, of[0]) for one in value)
    if origin is dict:
        return isinstance(value, dict) and all(is_of(key, of[0]) and is_of(one, of[1]) for key, one in value.items())
    if kind in (int, float) and isinstance(value, bool):
        return False
    return kind is Any or isinstance(value, origin or kind)


def check_attributes(plugin: Any, contract: type) -> None:
    """Raises PluginError for an attribute of another type than its contract says."""
    for name, kind in typing.get_type_hints(contract).items():
        kind = typing.get_args(kind)[0] if typing.get_origin(kind) is ClassVar else kind
        if not is_of(value := getattr(plugin, name), kind):
            raise PluginError(f"{name} is {_short(value)}; allowed: {_named(kind)}")


@contextlib.contextmanager
def blaming(who: str) -> Iterator[None]:
    """Names a plugin in one line, as a PluginError, where its code raises anything that is not codecbench's own."""
    try:
        yield
    except (KeyboardInterrupt, CodecbenchError):
        raise
    except BaseException as error:
        raise PluginError(f"{who}: {one_line(error)}") from error


def ask(who: str, what: str, method: Callable[[], Any], kind: Any) -> Any:
    """What a method of a plugin gives; raises PluginError where that is of another type, or the method raises."""
    with blaming(f"{who}: {what}"):
        value = method()
    if not is_of(value, kind):
        raise PluginError(f"{who}: {what} gives {_short(value)}; allowed: {_named(kind)}")
    return value


def versions_of(codec: type[Codec]) -> dict[str, str]:
    """The versions of the libraries that decide a codec's bytes; PluginError where it gives anything else."""
    found: dict[str, str] = ask(f"codec {codec.name!r}", "versions()", codec.versions, dict[str, str])
    return found


def weight_files_of(codec: type[Codec]) -> tuple[str, ...]:
    """The paths of a codec's weight files; PluginError where it gives anything else."""
    return tuple(ask(f"codec {codec.name!r}", "weight_files()", codec.weight_files, tuple[str, ...] | list[str]))


def container_bytes(codec: Codec, bitstreams: Sequence[bytes]) -> Floats:
    """What a codec calls container of each stream, (N,), NaN where it cannot tell; else ContractError."""
    found = []
    for stream in bitstreams:
        count = codec.container_bytes(stream)
        if count is not None and not (is_of(count, int | np.integer) and 0 <= count <= len(stream)):
            wanted = f"a whole number from 0 to the {len(stream)} of the stream, or None"
            raise ContractError(f"{codec.spec}: container_bytes must give {wanted}, not {_short(count)}")
        found.append(np.nan if count is None else float(count))
    return np.array(found, np.float64)


def estimated_bits(codec: Codec, images: Images) -> Floats:
    """What a codec's entropy model says that images cost, (N,), NaN without one; else ContractError."""
    bits: Any = codec.estimate_bits(images)
    if bits is None:
        return np.full(len(images), np.nan)
    array = isinstance(bits, np.ndarray) and bits.dtype.kind in "fiu" and bits.shape == (len(images),)
    if not array or not ((bits >= 0) & (bits <= MOST_BITS)).all():
        wanted = "an array of one number per image, from 0 to 2**53"
        raise ContractError(f"{codec.spec}: estimate_bits must give {wanted}, not {_short(bits)}")
    return bits.astype(np.float64)


def shape_of(images: ImageSet, index: int) -> Shape:
    """The shape of an image of a dataset; DatasetError where it gives none."""
    shape = images.shape(index)
    if not is_of(shape, tuple[int, int, int]) or min(shape) < 1:
        raise DatasetError(f"image {index} has the shape {_short(shape)}; allowed: height, width and channels")
    return shape


def require_pixels(pixels: Any, count: int, shape: Shape) -> Images:
    """Raises DatasetError unless what a dataset read is uint8 (N, H, W, C)."""
    found = f"{pixels.dtype} {format_shape(pixels.shape)}" if isinstance(pixels, np.ndarray) else _short(pixels)
    wanted = f"uint8 {format_shape((count, *shape))}"
    if found != wanted:
        raise DatasetError(f"reading gives {found}, not {wanted}")
    return pixels


def _named(kind: Any) -> str:
    return str(kind) if typing.get_origin(kind) else kind.__name__


def _short(value: Any) -> str:
    try:
        text = " ".join(repr(value).split())
    except Exception:  # a plugin's own class may raise anything
        text = type(value).__name__
    return text if len(text) <= 80 else f"{text[:80]}…"
