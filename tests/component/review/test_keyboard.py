"""The whole review by keyboard alone."""

from __future__ import annotations

from learntoask.review.choice_order import ordered_choices
from worlds.review import question, yes_or_no


def test_a_choice_takes_one_key_and_one_request(serve, open_page) -> None:
    items = [yes_or_no(n, votes=()) for n in range(4)]
    running = serve(*items)
    tab = open_page(running.link())
    requests: list[str] = []
    tab.page.on("request", lambda request: "/assets/" in request.url or requests.append(request.url))
    for done in range(1, 4):
        tab.press("y")
        tab.page.get_by_text(f"{done} of 4 questions").wait_for()
    assert [url.rsplit("/", 1)[1] for url in requests] == ["answer"] * 3
    assert sorted(
        item.digest for item in items if running.queue.given(item.digest, "ann").answer == ("yes",)
    ) == sorted(digest for digest, *_ in running.queue.responses())


def test_votes_that_differ_stay_until_enter(serve, open_page) -> None:
    running = serve(question(1), question(2))
    tab = open_page(running.link())
    first = tab.page.locator(".card").get_attribute("data-item")
    tab.press("1", "Enter")
    tab.page.get_by_text("Both machine judges say something else").wait_for()
    assert "is a pattern of other_medicines" in tab.page.locator(".reveal").inner_text()
    assert tab.page.locator(".card").get_attribute("data-item") == first
    tab.press("Enter")
    tab.page.locator(f".card:not([data-item='{first}'])").wait_for()
    assert running.queue.given(first, "ann").answer == (ordered_choices(question(1), "ann")[0].key,)


def test_enter_before_the_votes_arrive_goes_on_and_shows_them_above(serve, open_page) -> None:
    # Either of the two may be asked first.
    running = serve(*(yes_or_no(number, votes=(("lexicon", ("no",), ""),)) for number in (1, 2)))
    tab = open_page(running.link())
    first = tab.page.locator(".card").get_attribute("data-item")
    tab.page.evaluate(
        "document.querySelector('[data-press~=y]').click();"
        "document.body.dispatchEvent(new KeyboardEvent('keydown', {key: 'Enter', bubbles: true}))"
    )
    tab.page.get_by_text("Before this: you said").wait_for()
    assert tab.page.locator(".card").get_attribute("data-item") != first


def test_where_all_agree_the_next_question_comes_by_itself(serve, open_page) -> None:
    running = serve(yes_or_no(1), yes_or_no(2))
    tab = open_page(running.link())
    first = tab.page.locator(".card").get_attribute("data-item")
    tab.press("y")
    tab.page.locator(f".card:not([data-item='{first}'])").wait_for()
    assert "you and the machine said Yes" in tab.page.locator("#said").inner_text()


def test_a_change_of_mind_is_a_second_event(serve, open_page) -> None:
    item = yes_or_no(1, votes=(("lexicon", ("no",), "no field is left"),))
    running = serve(item)
    tab = open_page(running.link())
    tab.press("y")
    tab.page.get_by_text("The machine judge says something else").wait_for()
    tab.press("n")
    tab.page.get_by_text("Everybody agrees").wait_for()
    given = running.queue.given(item.digest, "ann")
    assert (given.blind, given.answer, given.changed) == (("yes",), ("no",), True)


def test_several_choices_are_changed_by_enter_once_one_is_ticked_again(serve, open_page) -> None:
    item = question(1)
    keys = [choice.key for choice in ordered_choices(item, "ann")]
    running = serve(item)
    tab = open_page(running.link())
    tab.press("1", "3", "Enter")
    tab.page.locator(".revealed").wait_for()
    assert running.queue.given(item.digest, "ann").answer == tuple(sorted((keys[0], keys[2])))
    with tab.page.expect_response("**/answer"):
        tab.press("1", "Enter")
    given = running.queue.given(item.digest, "ann")
    assert (given.answer, given.changed) == ((keys[2],), True)


def test_enter_changes_the_answer_only_while_the_ticks_differ_and_the_buttons_say_so(
    serve, open_page
) -> None:
    item = question(1)
    running = serve(item)
    tab = open_page(running.link())
    tab.press("1", "Enter")
    tab.page.locator(".revealed").wait_for()
    main = tab.page.locator(".act .main:visible")
    assert main.inner_text().split() == ["Next", "↵"]
    tab.press("2")
    assert main.inner_text().split() == ["Change", "the", "answer", "↵"]
    tab.press("2")
    assert main.inner_text().split() == ["Next", "↵"]
    tab.press("Enter")
    tab.page.get_by_text("All answers are in").wait_for()
    assert not running.queue.given(item.digest, "ann").changed


