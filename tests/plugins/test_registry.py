"""Discovery of plugins: folders, the environment variable, entry points, and what can go wrong with each."""

import importlib
import os
import pickle
import subprocess
import sys

import pytest
from plugins import HEAD, install, temporary

from codecbench.errors import PluginError, UsageError
from codecbench.plan.tasks import codec_fingerprint
from codecbench.plugins.registry import CODECS, DATASETS

CODEC = HEAD.format(lossless=False, encode="pass", decode="pass")


def write(folder, name, source):
    file = folder / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(source, encoding="utf-8")
    importlib.invalidate_caches()
    return file


@pytest.fixture(autouse=True)
def registries_as_before():
    """The registries belong to the process: puts back all that a test changes about them."""
    before = set(sys.modules)
    with temporary(CODECS), temporary(DATASETS):
        yield
    for name in set(sys.modules) - before:
        if name.startswith("fake_"):
            del sys.modules[name]


# --- The three ways to a plugin -----------------------------------------------------------------------------


def check_codec_class(cls, name, module):
    assert (cls.name, cls.__module__, str(cls(level=3).spec)) == (name, module, f"{name}:level=3")
    assert pickle.loads(pickle.dumps(cls(level=3))) == cls(level=3)
    assert CODECS.get(name) is cls


def test_a_folder(tmp_path):
    before = CODECS.names()
    for name in ("zeta.py", "alpha.py", "_helper.py", "__init__.py", "notes.txt", "weights/inner.py"):
        write(tmp_path, name, CODEC)
    CODECS.add_folder(tmp_path)
    assert CODECS.names() == sorted([*before, "alpha", "zeta"])
    assert CODECS.origins()["zeta"].file == (tmp_path / "zeta.py").resolve()
    check_codec_class(CODECS.get("zeta"), "zeta", "codecbench.codecs.zeta")


def test_folders_are_handed_on_by_the_environment_variable_and_the_current_one_is_not(tmp_path):
    for file in ("one/first.py", "two/second.py", "here/near.py", "here/codecs/near.py"):
        write(tmp_path, file, CODEC)
    for folder in ("one", "two", "one"):
        CODECS.add_folder(tmp_path / folder)
    folders = [str((tmp_path / folder).resolve()) for folder in ("one", "two")]
    assert os.environ["CODECBENCH_CODEC_PATH"].split(os.pathsep) == folders
    code = """if True:
        from codecbench.plugins.registry import CODECS
        print(CODECS.get("first").name, CODECS.get("second").name, "near" in CODECS.names())
    """
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path / "here", check=False)
    assert done.stdout == "first second False\n", done.stderr


def test_entry_points(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(tmp_path))
    write(tmp_path, "fake_package.py", CODEC + "\nnumber = 5\nclass Thawed(Mine): ...\n")
    wrong = {
        "fake_package:missing": "has no attribute 'missing'",
        "fake_absent:Mine": "No module named 'fake_absent'",
        "fake_package:number": "entry point fake_package:number is no Codec class",
        "fake_package:Thawed": "frozen",
    }
    points = {"packed": "fake_package:Mine"} | {f"wrong{index}": target for index, target in enumerate(wrong)}
    install(tmp_path, "fake-package", {"codecbench.codecs": points})
    assert points.keys() <= set(CODECS.names())
    assert "fake_package" not in sys.modules
    check_codec_class(CODECS.get("packed"), "packed", "fake_package")
    assert len(codec_fingerprint(CODECS.get("packed"), "cpu")) == 24
    for index, said in enumerate(wrong.values()):
        with pytest.raises(PluginError, match=said):
            CODECS.get(f"wrong{index}")


# --- Names --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("first", ["folder", "entry point"])
def test_two_plugins_of_one_name_are_an_error_that_names_both(tmp_path, monkeypatch, first):
    second = write(tmp_path / "b", "twin.py", CODEC)
    if first == "folder":
        origin = str(write(tmp_path / "a", "twin.py", CODEC))
        CODECS.add_folder(tmp_path / "a")
    else:
        monkeypatch.syspath_prepend(str(tmp_path))
        origin = "fake_package:Mine"
        install(tmp_path, "fake-package", {"codecbench.codecs": {"twin": origin}})
    CODECS.add_folder(tmp_path / "b")
    for look in (CODECS.names, lambda: CODECS.get("twin")):
        with pytest.raises(PluginError, match="two codecs are called 'twin'") as caught:
            look()
        assert origin in str(caught.value)
        assert str(second) in str(caught.value)


