"""Proves the rating page in a real browser: a session by keyboard, reloads, double clicks, two tabs, hostile pages."""

import http.server
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.browser import Watch, chromium
from tests.listening import listening
from tests.rate_project import MARKUP, choice, in_turn, make_project, make_taught, serving, state
from twin.rate.server import Server
from twin.ratings import Mode, read_sessions, void

KEYS = {"left": ("1", "ArrowLeft"), "right": ("2", "ArrowRight"), "cant_tell": ("0", " ")}
REBOUND = "--host-resolver-rules=MAP evil.example 127.0.0.1"
WIDTHS = (320, 768, 1280)  # the least is 1280 at 400 %, WCAG 1.4.10


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium(REBOUND) as found:
        yield found


@pytest.fixture
def page(browser: Any) -> Iterator[Any]:
    context = browser.new_context(color_scheme="dark", viewport={"width": 800, "height": 700})
    context.set_default_timeout(10_000)
    yield context.new_page()
    context.close()


def arrive(page: Any, server: Server) -> Watch:
    watch = Watch(page)
    page.goto(server.url)
    ready(page, "item 1 of")
    return watch


def ready(page: Any, where: str) -> None:
    """Wait until the page shows this item and takes an answer."""
    page.locator("#where", has_text=where).wait_for()
    page.locator("body[data-ready=yes]").wait_for()


RATERS: defaultdict[Path, Any] = defaultdict(in_turn)
"""By the project's folder: a session that goes on is answered by who began it."""


def press(page: Any, server: Server, number: int) -> None:
    """Answer item `number` by its keys, either of them in turn."""
    seen = state(server)
    assert seen["item"] == number
    wanted = choice(seen, RATERS[server.sitting.journal.root])
    page.keyboard.press(KEYS[wanted][number % 2] if isinstance(wanted, str) else str(wanted))
    ready(page, f"item {number + 2} of" if number + 1 < seen["n_items"] else "items answered")


def test_a_session_that_teaches_is_answered_by_keyboard_and_names_what_takes_it_up(tmp_path: Path, page: Any) -> None:
    root = make_project(tmp_path)
    make_taught(root, {"train": 11})
    with serving(root, Mode.prefer) as server:
        watch = arrive(page, server)
        assert "rather have written" in page.locator("#question").inner_text()
        for number in range(11):
            press(page, server, number)
        page.keyboard.press("Enter")
        page.get_by_role("heading", name="This session counts. Thank you.").wait_for()
        assert "dvc repro align" in page.locator("#end").inner_text()
        watch.assert_quiet(f"127.0.0.1:{server.server_port}")


def given(server: Server) -> list[Any]:
    return [row["answer"] for row in server.sitting.given]


def test_a_whole_session_by_keyboard_with_a_reload_in_the_middle_counts(tmp_path: Path, page: Any) -> None:
    root = make_project(tmp_path, test_prompts=10)
    with serving(root) as server:
        watch = arrive(page, server)
        for number in range(13):
            if number == 6:
                page.reload()
                ready(page, "item 7 of at most 13")
            press(page, server, number)
        assert page.locator("h1").inner_text() == "That was the last item."
        page.keyboard.press("Enter")
        page.get_by_role("heading", name="This session counts. Thank you.").wait_for()
        assert "dvc repro promote" in page.locator("#end").inner_text()
        watch.assert_quiet(f"127.0.0.1:{server.server_port}")
    (found,) = read_sessions(root / "data/ratings")
    assert (len(found.answers), void(found)) == (13, None)
    assert all(0.2 < one.seconds < 60 for one in found.answers)


def test_scores_are_given_by_their_digits(tmp_path: Path, page: Any) -> None:
    root = make_project(tmp_path)
    with serving(root, Mode.protocol) as server:
        watch = arrive(page, server)
        assert page.get_by_role("button", name="3 could be the person").is_visible()
        for number in range(13):
            press(page, server, number)
        page.get_by_role("button", name="End the session").click()
        page.get_by_role("heading", name="This session counts").wait_for()
        watch.assert_quiet(f"127.0.0.1:{server.server_port}")


def test_a_double_click_and_a_held_key_answer_one_item(tmp_path: Path, page: Any) -> None:
    with serving(make_project(tmp_path)) as server:
        watch = arrive(page, server)
        page.get_by_role("button", name="Reply 2").dblclick()
        ready(page, "item 2 of")
        assert given(server) == ["right"]
        page.keyboard.down("1")
        page.keyboard.down("1")
        page.keyboard.down("1")
        page.keyboard.up("1")
        ready(page, "item 3 of")
        assert given(server) == ["right", "left"]
        watch.assert_quiet(f"127.0.0.1:{server.server_port}")