def test_none_and_cannot_say_are_answers(serve, open_page) -> None:
    items = [question(n, votes=()) for n in range(2)]
    running = serve(*items)
    tab = open_page(running.link())
    order = []
    for key in ("n", "?"):
        order.append(tab.page.locator(".card").get_attribute("data-item"))
        with tab.page.expect_response("**/answer"):
            tab.press(key)
        tab.page.locator(f".card:not([data-item='{order[-1]}']), .done").first.wait_for()
    assert [running.queue.given(digest, "ann").answer for digest in order] == [(), ("?",)]


def test_enter_without_a_choice_answers_nothing(serve, open_page) -> None:
    running = serve(question(1))
    tab = open_page(running.link())
    tab.press("Enter")
    tab.page.get_by_text("Choose at least one").wait_for()
    assert running.queue.responses() == []


def test_undo_takes_the_last_answer_back_from_the_next_card(serve, open_page) -> None:
    items = [yes_or_no(n, votes=()) for n in range(3)]
    running = serve(*items)
    tab = open_page(running.link())
    first = tab.page.locator(".card").get_attribute("data-item")
    tab.press("y")
    tab.page.locator(f".card:not([data-item='{first}'])").wait_for()
    second = tab.page.locator(".card").get_attribute("data-item")
    tab.press("u")
    tab.page.locator(f".card[data-item='{first}']").wait_for()
    assert tab.page.locator("#said").inner_text() == "Undone: you had said Yes, nothing is missing."
    assert running.queue.given(first, "ann").answer is None
    tab.press("n")
    tab.page.locator(f".card[data-item='{second}']").wait_for()
    assert running.queue.given(first, "ann").answer == ("no",)


def test_undo_brings_a_skipped_question_back_and_leaves_the_answer_before_it(serve, open_page) -> None:
    running = serve(*(yes_or_no(n, votes=()) for n in range(3)))
    tab = open_page(running.link())
    first = tab.page.locator(".card").get_attribute("data-item")
    tab.press("y")
    tab.page.locator(f".card:not([data-item='{first}'])").wait_for()
    second = tab.page.locator(".card").get_attribute("data-item")
    tab.press("s")
    tab.page.locator(f".card:not([data-item='{second}'])").wait_for()
    tab.press("u")
    tab.page.locator(f".card[data-item='{second}']").wait_for()
    assert tab.page.locator("#said").inner_text() == "What you did last is undone."
    assert running.queue.given(first, "ann").answer == ("yes",)
    tab.press("n")
    tab.page.locator(f".card:not([data-item='{second}'])").wait_for()
    assert running.queue.given(second, "ann").answer == ("no",)


def test_a_comment_is_written_and_saved_without_a_pointer(serve, open_page) -> None:
    item = question(1)
    running = serve(item)
    tab = open_page(running.link())
    tab.press("c")
    tab.page.locator("textarea").wait_for()
    tab.page.keyboard.type("1 y n? The patient")
    tab.press("Enter")
    tab.page.keyboard.type("contradicts herself.")
    with tab.page.expect_response("**/comment"):
        tab.press("Control+Enter")
    assert running.queue.given(item.digest, "ann").comments == ("1 y n? The patient\ncontradicts herself.",)
    assert running.queue.given(item.digest, "ann").answer is None
    assert tab.page.evaluate("document.activeElement.className") == "question"
    assert "saved" in tab.page.locator(".comment").inner_text()
    tab.page.reload()
    assert "saved" in tab.page.locator(".comment").inner_text()


def test_a_comment_is_written_in_view_with_its_keys_also_below_many_choices(serve, open_page) -> None:
    choices = [(f"field{n}", f"Field {n}", "What it means, in a few words.") for n in range(9)]
    tab = open_page(serve(question(1, choices=choices)).link(), width=1280, height=700)
    assert "saved" not in tab.page.locator(".comment").inner_text()
    tab.press("c")
    for part in (
        tab.page.locator("textarea"),
        tab.page.get_by_text("Save comment"),
        tab.page.get_by_text("Ctrl+Enter"),
    ):
        box = part.bounding_box()
        assert box["y"] >= 0
        assert box["y"] + box["height"] <= 700


def test_a_choice_that_is_ticked_by_key_comes_into_view(serve, open_page) -> None:
    choices = [(f"field{n}", f"Field {n}", "What it means, in a few words.") for n in range(9)]
    tab = open_page(serve(question(1, choices=choices)).link(), width=360, height=640)
    key, bar = tab.page.locator(".key").nth(8), tab.page.locator(".act")
    assert key.bounding_box()["y"] > 640
    tab.press("9")
    box = key.bounding_box()
    assert box["y"] >= 0
    assert box["y"] + box["height"] <= bar.bounding_box()["y"]


def test_escape_leaves_a_comment_and_the_focus_is_on_the_question(serve, open_page) -> None:
    tab = open_page(serve(question(1)).link())
    tab.press("c")
    tab.page.locator("textarea").wait_for()
    tab.press("x", "Escape")
    tab.page.locator("details[open]").wait_for(state="detached")
    assert tab.page.evaluate("document.activeElement.className") == "question"


