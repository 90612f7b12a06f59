"""What a run says about where its figures come from."""

import json
import os
import platform
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import AvifImagePlugin, features

from codecbench import environment
from codecbench.errors import UsageError


def test_versions_name_what_figures_depend_on_and_what_is_absent(monkeypatch):
    found = environment.versions()
    assert found["numpy"] == np.__version__
    assert set(environment.LIBRARIES) < set(found)
    assert "absent" not in found.values()
    assert found["blas"].split()[0] == np.show_config(mode="dicts")["Build Dependencies"]["blas"]["name"]
    for name in ("libjpeg_turbo", "webp", "jpg_2000"):
        assert found[name] == features.version(name)
    for name in ("aom", "dav1d"):
        assert found.get(name) == AvifImagePlugin.get_codec_version(name)
    assert {"zlib", "zlib_ng"} & set(found)
    monkeypatch.setattr(environment, "LIBRARIES", ("no-such-package",))
    monkeypatch.setattr(environment, "OPTIONAL_LIBRARIES", ("neither-this",))
    found = environment.versions()
    assert found["no-such-package"] == "absent"
    assert "neither-this" not in found


def test_machines_are_described_and_told_apart_without_their_names(monkeypatch):
    found = environment.machine()
    assert found["cores"] == environment.available_cores() >= 1
    assert found["cpu"]
    assert found["device"] == "cpu"
    assert os.uname().nodename not in str(found)
    assert {"governor", "boost", "virtual", "logical_cores"} <= set(found)
    assert json.loads(json.dumps(found)) == found
    assert environment.machine() == found, "the same for every command on a machine"
    here = environment.host_id(found)
    assert len(bytes.fromhex(here)) == 4
    assert environment.host_id(found | {"cores": 1}) == here, "a process that may use fewer cores runs on the same host"
    for other in ({"cpu": "another"}, {"memory_gib": 1.5}, {"logical_cores": 1000}):
        assert environment.host_id(found | other) != here
    monkeypatch.setattr(platform, "node", lambda: "another")
    assert environment.host_id(found) != here


GOVERNOR, TURBO, BOOST = "cpu0/cpufreq/scaling_governor", "intel_pstate/no_turbo", "cpufreq/boost"


@pytest.mark.parametrize(
    ("files", "governor", "boost"),
    [
        ({}, None, None),
        ({GOVERNOR: "powersave\n", TURBO: "0\n"}, "powersave", True),
        ({GOVERNOR: "performance\n", TURBO: "1\n"}, "performance", False),
        ({BOOST: "1\n"}, None, True),
        ({BOOST: "0\n"}, None, False),
    ],
)
def test_governor_and_boost_where_the_system_tells(files, governor, boost, monkeypatch, tmp_path):
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(content, encoding="utf-8")
    monkeypatch.setattr(environment, "CPUS", tmp_path)
    found = environment.machine()
    assert (found["governor"], found["boost"]) == (governor, boost)


def test_the_driver_of_a_gpu(monkeypatch, tmp_path):
    monkeypatch.setattr(environment, "NVIDIA_DRIVER", tmp_path / "version")
    monkeypatch.setattr(environment, "device_name", lambda device: "A GPU")
    for words, version in (
        ("NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.104.05  Sat Aug 19 01:15:15 UTC 2023", "535.104.05"),
        ("NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  550.54.14  Release Build", "550.54.14"),
    ):
        (tmp_path / "version").write_text(f"{words}\nGCC version: gcc 12.3.0\n", encoding="utf-8")
        found = environment.machine("cuda")
        assert (found["device"], found["driver"]) == ("A GPU", version)
    monkeypatch.setattr(environment, "NVIDIA_DRIVER", tmp_path / "absent")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert environment.machine("cuda")["driver"] is None


def test_conditions(monkeypatch):
    for name in environment.THREAD_VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    monkeypatch.setattr(os, "getloadavg", lambda: (1.234, 0.0, 0.0))
    assert environment.conditions() == {"load_1min": 1.23, "thread_variables": {"OMP_NUM_THREADS": "3"}}

    def untold():
        raise OSError

    monkeypatch.setattr(os, "getloadavg", untold)
    assert environment.conditions()["load_1min"] is None


def test_the_commit_is_the_checkouts(monkeypatch, tmp_path):
    root = tmp_path / "checkout"
    (root / "codecbench").mkdir(parents=True)
    monkeypatch.setattr(environment, "__file__", str(root / "codecbench" / "environment.py"))
    assert environment.git_commit() == ""

    def git(*arguments):
        identity = ["-c", "user.name=n", "-c", "user.email=e"]
        subprocess.run(["git", "-C", root, *identity, *arguments], check=True, capture_output=True)

    git("init")
    (root / "file").write_text("one", encoding="utf-8")
    git("add", "file")
    git("commit", "-m", "first")
    commit = environment.git_commit()
    assert len(commit) == 12
    os.utime(root / "file", (0, 0))  # which makes git refresh its index
    index = (root / ".git" / "index").read_bytes()
    assert environment.git_commit() == commit
    assert (root / ".git" / "index").read_bytes() == index, "a run writes nothing into the checkout"
    (root / "file").write_text("two", encoding="utf-8")
    assert environment.git_commit() == f"{commit}+changes"


def test_devices(monkeypatch):
    assert environment.resolve_device("cpu", useful=True) == "cpu"
    assert environment.resolve_device("auto", useful=False) == "cpu"
    with pytest.raises(UsageError, match="allowed: auto, cpu, cuda"):
        environment.resolve_device("tpu", useful=True)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert environment.resolve_device("auto", useful=True) == "cpu"
    with pytest.raises(UsageError, match="PyTorch finds no CUDA device"):
        environment.resolve_device("cuda", useful=True)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert environment.resolve_device("auto", useful=True) == "cuda"


def test_peak_memory_is_of_this_program_and_grows_with_what_it_has():
    """On Linux ``ru_maxrss`` of a new process begins with that of the one that started it."""
    here = np.ones(30_000_000)
    code = (
        "from codecbench.environment import peak_bytes; import numpy as np; before = peak_bytes(); np.ones(8_000_000); "
        "print(before, peak_bytes())"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    before, after = map(int, found)
    assert before < here.nbytes
    assert after - before > 48_000_000
