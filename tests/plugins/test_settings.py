"""Settings: types, bounds, choices, and the way they are written."""

from dataclasses import dataclass

import numpy as np
import pytest

from codecbench.errors import SettingError
from codecbench.plugins.settings import HasSettings, setting, settings_of


@dataclass(frozen=True)
class Example(HasSettings):
    name = "example"

    quality: int = setting(75, low=1, high=100)
    step: float = setting(0.5, low=0.0)
    level: int = setting(9, high=33_554_432)
    mode: str = setting("fast", choices=("fast", "slow", "a/b"))
    size: int = setting(2, choices=(1, 2, 4))
    exact: bool = setting(True)
    text: str = setting("")
    plain: int = 3  # no setting, and not checked


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
        ({"step": "0.5"}, "a number of 0.0 or more"),
        ({"step": 10**400}, "a number of 0.0 or more"),
        ({"step": 1j}, "a number of 0.0 or more"),
        ({"level": 33_554_433}, "a whole number of 33554432 or less"),
        ({"mode": "medium"}, r"fast, slow, a\/b"),
        ({"mode": 1}, r"fast, slow, a\/b"),
        ({"mode": "two\nlines" * 500}, r"fast, slow, a\/b"),
        ({"size": 3}, "1, 2, 4"),
        ({"size": True}, "1, 2, 4"),
        ({"exact": 1}, "true, false"),
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
    assert "\n" not in str(caught.value)


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
