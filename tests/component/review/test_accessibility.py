"""axe-core finds nothing in any state of the page, at 360 and 1,280 pixels, light and dark."""

from __future__ import annotations

import pytest
from learntoask.review.page.access import Role
from worlds.review import question, yes_or_no

pytest.importorskip("axe_playwright_python", reason="axe-playwright-python is not installed")
from axe_playwright_python.sync_playwright import Axe

LOOKS = [(360, 740, False), (360, 740, True), (1280, 800, False), (1280, 800, True)]
LONG = tuple(f"Message {n}: " + "words that fill a line on a telephone, " * 3 for n in range(12))


def problems(tab) -> list[str]:
    found = Axe().run(tab.page).response["violations"]
    wide = tab.page.evaluate("document.documentElement.scrollWidth > document.documentElement.clientWidth")
    return [f"{one['id']}: {one['nodes'][0]['html']}" for one in found] + ["wider than the screen"] * wide


@pytest.mark.parametrize(("width", "height", "dark"), LOOKS)
def test_every_state_of_the_page_passes_axe_and_fits_the_screen(
    serve, open_page, width, height, dark
) -> None:
    items = [
        question(1),
        yes_or_no(2),
        question(3, contents=LONG, mark=(9, 10)),
        question(4, contents=("x" * 400,), mark=(1, 1)),
    ]
    running = serve(*items)
    running.queue.answer(items[1].digest, "bea", ("yes",), seconds=3)
    look = {"width": width, "height": height, "dark": dark}
    tab = open_page(running.link(), **look)
    found = {"question": problems(tab)}
    tab.press("g")
    tab.page.locator("dialog[open]").wait_for()
    found["guideline"] = problems(tab)
    tab.press("g", "c")
    found["comment"] = problems(tab)
    tab.press("Escape", "1", "Enter")
    tab.page.locator(".revealed").wait_for()
    found["votes"] = problems(tab)
    tab.context.set_offline(True)
    tab.press("Enter", "n")
    tab.page.get_by_text("waits in this browser").wait_for()
    found["no network"] = problems(tab)
    tab.context.set_offline(False)
    tab.page.locator("#network[hidden]").wait_for(state="attached")
    tab.press("n", "Enter")
    tab.page.goto(running.address)
    found["after"] = problems(tab)
    for name, address in {
        "overview": running.link("vic", Role.VIEWER),
        "refused": f"{running.address}/enter?link=x",
        "plain guideline": f"{running.address}/guideline?task=pharmacy",
    }.items():
        found[name] = problems(open_page(address, **look))
    assert {name: those for name, those in found.items() if those} == {}


def test_all_done_passes_axe(serve, open_page) -> None:
    item = yes_or_no(1)
    running = serve(item)
    running.queue.answer(item.digest, "ann", ("yes",), seconds=3)
    tab = open_page(running.link(), width=360, height=740)
    tab.page.get_by_text("All answers are in").wait_for()
    assert problems(tab) == []


def test_text_at_twice_the_size_still_fits_a_telephone(serve, open_page) -> None:
    tab = open_page(serve(question(1, contents=LONG, mark=(9, 10))).link(), width=360, height=740)
    tab.page.evaluate("document.documentElement.style.fontSize = '32px'")
    assert problems(tab) == []


def test_the_marked_message_is_in_view_when_a_question_appears(serve, open_page) -> None:
    tab = open_page(
        serve(*(question(n, contents=LONG, mark=(5, 6)) for n in range(2))).link(), width=360, height=740
    )
    for _ in range(2):
        inside = tab.page.evaluate(
            "(() => { const m = document.querySelector('#marked').getBoundingClientRect(),"
            " t = document.querySelector('.talk').getBoundingClientRect();"
            " return m.top >= t.top - 1 && m.top < t.bottom - 40; })()"
        )
        assert inside
        tab.press("s")
        tab.page.get_by_text("Skipped").wait_for()


def test_what_changed_is_announced_and_the_focus_is_on_the_new_question(serve, open_page) -> None:
    tab = open_page(serve(yes_or_no(1), yes_or_no(2)).link())
    assert tab.page.locator("#said[role=status]").count() == 1
    assert tab.page.locator("#network[role=alert]").count() == 1
    tab.press("y")
    tab.page.get_by_text("Before this").wait_for()
    assert tab.page.evaluate("document.activeElement.className") == "question"
    levels = tab.page.evaluate("[...document.querySelectorAll('h1,h2,h3')].map((h) => h.tagName)")
    assert levels[:2] == ["H1", "H2"]


