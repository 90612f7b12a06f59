"""Writes ``report.html``, with a policy that allows nothing but its own scripts, and ``report.md``."""

from __future__ import annotations

import base64
import hashlib
import json
import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from markupsafe import Markup

from codecbench import __version__
from codecbench.analysis import sets
from codecbench.figures import style
from codecbench.report import answer, learned, look, markup, method, rankings, rates, speed
from codecbench.report.context import STATIC, Context, Section
from codecbench.store.io import dump_json
from codecbench.store.lock import WRITTEN, check_own, written_figures
from codecbench.text import count, join_words, printable

SECTIONS = (answer, rates, rankings, look, speed, learned, method)
"""The modules that make the sections, in the page's order."""
DIGITS = 6
"""Significant digits of a number in the page's data; the tables beside the page have all of them."""
ENDS_BLOCK = re.compile(r"</script|</style|<!--", re.IGNORECASE)
"""What no script and no style may hold, because it would end the block that it is in."""


def write(context: Context) -> Path:
    """Writes the tables, the figures and the page; returns the path of ``report.html``."""
    check_own(context.out)
    _ = context.anchor  # an unknown one is refused before anything is written
    context.write("summary.csv", context.summary.to_csv(index=False, lineterminator="\n").encode())
    sections = [section for module in SECTIONS if (section := module.section(context)) is not None]
    path = context.write("report.html", html(context, sections).encode())
    context.write("report.md", markdown(context, sections).encode())
    if not (whole_sets := sets.table(context.store)).empty:
        context.write(sets.CSV, whole_sets.to_csv(index=False, lineterminator="\n").encode())
    _remove_stale(context)
    return path


def html(context: Context, sections: Sequence[Section]) -> str:
    """The whole page."""
    names = ["page.js", "tables.js", *(name for section in sections for name in section.scripts)]
    scripts = [static(name) for name in dict.fromkeys(names)]
    styles = [static(name) for name in dict.fromkeys(["page.css", *(one.style for one in sections if one.style)])]
    plotly = plotly_bundle() if any("codecbench.plotly()" in text for text in scripts) else ""
    policy = "default-src 'none'; img-src data: blob:; style-src 'unsafe-inline'; script-src " + " ".join(
        f"'sha256-{fingerprint(text)}'" for text in [static("theme.js"), *([plotly] if plotly else []), *scripts]
    )
    looks = style.script_styles(context.styles, context.manifest, context.points)
    data = {"codecbench": {"looks": looks, "datasets": context.datasets, "title": _title(context)}}
    data |= {section.anchor: section.data for section in sections if section.data is not None}
    return context.render(
        "page.html.j2",
        title=_title(context),
        headline=headline(context),
        grave=[note for note in context.notes if note.grave],
        sections=sections,
        blocks=[(f"{name}-data", embedded(content)) for name, content in data.items()],
        theme=Markup(static("theme.js")),
        plotly=Markup(plotly),
        scripts=[Markup(text) for text in scripts],
        styles=[Markup(text) for text in styles],
        policy=policy,
        version=__version__,
    )


def markdown(context: Context, sections: Sequence[Section]) -> str:
    """The sentences and tables of the sections in Markdown."""
    parts = [
        f"# {markup.markdown(_title(context))}",
        markup.markdown(" · ".join(headline(context))),
        *(section.markdown.strip() for section in sections if section.markdown),
        f"codecbench {__version__} wrote these tables from the run folder alone. The same numbers, unrounded, are in "
        "`summary.csv`, and `report.html` shows them with curves and images.",
    ]
    return "\n\n".join(parts) + "\n"


def static(name: str) -> str:
    """A script or a style of the package, as the page has it."""
    text = (STATIC / name).read_text(encoding="utf-8")
    assert not ENDS_BLOCK.search(text), name
    return text


def plotly_bundle() -> str:
    """Plotly's script, as the plotly package carries it."""
    from plotly.offline import get_plotlyjs

    return str(get_plotlyjs()).replace("\r\n", "\n").replace("\r", "\n")


def fingerprint(text: str) -> str:
    """The SHA-256 of an inline script in base64, as a Content-Security-Policy names it."""
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def embedded(data: Any) -> Markup:
    """JSON that can be in a script block whatever its texts are: no ``<``, ``>`` or ``&`` in it."""
    text = json.dumps(compact(data), ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    for sign in "<>&\u2028\u2029":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return Markup(text)


def compact(data: Any) -> Any:
    """Plain JSON of what a section gives: numbers of six digits, whole ones without a point, null for no number."""
    if isinstance(data, str):
        return printable(data)
    if data is None or isinstance(data, bool | int):
        return data
    if isinstance(data, dict):
        return {printable(str(key)): compact(value) for key, value in data.items()}
    if isinstance(data, list | tuple):
        return [compact(value) for value in data]
    if hasattr(data, "tolist"):  # arrays and scalars of NumPy
        return compact(data.tolist())
    if isinstance(data, float):
        if not math.isfinite(data):
            return None
        short = float(f"{data:.{DIGITS}g}")
        return int(short) if short.is_integer() and abs(short) < 2**53 else short
    if markup.absent(data):
        return None
    raise TypeError(f"a section's data is plain JSON, not {type(data).__name__}")


def _title(context: Context) -> str:
    return "Image codecs on " + join_words(context.datasets)


def headline(context: Context) -> list[str]:
    """How much was measured, when and on what, in a few words each."""
    points = context.points
    codecs = points.loc[points["images"] > 0, "codec"].nunique()
    parts = [f"{count(codecs, 'codec')}, {count(int((points['images'] > 0).sum()), 'point')} measured"]
    calls = context.manifest["invocations"]
    if calls:
        days = sorted({str(call.get("started", ""))[:10] for call in calls} - {""})
        machine = calls[-1].get("machine", {})
        if days:
            parts.append("on " + days[0] + (f" to {days[-1]}" if len(days) > 1 else ""))
        if machine:
            parts.append(f"{machine.get('cpu', 'unknown processor')}, {machine.get('cores', '?')} cores")
        if calls[-1].get("device", "cpu") != "cpu":
            parts.append(f"with {machine.get('device', 'an accelerator')}")
    return parts


def _remove_stale(context: Context) -> None:
    """Removes figures that an earlier report drew and this one did not, and says which are there now."""
    for name in written_figures(context.out) - context.written:
        (context.out / "figures" / name).unlink(missing_ok=True)
    context.write(f"figures/{WRITTEN}", dump_json({"files": sorted(context.written)}))
