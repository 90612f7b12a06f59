"""Other processes: one that decodes from the bytes alone, and one that computes on another device."""

from __future__ import annotations

import os
import runpy
import sys
import warnings
from pathlib import Path

import numpy as np

from codecbench.environment import device_name
from codecbench.execution import workers
from codecbench.execution.limits import WorkerLimits
from codecbench.execution.sandbox import SandboxError
from codecbench.fingerprint import fingerprint_pixels
from codecbench.measure import task as measure
from codecbench.plan.tasks import Task, codec_fingerprint
from codecbench.plugins.codec import Codec, CodecSpec, FloatCodec, Shape, to_uint8
from codecbench.plugins.registry import CODECS, METRICS
from codecbench.testing.checks import require_images, require_same, written
from codecbench.testing.images import Samples, sample_images
from codecbench.testing.results import NOT_APPLICABLE, SKIPPED, CheckFailed, Finding, require, trying
from codecbench.text import format_shape

FRESH_PROCESS_S = 300.0


def check_fresh_process(codec: Codec, shape: Shape, seed: int = 0) -> None:
    """Processes that are given only name and settings measure the codec as a run does, and work as this one does.

    What a run notices that reaches the decoder beside the bytes fails the check. Bytes are compared in their length
    only where the codec says that ``exact_bytes`` is false: another process may use other threads.
    """
    where = format_shape(shape)
    images = sample_images(shape, seed)
    trying(f"{where}: measure in fresh processes")
    device, variables = codec.device, [os.environ.get(one.variable, "") for one in (CODECS, METRICS)]
    fingerprint = codec_fingerprint(type(codec), device_name(device))
    prints = fingerprint, fingerprint_pixels([images])
    task = Task(Samples.name, codec.spec, tuple(range(len(images))), shape, (), *prints)
    limits = WorkerLimits(Path(), None, device, 1, FRESH_PROCESS_S, codec_path=variables[0], metric_path=variables[1])
    (result,) = workers.measure_tasks((task,), Samples(shape, seed), limits)
    reason = result.reason or result.first_attempt
    require(not reason, f"{where}: in a fresh process: {reason}")
    trying(f"{where}: encode, and compare with a fresh process")
    streams = codec.encode(images)
    try:
        processes = workers.processes_for(task, limits)
        decoded = processes.decoder.call(measure.decode, codec.spec, streams, device)
        encoded, wrote = processes.encoder.call(encode_anew, codec.spec, device, shape, seed)
    except SandboxError as error:
        raise CheckFailed(f"{where}: in a fresh process: {error.reason}") from None
    require(not wrote, f"{where}: a fresh process writes to the standard output: {wrote[:80]!r}")
    decoded = to_uint8(decoded) if isinstance(codec, FloatCodec) else decoded
    require_images(decoded, images.shape, f"{where}: in a fresh process")
    require_same(codec, decoded, codec.decode(streams), f"{where}: a fresh process decodes other images")
    same = encoded == streams if codec.exact_bytes else len(encoded) == len(streams)
    require(same, f"{where}: a fresh process encodes the same images to other bytes")


def encode_anew(spec: CodecSpec, device: str, shape: Shape, seed: int) -> tuple[list[bytes], str]:
    """In a fresh process, executes a plugin once more and encodes sample images: the streams, and what was written."""
    cls = CODECS.get(spec.name)
    sys.dont_write_bytecode = True

    def work() -> list[bytes]:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # that it is imported already, which is meant
            runpy.run_module(cls.__module__, run_name="anew", alter_sys=True)
        return cls(**spec.settings).on(device).encode(sample_images(shape, seed))

    return written(work)


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
