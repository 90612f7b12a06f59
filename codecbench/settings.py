"""Settings: the typed, bounded fields of a codec or a dataset.

Codecs and datasets are frozen dataclasses whose fields are made with :func:`setting`. The bounds and choices given
there are checked whenever an instance is built, and the spec grammar (``codecbench.specs``) reads and writes values
through the same description.
"""

from __future__ import annotations

import dataclasses
import math
import re
from dataclasses import dataclass
from typing import Any, TypeVar

from codecbench.errors import SettingError

Value = bool | int | float | str
T = TypeVar("T", bool, int, float, str)
_KEY = "codecbench.setting"


@dataclass(frozen=True)
class Setting:
    """What may stand in one setting.

    Attributes:
        name: the field's name, also its key in a spec.
        kind: ``bool``, ``int``, ``float`` or ``str``.
        default: the value when nobody says otherwise.
        low: smallest value allowed, inclusive (numbers only), or None.
        high: largest value allowed, inclusive (numbers only), or None.
        choices: the only values allowed, or empty.
        sweep: the values measured when nobody says otherwise, or empty for the default alone.
        help: one line for ``codecbench list``.
        literal: the text of a spec is taken as it stands (paths): no lists, no ranges.
        positional: may be given without its key, directly behind the colon (``folder:PATH``).
    """

    name: str
    kind: type
    default: Value
    low: float | None = None
    high: float | None = None
    choices: tuple[Value, ...] = ()
    sweep: tuple[Value, ...] = ()
    help: str = ""
    literal: bool = False
    positional: bool = False

    @property
    def allowed(self) -> str:
        """The allowed values in words, for messages and listings."""
        if self.choices:
            return ", ".join(format_value(c) for c in self.choices)
        if self.kind is bool:
            return "true, false"
        noun = {int: "a whole number", float: "a number", str: "text"}[self.kind]
        if self.low is not None and self.high is not None:
            return f"{noun} from {self.low:g} to {self.high:g}"
        if self.low is not None:
            return f"{noun} of {self.low:g} or more"
        if self.high is not None:
            return f"{noun} of {self.high:g} or less"
        return noun

    def check(self, value: object, owner: str) -> Value:
        """Returns ``value`` in the setting's own type.

        Raises:
            SettingError: wrong type, out of bounds, or not among the choices; names what is allowed.
        """
        wrong = SettingError(f"{owner}: {self.name}={value!s} is not allowed; allowed: {self.allowed}")
        if self.kind is float and isinstance(value, int) and not isinstance(value, bool):
            value = float(value)
        if type(value) is not self.kind or not isinstance(value, bool | int | float | str):
            raise wrong
        if isinstance(value, float) and not math.isfinite(value):
            raise wrong
        if self.choices and value not in self.choices:
            raise wrong
        if self.low is not None and isinstance(value, int | float) and value < self.low:
            raise wrong
        if self.high is not None and isinstance(value, int | float) and value > self.high:
            raise wrong
        return value

    def parse(self, text: str, owner: str) -> Value:
        """Reads one value from its spec text (already unescaped).

        Raises:
            SettingError: the text is not a value of this setting.
        """
        value: object = text
        if self.kind is bool:
            value = {"true": True, "false": False}.get(text, text)
        elif self.kind is int and re.fullmatch(r"[+-]?[0-9]+", text):
            value = int(text)
        elif self.kind is float and re.fullmatch(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?", text):
            value = float(text)
        return self.check(value, owner)


def format_value(value: Value) -> str:
    """One value as a spec writes it: ``true``, ``75``, ``0.5``, ``4:2:0``; separators in text are escaped."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return repr(value)
    return re.sub(r"([\\,/])", r"\\\1", value)


def setting(
    default: T,
    *,
    low: float | None = None,
    high: float | None = None,
    choices: tuple[T, ...] = (),
    sweep: tuple[T, ...] = (),
    help: str = "",
    literal: bool = False,
    positional: bool = False,
) -> T:
    """Declares a field of a codec or dataset; see :class:`Setting` for the arguments.

    Example:
        >>> from dataclasses import dataclass
        >>> @dataclass(frozen=True)
        ... class Example:
        ...     quality: int = setting(75, low=1, high=100, sweep=(10, 50, 90))
    """
    info = Setting("", type(default), default, low, high, choices, sweep, help, literal, positional)
    field: T = dataclasses.field(default=default, metadata={_KEY: info})
    return field


def settings_of(owner: type) -> dict[str, Setting]:
    """The settings of a codec or dataset class, in the order of its fields."""
    return {
        field.name: dataclasses.replace(field.metadata[_KEY], name=field.name)
        for field in dataclasses.fields(owner)
        if _KEY in field.metadata
    }


class HasSettings:
    """Base of codecs and datasets: checks the settings when an instance is built, and hands them out.

    Subclasses are frozen dataclasses whose fields are made with :func:`setting`.
    """

    def __post_init__(self) -> None:
        for key, info in settings_of(type(self)).items():
            owner = getattr(self, "name", type(self).__name__)
            object.__setattr__(self, key, info.check(getattr(self, key), owner))

    @property
    def settings(self) -> dict[str, Value]:
        """Every setting with its value, in the order of the fields."""
        return {key: getattr(self, key) for key in settings_of(type(self))}


def format_settings(settings: dict[str, Value]) -> str:
    """Settings in the spec syntax, e.g. ``quality=75,subsampling=4:2:0``; empty for no settings."""
    return ",".join(f"{key}={format_value(value)}" for key, value in settings.items())
