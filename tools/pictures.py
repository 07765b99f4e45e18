"""Makes the README's pictures from the run in the working tree: `make pictures`.

metrics/report.html, metrics/train.csv → docs/pictures/. Needs Playwright, a development dependency, and Chromium.
"""

import os
import shutil
import sys
from pathlib import Path
from typing import Any, Final

from stages.report.charts import loss_figure
from stages.report.material import CURVES, read_curves
from twin import pictures
from twin.files import read_text, write_bytes

REPORT: Final = Path("metrics/report.html")
OUT: Final = Path("docs/pictures")
WINDOW: Final = {"width": 1000, "height": 720}
BROWSERS: Final = ("chromium", "chromium-browser", "google-chrome")


def shot(browser: Any, scheme: str) -> bytes:
    """Return what is seen first when the report is opened, as PNG."""
    page = browser.new_page(viewport=WINDOW, color_scheme=scheme)
    page.goto(REPORT.resolve().as_uri())
    picture: bytes = page.screenshot()
    page.close()
    return picture


def main() -> None:
    """Write the pictures.

    Raises:
        SystemExit: there is no Chromium.
    """
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    if found is None:
        sys.exit("needs Chromium: apt install chromium")
    curves = read_curves(read_text(CURVES))
    pictures.write(OUT / "loss.svg", lambda: loss_figure(curves))
    from playwright.sync_api import sync_playwright

    # As root Chromium refuses to start with a sandbox.
    arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=arguments)
        for scheme in ("light", "dark"):
            write_bytes(OUT / f"report-{scheme}.png", shot(browser, scheme))
        browser.close()
    for path in sorted(OUT.iterdir()):
        print(f"{path}: {path.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
