"""PPMd through pyppmd."""

from __future__ import annotations

import binascii
from dataclasses import dataclass
from typing import ClassVar

import pyppmd

import codecbench as cb

from ._general import GeneralCodec, row_filter

_CHECKSUM_BYTES = 2
_PIECE_BYTES = 512
_PADDING_BYTES = 64


@cb.register_codec
@dataclass(frozen=True)
class Ppmd(GeneralCodec):
    """PPMd variant I (D. Shkarin, PPM: one step to practicality, DCC 2002), as in ZIP: context mixing by escapes.

    It copies no matches: each byte is coded under a model of the bytes before it, up to ``order`` of them. Zeros at the
    end are left out. The stream has no end mark. A checksum of two bytes before it is part of the stream and counts,
    because a stream cut short or altered would otherwise decode to something.
    """

    strongest: ClassVar[dict[str, cb.Value]] = {"order": 4, "memory_mb": 64}

    order: int = cb.setting(4, low=2, high=64, sweep=(2, 4), help="bytes of context")
    memory_mb: int = cb.setting(16, low=1, high=1024, help="memory of the model in MiB; a full model starts anew")
    filter: str = row_filter()

    @classmethod
    def versions(cls) -> dict[str, str]:
        """The library's version."""
        return {"pyppmd": pyppmd.__version__}

    def compress(self, data: bytes) -> bytes:
        """Checksum and stream."""
        # pyppmd 1.3 drops bytes where one call fills its 32 KiB of output within a symbol: no call may get so far.
        # It also keeps some 8 KiB for good of every encoder, which peak memory shows after many images.
        encoder = pyppmd.Ppmd8Encoder(self.order, self.memory_mb << 20, pyppmd.PPMD8_RESTORE_METHOD_RESTART)
        pieces = [encoder.encode(data[at : at + _PIECE_BYTES]) for at in range(0, len(data), _PIECE_BYTES)]
        stream: bytes = (b"".join(pieces) + encoder.flush(endmark=False)).rstrip(b"\0")
        return checksum(stream, len(data)) + stream

    def decompress(self, packed: bytes, size: int) -> bytes:
        """Reads what :meth:`compress` wrote."""
        stream = packed[_CHECKSUM_BYTES:]
        if packed[:_CHECKSUM_BYTES] != checksum(stream, size) or stream.startswith(b"\xff\xff\xff\xff"):
            raise ValueError("the stream does not match its checksum")
        # When it runs out of input, pyppmd 1.3 goes on in a thread and writes out of bounds: zeros keep it fed.
        fed = stream + bytes(_PADDING_BYTES + size // 8)
        decoder = pyppmd.Ppmd8Decoder(self.order, self.memory_mb << 20, pyppmd.PPMD8_RESTORE_METHOD_RESTART)
        return decoder.decode(fed, size)

    def framing_bytes(self, packed: bytes) -> int:
        """The checksum."""
        return _CHECKSUM_BYTES


def checksum(stream: bytes, size: int) -> bytes:
    """CRC-16 (CCITT) of the stream and the number of bytes that it stands for."""
    value = binascii.crc_hqx(size.to_bytes(8, "little"), 0xFFFF)
    return binascii.crc_hqx(stream, value).to_bytes(_CHECKSUM_BYTES, "little")
