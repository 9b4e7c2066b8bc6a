"""The page in a real Chromium: mouse, keyboard, themes, paper, no network, no attack."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser, Page, Request, sync_playwright

from tests.build import make_trace
from tests.replay.report.conftest import CHROMIUM
from tests.replay.report.pages import hostile_job, job_of, page_of, write_run

OPTIONS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
)


@dataclass
class Visit:
    """An open page, what it asked for, and what it complained of."""

    page: Page
    requests: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)

    def ask(self, request: Request) -> None:
        if not request.url.startswith("data:"):
            self.requests.append(request.url)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=CHROMIUM, args=list(OPTIONS))
        yield opened
        opened.close()


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("browser")
    path = folder / "report.html"
    page_of(job_of(write_run(folder / "kitchen", make_trace()), labels=True), path)
    return path


@pytest.fixture
def visit(browser: Browser, report: Path) -> Iterator[Visit]:
    opened = visited(browser, report)
    yield opened
    assert opened.requests == [report.as_uri()]
    assert opened.complaints == []
    opened.page.close()


def visited(browser: Browser, path: Path, scheme: str = "light", width: int = 1200) -> Visit:
    """The page, opened."""
    page = browser.new_page(
        viewport={"width": width, "height": 800},
        color_scheme="dark" if scheme == "dark" else "light",
    )
    seen = Visit(page)
    page.on("request", seen.ask)
    page.on("console", lambda message: seen.complaints.append(message.text))
    page.on("pageerror", lambda error: seen.complaints.append(str(error)))
    page.on("dialog", lambda dialog: seen.complaints.append(dialog.message))
    page.goto(path.as_uri())
    return seen


def lit(page: Page, name: str) -> set[str]:
    """The numbers of the spans or units that are lit."""
    found: list[str] = page.evaluate(
        f"[...document.querySelectorAll('[data-{name}].on')].map(e => e.dataset.{name})"
    )
    return set(found)


def sources(page: Page, span: int) -> set[str]:
    links = page.evaluate("JSON.parse(document.querySelector('article script').textContent)")
    return {str(unit) for unit, _ in links[span]}


def test_pointing_at_a_span_lights_its_sources(visit: Visit) -> None:
    page = visit.page
    page.hover("p .span[data-span='1']")
    assert lit(page, "unit") == sources(page, 1)
    assert lit(page, "span") == {"1"}
    page.hover("h1")
    assert lit(page, "unit") == set()


def test_pointing_at_a_unit_lights_what_it_explains(visit: Visit) -> None:
    page = visit.page
    unit = sorted(sources(page, 0))[0]
    page.hover(f".prompt [data-unit='{unit}'] >> nth=0")
    expected = {str(span) for span in range(3) if unit in sources(page, span)}
    assert lit(page, "span") == expected


def test_the_keyboard_alone_will_do(visit: Visit) -> None:
    page = visit.page
    page.focus("p .span[data-span='0']")
    page.keyboard.press("Enter")
    assert page.get_attribute("p .span[data-span='0']", "aria-pressed") == "true"
    page.hover("p .span[data-span='2']")
    assert lit(page, "span") == {"0"}
    page.keyboard.press("Escape")
    assert page.get_attribute("p .span[data-span='0']", "aria-pressed") == "false"
    page.keyboard.press("ArrowRight")
    assert page.evaluate("document.activeElement.dataset.span") == "1"
    assert lit(page, "unit") == sources(page, 1)


def test_a_chosen_source_comes_into_sight(browser: Browser, report: Path) -> None:
    seen = visited(browser, report, width=1200)
    page = seen.page
    page.set_viewport_size({"width": 1200, "height": 260})
    unit = max(page.evaluate("JSON.parse(document.querySelector('article script').textContent)")[0],
               key=lambda link: link[1])[0]  # fmt: skip
    page.evaluate("document.querySelector('p .span').scrollIntoView()")
    page.focus("p .span[data-span='0']")
    page.keyboard.press("Enter")
    box = page.locator(f".prompt [data-unit='{unit}']").first.bounding_box()
    assert box is not None
    assert -1 <= box["y"] <= 260
    page.close()


def test_heat_follows_the_span(visit: Visit) -> None:
    page = visit.page
    shown = "[...document.querySelectorAll('[data-layer]:not([hidden])')].map(e => e.dataset.layer)"
    assert set(page.evaluate(shown)) == {"all"}
    page.click("p .span[data-span='2']")
    assert set(page.evaluate(shown)) == {"2"}
    page.click("p .span[data-span='2']")
    page.hover("h1")
    page.evaluate("document.activeElement.blur()")
    assert set(page.evaluate(shown)) == {"all"}


def paper(page: Page) -> float:
    """The mean brightness of what is seen, 0 to 255."""
    return float(np.asarray(Image.open(io.BytesIO(page.screenshot())).convert("L")).mean())


def test_light_and_dark(browser: Browser, report: Path) -> None:
    light, dark = (visited(browser, report, scheme).page for scheme in ("light", "dark"))
    assert paper(light) > 200
    assert paper(dark) < 60
    light.click("#theme")
    dark.click("#theme")
    assert paper(light) < 60
    assert paper(dark) > 200
    light.click("#theme")
    assert paper(light) > 200
    light.close()
    dark.close()


@pytest.mark.parametrize("width", [360, 700, 1600])
def test_nothing_is_wider_than_the_window(browser: Browser, report: Path, width: int) -> None:
    page = visited(browser, report, width=width).page
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.close()


def test_words_can_be_read_on_their_background(browser: Browser, report: Path) -> None:
    for scheme in ("light", "dark"):
        page = visited(browser, report, scheme).page
        low = page.evaluate(CONTRAST)
        assert low == []
        page.close()


CONTRAST = """
() => {
  const WORDS = "p, span, td, th, h1, h2, h3, q, b, code, a, dt, dd";
  const canvas = document.createElement("canvas").getContext("2d", {willReadFrequently: true});
  const rgb = (colours) => {
    canvas.clearRect(0, 0, 1, 1);
    for (const colour of colours) { canvas.fillStyle = colour; canvas.fillRect(0, 0, 1, 1); }
    return [...canvas.getImageData(0, 0, 1, 1).data].slice(0, 3).map((v) => {
      const s = v / 255;
      return s <= 0.04045 ? s / 12.92 : ((s + 0.055) / 1.055) ** 2.4;
    });
  };
  const luminance = (c) => 0.2126 * c[0] + 0.7152 * c[1] + 0.0722 * c[2];
  const low = [];
  for (const element of document.querySelectorAll(WORDS)) {
    const own = [...element.childNodes].some((n) => n.nodeType === 3 && n.data.trim());
    if (!own) continue;
    const backs = [];
    for (let at = element; at; at = at.parentElement) {
      backs.unshift(getComputedStyle(at).backgroundColor);
    }
    const back = luminance(rgb(backs));
    const ink = luminance(rgb([...backs, getComputedStyle(element).color]));
    const ratio = (Math.max(back, ink) + 0.05) / (Math.min(back, ink) + 0.05);
    if (ratio < 4.5) low.push([element.className, element.textContent.slice(0, 30), ratio]);
  }
  return low;
}
"""


def test_paper_has_everything(browser: Browser, report: Path) -> None:
    page = visited(browser, report, "dark").page
    page.emulate_media(media="print")
    assert page.is_hidden("#theme")
    assert page.is_visible(".facts dl")
    assert page.is_visible("article .sources >> nth=0")
    assert paper(page) > 200
    assert page.pdf().startswith(b"%PDF")
    page.close()


def test_attacks_stay_text(browser: Browser, tmp_path: Path) -> None:
    path = tmp_path / "hostile.html"
    page_of(hostile_job(), path)
    seen = visited(browser, path)
    for element in seen.page.query_selector_all("[role=button]")[:20]:
        element.focus()
    assert seen.page.evaluate("window.hacked") is None
    assert seen.requests == [path.as_uri()]
    assert seen.complaints == []
    assert "window.hacked = 1" in seen.page.inner_text("h2 >> nth=-1")
    seen.page.close()


def test_the_policy_stops_a_script_that_is_not_ours(browser: Browser, report: Path) -> None:
    changed = report.with_name("changed.html")
    changed.write_text(
        report.read_text("utf-8").replace("<main>", "<main><script>window.hacked = 1</script>"),
        "utf-8",
    )
    seen = visited(browser, changed)
    assert seen.page.evaluate("window.hacked") is None
    assert any("Content Security Policy" in said for said in seen.complaints)
    seen.page.close()
