"""Runs of made-up rows, as many as a benchmark asks for."""

import itertools

import numpy as np
from runs import MadeUpRun


def write_rows(path, codecs, settings, chunks, images):
    """Writes a run of made-up rows, no two of them alike, in chunks of so many images a point."""
    rng = np.random.default_rng(0)
    run = MadeUpRun(path, {"mnist": (28, 28, 1)}, [f"codec{number}" for number in range(codecs)])
    for codec, quality, chunk in itertools.product(range(codecs), range(settings), range(chunks)):
        indices = range(chunk * images, (chunk + 1) * images)
        mse = rng.exponential(1e-3, images) * (rng.random(images) < 0.99)
        size, settings = rng.integers(100, 900, images), {"quality": quality}
        run.point("mnist", f"codec{codec}", settings, num_bytes=size, mse=mse, ssim=rng.random(), indices=indices)
    return run.store
