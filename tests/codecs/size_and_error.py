"""What coding some images costs, in bytes and in squared error."""

import numpy as np


def size(codec, images) -> int:
    return sum(len(stream) for stream in codec.encode(images))


def error(codec, images) -> float:
    return float(np.mean((codec.decode(codec.encode(images)).astype(float) - images) ** 2))
