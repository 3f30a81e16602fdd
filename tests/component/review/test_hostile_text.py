"""Messages, choices, reasons and comments with markup, scripts and deceptive characters are shown as text."""

from __future__ import annotations

from learntoask.review.page.access import Role
from worlds.review import question

ATTACK = (
    '</p></li></ol></section><script>window.hacked=1</script><img src=x onerror="window.hacked=1">'
    '<form action=answer><button autofocus>x</button>" onmouseover="window.hacked=1 {{ 7*7 }} {% raw %}'
)


def test_markup_anywhere_in_a_question_is_text(serve, open_page) -> None:
    item = question(
        1,
        contents=(ATTACK, f"?{ATTACK}"),
        mark=(1, 2),
        text=f"Q {ATTACK}",
        choices=(("a", f"A {ATTACK}"), ('b" x="<i>', "B")),
        votes=((f"judge {ATTACK}", ("a",), f"why {ATTACK}"),),
    )
    running = serve(item)
    running.queue.comment(item.digest, "bea", ATTACK)
    tab = open_page(running.link("eve", Role.ADJUDICATOR))
    assert ATTACK in tab.page.locator(".turn.marked p").inner_text()
    tab.page.locator("input[name=answer][value^=b]").check(force=True)
    tab.press("Enter")
    tab.page.locator(".reveal").wait_for()
    assert f"why {ATTACK}" in tab.page.locator(".reveal").inner_text()
    assert tab.page.evaluate("window.hacked") is None
    assert tab.page.locator(".card img, .card script, .card b b").count() == 0
    assert running.queue.given(item.digest, "eve").answer == ('b" x="<i>',)


def test_markup_in_the_strip_above_the_next_question_is_text(serve, open_page) -> None:
    items = [
        question(n, choices=(("a", ATTACK), ("b", ATTACK)), several=False, votes=(("j", ("a",), ""),))
        for n in range(2)
    ]
    tab = open_page(serve(*items).link())
    tab.page.locator(".key[value=a]").click()
    tab.page.get_by_text("Before this").wait_for()
    assert ATTACK[:40] in tab.page.locator("#said").inner_text()
    assert tab.page.evaluate("window.hacked") is None


def test_characters_that_hide_or_reorder_text_are_shown_by_their_code(serve, open_page) -> None:
    item = question(1, contents=("pay \u202e001\u202c now\u200b, ok\u00ad?", "\x07bell"), mark=(0, 1))
    tab = open_page(serve(item).link())
    text = tab.page.locator(".talk").inner_text()
    for code in ("U+202E", "U+202C", "U+200B", "U+00AD", "U+0007"):
        assert code in text
    assert tab.page.locator(".unseen").first.get_attribute("title") == "right-to-left override"


def test_right_to_left_messages_run_right_to_left_in_a_page_that_does_not(serve, open_page) -> None:
    item = question(1, contents=("هل تتناول أي أدوية أخرى؟", "No."), mark=(0, 1))
    tab = open_page(serve(item).link())
    directions = tab.page.evaluate(
        "[...document.querySelectorAll('.turn p')].map((p) => getComputedStyle(p).direction)"
    )
    assert directions == ["rtl", "ltr"]
    assert tab.page.evaluate("getComputedStyle(document.body).direction") == "ltr"
    assert tab.page.locator(".turn p").first.get_attribute("lang") == "en"
