"""Plugins that misbehave: each gets the right row, and none takes the command with it."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest
from unsound import write_unsound

from codecbench.execution import workers
from codecbench.plugins.registry import CODECS
from codecbench.testing import CHECKS, SHAPES, check_plugin, run_check
from codecbench.testing.suite import Subject

NAMES = [check.name for check in CHECKS]
BOUNDED = pytest.mark.skipif(sys.platform != "linux", reason="memory is bounded on Linux only")


@pytest.fixture
def failures(codec_folder):
    """Checks the plugin ``mine`` with a misdeed in another process; the failed checks, with their reasons."""

    def check(time_limit_s=60.0, spec="mine:level=0", **misdeed):
        write_unsound(codec_folder, **misdeed)
        report = check_plugin(spec, damages=300, time_limit_s=time_limit_s)
        found = {result.check: result.reason for result in report.results if result.result == "failed"}
        assert report.failed == bool(found)
        return report, found

    return check


def ends(codec, *names):
    """How checks of a codec, of all or some names, end in this process, by name."""
    subject = Subject(codec, SHAPES, 0, 300)
    return {one.name: run_check(one, subject) for one in CHECKS if one.name in (names or NAMES)}


def test_the_sound_codec_passes_all_checks_at_every_point(failures):
    report, found = failures(spec="mine")
    assert found == {}
    assert report.points == ["mine:level=0", "mine:level=1", "mine:level=2"]
    assert [row.check for row in report.rows()] == NAMES
    once = [check.name for check in CHECKS if check.once]
    assert len(report.results) == 3 * len(NAMES) - 2 * len(once)
    assert report.summary() == "12 passed, 5 not applicable"


BATCH = """
def encode(self, images):
    SEEN["batch"] = len(images)
    return super().encode(images)
"""
SWEEP = """
@classmethod
def encode_sweep(cls, images, points, device="cpu"):
    for point in points:
        streams = cls(**point).encode(images)
        yield streams if point["level"] < 2 else streams[::-1]
"""
FORGETFUL = """
@classmethod
def encode_sweep(cls, images, points, device="cpu"):
    yield cls(**points[0]).encode(images)
"""
REMEMBER = "key = zlib.crc32(image.tobytes() + bytes(image.shape)).to_bytes(4, 'big')\nSEEN[key] = image\nreturn key"
RECALL = "if stream not in SEEN:\n    raise cb.BitstreamError('never seen')\nreturn SEEN[stream].copy()"
GREEDY = "numbers = np.zeros(max(0, int(np.prod([*stream[:3]], dtype=int)) - 20_000) << 17, np.uint8)"
GREEDY_IN_SECRET = f"""
try:
    {GREEDY}
except MemoryError as error:
    raise cb.BitstreamError('large') from error
"""
TURNS = """
def encode(self, images):
    return [stream + bytes([0, 9_000, 0][self.level]) for stream in super().encode(images)]

def decode(self, streams):
    return super().decode([stream[: 4 + stream[0] * stream[1] * stream[2]] for stream in streams])
