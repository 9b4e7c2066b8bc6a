"""The docs' picture: `python -m tests.replay.report.picture PAGE.html SAMPLE OUT.png [dark]`.

Opens PAGE in Chromium, keeps the first span of the SAMPLE-th sample, and saves what is seen of it.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from playwright.sync_api import sync_playwright

SIZE = {"width": 1180, "height": 760}


def take_picture(page: Path, sample: int, out: Path, dark: bool = False) -> None:
    """A PNG of the sample."""
    with sync_playwright() as playwright:
        path = shutil.which("chromium") or shutil.which("chromium-browser")
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        seen = browser.new_page(
            viewport={"width": SIZE["width"], "height": SIZE["height"]},
            color_scheme="dark" if dark else "light",
        )
        seen.goto(page.resolve().as_uri())
        article = seen.locator("article").nth(sample)
        article.locator("p .span").first.click()
        seen.wait_for_timeout(300)
        article.screenshot(path=out)
        browser.close()


if __name__ == "__main__":
    page, sample, out, *theme = sys.argv[1:]
    take_picture(Path(page), int(sample), Path(out), theme == ["dark"])
