"""The spec grammar: what it means, what it refuses, and that it writes what it reads."""

import dataclasses
import time
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codecbench.errors import CodecbenchError, SettingError, SpecError, UnknownNameError
from codecbench.plan.specs import MAX_POINTS, expand, split_specs
from codecbench.plugins.settings import HasSettings, format_settings, setting, settings_of


@dataclass(frozen=True)
class Jpeg(HasSettings):
    quality: int = setting(75, low=1, high=100)
    subsampling: str = setting("4:2:0", choices=("4:4:4", "4:2:2", "4:2:0"))
    optimize: bool = setting(False)
    gamma: float = setting(1.0, low=0.0, high=10.0)
    comment: str = setting("")
    number: int = setting(0)
    real: float = setting(0.0)


@dataclass(frozen=True)
class Folder(HasSettings):
    path: str = setting(".", literal=True, positional=True)
    crop: int = setting(0, low=0)


JPEG, FOLDER = settings_of(Jpeg), settings_of(Folder)


def points(text, settings=JPEG):
    (spec,) = split_specs(text)
    return expand(spec, settings)


def values(text, key, settings=JPEG):
    found = points(text, settings)
    defaults = {name: info.default for name, info in settings.items()}
    assert all(list(point) == list(settings) for point in found)
    assert all({**point, key: defaults[key]} == defaults for point in found)
    return [point[key] for point in found]


# --- Cutting a list into specs ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (" jpeg , png ", ["jpeg", "png"]),
        ("jpeg:quality=75, subsampling=4:4:4, png", ["jpeg:quality=75,subsampling=4:4:4", "png"]),
        ("jpeg,quality=75", ["jpeg:quality=75"]),
        ("jpeg:quality=1..9:2,gamma=1/2,svd:rank=5", ["jpeg:quality=1..9:2,gamma=1/2", "svd:rank=5"]),
        ("mnist,folder:/data/my images,crop=64", ["mnist", "folder:/data/my images,crop=64"]),
        (r"folder:/a\,b,crop=8", [r"folder:/a\,b,crop=8"]),
        ("folder:a=b:c,png", ["folder:a=b:c", "png"]),
        ("jpeg:quality=5,jpeg:quality=6", ["jpeg:quality=5", "jpeg:quality=6"]),
        (["jpeg:quality=5", "png,webp"], ["jpeg:quality=5", "png", "webp"]),
        ([], []),
    ],
)
def test_split(text, expected):
    specs = split_specs(text)
    assert [spec.text for spec in specs] == expected
    assert split_specs(expected) == specs


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "empty spec"),
        ("jpeg,,png", "empty spec"),
        (",jpeg", "empty spec"),
        ("jpeg:", "nothing follows the colon"),
        ("quality=5,jpeg", "no name"),
        (["jpeg", "quality=5"], "no name stands before"),
    ],
)
def test_split_refuses(text, said):
    with pytest.raises(SpecError, match=said):
        split_specs(text)


# --- Values -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "key", "expected"),
    [
        ("jpeg", "quality", [75]),
        ("jpeg:quality=+5", "quality", [5]),
        ("jpeg:quality=13/5", "quality", [13, 5]),
        ("jpeg:quality=10..90:20", "quality", [10, 30, 50, 70, 90]),
        ("jpeg:quality=1..4", "quality", [1, 2, 3, 4]),
        ("jpeg:quality=1..3/50/90..91", "quality", [1, 2, 3, 50, 90, 91]),
        ("jpeg:quality=1..3/2/3..4", "quality", [1, 2, 3, 4]),
        ("jpeg:number=-3..3:3", "number", [-3, 0, 3]),
        (f"jpeg:number={10**40}..{10**40 + 2}", "number", [10**40, 10**40 + 1, 10**40 + 2]),
        ("jpeg:gamma=0.1..0.5:0.1", "gamma", [0.1, 0.2, 0.3, 0.4, 0.5]),
        ("jpeg:gamma=.5", "gamma", [0.5]),
        ("jpeg:gamma=1e-3/1E1", "gamma", [0.001, 10.0]),
        ("jpeg:gamma=1e-3..3e-3:1e-3", "gamma", [0.001, 0.002, 0.003]),
        ("jpeg:real=-0.2..0.2:0.1", "real", [-0.2, -0.1, 0.0, 0.1, 0.2]),
        ("jpeg:subsampling=4:4:4/4:2:0", "subsampling", ["4:4:4", "4:2:0"]),
        ("jpeg:optimize=true/false", "optimize", [True, False]),
        ("jpeg:comment=1..5", "comment", ["1..5"]),
        (r"jpeg:comment=a\,b/c\\", "comment", ["a,b", "c\\"]),
        ("jpeg:comment=", "comment", [""]),
        ("jpeg:comment=a = b", "comment", ["a = b"]),
    ],
)
def test_values(text, key, expected):
    found = values(text, key)
    assert found == expected
    assert {type(value) for value in found} == {JPEG[key].kind}


def test_product_in_the_order_of_the_fields():
    found = points("jpeg:subsampling=4:4:4/4:2:0,quality=10/20")
    pairs = [(point["quality"], point["subsampling"]) for point in found]
    assert pairs == [(10, "4:4:4"), (10, "4:2:0"), (20, "4:4:4"), (20, "4:2:0")]
    assert len(points(f"jpeg:number=1..{MAX_POINTS}")) == MAX_POINTS, "as many as are allowed"


