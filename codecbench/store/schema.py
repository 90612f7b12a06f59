"""Plain JSON as the types that a file's schema names, or one error that says what does not fit.

A schema is a frozen dataclass, or a ``TypedDict`` for what stays plain JSON. Numbers in what codecbench writes are
never negative, never infinite, and never beyond :data:`MOST`; a field of another range says so by ``Annotated``.
"""

from __future__ import annotations

import dataclasses
import functools
import math
import types
import typing
from collections.abc import Mapping
from typing import Annotated, Any, Required

import numpy as np

MOST = 2**53
"""The largest number that fits: beyond it JSON readers disagree."""
Signed = Annotated[int, "signed"]
"""A whole number that may be negative, such as a seed or a class."""


class Misfit(ValueError):
    """What does not fit a schema; the text says where, what was found and what is allowed."""


def fitting(value: Any, kind: Any, where: str = "") -> Any:
    """A plain JSON value as a type: lists become tuples, objects dataclasses, whole numbers real ones; else ``Misfit``.

    Keys that a schema does not name are ignored by a dataclass, and kept in a ``TypedDict``.
    """
    if kind is Any:
        return value
    if typing.is_typeddict(kind) and isinstance(value, dict):
        return value | _fields(value, kind, where)
    if dataclasses.is_dataclass(kind) and isinstance(kind, type) and isinstance(value, dict):
        return kind(**_fields(value, kind, where))
    origin, of = typing.get_origin(kind), typing.get_args(kind)
    if origin is Annotated and type(value) is int and abs(value) <= MOST:
        return value
    if origin is Annotated and isinstance(value, np.ndarray):  # of any numbers
        return value
    if origin is types.UnionType:
        return None if value is None and type(None) in of else fitting(value, of[0], where)
    if origin is tuple and isinstance(value, list):
        kinds = of[:1] * len(value) if of[-1] is ... else of
        if len(kinds) == len(value):
            return tuple(
                fitting(one, each, f"{where}[{i}]") for i, (one, each) in enumerate(zip(value, kinds, strict=True))
            )
    if origin is list and isinstance(value, list):
        return [fitting(one, of[0], f"{where}[{i}]") for i, one in enumerate(value)]
    if origin is dict and isinstance(value, dict):
        return {_key(name, of[0], where): fitting(one, of[1], f"{where}.{name}") for name, one in value.items()}
    if origin is np.ndarray and isinstance(value, np.ndarray):
        return _array(value, of[1], where)
    if type(value) is kind or (kind is float and type(value) is int):
        if kind in (str, bool, bytes, types.NoneType) or (math.isfinite(value) and 0 <= value <= MOST):
            return value
        raise Misfit(f"{where or 'it'} is {value!r}; allowed are numbers from 0 to 2**53")
    raise Misfit(f"{where or 'it'} is {_short(value)}; expected {getattr(kind, '__name__', kind)}")


def _fields(value: Mapping[str, Any], schema: type, where: str) -> dict[str, Any]:
    """The values of a schema's fields that are in a JSON object."""
    kinds = _kinds(schema)
    if missing := [name for name, (_, required) in kinds.items() if required and name not in value]:
        raise Misfit(f"{where or 'it'} lacks {', '.join(missing)}")
    return {
        name: fitting(value[name], kind, f"{where}.{name}".lstrip("."))
        for name, (kind, _) in kinds.items()
        if name in value
    }


@functools.cache
def _kinds(schema: Any) -> dict[str, tuple[Any, bool]]:
    """Of each field of a schema its type, and whether it must be there."""
    kinds = typing.get_type_hints(schema, include_extras=True)
    if typing.is_typeddict(schema):
        marked = {name: typing.get_origin(kind) is Required for name, kind in kinds.items()}
        return {n: (typing.get_args(k)[0], True) if marked[n] else (k, schema.__total__) for n, k in kinds.items()}
    missing = dataclasses.MISSING
    return {
        field.name: (kinds[field.name], field.default is missing and field.default_factory is missing)
        for field in dataclasses.fields(schema)
    }


def _key(name: str, kind: type, where: str) -> Any:
    if kind is int and not (name.isascii() and name.isdigit()):
        raise Misfit(f"{where} has the key {name!r}; expected whole numbers")
    return kind(name)


def _array(value: Any, dtype: Any, where: str) -> Any:
    """An array of the number type that the schema names, of finite numbers."""
    (wanted,) = typing.get_args(dtype)
    if value.dtype != wanted or not value.size or not np.isfinite(value).all():
        raise Misfit(f"{where} is an array of {value.dtype} {value.shape}; expected finite {wanted.__name__}")
    return value


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:40]}…"
