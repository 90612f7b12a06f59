"""Settings: the typed, bounded fields of a codec or a dataset.

Codecs and datasets are frozen dataclasses whose fields are made with :func:`setting`. The bounds and choices
given there are checked whenever an instance is built, and the spec grammar (``codecbench.plan.specs``) reads and
writes values through the same description.
"""

from __future__ import annotations

import dataclasses
import math
import numbers
import re
from dataclasses import dataclass
from typing import TypeVar

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
        default: the value where a spec gives none.
        low: smallest value allowed, inclusive (numbers only), or None.
        high: largest value allowed, inclusive (numbers only), or None.
        choices: the only values allowed, or empty.
        sweep: the values measured by default, or empty for the default alone.
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
            return f"{noun} from {self.low} to {self.high}"
        if self.low is not None:
            return f"{noun} of {self.low} or more"
        if self.high is not None:
            return f"{noun} of {self.high} or less"
        return noun

    def check(self, value: object, owner: str) -> Value:
        """Returns ``value`` in the setting's own type.

        A whole number does for a float, and NumPy's numbers do for Python's; a bool is no number.

        Raises:
            SettingError: wrong type, out of bounds, or not among the choices; names what is allowed.
        """
        typed = self._typed(value)
        if (
            typed is None
            or (isinstance(typed, float) and not math.isfinite(typed))
            or (self.choices and typed not in self.choices)
            or (self.low is not None and isinstance(typed, int | float) and typed < self.low)
            or (self.high is not None and isinstance(typed, int | float) and typed > self.high)
        ):
            raise SettingError(f"{owner}: {self.name}={_shown(value)} is not allowed; allowed: {self.allowed}")
        return typed

    def _typed(self, value: object) -> Value | None:
        if self.kind is bool or isinstance(value, bool):
            return value if self.kind is bool and isinstance(value, bool) else None
        if self.kind is int and isinstance(value, numbers.Integral):
            return int(value)
        if self.kind is float and isinstance(value, numbers.Real):
            try:
                return float(value)
            except OverflowError:
                return None
        return str(value) if self.kind is str and isinstance(value, str) else None

    def parse(self, text: str, owner: str) -> Value:
        """Reads one value from its spec text (already unescaped).

        Raises:
            SettingError: the text is not a value of this setting.
        """
        value: object = text
        if self.kind is bool:
            value = {"true": True, "false": False}.get(text, text)
        elif self.kind is int and re.fullmatch(r"[+-]?[0-9]{1,100}", text):
            value = int(text)
        elif self.kind is float and re.fullmatch(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?", text):
            value = float(text)
        return self.check(value, owner)


def _shown(value: object) -> str:
    """A value for a message, however long it is."""
    if isinstance(value, int) and abs(value) >= 10**100:
        return "a number of more than 100 digits"  # str() refuses numbers of thousands of digits
    text = " ".join(str(value).split())
    return text if len(text) <= 80 else text[:79] + "…"


def format_value(value: Value, *, literal: bool = False) -> str:
    """One value as a spec writes it: ``true``, ``75``, ``0.5``, ``4:2:0``; separators in text are escaped.

    Args:
        value: the value.
        literal: the setting is literal (a path), so that ``/`` separates nothing and stays as it is.
    """
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return repr(value)
    return re.sub(r"([\\,])" if literal else r"([\\,/])", r"\\\1", value)


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
