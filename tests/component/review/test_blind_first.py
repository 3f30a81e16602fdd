"""Before the answer, nothing that the page sends tells what others said or why a question is asked."""

from __future__ import annotations

import re

from learntoask.review.page.access import Role
from learntoask.review.records import ReviewItem
from worlds.review import client_of, fields, post, question, yes_or_no

SECRETS = (
    "secretjudge",
    "secretreason",
    "disagree",
    "random sample",
    "was known",
    "before. A few",
    "s777",
    "disputed",
)


def secret(number: int, **changes: object) -> ReviewItem:
    votes = (("secretjudge", ("allergies",), "secretreason"),)
    return question(number, **{"votes": votes, **changes})  # type: ignore[arg-type]


def test_votes_and_reasons_are_in_the_response_to_the_answer_only(serve) -> None:
    items = [
        secret(n, why=why, expected=("age",) if why == "known" else None)
        for n, why in enumerate(("disagreement", "audit", "known"))
    ] + [secret(777)]
    running = serve(*items, known_every=2)
    with client_of(running) as client:
        page = client.get("/").text
        assert not [word for word in SECRETS if word in page]
        for _ in range(3):
            form = fields(page)
            answer = post(client, "answer", **form, answer="age", say="these").json()
            assert "secretreason" in answer["card"]
            assert not [word for word in SECRETS if word in answer.get("next", "")]
            page = client.get("/").text
            assert not [word for word in SECRETS if word in page]


def test_what_the_expert_did_is_told_only_after_the_answer_whether_it_is_time_to_act(serve) -> None:
    contents = (
        "Something for a headache?",
        "Since when?",
        "Today.",
        "secretact: take ibuprofen.",
        "secretlater",
    )
    items = [yes_or_no(n, contents=contents, mark=(3, 4), votes=()) for n in range(2)]
    with client_of(serve(*items)) as client:
        page = client.get("/").text
        assert "Today." in page
        assert "What now?" in page
        assert "secret" not in page
        answer = post(client, "answer", **fields(page), answer="no").json()
    assert "secretact: take ibuprofen." in answer["card"]
    assert "secretact: take ibuprofen." in answer["said"]


def test_a_known_question_and_a_repeat_look_like_any_other(serve) -> None:
    plain = question(1)
    known = plain.model_copy(update={"why": "known", "expected": ("age",)})
    cards = []
    for item in (plain, known):
        running = serve(item, known_every=1)
        with client_of(running) as client:
            page = client.get("/").text
        article = re.search(r"<article.*?</article>", page, re.DOTALL)
        assert article
        cards.append(re.sub(r"[0-9a-f]{32,64}|value=\"[\w.-]*\"", "", article.group()))
    assert sorted(cards[0].split("\n")) == sorted(cards[1].split("\n"))


def test_a_skip_and_an_undo_tell_nothing_about_an_unanswered_question(serve) -> None:
    running = serve(secret(1), secret(2))
    with client_of(running) as client:
        form = fields(client.get("/").text)
        assert not [word for word in SECRETS if word in post(client, "skip", **form).text]
        form = fields(client.get("/").text)
        assert not [word for word in SECRETS if word in post(client, "undo", **form).text]
        assert "secretreason" not in client.get(f"/?after={form['item']}").text


def test_a_reviewer_never_sees_other_peoples_answers_and_an_adjudicator_only_after_the_own(serve) -> None:
    item = question(1)
    running = serve(item, overlap=2)
    running.queue.answer(item.digest, "zoë", ("age",), seconds=1)
    running.queue.answer(item.digest, "Noor", ("duration",), seconds=1)
    with client_of(running, "ann") as client:
        assert "<article" not in client.get("/").text  # two answers are enough
    with client_of(running, "eve", Role.ADJUDICATOR) as client:
        page = client.get("/").text
        assert "zoë" not in page
        assert "Noor" not in page
        answer = post(client, "answer", **fields(page), answer="age", say="these").json()
    assert "zoë" in answer["card"]
    assert "Noor" in answer["card"]
    assert not answer["agreed"]
    assert running.queue.given(item.digest, "eve").adjudicated


def test_an_answer_after_an_undo_counts_as_given_with_the_votes_in_view(serve) -> None:
    item = secret(1)
    running = serve(item)
    with client_of(running) as client:
        page = client.get("/").text
        post(client, "answer", **fields(page), answer="age", say="these")
        post(client, "undo", **{**fields(page), "client": "0123456789ab"})
        post(client, "answer", **{**fields(page), "client": "ab0123456789"}, answer="allergies", say="these")
    given = running.queue.given(item.digest, "ann")
    assert (given.blind, given.answer, given.revealed) == (("age",), ("allergies",), True)


def test_choices_keep_their_order_for_a_reviewer_and_change_between_reviewers(serve) -> None:
    running = serve(*(question(n) for n in range(3)), overlap=9)
    orders = {}
    for name in ("ann", "zoë", "Noor", "dan", "eva"):
        with client_of(running, name) as client:
            articles = re.findall(r"<article.*?</article>", client.get("/").text, re.DOTALL)
            seen = {tuple(re.findall(r'name="answer" value="(\w+)"', article)) for article in articles}
            assert len(seen) == 1
            orders[name] = seen.pop()
    assert len(set(orders.values())) > 1


def test_yes_and_no_have_their_own_keys_whatever_the_order(serve) -> None:
    running = serve(yes_or_no(1), overlap=9)
    for name in ("ann", "zoë", "Noor", "dan"):
        with client_of(running, name) as client:
            page = client.get("/").text
            pairs = dict(re.findall(r'value="(yes|no)" data-press="(\w) \d"', page))
            assert pairs == {"yes": "y", "no": "n"}
