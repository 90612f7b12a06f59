"""Small untrained networks in place of the shipped ones."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from small_weights import find_weights_in, use_small_networks, write_small_weights


@pytest.fixture(scope="session")
def small_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with weights of small networks. For reading only."""
    folder = tmp_path_factory.mktemp("weights")
    with pytest.MonkeyPatch.context() as patch:
        use_small_networks(folder, patch)
        write_small_weights(folder)
    return folder


@pytest.fixture(scope="module")
def small_networks(small_weights: Path) -> Iterator[None]:
    """Learned codecs have small networks in this module, which are fastest on one thread."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch:
        use_small_networks(small_weights, patch)
        yield
    torch.set_num_threads(threads)


@pytest.fixture
def own_weights(small_weights: Path, small_networks: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the small weights, for a test that changes them."""
    folder = Path(shutil.copytree(small_weights, tmp_path / "weights"))
    find_weights_in(folder, monkeypatch)
    return folder