def test_the_keys_that_scroll_a_page_scroll_the_conversation_and_a_point_returns_to_the_mark(
    serve, open_page
) -> None:
    long = tuple(f"Message {n}: " + "words that fill a line, " * 8 for n in range(30))
    tab = open_page(serve(question(1, contents=long, mark=(15, 16))).link(), width=1000, height=600)

    def place() -> float:
        return tab.page.evaluate("document.querySelector('.talk').scrollTop")

    marked = place()
    for key, down in (("PageDown", True), ("PageUp", False), ("Space", True), ("Shift+Space", False)):
        before = place()
        tab.press(key)
        assert (place() - before > 100) if down else (before - place() > 100)
    tab.press("End")
    assert place() > marked + 500
    tab.press(".")
    assert place() == marked
    tab.press("ArrowUp")
    assert place() == marked - 48


def test_undo_goes_back_answer_by_answer_also_after_the_page_was_loaded_again(serve, open_page) -> None:
    running = serve(*(yes_or_no(n, votes=()) for n in range(4)))
    tab = open_page(running.link())
    order = []
    for done in range(1, 4):
        order.append(tab.page.locator(".card").get_attribute("data-item"))
        tab.press("y")
        tab.page.get_by_text(f"{done} of 4 questions").wait_for()
    tab.page.reload()
    for left in (2, 1, 0):
        tab.press("u")
        tab.page.locator(f".card[data-item='{order[left]}']").wait_for()
        tab.page.get_by_text(f"{left} of 4 questions").wait_for()
        assert running.queue.given(order[left], "ann").answer is None
    tab.press("u")
    tab.page.get_by_text("There is no answer to take back").wait_for()
    tab.page.reload()
    assert tab.page.locator(".card").get_attribute("data-item") == order[0]


def test_the_last_answer_of_a_review_can_be_taken_back(serve, open_page) -> None:
    item = yes_or_no(1)
    running = serve(item)
    tab = open_page(running.link())
    tab.press("y")
    tab.page.get_by_text("All answers are in").wait_for()
    tab.press("u")
    tab.page.locator(f".card[data-item='{item.digest}']").wait_for()
    assert running.queue.given(item.digest, "ann").answer is None


def test_skipping_leaves_a_question_for_later(serve, open_page) -> None:
    running = serve(yes_or_no(1), yes_or_no(2), yes_or_no(3))
    tab = open_page(running.link())
    first = tab.page.locator(".card").get_attribute("data-item")
    tab.press("s")
    tab.page.locator(f".card:not([data-item='{first}'])").wait_for()
    assert running.queue.given(first, "ann").skipped is not None


def test_the_guideline_opens_and_closes_by_key(serve, open_page) -> None:
    tab = open_page(serve(question(1)).link())
    tab.press("g")
    tab.page.locator("dialog[open]").wait_for()
    text = tab.page.locator("dialog").inner_text()
    assert text.index("Find out what the patient needs") < text.index("What may be asked for")
    assert text.index("Whether the patient is pregnant") < text.index("pregnant · breastfeeding · neither")
    assert text.index("neither") < text.index("What counts as asking")
    tab.press("g")
    tab.page.locator("dialog[open]").wait_for(state="detached")
    assert tab.page.locator(".card").count() == 1


def test_single_key_shortcuts_can_be_turned_off_for_good(serve, open_page) -> None:
    running = serve(yes_or_no(1))
    tab = open_page(running.link())
    tab.page.get_by_label("Single-key shortcuts").uncheck()
    tab.page.reload()
    tab.press("y")
    assert not tab.page.get_by_label("Single-key shortcuts").is_checked()
    assert running.queue.responses() == []


def test_all_of_a_review_by_tab_and_space_alone(serve, open_page) -> None:
    item = yes_or_no(1, votes=())
    running = serve(item)
    tab = open_page(running.link())
    for _ in range(12):
        tab.press("Tab")
        if tab.page.evaluate("document.activeElement.value") == "no":
            break
    tab.press("Space")
    tab.page.get_by_text("All answers are in").wait_for()
    assert running.queue.given(item.digest, "ann").answer == ("no",)


def test_a_flagged_reviewer_is_told_so_on_the_page(serve, open_page) -> None:
    items = [
        yes_or_no(n, votes=(("a", ("yes",), ""), ("b", ("no",), "")), why="disagreement") for n in range(40)
    ]
    running = serve(*items)
    for item in items[:30]:
        first = ordered_choices(item, "ann")[0].key
        running.queue.answer(item.digest, "ann", (first,), seconds=1.0)
    tab = open_page(running.link())
    told = " ".join(tab.page.locator(".warning[role=status]").all_inner_texts())
    assert "choice number 1" in told
    assert "faster than the text can be read" in told
