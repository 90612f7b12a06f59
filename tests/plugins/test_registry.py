"""Discovery of plugins: folders, the environment variable, entry points, and what can go wrong with each."""

import importlib
import os
import pickle
import subprocess
import sys
import textwrap

import pytest
from plugins import install

from codecbench.errors import PluginError, UsageError
from codecbench.plan.tasks import codec_fingerprint
from codecbench.plugins.registry import CODECS, DATASETS

CODEC = """
    import codecbench as cb
    from dataclasses import dataclass

    @cb.register_codec
    @dataclass(frozen=True)
    class Mine(cb.Codec):
        level: int = cb.setting(1, low=0, high=9)

        def encode(self, images):
            return [image.tobytes() for image in images]

        def decode(self, bitstreams):
            raise NotImplementedError
"""
DATASET = """
    import codecbench as cb
    from dataclasses import dataclass

    @cb.register_dataset
    @dataclass(frozen=True)
    class Mine(cb.Dataset):
        def status(self, data_dir):
            return cb.DatasetStatus(True)

        def load(self, data_dir):
            raise NotImplementedError
"""


def write(folder, name, source):
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / name
    file.write_text(textwrap.dedent(source), encoding="utf-8")
    importlib.invalidate_caches()
    return file


@pytest.fixture(autouse=True)
def registries_as_before():
    """The registries belong to the process: puts back all that a test changes about them."""
    before = set(sys.modules)
    with CODECS.temporary(), DATASETS.temporary():
        yield
    for name in set(sys.modules) - before:
        if name.startswith("fake_"):
            del sys.modules[name]


def in_fresh_process(code, folder):
    command = [sys.executable, "-c", textwrap.dedent(code)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=folder, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


# --- The three ways to a plugin -----------------------------------------------------------------------------


def test_a_folder(tmp_path):
    file = write(tmp_path, "mine.py", CODEC)
    write(tmp_path, "own.py", DATASET)
    CODECS.add_folder(tmp_path)
    DATASETS.add_folder(tmp_path)
    assert "mine" in CODECS.names()
    assert CODECS.origins()["mine"].file == file.resolve()
    check_codec_class(CODECS.get("mine"), "mine", "codecbench.codecs.mine")
    assert DATASETS.get("own").name == "own"


def check_codec_class(cls, name, module):
    assert (cls.name, cls.__module__, str(cls(level=3).spec)) == (name, module, f"{name}:level=3")
    assert pickle.loads(pickle.dumps(cls(level=3))) == cls(level=3)
    assert CODECS.get(name) is cls


def test_folders_are_handed_on_by_environment_variables_and_the_current_one_is_not(tmp_path):
    for folder, name, source in (("one", "first", CODEC), ("two", "second", CODEC), ("sets", "third", DATASET)):
        write(tmp_path / folder, f"{name}.py", source)
    for folder in ("here", "here/codecs"):
        write(tmp_path / folder, "near.py", CODEC)
    for folder in ("one", "two", "one"):
        CODECS.add_folder(tmp_path / folder)
    DATASETS.add_folder(tmp_path / "sets")
    folders = [str((tmp_path / folder).resolve()) for folder in ("one", "two")]
    assert os.environ["CODECBENCH_CODEC_PATH"].split(os.pathsep) == folders
    code = """
        from codecbench.plugins.registry import CODECS, DATASETS
        print(CODECS.get("first").name, CODECS.get("second").name, DATASETS.get("third").name, "near" in CODECS.names())
    """
    assert in_fresh_process(code, tmp_path / "here") == "first second third False"


def test_an_entry_point(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(tmp_path))
    write(tmp_path, "fake_package.py", CODEC)
    install(tmp_path, "fake-package", {"codecbench.codecs": {"packed": "fake_package:Mine"}})
    assert "packed" in CODECS.names()
    assert "fake_package" not in sys.modules
    check_codec_class(CODECS.get("packed"), "packed", "fake_package")
    assert len(codec_fingerprint(CODECS.get("packed"), "cpu")) == 24


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ("fake_package:missing", "has no attribute 'missing'"),
        ("fake_absent:Mine", "No module named 'fake_absent'"),
        ("fake_package:number", "number|is no Codec class"),
        ("fake_package:Thawed", "frozen"),
    ],
)
def test_an_entry_point_that_leads_nowhere(tmp_path, monkeypatch, target, said):
    monkeypatch.syspath_prepend(str(tmp_path))
    write(
        tmp_path,
        "fake_package.py",
        """
        import codecbench as cb
        number = 5
        class Thawed(cb.Codec):
            def encode(self, images): ...
            def decode(self, bitstreams): ...
        """,
    )
    install(tmp_path, "fake-package", {"codecbench.codecs": {"packed": target}})
    with pytest.raises(PluginError, match=said):
        CODECS.get("packed")


# --- Names --------------------------------------------------------------------------------------------------


