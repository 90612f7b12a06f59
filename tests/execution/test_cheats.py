"""Nothing reaches a decoder but through the bytes: codecs that try another way fail, with a reason."""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest
from measuring import measure
from plugins import use_folder, write_codec

from codecbench.execution import workers
from codecbench.execution.messages import pack, unpack
from codecbench.execution.sandbox import Sandbox, SandboxError
from codecbench.store.folder import RunFolder

CHEAT = Path(__file__).parents[1] / "cheats" / "cheat.py"
WRITES = "the codec writes to {folder}"
REASONS = {
    "honest": "",
    "temporary": "where another process has what is its own",
    "absolute": WRITES,
    "beside": WRITES,
    "caught": WRITES,  # also where the codec lives without
    "memory": WRITES.format(folder="/dev/shm/cheat-"),
    "block": WRITES.format(folder="/dev/shm/cheat-"),
    "socket": "the codec uses the socket",
    "weights": "the source or the weights of weights changed while the run went on",
    "module": "(decoding image ",
    "batch": "(decoding image ",
    "pickle": "Evil is no plain data",
}
"""What a task fails with, by the way of the cheat."""
TIDY = "import tempfile\n        with tempfile.NamedTemporaryFile() as file: file.write(image); open(os.devnull, 'w')"


@pytest.fixture(scope="module")
def failed(tmp_path_factory):
    """Why each way failed, and the folder of the plugins; the last point of the way ``module`` is honest."""
    folder = tmp_path_factory.mktemp("cheats")
    with use_folder(folder / "plugins") as plugins:
        for way in REASONS:
            shutil.copy(CHEAT, plugins / f"{way}.py")
        (plugins / "weights.weights").write_bytes(b"trained")
        write_codec(plugins, "tidy", TIDY, TIDY.replace("image", "stream"))
        specs = [f"{way}:way={way},honest={'true/false' if way == 'module' else 'false'}" for way in REASONS]
        run = measure(",".join([*specs, "tidy"]), folder / "run", workers=2)
    found = {(record.codec, "honest=true" in record.settings): record for record in RunFolder(run.path).tasks()}
    return found, plugins


@pytest.mark.parametrize("way", REASONS)
def test_a_codec_that_cheats_fails_and_the_reason_says_why(failed, way):
    records, folder = failed
    place = folder.parent if way == "absolute" else folder
    reason = records[way, False].failed
    assert REASONS[way].format(folder=f"{place}/cheat-") in reason
    assert bool(reason) == (way != "honest")


def test_what_is_no_cheat_is_measured(failed):
    records, _ = failed
    assert records["module", True].failed == ""
    assert records["tidy", False].failed == "", "files in its own temporary folder, and nothing"


@pytest.mark.parametrize("forks", [True, False])
def test_what_runs_apart_leaves_nothing_behind(forks):
    with Sandbox("trying", 1) as sandbox:
        assert sandbox.call(remember, "first") == ["first"]
        sandbox.forks = forks
        for word in ("second", "third"):
            with sandbox.apart():
                assert sandbox.call(remember, word) == ["first", word]
                assert sandbox.call(remember, "more") == ["first", word, "more"]
        with pytest.raises(SandboxError, match="died with exit code 7"), sandbox.apart():
            sandbox.call(os._exit, 7)


REMEMBERED = []


def remember(word: str) -> list[str]:
    REMEMBERED.append(word)
    return REMEMBERED


def test_a_temporary_folder_goes_with_its_process_or_with_the_next_one_where_its_owner_was_killed():
    lines = (
        "import os; from codecbench.execution.sandbox import Sandbox; sandbox = Sandbox('left', 1)",
        "print(sandbox._folder.path, flush=True); os.kill(os.getpid(), 9)",
    )
    killed = subprocess.run([sys.executable, "-c", "\n".join(lines)], stdout=subprocess.PIPE, text=True)
    left = Path(killed.stdout.strip())
    assert left.is_dir()
    assert left.parent == Path(tempfile.gettempdir())
    with Sandbox("trying", 1) as sandbox:
        own = Path(sandbox.call(tempfile.gettempdir))
        assert own.is_dir()
        assert not left.exists()
        with sandbox.apart():
            assert Path(sandbox.call(tempfile.gettempdir)).parent == own
        assert sandbox.call(os.listdir, own) == [], "asked of it after its fork has ended"
    assert not own.exists()


def test_messages_are_plain_data():
    sent = {"a": [1.5, None, "x", b"\x00\x01", b""], "b": np.arange(6, dtype=np.int16).reshape(2, 3)[:, ::-1]}
    got = unpack(*pack(sent))
    assert got["a"] == sent["a"]
    assert np.array_equal(got["b"], sent["b"])
    assert got["b"].dtype == np.int16
    for no_numbers in ('{"array": ["O", [1]]}', '{"array": ["V8", [1]]}', '{"array": ["f8", [2]]}'):
        with pytest.raises((ValueError, TypeError)):
            unpack(no_numbers.encode(), [bytearray(), bytearray(8)])


def test_the_sample_is_decoded_in_another_order_and_never_the_first_one_first():
    for number in range(200):
        task = workers.Task(
            "digits", workers.CodecSpec("none"), tuple(range(number % 130 + 2)), (1, 1, 1), (), str(number)
        )
        chosen = workers.sample(task)
        assert 1 <= len(chosen) <= 4
        assert chosen[0] > 0
        assert len(set(chosen)) == len(chosen)
