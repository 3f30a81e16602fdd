"""Patterns find what their grams say, stay linear, and are kept only where they tell fields apart."""

from __future__ import annotations

import time

import pytest
import regex
from hypothesis import given
from hypothesis import strategies as st
from learntoask.core.pack import InformationField
from learntoask.core.text.characters import one_line
from learntoask.induction.patterns.mining import MessageIndex, Target, mine
from learntoask.induction.patterns.tokens import Gram, grams, tokens

TEXTS = (
    "Since when do you have it?",
    "What's your date of birth, and which day suits you? I don't know yet.",
    "いつからですか？ 何歳ですか",
    "몇 살이세요?",
    "متى بدأ الألم؟",
    "Do you take e-bikes (or any other_thing) to 24 Main St.?",
    "It leaves at 0:0 am.",
)


@pytest.mark.parametrize("text", TEXTS)
def test_the_expression_of_every_gram_of_a_text_finds_the_text(text: str) -> None:
    plain = one_line(text).lower()
    for gram in grams(text):
        assert regex.search(gram.expression, plain, regex.IGNORECASE), gram


@given(st.sampled_from(TEXTS), st.text(alphabet="what is your day?. -'é日いつ", max_size=30))
def test_an_expression_finds_a_text_exactly_if_the_text_has_the_gram(source: str, text: str) -> None:
    plain = one_line(text).lower()
    own = grams(text)
    for gram in list(grams(source))[:40]:
        found = regex.search(gram.expression, plain, regex.IGNORECASE) is not None
        assert found == (gram in own), (gram, plain)


def test_a_zero_stands_for_any_number() -> None:
    search = regex.compile(Gram(("0 am",)).expression)
    assert search.search("the bus leaves at 6:10 am")
    assert not search.search("i am here")


@pytest.mark.parametrize(
    ("part", "torn"),
    [("t", True), ("s your", True), ("ll need", True), ("don't", False), ("d'un", False), ("to", False)],
)
def test_a_piece_is_torn_if_it_begins_within_a_contraction(part: str, torn: bool) -> None:
    assert Gram((part,)).is_torn is torn
    assert Gram(("know", part)).is_torn is torn


def test_every_expression_is_a_valid_pattern_of_a_pack() -> None:
    found = [gram.expression for text in TEXTS for gram in grams(text)]
    assert InformationField(name="x", patterns=tuple(found)).patterns == tuple(found)


def test_an_expression_gives_up_on_a_long_message_in_no_time() -> None:
    gram = Gram(("how", "day"), asks=True)
    start = time.process_time()
    assert regex.search(gram.expression, "how " * 20_000) is None
    assert time.process_time() - start < 2


def test_scripts_without_spaces_are_divided_into_characters() -> None:
    assert tokens("何歳ですか") == list("何歳ですか")
    assert Gram(("何歳",)) in grams("何歳ですか？")


def mined(
    wanted: dict[str, int], others: dict[str, int], *, frame: frozenset[str] = frozenset()
) -> list[str]:
    index = MessageIndex([*wanted, *others])
    target = Target(
        {index.number[text]: count for text, count in wanted.items()},
        {index.number[text]: count for text, count in others.items()},
    )
    candidates = index.with_grams({gram for text in wanted for gram in grams(text)})
    return [pattern.expression for pattern in mine(target, candidates, frame=frame)]


def test_one_word_that_only_this_field_has_is_enough() -> None:
    assert mined({"How old are you?": 9, "And how old is she?": 5}, {"How long is it?": 9}) == [r"\bold\b"]


def test_a_word_that_other_fields_share_is_no_pattern() -> None:
    found = mined({"Which day do you leave?": 9}, {"Which day do you return?": 9})
    assert found == [r"\bleave\b"]


def test_a_text_that_occurs_once_teaches_no_pattern() -> None:
    assert mined({"How old are you?": 1}, {"How long is it?": 9}) == []


def test_words_of_the_frame_alone_need_many_messages() -> None:
    frame = frozenset(("what", "is", "it"))
    assert mined({"What is it?": 4}, {"Your name?": 9}, frame=frame) == []
    assert mined({"What is it?": 9}, {"Your name?": 9}, frame=frame) != []


def test_a_word_is_enough_in_a_task_where_no_other_field_has_it() -> None:
    index = MessageIndex(["What day is it?", "Which day is the return?"])
    day, back = (index.number[text] for text in ("What day is it?", "Which day is the return?"))
    whole = Target({day: 50}, {back: 10})
    candidates = index.with_grams({Gram(("day",)), Gram(("what",))})

    def found(within: Target) -> list[str]:
        return [one.expression for one in mine(whole, candidates, frame=frozenset(), within=within)]

    assert found(Target({day: 30}, {})) == [r"\bday\b"]
    assert found(Target({day: 20}, {back: 10})) == [r"\bwhat\b"]
