"""What a module of the report gives to the page."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from markupsafe import Markup


@dataclass(frozen=True)
class Section:
    """One section of the page.

    Attributes:
        anchor: its id in the page and in the navigation, for example ``curves``.
        title: its name in the navigation.
        html: everything between the section's tags, its heading included; rendered with autoescape.
        data: plain JSON for the script; NaN and infinities become null, and numbers are cut to six digits.
        scripts: files in ``codecbench/report/static/``, in their order; the last one calls
            ``codecbench.section(anchor, (root, data) => ...)``.
        style: a file in ``codecbench/report/static/``.
    """

    anchor: str
    title: str
    html: Markup
    data: Any = None
    scripts: tuple[str, ...] = ()
    style: str = ""
