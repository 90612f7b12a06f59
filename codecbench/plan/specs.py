r"""The spec grammar: how codecs and datasets are written on the command line, in Python and in tables.

    LIST  := SPEC[,SPEC…]
    SPEC  := NAME | NAME:PART[,PART…]
    PART  := KEY=VALUE[/VALUE…]      the product of all values is meant
    VALUE := a literal, or for numeric settings a range LO..HI[:STEP] (ends inclusive, decimal arithmetic;
             whole numbers step by 1 by default, other numbers need a step)

After a comma, ``KEY=…`` goes on with the spec before it, anything else begins a new one. A positional setting
(the path of ``folder:PATH``) may stand first without its key and is literal up to the next comma. A backslash
before ``,``, ``/`` or ``\`` takes its meaning away.

    jpeg:quality=10..90:20,subsampling=4:4:4/4:2:0,png,svd:rank=5/13      three codecs
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal, localcontext

from codecbench.errors import SettingError, SpecError, UnknownNameError
from codecbench.plugins.settings import Setting, Value

MAX_POINTS = 10_000
"""A spec may stand for at most this many points, so that a typing error cannot ask for a billion."""

_KEY_VALUE = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)=(.*)", re.DOTALL)
_RANGE = re.compile(r"(?P<low>[^:]+?)\.\.(?P<high>[^:]+?)(?::(?P<step>[^:]+))?")


@dataclass(frozen=True)
class RawSpec:
    """One spec, cut into its name and its parts but not yet understood; escapes are still in place."""

    name: str
    parts: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """The spec as it was written."""
        return self.name + (":" + ",".join(self.parts) if self.parts else "")


def split_escaped(text: str, separator: str) -> list[str]:
    r"""Splits at every ``separator`` that no backslash protects; escapes stay in place.

    >>> split_escaped(r"a/b\/c", "/")
    ['a', 'b\\/c']
    """
    parts, current, protected = [], "", False
    for char in text:
        if char == separator and not protected:
            parts.append(current)
            current = ""
        else:
            current += char
        protected = char == "\\" and not protected
    return [*parts, current]


def unescape(text: str) -> str:
    r"""Takes away the backslashes before ``,``, ``/`` and ``\``; any other backslash is itself."""
    return re.sub(r"\\([\\,/])", r"\1", text)


def split_specs(texts: str | Iterable[str]) -> list[RawSpec]:
    """Cuts one or several spec lists into specs; raises SpecError for an empty spec, or settings without a name."""
    specs: list[RawSpec] = []
    for text in [texts] if isinstance(texts, str) else texts:
        first = len(specs)
        for part in split_escaped(text, ","):
            if not part.strip():
                raise SpecError(f"empty spec in {text!r}; expected NAME or NAME:KEY=VALUE[/VALUE…]")
            if _KEY_VALUE.fullmatch(part.lstrip()):
                if len(specs) == first:
                    raise SpecError(f"{part!r} sets a value, but no name stands before it in {text!r}")
                specs[-1] = RawSpec(specs[-1].name, (*specs[-1].parts, part.lstrip()))
            else:
                name, colon, rest = part.partition(":")
                if not name.strip():
                    raise SpecError(f"no name stands before the colon of {part!r}; expected NAME:KEY=VALUE")
                if colon and not rest.strip():
                    raise SpecError(f"nothing follows the colon of {part!r}; expected NAME:KEY=VALUE")
                specs.append(RawSpec(name.strip(), (rest,) if rest else ()))
    return specs


def expand(spec: RawSpec, settings: Mapping[str, Setting]) -> list[dict[str, Value]]:
    """All points that a spec stands for, complete and in the order written: the product of its values.

    Raises SpecError for a part that is no ``KEY=VALUE``, a repeated key, a bad range or too many points,
    UnknownNameError for an unknown key, and SettingError for a value of the wrong type or out of bounds.
    """
    given: dict[str, list[Value]] = {}
    positional = next((s for s in settings.values() if s.positional), None)
    for index, part in enumerate(spec.parts):
        match = _KEY_VALUE.fullmatch(part)
        if index == 0 and positional and (match is None or match[1] not in settings):
            key, text = positional.name, part
        elif match is None:
            raise SpecError(f"{spec.name}: {part!r} is not KEY=VALUE; settings: {', '.join(settings) or 'none'}")
        else:
            key, text = match[1], match[2]
        if key not in settings:
            raise UnknownNameError(f"setting of {spec.name}", key, settings)
        if key in given:
            raise SpecError(f"{spec.name}: {key} is given twice; write {key}=VALUE/VALUE for several values")
        given[key] = _values(text, settings[key], spec.name)
    columns = [given.get(key, [info.default]) for key, info in settings.items()]
    size = math.prod(map(len, columns))
    if size > MAX_POINTS:
        raise SpecError(f"{spec.name}: {size} points asked for; at most {MAX_POINTS} are allowed")
    points = dict.fromkeys(itertools.product(*columns))
    return [dict(zip(settings, point, strict=True)) for point in points]


def _values(text: str, info: Setting, owner: str) -> list[Value]:
    if info.literal:
        return [info.parse(unescape(text), owner)]
    values: list[Value] = []
    for piece in split_escaped(text, "/"):
        match = _RANGE.fullmatch(piece) if info.kind in (int, float) else None
        values += _range(match, piece, info, owner) if match else [info.parse(unescape(piece), owner)]
    return values


def _range(match: re.Match[str], piece: str, info: Setting, owner: str) -> list[Value]:
    here = f"{owner}: {info.name}={piece}"
    for end in (match["low"], match["high"]):
        info.parse(end, owner)
    if match["step"] is None and info.kind is float:
        raise SpecError(f"{here} needs a step, LO..HI:STEP")
    wanted = "a whole number above 0" if info.kind is int else "a number above 0"
    try:
        step = Setting("step", info.kind, 1).parse(match["step"] or "1", owner)
    except SettingError:
        step = 0
    if isinstance(step, str) or step <= 0:
        raise SpecError(f"{here}: the step must be {wanted}")
    # Decimal, so that 0.1..0.5:0.1 ends at 0.5; the values were checked above and are of moderate size.
    first, last, by = Decimal(match["low"]), Decimal(match["high"]), Decimal(match["step"] or "1")
    if first > last:
        raise SpecError(f"{here} is empty: {match['low']} is above {match['high']}")
    with localcontext(prec=120):  # exact for whole numbers, which have at most 100 digits
        count = (last - first) // by + 1 if last - first < by * MAX_POINTS else MAX_POINTS + 1
        if count > MAX_POINTS:
            raise SpecError(f"{here} has more than {MAX_POINTS} values")
        return [info.check(info.kind(first + index * by), owner) for index in range(int(count))]
