"""Writes what people look at: ``report.html``, ``summary.csv`` and ``figures/``, from a run folder alone.

``report.html`` is one file that opens offline: styles, scripts, pictures and the numbers are inside, and nothing is
ever loaded. Each section of the page is made by a module of this package, :data:`SECTIONS`; what a module gives is a
:class:`codecbench.report.section.Section`, and what it is given a :class:`codecbench.report.context.Context`.
"""

from __future__ import annotations

from pathlib import Path

from codecbench.errors import StoreError
from codecbench.store.folder import RunFolder

SECTIONS = ("answer", "rates", "rankings", "look", "speed", "learned", "method")
"""The modules of this package that make sections, in the page's order."""


def write_report(store: RunFolder, *, out: Path | None = None, anchor: str | None = None) -> Path:
    """Writes ``report.html``, the tables beside it and ``figures/``; measures nothing.

    The same folder gives the same bytes. A run that is not complete gives a report that says what is missing.

    Args:
        store: the run folder.
        out: the folder to write into; the run's own where None.
        anchor: the codec that the others are compared with; one that has a curve where None.

    Returns:
        The path of ``report.html``.

    Raises:
        StoreError: the folder cannot be read or written.
        UsageError: the run has no codec of the anchor's name.
    """
    # Not above: what the end of a run says takes a module of this package too, and does without Matplotlib.
    from codecbench.report import page
    from codecbench.report.context import Context

    folder = store.path if out is None else Path(out)
    try:
        return page.write(Context(store, folder, anchor))
    except OSError as error:
        raise StoreError(f"cannot write the report in {folder}: {error.strerror or error}") from error
