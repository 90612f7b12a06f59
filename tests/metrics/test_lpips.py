"""LPIPS with a package that stands in for the real one: what it lacks, what it refuses, what the network is given."""

import importlib.machinery
import importlib.util
import sys
import types

import numpy as np
import pytest

from codecbench.errors import CodecbenchError, UsageError
from codecbench.plugins.registry import METRICS

LPIPS = METRICS.get("lpips")
MODULE = sys.modules[LPIPS.function.__module__]


@pytest.fixture
def stand_in(monkeypatch, tmp_path):
    """A package whose network gives the mean absolute difference; and a file in the place of the weights."""
    torch = pytest.importorskip("torch")
    batches = []

    class Network(torch.nn.Module):
        def __init__(self, **options):
            super().__init__()
            assert options == {"net": "alex", "version": "0.1", "verbose": False}

        def forward(self, x, y):
            assert not self.training
            batches.append(x.clone())
            return (x - y).abs().mean((1, 2, 3), keepdim=True)

    package = types.ModuleType("lpips")
    package.LPIPS, package.__spec__ = Network, importlib.machinery.ModuleSpec("lpips", None)
    monkeypatch.setitem(sys.modules, "lpips", package)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    weights = tmp_path / "hub" / "checkpoints" / "alexnet-owt-7be5be79.pth"
    weights.parent.mkdir(parents=True)
    weights.write_bytes(b"")
    MODULE._network.cache_clear()
    yield batches
    MODULE._network.cache_clear()


def test_without_the_package_it_says_how_to_get_it(monkeypatch):
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "lpips" else found(name))
    assert LPIPS.unavailable() == "it needs the package lpips: pip install 'codecbench[lpips]'"
    with pytest.raises(UsageError, match=r"^metric lpips is not available: it needs the package lpips: pip install"):
        METRICS.choose("lpips")
    with pytest.raises(CodecbenchError, match="it needs the package lpips"):
        LPIPS(np.zeros((1, 64, 64, 3), np.uint8), np.zeros((1, 64, 64, 3), np.uint8))


def test_without_the_weights_it_names_the_command_and_downloads_nothing(stand_in, tmp_path):
    (tmp_path / "hub" / "checkpoints" / "alexnet-owt-7be5be79.pth").unlink()
    assert "torchvision.models.alexnet(weights='IMAGENET1K_V1')" in LPIPS.unavailable()
    with pytest.raises(CodecbenchError, match="AlexNet's weights, which torchvision downloads once"):
        LPIPS(np.zeros((1, 64, 64, 3), np.uint8), np.zeros((1, 64, 64, 3), np.uint8))


def test_the_network_gets_colour_from_minus_one_to_one_and_no_small_images(stand_in, monkeypatch):
    images = np.zeros((2, 63, 80, 3), np.uint8)
    assert np.isnan(LPIPS.measure(images, images)).all()
    assert stand_in == []
    assert LPIPS.describe((63, 80, 3)) == "no LPIPS: smaller than 64×64"
    monkeypatch.setattr(MODULE, "BLOCK_PIXELS", 2 * 64 * 65)
    assert [one.name for one in METRICS.choose("lpips")] == ["lpips"]
    original = np.zeros((3, 64, 65, 1), np.uint8)
    decoded = np.full_like(original, 51)
    decoded[2] = 0
    np.testing.assert_allclose(LPIPS.measure(original, decoded), [0.4, 0.4, 0.0], atol=1e-6)
    assert [tuple(batch.shape) for batch in stand_in] == [(2, 3, 64, 65), (1, 3, 64, 65)]
    assert float(stand_in[0].min()) == float(stand_in[0].max()) == -1.0
    assert LPIPS.describe((64, 65, 1)) == "LPIPS 0.1, AlexNet, gray repeated as colour"
