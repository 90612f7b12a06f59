"""Writes what people look at: ``report.html``, ``summary.csv`` and ``figures/``, from a run folder alone.

``report.html`` is one file that opens offline: styles, scripts, pictures and the numbers are inside, and nothing is
ever loaded. Each section of the page is made by a module of this package (``codecbench.report.page.SECTIONS``): its
function ``section`` makes a :class:`codecbench.report.context.Section` from a
:class:`codecbench.report.context.Context`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from codecbench.errors import StoreError, UsageError
from codecbench.store.folder import RunFolder, StoredRun
from codecbench.store.io import dump_json, read_json, write_whole
from codecbench.store.lock import check_usable
from codecbench.store.merged import MADE_OF, MergedRuns


def write_report(store: StoredRun, *, out: Path | None = None, anchor: str | None = None) -> Path:
    """Writes ``report.html``, the tables beside it and ``figures/`` of a run folder; measures nothing.

    The same folder gives the same bytes. The report of an incomplete run says what is missing. It is written into
    ``out``, by default the run folder, of several the first; the others are compared with ``anchor``, by default a
    codec that has a curve.
    """
    # Not above, since ``codecbench show`` needs a module of this package, and no Matplotlib.
    from codecbench.report import page
    from codecbench.report.context import Context

    folder = store.sources[0] if out is None else Path(out)
    try:
        return page.write(Context(store, folder, anchor))
    except OSError as error:
        raise StoreError(f"cannot write the report in {folder}: {error.strerror or error}") from error


def report_of(paths: Sequence[Path], out: Path | None = None, anchor: str | None = None) -> Path:
    """Draws one report from one run folder or several, without measuring; gives the path of ``report.html``.

    By default it goes into the run, or of several to ``results/A+B``. Several runs leave ``run.json`` beside it, so
    that the folder is a published run: it can be shown, matched and compared, and neither drawn again nor measured
    into. An ``out`` with something else in it is a UsageError.
    """
    stores = [RunFolder.existing(path) for path in paths]
    store = stores[0] if len(stores) == 1 else MergedRuns(stores)
    store.require_parts()
    if isinstance(store, RunFolder):
        if out is None or out.resolve() == store.path.resolve():
            return write_report(store, anchor=anchor)
        _check_out(out)
        return write_report(store, out=out, anchor=anchor)
    target = out or Path("results") / "+".join(name.replace("/", "_") for name in store.manifest[MADE_OF])
    if target.resolve() in [path.resolve() for path in paths]:
        raise UsageError(f"{target} is one of the runs; name another --out")
    _check_out(target)
    page = write_report(store, out=target, anchor=anchor)
    write_whole(target / "run.json", dump_json(store.manifest))
    return page


def _check_out(out: Path) -> None:
    """Refuses a folder with a run that was measured, or with anybody's files."""
    check_usable(out)
    if (out / "run.json").is_file() and MADE_OF not in (read_json(out / "run.json") or {}):
        raise UsageError(f"{out} has another run; name an --out that is new or empty")
