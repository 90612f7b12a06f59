"""Other processes: one that decodes from the bytes alone, and one that computes on another device."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from codecbench.plugins.codec import Codec, Shape
from codecbench.testing.checks import require_images, require_same
from codecbench.testing.images import sample_images
from codecbench.testing.results import NOT_APPLICABLE, SKIPPED, Finding, require, trying
from codecbench.text import format_shape

FRESH_PROCESS_S = 300

_FRESH_PROCESS = """
import json, sys
sys.path[:] = json.loads(sys.argv[1])
import numpy as np
from codecbench.plugins.registry import CODECS
from codecbench.testing.images import sample_images
task = json.load(sys.stdin)
codec = CODECS.get(task["name"])(**task["settings"])
decoded = codec.decode([bytes.fromhex(stream) for stream in task["streams"]])
streams = codec.encode(sample_images(tuple(task["shape"]), task["seed"]))
with open(task["answer"], "wb") as file:
    np.save(file, decoded)
    file.write(json.dumps([stream.hex() for stream in streams]).encode())
"""


def python(code: str) -> list[str]:
    """The command of a fresh interpreter that finds the same modules as this one, and none in its own folder.

    Args:
        code: what it runs; its first lines must be ``import json, sys`` and ``sys.path[:] = json.loads(sys.argv[1])``.
    """
    return [sys.executable, "-P", "-c", code, json.dumps(sys.path)]


def check_fresh_process(codec: Codec, shape: Shape, seed: int = 0) -> None:
    """Another process, told only name and settings, decodes the same images, and encodes to the same bytes.

    It decodes before it sees an image. Bytes are compared in their length only where the codec says that
    ``exact_bytes`` is false: another process may use other threads.
    """
    where = format_shape(shape)
    images = sample_images(shape, seed)
    trying(f"{where}: encode")
    streams = codec.encode(images)
    with tempfile.TemporaryDirectory() as folder:
        answer = Path(folder) / "answer"
        task = {
            "name": codec.name,
            "settings": codec.settings,
            "streams": [stream.hex() for stream in streams],
            "shape": shape,
            "seed": seed,
            "answer": str(answer),
        }
        trying(f"{where}: decode in a fresh process")
        done = subprocess.run(
            python(_FRESH_PROCESS), input=json.dumps(task).encode(), capture_output=True, timeout=FRESH_PROCESS_S
        )
        words = done.stderr.decode("utf-8", "replace").strip().splitlines()
        ended = f"a fresh process ends with {done.returncode}, and its last words are: {''.join(words[-1:])[:300]}"
        require(done.returncode == 0 and answer.is_file(), f"{where}: {ended}")
        require(not done.stdout, f"{where}: a fresh process writes to the standard output: {done.stdout[:80]!r}")
        with answer.open("rb") as file:
            decoded = np.load(file)
            encoded = [bytes.fromhex(stream) for stream in json.loads(file.read())]
    require_images(decoded, images.shape, f"{where}: in a fresh process")
    require_same(codec, decoded, codec.decode(streams), f"{where}: a fresh process decodes other images")
    same = encoded == streams if codec.exact_bytes else len(encoded) == len(streams)
    require(same, f"{where}: a fresh process encodes the same images to other bytes")


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
    try:
        import torch
    except ImportError:
        return "no GPU: PyTorch is not installed"
    return "" if torch.cuda.is_available() else "no GPU: PyTorch finds none"