def test_u_takes_the_last_answer_back(tmp_path: Path, page: Any) -> None:
    with serving(make_project(tmp_path)) as server:
        watch = arrive(page, server)
        assert page.get_by_role("button", name="undo").is_hidden()
        shown = page.locator("#replies").inner_text()
        page.keyboard.press("ArrowRight")
        ready(page, "item 2 of")
        page.keyboard.press("u")
        ready(page, "item 1 of")
        assert page.locator("#replies").inner_text() == shown
        assert given(server) == []
        watch.assert_quiet(f"127.0.0.1:{server.server_port}")


def test_a_button_reached_by_tab_is_pressed_by_space_and_focus_returns_to_the_question(
    tmp_path: Path, page: Any
) -> None:
    with serving(make_project(tmp_path)) as server:
        arrive(page, server)
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.innerText").startswith("Reply 1")
        assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
        page.keyboard.press("Space")
        ready(page, "item 2 of")
        assert given(server) == ["left"]
        assert page.evaluate("document.activeElement.id") == "question"


def test_a_screen_reader_is_told_the_question_both_replies_and_the_keys(tmp_path: Path, page: Any) -> None:
    with serving(make_project(tmp_path)) as server:
        arrive(page, server)
        page.keyboard.press("1")
        ready(page, "item 2 of")
        told = page.locator("body").aria_snapshot()
        for one in (
            'status: item 2 of at most 78', 'progressbar "Items answered"', 'heading "Which reply is the better one',
            'heading "The other person wrote"', 'region "Reply 1"', 'region "Reply 2"',
            'group "Which reply is the better one', 'button "Reply 1 1 or ←"', 'button "u undo"',
        ):  # fmt: skip
            assert one in told, f"{one}\n{told}"
        order = []
        for _ in range(4):
            page.keyboard.press("Tab")
            order.append(page.evaluate("document.activeElement.innerText.split('\\n')[0]"))
        assert order == ["Reply 1", "Can’t tell", "Reply 2", "u undo"]
        assert page.evaluate("document.getAnimations().length") == 0


PACE = """() => { window.took = []; let pressed = 0;
  addEventListener("keydown", () => { pressed = performance.now(); }, true);
  new MutationObserver(() => requestAnimationFrame(() => setTimeout(() => took.push(performance.now() - pressed))))
    .observe(document.getElementById("where"), { childList: true }); }"""


def held(page: Any) -> dict[str, float]:
    """What the page holds after its garbage was collected."""
    session = page.context.new_cdp_session(page)
    session.send("HeapProfiler.collectGarbage")
    session.send("Performance.enable")
    found = {one["name"]: one["value"] for one in session.send("Performance.getMetrics")["metrics"]}
    session.detach()
    return {name: found[name] for name in ("Nodes", "JSEventListeners", "JSHeapUsedSize")}


