"""The page without JavaScript: forms and redirects."""

from __future__ import annotations

from worlds.review import question, yes_or_no

WITHOUT_SCRIPT = {"script": False, "width": 360, "height": 740}


def test_a_review_is_done_by_forms_alone(serve, open_page) -> None:
    items = [yes_or_no(n) for n in range(3)]
    running = serve(*items)
    tab = open_page(running.link(), **WITHOUT_SCRIPT)
    for _ in items:
        tab.page.get_by_role("button", name="No, ask on").click()
        tab.page.get_by_text("says something else").wait_for()
        tab.page.get_by_role("link", name="Next").click()
    tab.page.get_by_text("All answers are in").wait_for()
    assert [response.answer for *_, response in running.queue.responses()] == [("no",)] * 3


def test_several_choices_are_sent_together_and_seconds_are_counted(serve, open_page) -> None:
    item = question(1)
    running = serve(item)
    tab = open_page(running.link(), **WITHOUT_SCRIPT)
    tab.page.get_by_label("duration").check(force=True)
    tab.page.get_by_label("allergies").check(force=True)
    tab.page.get_by_role("button", name="Answer", exact=True).click()
    tab.page.get_by_text("say something else").wait_for()
    given = running.queue.given(item.digest, "ann")
    assert given.answer == ("allergies", "duration")
    assert 0 <= given.seconds < 60


def test_a_mind_changed_on_the_revealed_page_is_a_second_event(serve, open_page) -> None:
    item = yes_or_no(1)
    running = serve(item)
    tab = open_page(running.link(), **WITHOUT_SCRIPT)
    tab.page.get_by_role("button", name="No, ask on").click()
    tab.page.get_by_role("button", name="Yes, nothing is missing").click()
    tab.page.get_by_text("Everybody agrees").wait_for()
    given = running.queue.given(item.digest, "ann")
    assert (given.blind, given.answer, given.revealed) == (("no",), ("yes",), True)


def test_an_answer_is_undone_and_the_same_question_comes_back(serve, open_page) -> None:
    running = serve(yes_or_no(1), yes_or_no(2))
    tab = open_page(running.link(), **WITHOUT_SCRIPT)
    first = tab.page.locator(".card").get_attribute("data-item")
    tab.page.get_by_role("button", name="No, ask on").click()
    tab.page.get_by_role("button", name="Undo").click()
    tab.page.get_by_text("Undone: you had said No, ask on.").wait_for()
    assert tab.page.locator(".card").get_attribute("data-item") == first
    assert tab.page.locator(".reveal").count() == 0
    tab.page.goto(f"{running.address}/?item={first}&undone=send+money")
    assert tab.page.locator("#said").inner_text() == ""


def test_several_choices_that_are_undone_are_named_also_where_none_was_right(serve, open_page) -> None:
    tab = open_page(serve(question(1)).link(), **WITHOUT_SCRIPT)
    tab.page.get_by_role("button", name="None of these").click()
    tab.page.get_by_role("button", name="Undo").click()
    tab.page.get_by_text("Undone: you had said none of these.").wait_for()
    tab.page.get_by_role("button", name="Cannot say").click()
    tab.page.get_by_role("button", name="Undo").click()
    tab.page.get_by_text("Undone: you had said cannot say.").wait_for()


def test_ticks_are_changed_by_a_button_after_the_votes(serve, open_page) -> None:
    item = question(1)
    running = serve(item)
    tab = open_page(running.link(), **WITHOUT_SCRIPT)
    tab.page.get_by_label("duration").check(force=True)
    tab.page.get_by_role("button", name="Answer", exact=True).click()
    tab.page.get_by_text("tick or untick, then “Change the answer”").wait_for()
    tab.page.get_by_label("age").check(force=True)
    tab.page.get_by_role("button", name="Change the answer").click()
    tab.page.locator(".key.chosen").nth(1).wait_for()
    given = running.queue.given(item.digest, "ann")
    assert (given.blind, given.answer) == (("duration",), ("age", "duration"))


def test_a_comment_a_skip_and_the_guideline_work_as_plain_pages(serve, open_page) -> None:
    running = serve(yes_or_no(1), yes_or_no(2))
    tab = open_page(running.link(), **WITHOUT_SCRIPT)
    first = tab.page.locator(".card").get_attribute("data-item")
    tab.page.get_by_text("Comment").first.click()
    tab.page.get_by_label("Your comment").fill("hm")
    tab.page.get_by_role("button", name="Save comment").click()
    tab.page.get_by_text("Your comment is saved").wait_for()
    assert "saved" in tab.page.locator(".comment").inner_text()
    assert running.queue.given(first, "ann").comments == ("hm",)
    tab.page.get_by_role("link", name="Guideline").click()
    tab.page.get_by_text("Substances that the patient does not tolerate").wait_for()
    tab.page.get_by_role("link", name="Back").click()
    tab.page.get_by_role("button", name="Skip").click()
    tab.page.get_by_text("Skipped").wait_for()
    assert tab.page.locator(".card").get_attribute("data-item") != first


def test_a_form_that_is_sent_twice_records_one_answer(serve, open_page) -> None:
    item = yes_or_no(1)
    running = serve(item)
    tab = open_page(running.link(), **WITHOUT_SCRIPT)
    with tab.page.expect_request("**/answer") as sent:
        tab.page.get_by_role("button", name="No, ask on").click()
    tab.page.get_by_text("says something else").wait_for()
    before = running.queue.given(item.digest, "ann")
    again = tab.context.request.post(
        sent.value.url,
        data=sent.value.post_data,
        headers={"content-type": "application/x-www-form-urlencoded"},
    )
    assert again.ok
    assert running.queue.given(item.digest, "ann") == before


def test_what_is_needed_stands_above_the_question_whether_to_act_and_no_other(serve, open_page) -> None:
    tab = open_page(serve(yes_or_no(1)).link(), **WITHOUT_SCRIPT)
    needs = tab.page.locator(".ask .needs").inner_text()
    assert "Find out what the patient needs" in needs
    assert "Needed: symptom, duration, age, other medicines, allergies." in needs
    assert "Optional: pregnancy." in needs
    other = open_page(serve(question(1)).link(), **WITHOUT_SCRIPT)
    assert other.page.locator(".needs").count() == 0


def test_an_act_without_words_is_shown_as_one_after_the_answer(serve, open_page) -> None:
    contents = ("Hi, a headache.", "Since when?", "Today.")
    tab = open_page(serve(yes_or_no(1, contents=contents, mark=(3, 3))).link(), **WITHOUT_SCRIPT)
    assert "acts" not in tab.page.locator(".card").inner_text()
    tab.page.get_by_role("button", name="Yes, nothing is missing").click()
    tab.page.get_by_text("The pharmacist acted here, too.").wait_for()
    assert "(acts; nothing more is asked)" in tab.page.locator("#marked").inner_text()


def test_a_question_about_the_rest_of_the_conversation_marks_all_of_it(serve, open_page) -> None:
    item = question(1, mark=(1, 2)).model_copy(update={"kind": "still_needed"})
    tab = open_page(serve(item).link(), **WITHOUT_SCRIPT)
    assert tab.page.locator(".turn.marked").count() == 4
    assert tab.page.locator(".flag").all_inner_texts() == ["from here on"]
    assert tab.page.locator("h2").inner_text().startswith("The whole rest of the conversation")
