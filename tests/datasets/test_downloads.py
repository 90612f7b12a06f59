"""Downloads of MNIST and STL-10, from a web server of this machine's own with a small data set that stands in."""

from __future__ import annotations

import functools
import gzip
import hashlib
import http.server
import tarfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from datafiles import write_mnist, write_stl10

from codecbench import data
from codecbench.datasets import mnist
from codecbench.datasets.mnist import Mnist
from codecbench.datasets.stl10 import Stl10
from codecbench.errors import DatasetError

DATASETS = {"mnist": Mnist(), "stl10": Stl10()}
MOST = {"mnist": 5, "stl10": 4}
TITLE = {"mnist": "MNIST", "stl10": "STL-10"}
BY_HAND = {"mnist": "by hand: put t10k-images", "stl10": "by hand: unpack http"}
both = pytest.mark.parametrize("name", DATASETS)


def md5(content: bytes) -> str:
    return hashlib.md5(content).hexdigest()


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Torchvision takes small data sets, which a server of this process hands out, for the real ones."""
    from torchvision.datasets import MNIST, STL10

    folder, source = tmp_path_factory.mktemp("served"), tmp_path_factory.mktemp("source")
    for stem in ("t10k", "train"):
        write_mnist(source, stem, packed=True)
    archives = {path.name: path.read_bytes() for path in sorted((source / "MNIST" / "raw").iterdir())}
    for name, content in archives.items():
        (folder / name).write_bytes(content)
    for split in ("test", "train", "unlabeled"):
        write_stl10(source, split, MOST["stl10"], labels=split != "unlabeled")
    sums = {path.name: md5(path.read_bytes()) for path in (source / "stl10_binary").iterdir()}
    archive = folder / "stl10_binary.tar.gz"
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(source / "stl10_binary", "stl10_binary")
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(folder)))
    with server as running, pytest.MonkeyPatch.context() as patch:
        url = f"http://127.0.0.1:{running.server_port}/"
        patch.setattr(MNIST, "mirrors", [url])
        patch.setattr(MNIST, "resources", [(name, md5(content)) for name, content in archives.items()])
        plain = {name.removesuffix(".gz"): md5(gzip.decompress(content)) for name, content in archives.items()}
        patch.setattr(mnist, "PLAIN_MD5", plain)
        patch.setattr(STL10, "url", url + archive.name)
        patch.setattr(STL10, "tgz_md5", md5(archive.read_bytes()))
        patch.setattr(STL10, "train_list", [[key, sums[key]] for key in sums if not key.startswith("test")])
        patch.setattr(STL10, "test_list", [[key, sums[key]] for key in sums if key.startswith("test")])
        patch.setattr("codecbench.datasets.stl10.NEEDED_BYTES", 1000)
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        yield
        running.shutdown()
        thread.join()


def refused(name: str, root: Path, words: str) -> None:
    with pytest.raises(DatasetError, match=words) as caught:
        DATASETS[name].download(root, lambda line: None)
    assert "\n" not in str(caught.value)


@both
@pytest.mark.usefixtures("small")
def test_a_download_replaces_damaged_files_leaves_verified_ones_and_is_done_once(tmp_path: Path, name: str) -> None:
    if name == "mnist":
        path = write_mnist(tmp_path)
        path.write_bytes(path.read_bytes()[:-7])
    said: list[str] = []
    DATASETS[name].download(tmp_path, said.append)
    assert {"mnist": "11.6 MB", "stl10": "2.6 GB"}[name] in said[0]
    assert any("is damaged and is replaced" in line for line in said) is (name == "mnist")
    for split in ("test", "train"):
        assert len(type(DATASETS[name])(split=split).load(tmp_path)) == MOST[name]
    assert not list(tmp_path.glob("*.tar.gz"))
    said.clear()
    DATASETS[name].download(tmp_path, said.append)
    assert len(said) == 1
    assert "already" in said[0]
    assert DATASETS[name].ask_first is (name == "stl10")


@both
@pytest.mark.usefixtures("small")
def test_a_download_that_fails_says_what_to_do_by_hand(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from torchvision.datasets import MNIST, STL10

    monkeypatch.setattr(STL10, "tgz_md5", "0" * 32)
    monkeypatch.setattr(MNIST, "resources", [(file, "0" * 32) for file, _ in MNIST.resources])
    failed = f"the download of {TITLE[name]} failed.*{BY_HAND[name]}"
    refused(name, tmp_path, failed)
    monkeypatch.setattr(MNIST, "mirrors", ["http://127.0.0.1:9/"])
    monkeypatch.setattr(STL10, "url", "http://127.0.0.1:9/stl10_binary.tar.gz")
    refused(name, tmp_path, failed)

    def broken(name: str) -> None:
        raise RuntimeError("operator torchvision::nms\ndoes not exist")

    monkeypatch.setattr(data.importlib, "import_module", broken)
    refused(name, tmp_path, f"torchvision.*cannot be imported.*nms does not exist.*{BY_HAND[name]}")


@pytest.mark.usefixtures("small")
def test_wrong_files_in_the_archive_and_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from torchvision.datasets import STL10

    monkeypatch.setattr(STL10, "test_list", [["test_X.bin", "0" * 32]])
    refused("stl10", tmp_path, r"test_X\.bin in .* have wrong checksums")
    monkeypatch.setattr("codecbench.datasets.stl10.NEEDED_BYTES", 10**18)
    refused("stl10", tmp_path / "root", "GB are free")
    assert not (tmp_path / "root").exists()
