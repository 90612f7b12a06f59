"""Settings: types, bounds, choices, and the way they are written."""

from dataclasses import dataclass

import numpy as np
import pytest

from codecbench.errors import SettingError
from codecbench.plugins.settings import HasSettings, Setting, format_settings, format_value, setting, settings_of


@dataclass(frozen=True)
class Example(HasSettings):
    name = "example"

    quality: int = setting(75, low=1, high=100, sweep=(10, 50, 90), help="from bad to good")
    step: float = setting(0.5, low=0.0)
    level: int = setting(9, high=9)
    mode: str = setting("fast", choices=("fast", "slow"))
    size: int = setting(2, choices=(1, 2, 4))
    exact: bool = setting(True)
    text: str = setting("")
    plain: int = 3  # no setting: neither listed nor checked


def test_settings_are_the_fields_in_order():
    found = settings_of(Example)
    assert found["quality"] == Setting("quality", int, 75, 1, 100, (), (10, 50, 90), "from bad to good")
    assert [(name, info.name, info.kind) for name, info in found.items()] == [
        (name, name, type(value)) for name, value in Example().settings.items()
    ]
    settings = {"quality": 5, "step": 0.5, "level": 9, "mode": "fast", "size": 2, "exact": True, "text": ""}
    assert list(Example(quality=5).settings.items()) == list(settings.items())


@pytest.mark.parametrize(
    ("given_", "allowed"),
    [
        ({"quality": 0}, "a whole number from 1 to 100"),
        ({"quality": 101}, "a whole number from 1 to 100"),
        ({"quality": 5.0}, "a whole number from 1 to 100"),
        ({"quality": "5"}, "a whole number from 1 to 100"),
        ({"quality": True}, "a whole number from 1 to 100"),
        ({"quality": None}, "a whole number from 1 to 100"),
        ({"quality": 10**5000}, "a whole number from 1 to 100"),
        ({"step": -0.1}, "a number of 0.0 or more"),
        ({"step": float("nan")}, "a number of 0.0 or more"),
        ({"step": float("inf")}, "a number of 0.0 or more"),
        ({"step": True}, "a number of 0.0 or more"),
        ({"step": "0.5"}, "a number of 0.0 or more"),
        ({"step": 10**400}, "a number of 0.0 or more"),
        ({"step": 1j}, "a number of 0.0 or more"),
        ({"level": 10}, "a whole number of 9 or less"),
        ({"mode": "medium"}, "fast, slow"),
        ({"mode": 1}, "fast, slow"),
        ({"size": 3}, "1, 2, 4"),
        ({"size": True}, "1, 2, 4"),
        ({"exact": 1}, "true, false"),
        ({"exact": "true"}, "true, false"),
        ({"text": b"bytes"}, "text"),
    ],
    ids=lambda value: str(value)[:40] if not isinstance(value, dict) else next(iter(value)),
)
def test_refused(given_, allowed):
    with pytest.raises(SettingError) as caught:
        Example(**given_)
    (key,) = given_
    assert str(caught.value).startswith(f"example: {key}=")
    assert str(caught.value).endswith(f"is not allowed; allowed: {allowed}")
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize(
    ("given_", "value"),
    [
        ({"quality": 1}, 1),
        ({"quality": np.uint8(7)}, 7),
        ({"step": 0}, 0.0),
        ({"step": np.float64(0.25)}, 0.25),
        ({"step": np.float32(0.25)}, 0.25),
        ({"level": -(10**30)}, -(10**30)),
        ({"size": 4}, 4),
        ({"mode": np.str_("slow")}, "slow"),
        ({"exact": False}, False),
        ({"text": "any\nthing, at / all \\"}, "any\nthing, at / all \\"),
    ],
)
def test_taken_in_the_settings_own_type(given_, value):
    (key,) = given_
    found = Example(**given_).settings[key]
    assert found == value
    assert type(found) is settings_of(Example)[key].kind


def test_large_bounds_are_spelled_out():
    assert Setting("x", int, 1, 1, 33_554_432).allowed == "a whole number from 1 to 33554432"
    assert Setting("x", str, "a", choices=("a/b", "c")).allowed == r"a\/b, c"


def test_long_values_are_cut_and_lines_joined_in_messages():
    with pytest.raises(SettingError) as caught:
        Example(mode="two\nlines" * 500)
    assert len(str(caught.value)) < 200
    assert "\n" not in str(caught.value)


def test_values_as_text():
    assert [format_value(value) for value in (True, 75, 0.5, "4:2:0")] == ["true", "75", "0.5", "4:2:0"]
    assert format_value(r"a,b/c\d") == r"a\,b\/c\\d"
    assert format_value(r"a,b/c\d", literal=True) == r"a\,b/c\\d"
    assert format_settings({}) == ""
    assert format_settings({"quality": 75, "subsampling": "4:2:0"}) == "quality=75,subsampling=4:2:0"
