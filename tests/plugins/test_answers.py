"""What plugins say and answer that they must not: one line that names the plugin and what is allowed."""

from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from plugins import write_codec

import codecbench as cb
from codecbench.errors import ContractError, PluginError
from codecbench.plan.planner import choose_codecs, make_plan
from codecbench.plugins import answers
from codecbench.plugins.dataset import Dataset, DatasetStatus, ImageSet
from codecbench.plugins.metric import Metric
from codecbench.plugins.registry import CODECS, DATASETS

SAID = {
    "trained_on = ['mnist']": "trained_on is ['mnist']; allowed: tuple[str, ...]",
    "batched = 'yes'": "batched is 'yes'; allowed: bool",
    "image_shape = (8, 8)": "image_shape is (8, 8); allowed: tuple[int, int, int] | None",
    "image_shape = (8, 8, True)": "image_shape is (8, 8, True)",
    "exact_bytes = None": "exact_bytes is None; allowed: bool",
    "more: int = cb.setting(1, sweep=5)": "the sweep of more is 5; allowed: a tuple of values",
    "more: int = cb.setting(1, sweep=(1, 'two'))": "more=two is not allowed; allowed: a whole number",
    "versions = classmethod(lambda cls: {'lib': 3})": "codec 'bad': versions() gives {'lib': 3}; allowed: dict[str,",
    "versions = classmethod(lambda cls: None)": "codec 'bad': versions() gives None",
    "versions = classmethod(lambda cls: 1 / 0)": "codec 'bad': versions(): ZeroDivisionError",
    "weight_files = classmethod(lambda cls: ('a', 5))": "codec 'bad': weight_files() gives ('a', 5); allowed: tuple",
    "default_points = classmethod(lambda cls, shape: 7)": "codec 'bad': its list of points gives 7; allowed: list[dict",
    "default_points = classmethod(lambda cls, shape: [{'level': 1000}])": "bad: level=1000 is not allowed; allowed:",
}


@pytest.mark.parametrize("lines", SAID)
def test_a_codec_that_says_something_else_than_it_must_costs_no_other(lines, codec_folder, monkeypatch, tmp_path):
    write_codec(codec_folder, "bad", extra=f"    {lines}\n")
    monkeypatch.setattr(CODECS, "names", lambda: ["bad", "none"])
    digits = [DATASETS.get("digits")()]

    def plan(specs):
        choices, notes = choose_codecs(specs)
        return make_plan(choices, digits, tmp_path, count=2, seed=0, device_name="cpu", notes=notes)

    made = plan("all")
    assert {task.codec.name for task in made.tasks} == {"none"}
    (note,) = [note for note in made.notes if note.startswith("left out: ")]
    assert SAID[lines] in note
    assert "bad" in note
    assert "\n" not in note
    with pytest.raises(cb.CodecbenchError) as error:
        plan("bad,none")
    assert str(error.value) == note.removeprefix("left out: ")


@pytest.mark.parametrize("count", [-(10**9), -1, 4, 10**30, 2.0, True, "2", float("nan")])
def test_container_bytes_are_some_of_the_stream(count):
    codec = SimpleNamespace(spec="bad", container_bytes=lambda stream: count)
    with pytest.raises(ContractError, match="bad: container_bytes must give a whole number from 0 to the 3 of"):
        answers.container_bytes(codec, [b"abc"])


@pytest.mark.parametrize(
    "bits",
    [[-1e300, 1], [np.nan, 1], [np.inf, 1], [1e300, 1], [1.0], [[1.0, 2.0]], ["a", "b"], [True, False], "ab", 5.0],
)
def test_estimates_are_numbers_that_can_be(bits):
    codec = SimpleNamespace(spec="bad", estimate_bits=lambda images: np.array(bits) if bits != "ab" else bits)
    with pytest.raises(ContractError, match="bad: estimate_bits must give an array of one number per image, from 0"):
        answers.estimated_bits(codec, np.zeros((2, 1, 1, 1), np.uint8))


def test_answers_that_are_right():
    codec = SimpleNamespace(container_bytes=lambda stream: np.int32(len(stream)) if stream else None)
    np.testing.assert_equal(answers.container_bytes(codec, [b"abc", b""]), [3.0, np.nan])
    codec = SimpleNamespace(estimate_bits=lambda images: np.array([0, 7], np.int16))
    assert answers.estimated_bits(codec, [0, 1]).tolist() == [0.0, 7.0]


@dataclass(frozen=True)
class Odd(Dataset):
    """Two images, and whatever a test has them give."""

    name = "odd"
    given = ((8, 8, 1), np.zeros((2, 8, 8, 1), np.uint8))

    def status(self, data_dir):
        return DatasetStatus(True)

    def load(self, data_dir):
        shape, pixels = self.given

        class Images(ImageSet):
            def __len__(self):
                return 2

            def shape(self, index):
                return shape

            def read(self, indices):
                return pixels() if callable(pixels) else pixels

        return Images()


PIXELS = Odd.given[1]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (([8, 8, 1], PIXELS), "image 0 has the shape [8, 8, 1]; allowed: height, width and channels"),
        (((8.0, 8, 1), PIXELS), "image 0 has the shape (8.0, 8, 1)"),
        (((0, 8, 1), PIXELS), "image 0 has the shape (0, 8, 1)"),
        (((8, 8, 1), PIXELS.astype(float)), "reading gives float64 2×8×8×1, not uint8 2×8×8×1"),
        (((8, 8, 1), PIXELS[:1]), "reading gives uint8 1×8×8×1, not"),
        (((8, 8, 1), None), "reading gives None, not"),
        (((8, 8, 1), lambda: {}[0]), "dataset odd: KeyError: 0"),
    ],
)
def test_a_dataset_that_gives_something_else_than_it_must(given, words, monkeypatch):
    monkeypatch.setattr(Odd, "given", given)
    choices, _ = choose_codecs("none")
    with pytest.raises(cb.CodecbenchError) as error:
        make_plan(choices, [Odd()], Path(), count=None, seed=0, device_name="cpu")
    assert words in str(error.value)


@pytest.mark.parametrize(("field", "value"), [("unit", 5), ("packages", "numpy"), ("default", "no"), ("missing", "x")])
def test_a_metric_whose_description_is_of_other_types(field, value):
    metric = Metric(lambda *_: None, "Title", "", "higher", "about", name="odd")
    metric.check()
    object.__setattr__(metric, field, value)
    with pytest.raises(PluginError, match=f"{field} is .*; allowed: "):
        metric.check()
