"""Small data roots, and a learned codec in a folder of the user's own."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from small_data import marked_digits, write_mnist, write_stl10

from codecbench.plugins.registry import CODECS

TINY_AE = '''
    """A tiny learned codec."""

    from dataclasses import dataclass

    from torch import nn

    from codecbench import register_codec
    from codecbench.learned.autoencoder import Autoencoder, LatentCodec
    from codecbench.learned.training.recipe import Recipe


    class TinyNetwork(Autoencoder):
        def __init__(self):
            super().__init__()
            self.encoder = nn.Sequential(nn.Conv2d(1, 2, 7, stride=7), nn.ReLU())
            self.decoder = nn.Sequential(nn.ConvTranspose2d(2, 1, 7, stride=7), nn.Sigmoid())


    FAST = Recipe("mnist:split=train", "mnist", held_out=20, epochs=3, batch_size=16, learning_rate=1e-2)
    SLOW = Recipe("mnist:split=train", "mnist", held_out=20, epochs=4, batch_size=16, learning_rate=1e-3)


    @register_codec
    @dataclass(frozen=True)
    class TinyAe(LatentCodec):
        """32 numbers a digit."""

        trained_on = ("mnist",)
        network = TinyNetwork
        image_shape = (28, 28, 1)
        latent_shape = (2, 4, 4)
        recipes = {"fast": FAST, "slow": SLOW}
'''


@pytest.fixture(autouse=True, scope="session")
def one_thread() -> Iterator[None]:
    """Small networks are fastest so, also while other tests run."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def small_root(tmp_path: Path) -> Path:
    """A data root of 100 training and 30 test digits, 40 training and 9 test photographs."""
    root = tmp_path / "data"
    write_mnist(root, "train", marked_digits(100, 0, 1))
    write_mnist(root, "t10k", marked_digits(30, 200, 2))
    rng = np.random.default_rng(3)
    write_stl10(root, "train", rng.integers(0, 256, (40, 96, 96, 3), dtype=np.uint8))
    write_stl10(root, "test", rng.integers(0, 256, (9, 96, 96, 3), dtype=np.uint8))
    return root


@pytest.fixture
def user_folder(tmp_path: Path) -> Iterator[Path]:
    """A folder with the codec ``tiny_ae``; not yet registered."""
    folder = tmp_path / "my codecs"
    folder.mkdir()
    (folder / "tiny_ae.py").write_text(textwrap.dedent(TINY_AE), encoding="utf-8")
    with CODECS.temporary():
        yield folder


@pytest.fixture
def tiny_ae(user_folder: Path) -> type:
    """The codec ``tiny_ae``, registered."""
    CODECS.add_folder(user_folder)
    return CODECS.get("tiny_ae")