"""


@pytest.mark.parametrize(
    ("misdeed", "check", "words"),
    [
        ({"encode": "tag = SEEN['n'] = (SEEN.get('n', 0) + 1) % 256"},
         "determinism", "28×28×1: a second encode gives other bytes"),
        ({"encode": "tag = SEEN['batch']", "members": BATCH}, "batches", "the bytes depend on the batch"),
        ({"encode": "tag = os.getpid() % 251"}, "fresh process",
         "28×28×1: a fresh process encodes the same images to other bytes"),
        ({"restore": "image = image.astype(np.float32)"}, "types", "28×28×1: decode returns float32, not uint8"),
        ({"restore": "image = image[:, :, 0]"}, "types", "decode returns the shape (5, 28, 28), not (5, 28, 28, 1)"),
        ({"restore": "image = image // 2 * 2"}, "lossless", "claims to be lossless, but"),
        ({"encode": "print('hello')"}, "silence", "writes to the standard output: 'hello"),
        ({"encode": "os.write(1, b'hello')"}, "silence", "writes to the standard output: 'hello"),
        ({"top": "print('hello')"}, "fresh process", "a fresh process writes to the standard output: 'hello"),
        ({"encode": "image += 1"}, "types", "28×28×1: encode: ValueError: output array is read-only"),
        ({"decode": "int(stream[3])"}, "cut streams", "IndexError: index out of range, not BitstreamError"),
        ({"decode": "stream = stream[:4].ljust(4, b'1') + stream[4:].ljust(28 * 28, b'1')"}, "cut streams",
         "of 788 bytes decodes to an image; if that must be so, say prefix_decodable = True"),
        pytest.param({"decode": GREEDY}, "damaged streams", "asks for more than 2 GiB of memory", marks=BOUNDED),
        pytest.param({"decode": GREEDY_IN_SECRET}, "damaged streams", "asks for more than 2 GiB", marks=BOUNDED),
        pytest.param({"encode": "hoard = [np.zeros(1 << 28, np.uint8) for _ in range(1_000_000)]"}, "types",
                     "28×28×1: encode: asks for more than 4 GiB of memory: ", marks=BOUNDED),
        ({"members": SWEEP}, "encode_sweep", "encode_sweep at level=2 gives other bytes than encode"),
        ({"members": FORGETFUL}, "encode_sweep", "encode_sweep yields 1 times for 4 points"),
        ({"members": "def container_bytes(self, stream):\n    return len(stream) + 1"}, "containers",
         "container_bytes must give a whole number from 0 to the 788 of the stream, or None, not 789"),
        ({"members": "def check_shape(self, shape):\n    pass"}, "refusals", "check_shape takes images of 8×8×2"),
        ({"members": TURNS}, "rate", "bytes at level=1 to"),
    ],
    ids=lambda value: value if isinstance(value, str) and value in NAMES else "",
)  # fmt: skip
def test_misdeeds(mine, misdeed, check, words):
    result = ends(mine(**misdeed), check)[check]
    assert result.result == ("warning" if check == "rate" else "failed")
    assert words in result.reason
    assert ("damage " in result.reason) == (check == "damaged streams"), "which one"


def test_a_decoder_that_remembers_images_is_found_by_the_fresh_process_alone(mine):
    found = ends(mine(encode=REMEMBER, decode=RECALL))
    assert [name for name, result in found.items() if result.result == "failed"] == ["fresh process"]
    assert "BitstreamError: never seen" in found["fresh process"].reason


CHEATS = {
    "honest": "",
    "temporary": "the codec reads /",
    "absolute": "the codec writes to /",
    "beside": "the codec writes to /",
    "memory": "the codec writes to /dev/shm/cheat-",
    "block": "cheat-",
    "weights": "the weights of cheat changed",
    "socket": "the codec uses the socket",
    "module": "by itself",
    "batch": "by itself",
    "pickle": "Evil is no plain data",
    "caught": "the codec writes to /",
    "remembers": "remembers what it saw: encoding new images takes",
}
"""The ways of ``cheats/cheat.py``, and what is said of them."""
FEW = ("honest", "absolute", "block", "weights", "batch", "remembers")


@pytest.mark.parametrize("way", [way if way in FEW else pytest.param(way, marks=pytest.mark.slow) for way in CHEATS])
def test_each_cheat_has_a_detector(codec_folder, way):
    shutil.copy(Path(__file__).parents[1] / "cheats" / "cheat.py", codec_folder)
    (codec_folder / "cheat.weights").write_bytes(b"weights")
    check = "memory" if way == "remembers" else "fresh process"
    result = ends(CODECS.get("cheat")(way=way), check)[check]
    workers.close()
    assert result.result == ("failed" if CHEATS[way] else "passed")
    assert CHEATS[way] in result.reason


@BOUNDED
def test_a_process_that_holds_too_much_memory_is_ended(codec_folder):
    write_unsound(codec_folder, top="hoard = np.ones(1 << 29, np.uint8)\ntime.sleep(100)")
    (row,) = check_plugin("mine", memory_limit=1 << 29).rows()
    assert (row.check, row.result) == ("import", "failed")
    assert "MiB, more than the limit of 512 MiB (the kit's own), and was killed; last step: importing" in row.reason


def test_a_codec_that_hangs(failures):
    report, found = failures(time_limit_s=3, encode="time.sleep(1_000)")
    words = "the codec's process gave no answer for 3 s (--time-limit) and was killed; last step: 28×28×1: encode"
    assert found["types"] == words
    ends = [result.result for result in report.results]
    assert ends == ["passed"] * 2 + ["failed"] * 2 + ["skipped"] * (len(NAMES) - 4)
    assert report.results[-1].reason == "not tried, since the codec's process had to be given up 2 times"


DIED = "the codec's process died with exit code"


@pytest.mark.parametrize(
    ("misdeed", "check", "words"),
    [
        ({"encode": "sys.stderr.write('out of luck\\n'); sys.stderr.flush(); os._exit(3)"}, "types",
         f"{DIED} 3; last step: 28×28×1: encode; last words: out of luck"),
        ({"restore": "os._exit(0)"}, "types", f"{DIED} 0; last step: 28×28×1: decode"),
        ({"decode": "stream[3:4] in (b'', b'\\0') or os.kill(os.getpid(), 11)"}, "damaged streams",
         "the codec's process died of SIGSEGV; last step: 28×28×1: damage "),
        ({"top": "os._exit(5)"}, "import", f"{DIED} 5; last step: importing the plugin"),
        ({"top": "raise SystemExit(0)"}, "import", "cannot be imported"),
        ({"top": "import nothing_of_that_name"}, "import",
         "ModuleNotFoundError: No module named 'nothing_of_that_name'"),
    ],
    ids=["in need", "as if all were well", "on damage alone", "while imported", "SystemExit", "no such module"],
)  # fmt: skip
def test_a_codec_that_ends_its_process_or_cannot_be_imported(failures, misdeed, check, words):
    report, found = failures(**misdeed)
    assert words in found[check]
    assert ("last words" in found[check]) == ("stderr" in misdeed.get("encode", ""))
    assert check == "types" or set(found) == {check}
    assert check != "import" or len(report.rows()) == 1
