"""The arithmetic of a large sweep in ``docs/cluster.md``: ``python docs/cluster_sum.py RUN [--write]``.

RUN is a run folder with parts, of ``none`` among others; the codecs' times are read from ``results/reference``.
"""

from __future__ import annotations

import csv
import json
import math
import sys
from pathlib import Path

from codecbench.plan.tasks import CHUNK_IMAGES

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "cluster.md"
BEGIN, END = "<!-- sum -->\n", "<!-- /sum -->"
CODECS, SETTINGS, IMAGES = 100, 20, 1_000_000


def figures(run: Path, reference: Path) -> dict[str, float]:
    """Bytes per row and seconds per image, from a run and from the reference run's table."""
    records = [json.loads(file.read_text(encoding="utf-8")) for file in sorted((run / "parts").glob("*.json"))]
    done = [record for record in records if not record["failed"]]
    stored = sum(file.stat().st_size for file in (run / "parts").iterdir())
    none = [record for record in done if record["codec"] == "none"]
    with (reference / "summary.csv").open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["dataset"] == "stl10" and row["encode_s"]]
    return {
        "row_bytes": stored / sum(record["images"] for record in done),
        "harness_s": sum(record["seconds"] for record in none) / sum(record["images"] for record in none),
        "codec_s": sum(float(row["encode_s"]) + float(row["decode_s"]) for row in rows) / len(rows),
    }


def table(found: dict[str, float]) -> str:
    """The arithmetic as a Markdown table."""
    points = CODECS * SETTINGS
    rows = points * IMAGES
    tasks = points * math.ceil(IMAGES / CHUNK_IMAGES)
    hours = rows * (found["codec_s"] + found["harness_s"]) / 3600
    lines = [
        "| What | How much | From |",
        "| :-- | --: | :-- |",
        f"| rows | {rows:,} | {CODECS} × {SETTINGS} × {IMAGES:,} |",
        f"| tasks | {tasks:,} | {points:,} points × {math.ceil(IMAGES / CHUNK_IMAGES)} chunks of {CHUNK_IMAGES:,} |",
        f"| stored | {rows * found['row_bytes'] / 1e9:.0f} GB | {found['row_bytes']:.1f} bytes per row, with records |",
        f"| seconds per image | {1e3 * (found['codec_s'] + found['harness_s']):.2f} ms | "
        f"{1e3 * found['codec_s']:.2f} ms encoding and decoding, {1e3 * found['harness_s']:.2f} ms the harness |",
        f"| work | {hours:,.0f} core hours | rows × seconds per image |",
        f"| on 64 cores | {hours / 64:,.0f} hours | |",
        f"| on 1,000 cores | {hours / 1000:,.1f} hours | |",
    ]
    return "\n".join(lines) + "\n"


def main(arguments: list[str]) -> None:
    """Prints the table, or writes it into the page."""
    text = table(figures(Path(arguments[0]), ROOT / "results" / "reference"))
    if "--write" not in arguments:
        print(text, end="")
        return
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    PAGE.write_text(f"{before}{BEGIN}\n{text}\n{END}{rest.partition(END)[2]}", encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