@pytest.mark.parametrize("make", [question, yes_or_no])
def test_answers_and_next_are_in_view_on_a_telephone_without_scrolling(serve, open_page, make) -> None:
    running = serve(*(make(n, contents=LONG, mark=(9, 10), votes=(("a", ("?",), ""),)) for n in range(2)))
    tab = open_page(running.link(), width=360, height=640)

    def in_view(locator: str) -> bool:
        box = tab.page.locator(locator).first.bounding_box()
        return box is not None and box["y"] >= 0 and box["y"] + box["height"] <= 640

    answers = ".main, .quiet" if make is question else ".key"
    assert in_view(answers)
    tab.press("1", *(["Enter"] if make is question else []))
    tab.page.locator(".revealed").wait_for()
    assert in_view("[data-do=next]")


def test_nothing_that_needs_a_keyboard_is_offered_to_a_finger(serve, open_page) -> None:
    running = serve(question(1), question(2))
    for touch in (False, True):
        tab = open_page(running.link(), width=360, height=740, touch=touch)
        tab.press("g")
        tab.page.locator("dialog[open]").wait_for()
        keyed = tab.page.locator("kbd:visible, .switch:visible, .keyed:visible").count()
        assert (keyed == 0) is touch
        assert problems(tab) == []


def test_the_guideline_can_be_closed_wherever_it_is_scrolled(serve, open_page) -> None:
    tab = open_page(serve(question(1)).link(), width=360, height=640, touch=True)
    tab.page.get_by_role("link", name="Guideline").click()
    dialog = tab.page.locator("dialog[open]")
    dialog.wait_for()
    for far in ("0", "dialog.scrollHeight"):
        dialog.evaluate(f"(dialog) => dialog.scrollTo(0, {far})")
        box = tab.page.get_by_role("button", name="Close").bounding_box()
        assert 0 <= box["y"] <= 640 - box["height"]
    tab.page.get_by_role("button", name="Close").click()
    dialog.wait_for(state="detached")


def test_what_answers_decide_takes_the_space_of_a_telephone_once(serve, open_page) -> None:
    items = [yes_or_no(n, votes=()) for n in range(3)]
    running = serve(*items)
    narrow, wide = ({"width": 360, "height": 640}, {"width": 1280, "height": 800})
    tab = open_page(running.link(), **narrow)
    assert tab.page.locator(".decides").is_visible()
    tab.press("y")
    tab.page.get_by_text("1 of 3").wait_for()
    assert not tab.page.locator(".decides").is_visible()
    assert open_page(running.link(), **wide).page.locator(".decides").is_visible()


@pytest.mark.parametrize("kind", ["still_needed", "is_stop"])
def test_what_stands_around_a_question_passes_axe_and_leaves_it_in_view(serve, open_page, kind) -> None:
    if kind == "is_stop":
        item = yes_or_no(1, contents=LONG, mark=(9, 10))
    else:
        item = question(1, contents=LONG, mark=(5, 6)).model_copy(update={"kind": kind})
    for dark in (False, True):
        tab = open_page(serve(item).link(), width=360, height=640, dark=dark)
        assert problems(tab) == []
        box = tab.page.locator(".question").bounding_box()
        assert box["y"] + box["height"] <= tab.page.locator(".act").bounding_box()["y"]


@pytest.mark.parametrize(("width", "height"), [(800, 600), (800, 1000), (1400, 900)])
def test_on_a_wide_screen_conversation_and_question_stand_side_by_side(
    serve, open_page, width, height
) -> None:
    tab = open_page(serve(question(1, contents=LONG, mark=(5, 6))).link(), width=width, height=height)
    talk = tab.page.locator(".talk").bounding_box()
    ask = tab.page.locator(".ask").bounding_box()
    assert talk["x"] + talk["width"] <= ask["x"]
    assert talk["height"] >= 0.6 * height
    assert tab.page.evaluate("document.documentElement.scrollHeight") <= height


def test_keys_are_large_enough_for_a_finger(serve, open_page) -> None:
    tab = open_page(serve(question(1)).link(), width=360, height=740)
    heights = tab.page.evaluate(
        "[...document.querySelectorAll('.key')].map((k) => k.getBoundingClientRect().height)"
    )
    assert min(heights) >= 44
