"""Writes what people look at: ``report.html``, ``summary.csv`` and ``figures/``, from a run folder alone.

``report.html`` is one file that opens offline: styles, scripts, pictures and the numbers are inside, and nothing is
ever loaded. Each section of the page is made by a module of this package (``codecbench.report.page.SECTIONS``): its
function ``section`` makes a :class:`codecbench.report.context.Section` from a
:class:`codecbench.report.context.Context`.
"""

from __future__ import annotations

from pathlib import Path

from codecbench.errors import StoreError
from codecbench.store.folder import RunFolder


def write_report(store: RunFolder, *, out: Path | None = None, anchor: str | None = None) -> Path:
    """Writes ``report.html``, the tables beside it and ``figures/`` of a run folder; measures nothing.

    The same folder gives the same bytes. The report of an incomplete run says what is missing. It is written into
    ``out``, by default the run folder; the others are compared with ``anchor``, by default a codec that has a curve.
    """
    # Not above, since ``codecbench show`` needs a module of this package, and no Matplotlib.
    from codecbench.report import page
    from codecbench.report.context import Context

    folder = store.path if out is None else Path(out)
    try:
        return page.write(Context(store, folder, anchor))
    except OSError as error:
        raise StoreError(f"cannot write the report in {folder}: {error.strerror or error}") from error
