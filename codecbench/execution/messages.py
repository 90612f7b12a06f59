"""Messages between a host and its owner: a pickle, and behind it the large arrays as they lie in memory."""

from __future__ import annotations

import io
import pickle
import struct
from typing import Any


def send(pipe: Any, message: Any) -> None:
    """Writes a message, whatever can be pickled, to something with ``write``."""
    buffers: list[pickle.PickleBuffer] = []
    body = pickle.dumps(message, protocol=5, buffer_callback=buffers.append)
    parts = [memoryview(body), *(buffer.raw() for buffer in buffers)]
    _write(pipe, struct.pack(f"<I{len(parts)}Q", len(parts), *(part.nbytes for part in parts)))
    for part in parts:
        _write(pipe, part)


def _write(pipe: Any, content: bytes | memoryview) -> None:
    rest = memoryview(content)
    while rest:
        rest = rest[pipe.write(rest) :]


class PlainUnpickler(pickle.Unpickler):
    """Takes plain data only: no plugin's module is imported for what a host sends."""

    def find_class(self, module: str, name: str) -> Any:
        """Looks a class or function up, or refuses it."""
        top = module.partition(".")[0]
        plugin = module.startswith(("codecbench.codecs.", "codecbench.datasets.", "codecbench.metrics."))
        if top not in ("builtins", "collections", "numpy", "codecbench", "copyreg", "_codecs") or plugin:
            raise pickle.UnpicklingError(f"{module}.{name} is no plain data")
        return super().find_class(module, name)


def receive(pipe: Any, unpickler: type[pickle.Unpickler] = pickle.Unpickler) -> Any:
    """Reads a message from something with ``readinto``.

    Raises:
        EOFError: there are no more.
    """
    (count,) = struct.unpack("<I", _read(pipe, 4))
    sizes = struct.unpack(f"<{count}Q", _read(pipe, 8 * count))
    body, *buffers = [_read(pipe, size) for size in sizes]
    return unpickler(io.BytesIO(body), buffers=buffers).load()


def _read(pipe: Any, size: int) -> bytearray:
    content = bytearray(size)
    rest = memoryview(content)
    while rest:
        got = pipe.readinto(rest)
        if not got:
            raise EOFError
        rest = rest[got:]
    return content
