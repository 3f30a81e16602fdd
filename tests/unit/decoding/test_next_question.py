"""The next likely answer after a question that repeats."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import product

import pytest
from learntoask.core.records import STOP
from learntoask.decoding.branch import barred_after
from learntoask.decoding.next_question import QuestionSearch

ANSWERS = {
    "what age": 0.5,
    "what dose": 0.2,
    "what else": 0.02,
    "how long": 0.06,
    "are you": 0.04,
    "is it": 0.03,
    "stop now": 0.15,
}
"""The probabilities of all answers of two words."""


@dataclass(frozen=True)
class Answer:
    text: str
    tokens: tuple[str, ...]
    logprobs: tuple[float, ...]


def greedy(barred: tuple[tuple[str, ...], ...]) -> Answer:
    """Decode word by word, as the decoder does, never beginning with the stop."""
    tokens: tuple[str, ...] = ()
    logprobs = []
    for place in range(2):
        begun = {text: p for text, p in ANSWERS.items() if tuple(text.split()[:place]) == tokens}
        chances: dict[str, float] = {}
        for text, p in begun.items():
            word = text.split()[place]
            chances[word] = chances.get(word, 0) + p / sum(begun.values())
        allowed = {w: p for w, p in chances.items() if w not in barred_after(tokens, (("stop",), *barred))}
        word = max(allowed, key=lambda w: allowed[w])
        tokens += (word,)
        logprobs.append(math.log(chances[word]))
    return Answer(" ".join(tokens), tokens, tuple(logprobs))


def search(*put: str, threshold: float | None = 0.9) -> list[str]:
    """Return the texts of all candidates and the one that is answered."""
    found = QuestionSearch(
        repeats=lambda text: text in put,
        stop=("stop", "now"),
        stop_probability=0.15,
        threshold=threshold,
        last_resort=lambda: "last resort",
    )
    candidates = []
    while True:
        candidate = greedy(found.barred)
        candidates.append(candidate.text)
        answer = found.offer(candidate)
        if answer is not None:
            return [*candidates, answer]


def test_a_new_question_is_answered_at_once() -> None:
    assert search() == ["what age", "what age"]


def test_the_next_likely_question_is_found_where_most_others_branch_off() -> None:
    assert search("what age") == ["what age", "what dose", "what dose"]


def test_a_beginning_of_which_little_is_left_is_given_up() -> None:
    assert search("what age", "what dose") == ["what age", "what dose", "how long", "how long"]


def test_a_stop_that_the_refused_questions_make_likely_is_answered() -> None:
    # .15 / (1 - .5) = .3; .15 / (1 - .7) = .5
    assert search("what age", threshold=0.3) == ["what age", STOP]
    assert search("what age", "what dose", threshold=0.4)[-1] == STOP


def test_without_a_new_candidate_the_last_resort_answers() -> None:
    every = [text for text in ANSWERS if text != "stop now"]
    assert search(*every, threshold=0.99) == [
        "what age",
        "what dose",
        "how long",
        "are you",
        "is it",
        "last resort",
    ]


@pytest.mark.parametrize("first", ["a", "b"])
def test_only_the_last_token_of_a_beginning_is_barred_and_after_the_others(first: str) -> None:
    for tokens in product("ab", repeat=2):
        barred = barred_after(tokens, [(first,), (first, "b", "c"), (first, "b", "d")])
        assert barred == (("c", "d") if tokens == (first, "b") else ())


def test_a_stop_that_begins_like_the_questions_is_no_alternative_to_them() -> None:
    found = QuestionSearch(
        repeats=lambda text: True,
        stop=("<", "stop"),
        stop_probability=0.15,
        threshold=0.9,
        last_resort=lambda: "last resort",
    )
    likely = Answer("<need age", ("<", "need", "age"), (math.log(0.99), math.log(0.84), math.log(0.9)))
    assert found.offer(likely) is None
    assert found.barred == (("<", "need", "age"),)
