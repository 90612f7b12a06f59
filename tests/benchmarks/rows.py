"""Runs of made-up rows, as many as a benchmark asks for."""

import itertools

import numpy as np
from runs import MadeUpRun

from codecbench.measure.task import Measurement
from codecbench.store.tasks import task_files


def write_rows(path, codecs, settings, chunks, images):
    """Writes a run of made-up rows, no two of them alike, in chunks of so many images a point."""
    rng = np.random.default_rng(0)
    run = MadeUpRun(path, {"mnist": (28, 28, 1)}, [f"codec{number}" for number in range(codecs)])
    for codec, quality, chunk in itertools.product(range(codecs), range(settings), range(chunks)):
        indices = range(chunk * images, (chunk + 1) * images)
        task = run.task("mnist", f"codec{codec}", {"quality": quality}, indices, None)
        mse = rng.exponential(1e-3, images) * (rng.random(images) < 0.99)
        size = rng.integers(100, 900, images)
        measurement = Measurement(
            num_bytes=size,
            container_bytes=np.full(images, np.nan),
            estimated_bits=8.0 * size - rng.random(images),
            mse=mse,
            mse_float=mse + rng.random(images) * 1e-6,
            max_abs_error=np.where(mse > 0, rng.integers(1, 256, images), 0),
            exact_pixels=rng.integers(0, 784, images) / 784,
            ssim=rng.random(images),
            lossless=False,
            shown={index: run.image((28, 28, 1), index) for index in task.shown},
        )
        run.store.write_files(task_files(task, measurement, 0.1))
    return run.store
