"""The stage that codes whole data sets as one stream; see ``codecbench.store.sets``.

One process encodes; another one, which has never seen an image, gets the codec's spec and the bytes and decodes; the
worker compares every pixel. Both are started for each set anew.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np

from codecbench import environment
from codecbench.errors import ContractError, DatasetError, PluginError, UnsupportedImageError
from codecbench.execution import workers
from codecbench.execution.context import Progress, RunContext
from codecbench.execution.engines import WORKER_DIED
from codecbench.execution.limits import WorkerLimits
from codecbench.execution.sandbox import SandboxError
from codecbench.fingerprint import digest, fingerprint_pixels
from codecbench.plan.planner import CodecChoice, Plan, Source, chunks
from codecbench.plan.tasks import Task
from codecbench.plugins.codec import MAX_SET_BYTES, CodecSpec, Images, SetCodec, Shape
from codecbench.plugins.dataset import Dataset
from codecbench.plugins.registry import CODECS
from codecbench.store.folder import RunFolder
from codecbench.store.sets import SetRecord
from codecbench.text import format_shape, one_line


@dataclass(frozen=True)
class SetTask:
    """One dataset × one codec point, as one stream."""

    task: Task  # of all chosen images, which are of one shape; its data fingerprint is that of the whole choice
    skipped: str = ""  # why the set is not coded, in one line; empty where it is to be

    @functools.cached_property
    def id(self) -> str:
        """Identity of the result, 24 hexadecimal digits."""
        task = self.task
        point = [task.dataset, str(task.codec), task.codec_fingerprint, task.data_fingerprint, len(task.indices)]
        return digest([SetRecord.FORMAT, point, self.skipped])

    def record(self, failed: str = "", **outcome: Any) -> SetRecord:
        """What is stored, with what coding the set gave."""
        return SetRecord(
            format=SetRecord.FORMAT,
            id=self.id,
            **self.task.point,
            data_fingerprint=self.task.data_fingerprint,
            images=len(self.task.indices),
            shape=self.task.shape,
            failed=failed,
            skipped=self.skipped,
            **outcome,
        )


def tasks(choices: Iterable[CodecChoice], plan: Plan) -> list[SetTask]:
    """Every set to be coded: each dataset by each codec that can, at the points asked for, or else its own choice."""
    found: list[SetTask] = []
    capable = [choice for choice in choices if choice.name in plan.codec_fingerprints]
    capable = [choice for choice in capable if issubclass(choice.cls, SetCodec)]
    for source in plan.sources if capable else ():
        shapes = {source.images.shape(index) for index in source.selection.indices}
        for choice in capable:
            found += _of_codec(choice, source, shapes, plan.codec_fingerprints[choice.name])
    return found


def _of_codec(choice: CodecChoice, source: Source, shapes: set[Shape], fingerprint: str) -> list[SetTask]:
    selection, shape = source.selection, min(shapes)

    def task(codec: CodecSpec, reason: str = "") -> SetTask:
        whole = Task(selection.label, codec, selection.indices, shape, (), fingerprint, selection.fingerprint)
        return SetTask(whole, reason)

    if len(shapes) > 1:
        reason = f"the images have {len(shapes)} shapes; a set is of one"
        return [task(CodecSpec(choice.name), reason)]
    try:
        codecs = choice.codecs(shape, cast(type[SetCodec], choice.cls).set_points)
    except Exception as error:  # a plugin's class method may raise anything
        why = str(error) if isinstance(error, PluginError) else one_line(error)
        return [task(CodecSpec(choice.name), f"its points for sets cannot be determined: {why}")]
    return [task(codec.spec, _refusal(codec, len(selection.indices), shape)) for codec in codecs]


def _refusal(codec: Any, count: int, shape: Shape) -> str:
    """Why a codec does not code a set; empty where it does."""
    size = count * shape[0] * shape[1] * shape[2]
    if size > MAX_SET_BYTES:
        return f"the set has {size:,} samples; coded are sets of up to {MAX_SET_BYTES:,}"
    try:
        if not codec.lossless:
            return "the codec is not lossless at these settings"
        codec.check_shape(shape)
        codec.check_set(count, shape)
    except UnsupportedImageError as error:
        return one_line(error)
    except Exception as error:  # a plugin's methods may raise anything
        return f"whether the codec takes such a set cannot be determined: {one_line(error)}"
    return ""


def waiting(sets: Iterable[SetTask], store: RunFolder) -> list[SetTask]:
    """Those of some sets that the run folder knows nothing of yet, or only a failure."""
    known = {one.id: store.record(SetRecord, one.id) for one in sets}
    return [one for one in sets if (record := known[one.id]) is None or record.failed]


def code_sets(sets: Sequence[SetTask], run: RunContext) -> int:
    """Codes every set that the run folder does not have, in worker processes; returns how many failed."""
    due = waiting(sets, run.store)
    for one in [one for one in due if one.skipped]:
        run.store.write_record(one.id, one.record())
        run.note(f"no set of {one.task.dataset} by {one.task.codec}: {one.skipped}")
    todo = [one for one in due if not one.skipped]
    if not todo:
        return 0
    total = sum(not one.skipped for one in sets)
    progress = Progress("packed", total, total - len(todo), run.watch)

    def finish(one: SetTask, record: SetRecord) -> None:
        run.store.write_record(one.id, record)
        progress.step(one.task, failed=f"as one set: {record.failed}" if record.failed else "")

    jobs = [(one, one.task) for one in todo]
    run.run(pack, jobs, finish, lambda one: finish(one, one.record(WORKER_DIED)), kind=lambda task: str(task.codec))
    return progress.failed


def pack(one: SetTask, dataset: Dataset, limits: WorkerLimits) -> SetRecord:
    """In a worker, codes one set; a failure is recorded, never raised."""
    task = one.task
    workers.close()  # the time is that of fresh processes
    try:
        images = _read(task, dataset, limits)
        processes = workers.processes_for(task, limits)
        bitstream, encode_s = processes.encoder.call(encode, task.codec, images, limits.device)
        with processes.decoder.apart():
            decoded, decode_s = processes.decoder.call(decode, task.codec, bitstream, limits.device)
        processes.check_files()
        _compare(task, images, decoded)
    except SandboxError as error:
        return one.record(error.reason, details=error.details)
    except Exception as error:  # a dataset is a plugin too
        return one.record(one_line(error))
    finally:
        workers.close()
    host = environment.host_id(environment.machine(limits.device))
    return one.record(set_bytes=len(bitstream), encode_s=encode_s, decode_s=decode_s, host=host)


def _read(task: Task, dataset: Dataset, limits: WorkerLimits) -> Images:
    """All images of a set, made sure to be those that the run was planned with."""
    source = workers.open_images(dataset, limits.data_dir)
    images = source.read(task.indices)
    ends = np.cumsum([len(piece) for _, piece in chunks(source, task.indices)])  # of what fingerprints are made of
    if digest([fingerprint_pixels([piece]) for piece in np.split(images, ends[:-1])]) != task.data_fingerprint:
        raise DatasetError(f"the images of {dataset.label} changed while the run went on; run again")
    return images


def _compare(task: Task, images: Images, decoded: Images) -> None:
    if decoded.shape != images.shape:
        sizes = f"{format_shape(decoded.shape)} instead of {format_shape(images.shape)}"
        raise ContractError(f"{task.codec}: decode_set gave the shape {sizes}")
    if not np.array_equal(decoded, images):
        wrong = int((decoded != images).any(axis=(1, 2, 3)).sum())
        raise ContractError(f"{task.codec}: as one set, {wrong} of {len(images)} images are not restored exactly")


def encode(spec: CodecSpec, images: Images, device: str) -> tuple[bytes, float]:
    """In a sandbox, encodes a set: the stream, and the wall seconds of the one call."""
    images.setflags(write=False)
    codec: Any = CODECS.get(spec.name)(**spec.settings).on(device)
    began = time.perf_counter()
    bitstream = codec.encode_set(images)
    seconds = time.perf_counter() - began
    if type(bitstream) is not bytes:
        raise ContractError(f"{spec}: encode_set must return bytes, not {type(bitstream).__name__}")
    return bitstream, seconds


def decode(spec: CodecSpec, bitstream: bytes, device: str) -> tuple[Images, float]:
    """In another sandbox, decodes a set from the bytes alone: uint8 (N, H, W, C), and the wall seconds of the call."""
    codec: Any = CODECS.get(spec.name)(**spec.settings).on(device)
    began = time.perf_counter()
    images = codec.decode_set(bitstream)
    seconds = time.perf_counter() - began
    if not isinstance(images, np.ndarray) or images.dtype != np.uint8:
        got = f"an array of {images.dtype}" if isinstance(images, np.ndarray) else type(images).__name__
        raise ContractError(f"{spec}: decode_set must return an array of uint8, not {got}")
    return np.ascontiguousarray(images).view(np.ndarray), seconds
