"""Makes results/reference/PERFORMANCE.md from the benchmarks' own record, so that no number in it is typed by hand.

pytest tests/benchmarks --benchmark-enable --benchmark-json=FILE && python docs/performance.py FILE... [--write]

Of several files, a benchmark's last record counts: one that something else disturbed can be taken again by itself.
"""

from __future__ import annotations

import ast
import json
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "results" / "reference" / "PERFORMANCE.md"
HEAD = """# Speed and memory of the harness

Made by `make performance`, which runs `tests/benchmarks` and writes this page; each part names the command that
measures it alone. Ratios are taken in one run, their two sides one after the other. Other machines give other times.

Machine: {cpu}, {cores} cores, Python {python}; commit {commit}.
"""


def page(records: list[dict[str, Any]]) -> str:
    """The page.

    Args:
        records: what pytest-benchmark wrote; the last one of each benchmark counts.
    """
    record = records[-1]
    machine = record["machine_info"]
    commits = [one["commit_info"] for one in records]
    parts = [
        HEAD.format(
            cpu=machine["cpu"].get("brand_raw", "unknown processor"),
            cores=machine["cpu"].get("count", "unknown"),
            python=machine["python_version"],
            commit=" and ".join(
                dict.fromkeys(
                    str(commit.get("id", "unknown"))[:12] + " with changes" * bool(commit.get("dirty"))
                    for commit in commits
                )
            ),
        )
    ]
    benchmarks = {found["fullname"]: found for one in records for found in one["benchmarks"]}
    for number, (_, found) in enumerate(sorted(benchmarks.items())):
        facts = {"median time of what is measured (s)": f"{found['stats']['median']:.4g}"}
        facts |= {_name(name): _text(value) for name, value in found["extra_info"].items()}
        title, about = _told(found["fullname"])
        command = f"pytest '{found['fullname']}' --benchmark-enable"
        rows = "\n".join(f"| {name} | {value} |" for name, value in facts.items())
        parts.append(f"## {number + 1}. {title}\n\n{about}\n\n`{command}`\n\n| | |\n| :-- | :-- |\n{rows}\n")
    return "\n".join(parts)


def _name(key: str) -> str:
    return (f"{key[:-2]} (s)" if key.endswith("_s") else key).replace("_", " ")


def _text(value: object) -> str:
    if isinstance(value, list):
        return ", ".join(map(_text, value))
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _told(fullname: str) -> tuple[str, str]:
    """A benchmark's name in words, and what its docstring, or its module's, says in one paragraph."""
    file, _, name = fullname.partition("::")
    function, _, case = name.partition("[")
    module = ast.parse((ROOT / file).read_text(encoding="utf-8"))
    documented = [node for node in module.body if isinstance(node, ast.FunctionDef) and node.name == function]
    text = ast.get_docstring(documented[0]) if documented else None
    about = " ".join((text or ast.get_docstring(module) or "").partition("\n\n")[0].split()).replace("``", "`")
    title = function.removeprefix("test_").replace("_", " ").capitalize()
    return title + (f" ({case.removesuffix(']')})" if case else ""), about


if __name__ == "__main__":
    files = [Path(name) for name in sys.argv[1:] if name != "--write"]
    if not files:
        sys.exit(__doc__)
    text = page([json.loads(file.read_text(encoding="utf-8")) for file in files])
    if "--write" in sys.argv:
        PAGE.write_text(text, encoding="utf-8")
    else:
        print(text)
