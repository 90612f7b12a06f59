"""Small data roots, trainings that several tests look at, and a learned codec in a folder of the user's own."""

from __future__ import annotations

import dataclasses
import shutil
import textwrap
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from datafiles import marked_digits, write_mnist, write_stl10
from plugins import temporary
from small_training import SCORED, interrupt, job_of

from codecbench.learned.training.job import Job
from codecbench.learned.training.loop import Progress, train
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


@pytest.fixture(scope="session")
def small_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data root of 100 training and 30 test digits, 40 training and 9 test photographs. For reading only."""
    root = tmp_path_factory.mktemp("small") / "data"
    write_mnist(root, "train", marked_digits(100, 0, 1))
    write_mnist(root, "t10k", marked_digits(30, 200, 2))
    write_stl10(root, "train", 40)
    write_stl10(root, "test", 9)
    return root


@pytest.fixture
def own_root(small_root: Path, tmp_path: Path) -> Path:
    """A copy of the small data root, for a test that changes it."""
    return Path(shutil.copytree(small_root, tmp_path / "data"))


def finished_run(job: Job) -> SimpleNamespace:
    """A finished run: its ``job``, its ``card``, and all that was reported of it, ``seen``."""
    seen: list[Progress] = []
    return SimpleNamespace(job=job, card=train(job, watch=seen.append), seen=seen)


@pytest.fixture(scope="session")
def whole(small_root: Path, tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """A finished run that was judged by its squared error. For reading only."""
    return finished_run(job_of(small_root, tmp_path_factory.mktemp("whole") / "out"))


@pytest.fixture(scope="session")
def scored(small_root: Path, tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """A finished run that was judged by a score. For reading only."""
    return finished_run(job_of(small_root, tmp_path_factory.mktemp("scored") / "out", SCORED))


@pytest.fixture(params=["whole", "scored"])
def finished(request: pytest.FixtureRequest) -> SimpleNamespace:
    """Each of the two."""
    return request.getfixturevalue(request.param)


@pytest.fixture(scope="session")
def third_epoch(small_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Job:
    job = job_of(small_root, tmp_path_factory.mktemp("begun") / "out")
    interrupt(job, 3)
    return job


@pytest.fixture
def begun(third_epoch: Job, tmp_path: Path) -> Job:
    """A run that was interrupted in its third epoch."""
    return dataclasses.replace(third_epoch, out=Path(shutil.copytree(third_epoch.out, tmp_path / "begun")))


@pytest.fixture
def user_folder(tmp_path: Path) -> Iterator[Path]:
    """A folder with the codec ``tiny_ae``; not yet registered."""
    folder = tmp_path / "my codecs"
    folder.mkdir()
    (folder / "tiny_ae.py").write_text(textwrap.dedent(TINY_AE), encoding="utf-8")
    with temporary(CODECS):
        yield folder


@pytest.fixture
def tiny_ae(user_folder: Path) -> type:
    """The codec ``tiny_ae``, registered."""
    CODECS.add_folder(user_folder)
    return CODECS.get("tiny_ae")
