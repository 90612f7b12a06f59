"""Other processes: one that decodes from the bytes alone, and one that computes on another device."""

from __future__ import annotations

import os

import numpy as np

from codecbench.execution.sandbox import Sandbox, SandboxError
from codecbench.plugins.codec import Codec, Images, Shape
from codecbench.plugins.registry import CODECS
from codecbench.plugins.settings import Value
from codecbench.testing.checks import require_images, require_same, written
from codecbench.testing.images import sample_images
from codecbench.testing.results import NOT_APPLICABLE, SKIPPED, CheckFailed, Finding, require, trying
from codecbench.text import format_shape

FRESH_PROCESS_S = 300.0


def check_fresh_process(codec: Codec, shape: Shape, seed: int = 0) -> None:
    """Another process, given only name and settings, decodes the same images, and encodes to the same bytes.

    It decodes before it sees an image. Bytes are compared in their length only where the codec says that
    ``exact_bytes`` is false: another process may use other threads.
    """
    where = format_shape(shape)
    images = sample_images(shape, seed)
    trying(f"{where}: encode")
    streams = codec.encode(images)
    trying(f"{where}: decode in a fresh process")
    try:
        with Sandbox("fresh", None, FRESH_PROCESS_S) as sandbox:
            decoded, encoded, wrote = sandbox.call(decode_first, codec.name, codec.settings, streams, shape, seed)
    except SandboxError as error:
        raise CheckFailed(f"{where}: in a fresh process: {error.reason}") from None
    require(not wrote, f"{where}: a fresh process writes to the standard output: {wrote[:80]!r}")
    require_images(decoded, images.shape, f"{where}: in a fresh process")
    require_same(codec, decoded, codec.decode(streams), f"{where}: a fresh process decodes other images")
    same = encoded == streams if codec.exact_bytes else len(encoded) == len(streams)
    require(same, f"{where}: a fresh process encodes the same images to other bytes")


def decode_first(
    name: str, settings: dict[str, Value], streams: list[bytes], shape: Shape, seed: int
) -> tuple[Images, list[bytes], str]:
    """In the fresh process: what streams decode to, what the sample images encode to, and what was written."""

    def work() -> tuple[Images, list[bytes]]:
        codec = CODECS.get(name)(**settings)
        return codec.decode(streams), codec.encode(sample_images(shape, seed))

    (decoded, encoded), wrote = written(work)
    return decoded, encoded, wrote


def check_devices(codec: Codec, shape: Shape, seed: int = 0) -> Finding | None:
    """What one of CPU and GPU encodes, the other decodes to the same images."""
    if not codec.uses_device:
        return Finding(NOT_APPLICABLE, "computes on no device")
    reason = _no_gpu()
    if reason:
        return Finding(SKIPPED, reason)
    images, where = sample_images(shape, seed), format_shape(shape)
    devices = {device: codec.on(device) for device in ("cpu", "cuda")}
    for one, other in (("cpu", "cuda"), ("cuda", "cpu")):
        trying(f"{where}: encode on {one}, decode on {other}")
        streams = devices[one].encode(images)
        decoded = devices[other].decode(streams)
        what = f"{where}: what {one} encodes, {other} decodes to other images"
        require_same(codec, decoded, devices[one].decode(streams), what)
        exact = not codec.lossless or np.array_equal(decoded, images)
        require(bool(exact), f"{what}, though it claims to be lossless")
    return None


def _no_gpu() -> str:
    """Why devices cannot be compared here; empty where they can."""
    if os.environ.get("CUDA_VISIBLE_DEVICES") == "":
        return "no GPU: CUDA_VISIBLE_DEVICES is empty"
    import torch

    return "" if torch.cuda.is_available() else "no GPU: PyTorch finds none"
