"""Report and compared runs in a real browser: quiet, offline, sorted by keyboard, on a phone, in the dark."""

import shutil
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.browser import Watch, chromium
from tests.compared import HOSTILE, tree
from tests.report_run import write_page
from tests.structure import ROOT
from tools.plots_page.__main__ import PACKAGES
from twin.compare.page import page as compared

WIDTHS = (320, 768, 1280)  # the least is 1280 at 400 %, WCAG 1.4.10
COLUMN = "(table, column) => [...table.tBodies[0].rows].map(row => row.cells[column].textContent.trim())"
CONTRAST = """() => {
  const channel = value => (value /= 255) <= 0.03928 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
  const parse = colour => colour.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => 0.2126 * channel(r) + 0.7152 * channel(g) + 0.0722 * channel(b);
  const ground = element => {
    for (let one = element; one; one = one.parentElement) {
      const colour = parse(getComputedStyle(one).backgroundColor);
      if (colour.length === 3 || colour[3] > 0) return colour;
    }
  };
  const poor = new Set();
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement;
    if (!walker.currentNode.textContent.trim() || !element.checkVisibility()) continue;
    const style = getComputedStyle(element);
    const ink = parse(element.closest("svg") ? style.fill : style.color);
    const [one, other] = [light(ink), light(ground(element))].sort((a, b) => b - a);
    if ((one + 0.05) / (other + 0.05) < 4.5) poor.add(`${element.tagName}.${element.className}: ${style.color}`);
  }
  return [...poor];
}"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as found:
        yield found


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("pages")
    both = folder / "compare.html"
    both.write_text(compared(tree()), encoding="utf-8")
    return {"run": write_page(folder, f"{HOSTILE} {'x' * 300}"), "compare": both}


@pytest.fixture
def open_page(browser: Any, pages: dict[str, Path]) -> Iterator[Any]:
    contexts = []

    def opened(name: str = "run", **options: Any) -> Any:
        context = browser.new_context(**{"viewport": {"width": 1280, "height": 800}, **options})
        contexts.append(context)
        context.set_default_timeout(10_000)
        page = context.new_page()
        page.watch = Watch(page)
        page.goto(pages[name].as_uri())
        return page

    yield opened
    for context in contexts:
        context.close()


@pytest.mark.parametrize("name", ["run", "compare"])
def test_a_page_opens_from_the_disk_without_a_word_or_a_request(open_page: Any, name: str) -> None:
    page = open_page(name)
    page.watch.assert_quiet("")
    assert "broken" not in page.title()
    assert page.locator("main script, main img").count() == 0
    assert "<script>document.title='broken'</script>" in page.locator(".text").last.inner_text()


def test_the_policy_refuses_what_a_page_could_be_made_to_load(open_page: Any) -> None:
    page = open_page()
    loaded = """() => new Promise(done => { const image = new Image(); image.onload = () => done("loaded");
      image.onerror = () => done("refused"); image.src = "report.html"; })"""
    assert page.evaluate(loaded) == "refused"
    assert page.evaluate("fetch('report.html').then(() => 'loaded', () => 'refused')") == "refused"


def test_a_column_is_sorted_by_keyboard_and_says_so(open_page: Any) -> None:
    page = open_page()
    table = page.locator("table", has=page.get_by_text("Measures of the twin"))
    button = table.get_by_role("button", name="raw")
    button.focus()
    page.keyboard.press("Enter")
    head = table.locator("th[aria-sort]")
    assert (head.count(), head.get_attribute("aria-sort"), head.inner_text()) == (1, "ascending", "raw")
    rising = [float(one.replace("−", "-")) for one in table.evaluate(COLUMN, 1)]
    assert rising == sorted(rising) and len(set(rising)) > 5
    page.keyboard.press("Space")
    assert head.get_attribute("aria-sort") == "descending"
    assert [float(one.replace("−", "-")) for one in table.evaluate(COLUMN, 1)] == rising[::-1]
    assert page.locator("#told").inner_text() == "Sorted by raw, descending."
    table.get_by_role("button", name="floor").click()
    floors = table.evaluate(COLUMN, 2)
    known = [one for one in floors if one]
    assert floors == known + [""] * (len(floors) - len(known)) and [*map(float, known)] == sorted(map(float, known))


def test_a_column_of_words_is_sorted_as_words(open_page: Any) -> None:
    page = open_page()
    table = page.locator("table", has=page.get_by_text("One that failed or is unknown"))
    assert table.evaluate(COLUMN, 1)[0] == "✗failed"
    table.get_by_role("button", name="gate").click()
    names = table.evaluate(COLUMN, 0)
    assert names == sorted(names)


def test_the_button_copies_the_commands(open_page: Any, browser: Any) -> None:
    page = open_page()
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.get_by_role("button", name="Copy the commands").click()
    page.get_by_text("Copied.").wait_for(state="attached")
    assert page.evaluate("navigator.clipboard.readText()").splitlines()[:2] == ["make env", "dvc repro"]


def test_without_a_clipboard_the_commands_are_selected(open_page: Any) -> None:
    page = open_page()
    page.evaluate("Object.defineProperty(navigator, 'clipboard', {value: undefined})")
    page.get_by_role("button", name="Copy the commands").click()
    page.get_by_text("press Ctrl and C").wait_for(state="attached")
    assert page.evaluate("getSelection().toString()").startswith("make env")


def test_the_first_tab_leads_past_the_navigation(open_page: Any) -> None:
    page = open_page()
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the content"
    assert page.evaluate("document.activeElement.getBoundingClientRect().left") == 0
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"


@pytest.mark.parametrize("name", ["run", "compare"])
@pytest.mark.parametrize("width", WIDTHS)
def test_no_page_scrolls_sideways_and_a_wide_table_is_reached_by_keyboard(
    open_page: Any, name: str, width: int
) -> None:
    page = open_page(name, viewport={"width": width, "height": 800})
    page.evaluate("document.querySelectorAll('details').forEach(one => { one.open = true; })")
    assert page.evaluate("document.documentElement.scrollWidth") == width
    page.wait_for_function(
        """() => [...document.querySelectorAll(".wide")].every(
          box => (box.scrollWidth > box.clientWidth) === (box.getAttribute("role") === "region" && !box.tabIndex))"""
    )


@pytest.mark.parametrize("name", ["run", "compare"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_text_stands_out_from_its_ground(open_page: Any, name: str, scheme: str) -> None:
    page = open_page(name, color_scheme=scheme)
    page.evaluate("document.querySelectorAll('details').forEach(one => { one.open = true; })")
    assert page.evaluate(CONTRAST) == []


def test_the_dark_page_is_dark(open_page: Any) -> None:
    grounds = [
        open_page(color_scheme=scheme).evaluate("getComputedStyle(document.body).backgroundColor")
        for scheme in ("light", "dark")
    ]
    assert grounds == ["rgb(246, 246, 242)", "rgb(20, 23, 26)"]


def test_a_table_of_lines_is_still_a_table_on_a_phone(open_page: Any) -> None:
    page = open_page(viewport={"width": 360, "height": 800})
    table = page.get_by_role("table", name="One that failed or is unknown")
    assert table.get_by_role("row").count() == 15
    assert table.get_by_role("rowheader", name="protocol").count() == 1
    assert table.get_by_role("columnheader").count() == 7


@pytest.mark.parametrize("name", ["run", "compare"])
def test_on_phone_and_tablet_no_table_of_numbers_is_cut(open_page: Any, name: str) -> None:
    page = open_page(name)
    for width in (360, 820, 1280):
        page.set_viewport_size({"width": width, "height": 800})
        cut = page.eval_on_selector_all(
            ".lines", "all => all.map(({ parentElement: box }) => box.scrollWidth - box.clientWidth)"
        )
        assert len(cut) >= (4 if name == "run" else 1)
        assert not any(cut), (width, cut)


def test_whoever_wants_no_motion_gets_none(open_page: Any) -> None:
    behaviour = "getComputedStyle(document.documentElement).scrollBehavior"
    assert open_page().evaluate(behaviour) == "smooth"
    assert open_page(reduced_motion="reduce").evaluate(behaviour) == "auto"


def test_charts_have_a_role_and_say_what_they_show(open_page: Any) -> None:
    page = open_page()
    told = page.get_by_role("img").evaluate_all("all => all.map(one => one.getAttribute('aria-label'))")
    assert len(told) == 8
    assert any(one.startswith("Loss in nats per supervised token. Train batches: ") for one in told)


def test_dvcs_page_of_curves_draws_offline_and_only_what_was_measured(browser: Any, tmp_path: Path) -> None:
    measured = {3: 1.5, 6: 1.2, 8: 1.1}
    rows = [f"{one},{3 / one},{measured.get(one, '')},{one},{one}" for one in range(1, 9)]
    (tmp_path / "metrics").mkdir()
    (tmp_path / "metrics/train.csv").write_text(
        "\n".join(["update,loss,valid_loss,learning_rate,gradient_norm", *rows, ""])
    )
    (tmp_path / "metrics/align.csv").write_text("update,accuracy,valid_accuracy\n")
    plots = yaml.safe_load((ROOT / "dvc.yaml").read_text())["plots"]
    (tmp_path / "dvc.yaml").write_text(yaml.safe_dump({"plots": plots}))
    dvc = partial(subprocess.run, cwd=tmp_path, check=True, capture_output=True)
    dvc([sys.executable, "-m", "dvc", "init", "--quiet", "--no-scm"])
    shutil.copytree(ROOT / ".dvc/plots", tmp_path / ".dvc/plots")
    dvc([sys.executable, "-m", "dvc", "config", "plots.html_template", "plots/offline.html"])
    dvc([sys.executable, "-m", "dvc", "plots", "show"])
    page = browser.new_page()
    watch = Watch(page)
    page.goto((tmp_path / "dvc_plots/index.html").as_uri())
    page.locator("svg").nth(len(plots) - 1).wait_for()
    lines = page.locator("svg").first.locator(".mark-line path")
    assert {line.count("L") for line in lines.evaluate_all("all => all.map(one => one.getAttribute('d'))")} == {7, 2}
    assert page.locator(".plots > div").evaluate_all("all => all.map(one => one.id)") == ["loss", "learning_rate"]
    watch.assert_quiet("")
    page.close()


def test_dvc_draws_with_the_page_of_this_repository() -> None:
    said = subprocess.run(
        [sys.executable, "-m", "dvc", "config", "--project", "plots.html_template"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    page = ROOT / ".dvc" / said.stdout.strip()
    assert page.stat().st_size < 1_500_000
    text = page.read_text(encoding="utf-8")
    assert "{scripts}" not in text and "{plot_divs}" in text and "<script src" not in text
    for name, (version, _) in PACKAGES.items():
        assert f"/*! {name} {version}, BSD-3-Clause" in text
        assert f"{name} {version}" in (ROOT / ".dvc/plots/LICENCES.txt").read_text(encoding="utf-8")