@pytest.mark.slow
def test_eighty_pairs_by_keyboard_are_all_kept_and_the_page_does_not_grow(tmp_path: Path, page: Any) -> None:
    root = make_project(tmp_path, test_prompts=80)
    with serving(root) as server:
        watch = arrive(page, server)
        page.evaluate(PACE)
        (journal,) = root.glob(".work/ratings/*/journal.jsonl")
        total = state(server)["n_items"]
        assert total == 80 + 16 + 8
        for number in range(total):
            press(page, server, number)
            assert journal.read_text().count('"kind": "answer"') == number + 1
            if number == 9:
                early = held(page)
        took_ms = sorted(page.evaluate("took"))
        late = held(page)
        page.keyboard.press("Enter")
        page.get_by_role("heading", name="This session counts. Thank you.").wait_for()
        watch.assert_quiet(f"127.0.0.1:{server.server_port}")
    (found,) = read_sessions(root / "data/ratings")
    assert (len(found.answers), void(found)) == (total, None)
    assert late["Nodes"] <= early["Nodes"] + 100, (early, late)
    assert late["JSEventListeners"] <= early["JSEventListeners"] + 10, (early, late)
    assert late["JSHeapUsedSize"] <= early["JSHeapUsedSize"] + 500_000, (early, late)
    middle, slow = took_ms[len(took_ms) // 2], took_ms[len(took_ms) * 95 // 100]
    print(f"{total} items: {middle:.0f} ms an item, 95 % below {slow:.0f}; {early} {late}")


@pytest.mark.parametrize(("height", "position"), [(256, "static"), (400, "sticky")])
def test_the_buttons_leave_room_to_read_at_400_per_cent(tmp_path: Path, page: Any, height: int, position: str) -> None:
    with serving(make_project(tmp_path)) as server:
        page.set_viewport_size({"width": height * 8 // 5, "height": height})
        arrive(page, server)
        assert page.evaluate("getComputedStyle(document.getElementById('foot')).position") == position
        told = page.evaluate("document.getElementById('prompt').getBoundingClientRect().bottom")
        assert told < height


def test_a_second_tab_shows_the_same_item_and_an_answer_from_a_tab_behind_is_not_kept(
    tmp_path: Path, page: Any
) -> None:
    with serving(make_project(tmp_path)) as server:
        arrive(page, server)
        page.keyboard.press("1")
        ready(page, "item 2 of")
        other = page.context.new_page()
        other.goto(server.url)
        ready(other, "item 2 of")
        other.keyboard.press("1")
        ready(other, "item 3 of")
        # Focus does not change between pages without a window, so the first tab is really behind.
        page.evaluate("choose('right')")
        page.get_by_text("was answered in another window").wait_for()
        ready(page, "item 3 of")
        assert given(server) == ["left", "left"]
        assert page.locator("#replies").inner_text() == other.locator("#replies").inner_text()


def test_markup_in_prompts_and_replies_stays_text(tmp_path: Path, page: Any) -> None:
    with serving(make_project(tmp_path, reply=MARKUP)) as server:
        watch = arrive(page, server)
        assert page.locator("#replies img, #replies script").count() == 0
        assert MARKUP in " ".join(page.locator("#replies").all_inner_texts()) or "<script>" in page.inner_text(
            "#replies"
        )
        assert "blind rating" in page.title()
        watch.assert_quiet(f"127.0.0.1:{server.server_port}")


def test_a_server_that_is_gone_is_said_and_nothing_is_taken_as_saved(tmp_path: Path, page: Any) -> None:
    with serving(make_project(tmp_path)) as server:
        arrive(page, server)
    page.keyboard.press("1")
    page.get_by_text("Not saved: the server is gone.").wait_for()
    assert page.locator("#where").inner_text().startswith("item 1 of")


@contextmanager
def stranger() -> Iterator[str]:
    """Serve an empty page from another origin."""
    with listening(http.server.ThreadingHTTPServer(("127.0.0.1", 0), Blank)) as url:
        yield f"{url}/"


class Blank(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(b"<!doctype html><title>other</title>")

    def log_message(self, *_: object) -> None:
        pass


READ = "url => fetch(url + 'state').then(r => r.text(), () => 'refused')"
SEND = """([url, kind]) => fetch(url + 'answer', {method: 'POST', headers: {'Content-Type': kind}, mode: 'no-cors',
  body: JSON.stringify({step: 0, item: 0, answer: 'left', seconds: 1})}).then(() => 'sent', () => 'refused')"""
FRAME = """url => new Promise(done => { const frame = document.createElement('iframe'); frame.src = url;
  frame.onload = () => done(frame.contentDocument === null); document.body.append(frame); })"""


def test_another_page_can_neither_read_nor_answer_nor_frame_it_though_it_knew_the_address(
    tmp_path: Path, page: Any
) -> None:
    with serving(make_project(tmp_path)) as server, stranger() as other:
        page.goto(other)
        assert page.evaluate(READ, server.url) == "refused"
        for kind in ("application/json", "text/plain"):
            page.evaluate(SEND, [server.url, kind])
        assert page.evaluate(FRAME, server.url)
        assert all(frame.query_selector("#question") is None for frame in page.frames)
        assert state(server)["step"] == 0


def test_a_name_that_was_made_to_point_here_gets_nothing(tmp_path: Path, page: Any) -> None:
    with serving(make_project(tmp_path)) as server:
        page.goto(server.url.replace("127.0.0.1", "evil.example"))
        assert "this server has another name" in page.content()
        assert page.locator("#question").count() == 0


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", WIDTHS)
def test_nothing_sticks_out_of_the_window(tmp_path: Path, browser: Any, width: int, scheme: str) -> None:
    for mode in Mode:
        root = make_project(tmp_path / mode.value, reply="x" * 300)
        make_taught(root, {"train": 11})
        with serving(root, mode) as server:
            context = browser.new_context(color_scheme=scheme, viewport={"width": width, "height": 640})
            page = context.new_page()
            arrive(page, server)
            assert page.evaluate("document.documentElement.scrollWidth") == width
            heights = page.eval_on_selector_all("#choices button", "all => all.map(one => one.offsetHeight)")
            assert min(heights) >= 44  # a finger's width, WCAG 2.5.5
            context.close()