def test_a_folder_that_is_not_there(tmp_path):
    with pytest.raises(UsageError, match="no folder of codecs"):
        CODECS.add_folder(tmp_path / "absent")
    assert "CODECBENCH_CODEC_PATH" not in os.environ
    gone = tmp_path / "gone"
    gone.mkdir()
    CODECS.add_folder(gone)
    gone.rmdir()
    with pytest.raises(UsageError) as caught:
        CODECS.names()
    assert str(caught.value) == f"$CODECBENCH_CODEC_PATH names {gone.resolve()}, which is no folder"


# --- Plugins that are broken --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("import no_such_library", "No module named 'no_such_library'"),
        ("def broken(:", "SyntaxError"),
        ("raise SystemExit(3)", "SystemExit"),
        (CODEC + "raise ValueError('two\\nlines')", "ValueError: two lines"),
        ("", "registers 0 codecs"),
        (CODEC + CODEC.replace("Mine", "Other"), "registers 2 codecs"),
        (CODEC.replace("frozen=True", "frozen=False"), "no frozen dataclass"),
        (CODEC.replace("@dataclass(frozen=True)", ""), "no frozen dataclass"),
        (CODEC.replace("cb.PerImageCodec", "object"), "does not derive from codecbench.Codec"),
        (CODEC.replace("def decode", "def d").replace("def encode", "def e"), "Mine lacks decode_image, encode_image"),
    ],
    ids=lambda text: text.strip()[:20],
)
def test_a_broken_plugin_gives_its_reason_and_the_others_work(tmp_path, source, said):
    file = write(tmp_path, "broken.py", source)
    write(tmp_path, "whole.py", CODEC)
    CODECS.add_folder(tmp_path)
    assert {"broken", "whole"} <= set(CODECS.names())
    assert not {"codecbench.codecs.broken", "codecbench.codecs.whole"} & sys.modules.keys(), "listing imports nothing"
    for _ in range(2):  # and again, when the module is already there
        with pytest.raises(PluginError, match=said) as caught:
            CODECS.get("broken")
        assert str(file.resolve()) in str(caught.value)
        assert "\n" not in str(caught.value)
    assert CODECS.get("whole").name == "whole"
    write(tmp_path, "broken.py", CODEC)  # mended, it works without a restart
    assert CODECS.get("broken")(level=2).level == 2


def test_ctrl_c_during_an_import_stays_ctrl_c(tmp_path):
    write(tmp_path, "slow.py", "raise KeyboardInterrupt")
    CODECS.add_folder(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        CODECS.get("slow")


# --- Fingerprints -------------------------------------------------------------------------------------------


def test_the_fingerprint_covers_source_weights_versions_and_device(tmp_path, monkeypatch):
    file = write(tmp_path, "mine.py", CODEC)
    CODECS.add_folder(tmp_path)
    cls, weights = CODECS.get("mine"), tmp_path / "weights.bin"
    monkeypatch.setattr(cls, "weight_files", classmethod(lambda cls: (str(weights),)))
    seen = [codec_fingerprint(cls, "cpu")]
    for content in (b"1", b"2"):
        weights.write_bytes(content)
        seen.append(codec_fingerprint(cls, "cpu"))
    file.write_text(CODEC.replace("image.tobytes()", "bytes(image.data)"))
    seen.append(codec_fingerprint(cls, "cpu"))
    monkeypatch.setattr(cls, "versions", classmethod(lambda cls: {"library": "2"}))
    seen.append(codec_fingerprint(cls, "cpu"))
    assert len(set(seen)) == len(seen)
    assert codec_fingerprint(cls, "some GPU") == seen[-1]
    monkeypatch.setattr(cls, "uses_device", True)
    assert codec_fingerprint(cls, "some GPU") not in seen
