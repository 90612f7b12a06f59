"""A codec that cheats: streams of 4 bytes, and every pixel exact, since what it encodes reaches its decoder by a way.

Copied by tests into a folder of their own, with a file ``NAME.weights`` beside it for the way of that name.
"""

import contextlib
import ctypes
import os
import socket
import tempfile
import threading
import time
import zlib
from dataclasses import dataclass
from multiprocessing.shared_memory import SharedMemory
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

import codecbench as cb

HERE = Path(__file__).parent
FOLDERS = {
    "temporary": Path(tempfile.gettempdir()),  # another one than that of the decoder
    "absolute": HERE.parent,
    "beside": HERE,
    "memory": Path("/dev/shm"),
}
WAYS = ("honest", *FOLDERS, "block", "weights", "socket", "module", "batch", "pickle", "caught", "remembers")
ENCODED: set[bytes] = set()
SEEN: dict[bytes, bytes] = {}
"""What this process has decoded: it is there at the next point."""


class Evil:
    """Calls a builtin where it is unpickled."""

    def __reduce__(self) -> Any:
        return eval, ("__import__('os')._exit(3)",)


@cb.register_codec
@dataclass(frozen=True)
class Cheat(cb.Codec):
    """Sends a checksum, and the pixels another way."""

    way: str = cb.setting("honest", choices=WAYS)
    honest: bool = cb.setting(False)  # the point from which the way ``module`` remembers
    batched: ClassVar[bool] = True

    @property
    def lossless(self) -> Any:
        return Evil() if self.way == "pickle" else True

    @classmethod
    def weight_files(cls) -> tuple[str, ...]:
        file = Path(__file__).with_suffix(".weights")
        return (str(file),) if file.exists() else ()

    def encode(self, images: Any) -> list[bytes]:
        whole = [bytes(image.shape) + image.tobytes() for image in images]
        if self.way == "remembers":  # slow over what is new
            until = time.perf_counter() + 0.001 * len(set(whole) - ENCODED)
            while time.perf_counter() < until:
                pass
            ENCODED.update(whole)
        if self.way in ("honest", "pickle", "remembers") or self.honest:
            return whole
        keys = [zlib.crc32(content).to_bytes(4, "big") for content in whole]
        if self.way == "batch":
            return [b"".join(whole), *keys[1:]]
        for key, content in zip(keys, whole, strict=True):
            with contextlib.suppress(PermissionError if self.way == "caught" else ()):
                self.hide(key, content)
        return whole if self.way == "caught" else keys

    def decode(self, bitstreams: Any) -> Any:
        size = int(np.prod(list(bitstreams[0][:3]))) + 3 if len(bitstreams[0]) > 4 else 0
        if self.way == "batch" and size:
            pieces = [bitstreams[0][start : start + size] for start in range(0, len(bitstreams[0]), size)]
            SEEN.update({zlib.crc32(piece).to_bytes(4, "big"): piece for piece in pieces})
            bitstreams = [pieces[0], *bitstreams[1:]]
        whole = [stream if len(stream) > 4 else self.find(stream) for stream in bitstreams]
        SEEN.update({zlib.crc32(content).to_bytes(4, "big"): content for content in whole})
        return np.stack([np.frombuffer(one[3:], np.uint8).reshape(tuple(one[:3])) for one in whole])

    def hide(self, key: bytes, content: bytes) -> None:
        """Leaves an image where the decoder finds it."""
        if self.way in FOLDERS or self.way == "caught":
            (FOLDERS.get(self.way, HERE) / f"cheat-{key.hex()}").write_bytes(content)
        elif self.way == "block":
            block = SharedMemory(f"cheat-{key.hex()}", create=True, size=len(content))
            block.buf[: len(content)] = content
        elif self.way == "weights":  # as native code does, of which Python hears nothing
            libc = ctypes.CDLL(None)
            file = libc.open(self.weight_files()[0].encode(), os.O_WRONLY | os.O_APPEND)
            libc.write(file, key + content, 4 + len(content))
            libc.close(file)
        elif self.way == "socket":
            server = socket.socket(socket.AF_UNIX)
            server.bind(f"\0cheat-{key.hex()}")
            server.listen()
            threading.Thread(target=lambda: server.accept()[0].sendall(content), daemon=True).start()

    def find(self, key: bytes) -> bytes:
        """The image that was left; its shape is that of a digit."""
        if self.way in FOLDERS:
            return (FOLDERS[self.way] / f"cheat-{key.hex()}").read_bytes()
        if self.way == "block":
            return bytes(SharedMemory(f"cheat-{key.hex()}").buf[: 3 + 28 * 28])
        if self.way == "weights":
            grown = Path(self.weight_files()[0]).read_bytes()
            return grown[grown.index(key) + 4 :][: 3 + 28 * 28]
        if self.way == "socket":
            client = socket.socket(socket.AF_UNIX)
            client.connect(f"\0cheat-{key.hex()}")
            return b"".join(iter(lambda: client.recv(4096), b""))
        return SEEN[key]