def test_names_are_sorted_and_helpers_skipped(tmp_path):
    for name in ("zeta.py", "alpha.py", "_helper.py", "__init__.py", "notes.txt"):
        write(tmp_path, name, CODEC)
    write(tmp_path / "weights", "inner.py", CODEC)
    before = CODECS.names()
    CODECS.add_folder(tmp_path)
    names = CODECS.names()
    assert names == sorted(names)
    assert set(names) - set(before) == {"zeta", "alpha"}


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


def test_a_folder_that_is_not_there(tmp_path, monkeypatch):
    with pytest.raises(UsageError, match="no folder of codecs"):
        CODECS.add_folder(tmp_path / "absent")
    assert "CODECBENCH_CODEC_PATH" not in os.environ
    monkeypatch.setenv("CODECBENCH_CODEC_PATH", str(tmp_path / "absent"))
    code = """
        from codecbench.errors import UsageError
        from codecbench.plugins.registry import CODECS
        try:
            CODECS.names()
        except UsageError as error:
            print(error)
    """
    said = in_fresh_process(code, tmp_path)
    assert said == f"$CODECBENCH_CODEC_PATH names {(tmp_path / 'absent').resolve()}, which is no folder"


# --- Plugins that are broken --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("import no_such_library", "No module named 'no_such_library'"),
        ("def broken(:", "SyntaxError"),
        ("raise SystemExit(3)", "SystemExit"),
        ("raise ValueError('two\\nlines')", "ValueError: two lines"),
        ("", "registers 0 codecs"),
        (CODEC + CODEC.replace("Mine", "Other"), "registers 2 codecs"),
        (CODEC.replace("frozen=True", "frozen=False"), "no frozen dataclass"),
        (CODEC.replace("@dataclass(frozen=True)", ""), "no frozen dataclass"),
        (CODEC.replace("cb.Codec", "object"), "does not derive from codecbench.Codec"),
        (CODEC.replace("def decode", "def decipher"), "Mine lacks decode"),
        (CODEC.replace("def decode", "def d").replace("def encode", "def e"), "Mine lacks decode, encode"),
        (DATASET, "registers 0 codecs"),
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


def test_ctrl_c_during_an_import_stays_ctrl_c(tmp_path):
    write(tmp_path, "slow.py", "raise KeyboardInterrupt")
    CODECS.add_folder(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        CODECS.get("slow")


def test_a_plugin_that_was_mended_works_without_a_restart(tmp_path):
    write(tmp_path, "mine.py", textwrap.dedent(CODEC) + "\nraise ValueError('at its end')")
    CODECS.add_folder(tmp_path)
    with pytest.raises(PluginError, match="at its end"):
        CODECS.get("mine")
    write(tmp_path, "mine.py", CODEC)
    assert CODECS.get("mine")(level=2).level == 2


# --- Fingerprints -------------------------------------------------------------------------------------------


def test_the_fingerprint_covers_source_helpers_weights_and_device(tmp_path, monkeypatch):
    source = "from ._helper import LEVEL\n" + textwrap.dedent(CODEC).replace("setting(1,", "setting(LEVEL,")
    file, helper, other = (write(tmp_path, name, source) for name in ("mine.py", "_helper.py", "other.py"))
    helper.write_text("LEVEL = 1")
    CODECS.add_folder(tmp_path)
    cls = CODECS.get("mine")
    weights = tmp_path / "weights.bin"
    monkeypatch.setattr(cls, "weight_files", classmethod(lambda cls: (str(weights),)))
    seen = [codec_fingerprint(cls, "cpu")]

    def changed():
        seen.append(codec_fingerprint(cls, "cpu"))
        return len(set(seen)) == len(seen)

    assert len(seen[0]) == 24
    assert codec_fingerprint(cls, "cpu") == seen[0]
    for content in (b"1", b"2"):
        weights.write_bytes(content)
        assert changed()
    helper.write_text("LEVEL = 2")
    assert changed()
    file.write_text(source.replace("image.tobytes()", "bytes(image)"))
    assert changed()
    monkeypatch.setattr(cls, "versions", classmethod(lambda cls: {"library": "2"}))
    assert changed()

    other.write_text("# another plugin's source")
    file.write_text(file.read_text() + "# a comment\n")
    assert codec_fingerprint(cls, "cpu") == seen[-1]
    assert codec_fingerprint(cls, "some GPU") == seen[-1]
    monkeypatch.setattr(cls, "uses_device", True)
    assert codec_fingerprint(cls, "some GPU") != seen[-1]


# --- The built-in plugins -----------------------------------------------------------------------------------


def test_every_built_in_plugin_is_named_after_its_file():
    for plugins in (CODECS, DATASETS):
        for name, origin in plugins.origins().items():
            assert origin.file is not None
            cls = plugins.get(name)
            assert cls.name == name == origin.file.stem
            assert issubclass(cls, plugins.base)
