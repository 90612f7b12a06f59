"""Messages between a sandbox and who asks it: JSON, and behind it bytes and arrays as they lie in memory.

Nothing that comes out of a sandbox is unpickled: a plugin there may send what it likes. NumPy is imported late, since a
worker sets its number of threads first.
"""

from __future__ import annotations

import dataclasses
import io
import json
from array import array
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection
from typing import Any

PIECE = 1 << 20
"""Bytes of a content that are sent at once: what a pipe holds."""
_NUMBERS = "biuf"
"""Kinds of arrays that are sent."""


def send(pipe: Connection, body: bytes, contents: Sequence[Any]) -> None:
    """Sends a message: its text, and behind it contents of any size as they lie in memory, as bytes."""
    pipe.send_bytes(array("Q", [len(content) for content in contents]))
    pipe.send_bytes(body)
    for content in contents:
        for start in range(0, len(content), PIECE):
            pipe.send_bytes(content[start : start + PIECE])


def receive(pipe: Connection, wait: Callable[[], object] = lambda: None) -> tuple[bytes, list[bytearray]]:
    """Receives a message, and calls ``wait`` before each of its pieces; raises EOFError where there are no more."""
    wait()
    sizes = array("Q", pipe.recv_bytes())
    wait()
    body = pipe.recv_bytes()
    contents = [bytearray(size) for size in sizes]
    for content in contents:
        for start in range(0, len(content), PIECE):
            wait()
            pipe.recv_bytes_into(content, start)
    return body, contents


def pack(message: Any) -> tuple[bytes, list[Any]]:
    """Plain data as JSON, and the contents that it refers to: all ``bytes`` as one, and each array of numbers."""
    import numpy as np

    texts: list[bytes] = []
    arrays: list[Any] = []

    def plain(value: Any) -> Any:
        if type(value) is bytes:
            texts.append(value)
            return {"bytes": len(value)}
        if isinstance(value, np.ndarray) and value.dtype.kind in _NUMBERS:
            arrays.append(np.ascontiguousarray(value).reshape(-1).view(np.uint8))
            return {"array": [value.dtype.str, value.shape]}
        if isinstance(value, np.generic):
            return value.item()
        if dataclasses.is_dataclass(value):
            return vars(value)
        raise TypeError(f"{type(value).__name__} is no plain data")

    body = json.dumps(message, default=plain).encode()
    return body, [b"".join(texts), *arrays]


def unpack(body: bytes, contents: Sequence[bytearray]) -> Any:
    """What :func:`pack` was given, as JSON knows it; raises any Exception for what is damaged."""
    import numpy as np

    texts, arrays = io.BytesIO(contents[0]), iter(contents[1:])

    def found(value: dict[str, Any]) -> Any:
        if value.keys() == {"bytes"}:
            return texts.read(value["bytes"])
        if value.keys() == {"array"}:
            dtype, shape = value["array"]
            if np.dtype(dtype).kind not in _NUMBERS:
                raise ValueError(f"{dtype} is no type of numbers")
            return np.frombuffer(next(arrays), dtype).reshape(shape)
        return value

    return json.loads(body, object_hook=found)
