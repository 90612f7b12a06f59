"""What a run says about where its figures come from."""

import os
import subprocess

import pytest

from codecbench import provenance
from codecbench.errors import UsageError


def test_versions_name_what_figures_depend_on():
    import numpy

    found = provenance.versions()
    assert found["numpy"] == numpy.__version__
    assert set(provenance.LIBRARIES) < set(found)
    assert "absent" not in found.values()


def test_the_machine_is_described_without_naming_it():
    found = provenance.machine()
    assert found["cores"] == provenance.available_cores() >= 1
    assert found["cpu"]
    assert found["device"] == "cpu"
    assert os.uname().nodename not in str(found)


def test_the_commit_is_the_checkouts(monkeypatch, tmp_path):
    root = tmp_path / "checkout"
    (root / "codecbench").mkdir(parents=True)
    monkeypatch.setattr(provenance, "__file__", str(root / "codecbench" / "provenance.py"))
    assert provenance.git_commit() == ""

    def git(*arguments):
        identity = ["-c", "user.name=n", "-c", "user.email=e"]
        subprocess.run(["git", "-C", root, *identity, *arguments], check=True, capture_output=True)

    git("init")
    (root / "file").write_text("one", encoding="utf-8")
    git("add", "file")
    git("commit", "-m", "first")
    commit = provenance.git_commit()
    assert len(commit) == 12
    (root / "file").write_text("two", encoding="utf-8")
    assert provenance.git_commit() == f"{commit}+changes"


def test_devices(monkeypatch):
    assert provenance.resolve_device("cpu", useful=True) == "cpu"
    assert provenance.resolve_device("auto", useful=False) == "cpu"
    with pytest.raises(UsageError, match="allowed: auto, cpu, cuda"):
        provenance.resolve_device("tpu", useful=True)
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert provenance.resolve_device("auto", useful=True) == "cpu"
    with pytest.raises(UsageError, match="PyTorch finds no CUDA device"):
        provenance.resolve_device("cuda", useful=True)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert provenance.resolve_device("auto", useful=True) == "cuda"