@pytest.mark.parametrize(
    ("written", "path"),
    [
        ("/data/a/b", "/data/a/b"),
        ("a=b/c", "a=b/c"),
        (r"C:\new\table", r"C:\new\table"),
        (r"/a\/b", "/a/b"),
        (r"a\\b", r"a\b"),
        ("path=/a:b=c", "/a:b=c"),
        ("path=crop=64", "crop=64"),
        ("ümlaut/файл", "ümlaut/файл"),
    ],
)
def test_paths_are_literal(written, path):
    assert points(f"folder:{written}", FOLDER) == [{"path": path, "crop": 0}]
    assert points(f"folder:{written},crop=64", FOLDER) == [{"path": path, "crop": 64}]


def test_a_known_key_behind_the_colon_is_no_path():
    assert points("folder:crop=64", FOLDER) == [{"path": ".", "crop": 64}]
    with pytest.raises(SpecError, match="path is given twice"):
        points("folder:/a,path=/b", FOLDER)


# --- Refusals -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "error", "said"),
    [
        ("jpeg:75", SpecError, ["'75'", "KEY=VALUE", "quality", "subsampling"]),
        ("jpeg:quality=5,quality=6", SpecError, ["quality is given twice", "quality=VALUE/VALUE"]),
        ("jpeg:quality=1..9:0", SpecError, ["1..9:0", "a whole number above 0"]),
        ("jpeg:gamma=1..9:0", SpecError, ["a number above 0"]),
        ("jpeg:gamma=1..9:1e-999999999999", SpecError, ["a number above 0"]),
        ("jpeg:gamma=1..9:1e999999999999", SpecError, ["a number above 0"]),
        ("jpeg:gamma=1..9", SpecError, ["needs a step", "LO..HI:STEP"]),
        ("jpeg:quality=9..1", SpecError, ["empty", "9 is above 1"]),
        (f"jpeg:number=0..{MAX_POINTS}", SpecError, [f"more than {MAX_POINTS} values"]),
        ("jpeg:real=-1e308..1e308:1e-308", SpecError, [f"more than {MAX_POINTS} values"]),
        ("jpeg:number=1..5000,quality=1..100", SpecError, ["500000 points", str(MAX_POINTS)]),
        ("jpeg:qualty=5", UnknownNameError, ["setting of jpeg", "'qualty'; did you mean 'quality'?", "gamma"]),
        ("jpeg:quality=0", SettingError, ["quality=0", "a whole number from 1 to 100"]),
        ("jpeg:quality=90..110", SettingError, ["quality=110"]),
        ("jpeg:quality=high", SettingError, ["quality=high", "a whole number"]),
        ("jpeg:quality=5.0", SettingError, ["quality=5.0", "a whole number"]),
        ("jpeg:quality=1_0", SettingError, ["quality=1_0"]),
        ("jpeg:quality=", SettingError, ["quality=", "a whole number"]),
        ("jpeg:quality=1..9:2:3", SettingError, ["a whole number"]),
        ("jpeg:quality=٣", SettingError, ["a whole number"]),
        ("jpeg:quality=" + "9" * 10_000, SettingError, ["a whole number from 1 to 100"]),
        ("jpeg:gamma=nan", SettingError, ["gamma=nan", "a number from 0.0 to 10.0"]),
        ("jpeg:real=1e999", SettingError, ["a number"]),
        ("jpeg:subsampling=4:1:1", SettingError, ["4:1:1", "4:4:4, 4:2:2, 4:2:0"]),
        ("jpeg:optimize=yes", SettingError, ["optimize=yes", "true, false"]),
    ],
)
def test_refusals(text, error, said):
    start = time.perf_counter()
    with pytest.raises(CodecbenchError) as caught:
        points(text)
    assert time.perf_counter() - start < 1
    assert type(caught.value) is error
    message = str(caught.value)
    assert "\n" not in message
    for words in said:
        assert words in message
    assert "jpeg" in message


def test_a_codec_without_settings():
    assert points("none", {}) == [{}]
    with pytest.raises(UnknownNameError, match="known: none"):
        points("none:level=1", {})
    with pytest.raises(SpecError, match="settings: none"):
        points("none:5", {})


# --- What is written is read back ---------------------------------------------------------------------------

TEXT = st.text(st.one_of(st.sampled_from("\\,/=:. a0\n'\""), st.characters(exclude_categories=["Cs"])), max_size=15)
FLOATS = st.floats(allow_nan=False, allow_infinity=False)


@given(
    st.builds(
        Jpeg,
        quality=st.integers(1, 100),
        subsampling=st.sampled_from(["4:4:4", "4:2:2", "4:2:0"]),
        optimize=st.booleans(),
        gamma=st.floats(0, 10),
        comment=TEXT,
        number=st.integers(),
        real=FLOATS,
    )
)
def test_settings_survive_the_spec(codec):
    text = format_settings(codec.settings)
    (spec,) = split_specs(f"jpeg:{text}")
    assert spec.name == "jpeg"
    (point,) = expand(spec, JPEG)
    assert point == codec.settings
    assert repr(point) == repr(codec.settings)  # types too, and the sign of zero
    assert Jpeg(**point) == codec
    assert format_settings(point) == text


@given(st.lists(st.builds(Folder, path=TEXT, crop=st.integers(0)), max_size=4))
def test_lists_of_settings_survive_the_spec(folders):
    text = ",".join(f"folder:{format_settings(folder.settings)}" for folder in folders)
    specs = split_specs(text) if folders else []
    assert [expand(spec, FOLDER) for spec in specs] == [[folder.settings] for folder in folders]


@given(st.text(alphabet="ab=:,/\\.0123456789e- ", max_size=25))
def test_anything_is_understood_or_refused_in_words(text):
    for known in (JPEG, FOLDER, {"a": dataclasses.replace(JPEG["number"], name="a")}):
        try:
            for spec in split_specs(text):
                for point in expand(spec, known):
                    assert list(point) == list(known)
        except CodecbenchError:
            pass
