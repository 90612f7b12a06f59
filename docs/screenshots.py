"""Takes the pictures in README.md and docs/running.md of the reference run's report; needs Playwright and Chromium.

python docs/screenshots.py    writes docs/report-desktop.png and docs/report-phone.png
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from playwright.sync_api import sync_playwright

ROOT = Path(__file__).resolve().parents[1]
REPORT = ROOT / "results" / "reference" / "report.html"
CHROMIUM = ("chromium", "chromium-browser", "google-chrome")
SHOTS = {
    "report-desktop.png": ("", {"viewport": {"width": 1280, "height": 2000}}),
    "report-phone.png": ("stl10", {"viewport": {"width": 390, "height": 844}, "device_scale_factor": 2}),
}
"""By file: the dataset whose images are to be seen, or empty for the top of the page; and how large the window is."""


def main() -> int:
    """Takes the pictures."""
    path = next(filter(None, map(shutil.which, CHROMIUM)), None)
    if path is None or not REPORT.is_file():
        missing = "no Chromium on the path" if path is None else f"no {REPORT.relative_to(ROOT)}"
        print(f"{missing}: nothing to take a picture with, or of", file=sys.stderr)
        return 1
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-gpu"])
        for name, (dataset, window) in SHOTS.items():
            page = browser.new_page(**window)
            page.goto(REPORT.as_uri())
            page.wait_for_load_state("load")
            if dataset:
                look = page.locator("#look")
                look.scroll_into_view_if_needed()
                look.get_by_role("button", name=dataset, exact=True).click()
                look.locator("canvas").last.evaluate("canvas => canvas.scrollIntoView({block: 'center'})")
            page.wait_for_timeout(2_000)  # plots and pictures are drawn once they come into view
            page.screenshot(path=ROOT / "docs" / name)
            print(f"docs/{name}")
        browser.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
