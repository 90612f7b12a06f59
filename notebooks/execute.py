"""Executes the notebooks and stores them with their outputs: what `make notebooks` runs.

    python notebooks/execute.py                          all of them, in place
    python notebooks/execute.py 01_mnist… --out DIR      one of them, into another folder

A notebook that fails stays as it was. What differs from one execution to the next without meaning anything (times,
versions of the kernel) is not stored.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

FOLDER = Path(__file__).resolve().parent
METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}


def execute(path: Path) -> nbformat.NotebookNode:
    """Runs all cells of a notebook in a new kernel of this Python.

    Args:
        path: the notebook.

    Returns:
        The notebook with its outputs and nothing else that the kernel told.

    Raises:
        CellExecutionError: a cell failed.
    """
    notebook = nbformat.read(path, as_version=4)
    client = NotebookClient(
        notebook, kernel_name="python3", timeout=None, record_timing=False, resources={"metadata": {"path": FOLDER}}
    )
    client.execute()
    notebook.metadata = nbformat.from_dict(METADATA)
    for cell in notebook.cells:
        cell.metadata = nbformat.from_dict({})
    return notebook


def main() -> int:
    """Executes the notebooks that the command line names; returns the exit status."""
    parser = argparse.ArgumentParser(description="Executes notebooks and stores them with their outputs.")
    parser.add_argument("names", nargs="*", help="beginnings of their names; all of them if none is given")
    parser.add_argument("--out", type=Path, default=FOLDER, help="where they are stored; by default in place")
    options = parser.parse_args()
    chosen = [path for path in sorted(FOLDER.glob("*.ipynb")) if path.name.startswith(tuple(options.names or [""]))]
    if not chosen:
        parser.error(
            f"no notebook begins so; there are {', '.join(path.name for path in sorted(FOLDER.glob('*.ipynb')))}"
        )
    for path in chosen:
        began = time.perf_counter()
        print(f"{path.name} …", flush=True)
        try:
            notebook = execute(path)
        except CellExecutionError as error:
            print(f"{path.name} failed and stays as it was:\n{error}", file=sys.stderr)
            return 1
        options.out.mkdir(parents=True, exist_ok=True)
        temporary = options.out / f"{path.name}.tmp"
        nbformat.write(notebook, temporary)
        temporary.replace(options.out / path.name)
        print(f"{path.name}: {time.perf_counter() - began:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
