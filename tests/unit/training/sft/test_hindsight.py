"""Which later questions of an expert are right answers at an earlier turn, and what they weigh."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from learntoask.core.records import (
    EndReason,
    Item,
    LabelledSession,
    Message,
    Provenance,
    Sample,
    Session,
    Turn,
    UserAnswer,
)
from learntoask.training.sft.hindsight import MOST_LATER, ExpertWording, HindsightTargets

Exchange = tuple[str, str, str]  # the field asked for, the question, the user's answer


def session(
    exchanges: Sequence[Exchange], *, session_id: str = "s", opening: str = "Hello."
) -> LabelledSession:
    """A session whose expert asks for one field a turn and then acts."""
    messages = [Message(role="user", content=opening, author="user")]
    turns, samples, answers = [], [], []
    provenance = Provenance(labeller="annotated")
    for place, (field, question, answer) in enumerate(exchanges):
        remaining = tuple(dict.fromkeys(name for name, _, _ in exchanges[place:] if name))
        samples.append(
            Sample(
                turn=place,
                decision="continue",
                remaining=tuple(Item(field=name, value="x") for name in remaining),
                requested=(field,) if field else (),
                provenance=provenance,
            )
        )
        turns.append(Turn(start=len(messages), end=len(messages) + 1))
        messages.append(Message(role="assistant", content=question, author="expert"))
        if field:
            answers.append(UserAnswer(field=field, value=answer, message=len(messages)))
        messages.append(Message(role="user", content=answer, author="user"))
    samples.append(Sample(turn=len(turns), decision="stop", remaining=(), provenance=provenance))
    turns.append(Turn(start=len(messages), end=len(messages)))
    record = Session(
        session_id=session_id,
        split="train",
        task="trip",
        messages=tuple(messages),
        turns=tuple(turns),
        end=EndReason.COMPLETED,
        stop_turn=len(turns) - 1,
    )
    return LabelledSession(session=record, samples=tuple(samples), answers=tuple(answers))


CITY = ("city", "Which city do you want to visit?", "I want to see Oslo")
DATE = ("date", "On which date?", "on Friday")
PARTY = ("party", "How many people will come?", "only us")


def later(
    labelled: LabelledSession, *, turn: int = 0, others: Sequence[LabelledSession] = (), weight: float = 1.0
) -> dict[int, float]:
    """The later turns that are learned at `turn`, too, with their weights."""
    found = HindsightTargets.of([labelled, *others], weight=weight).targets(labelled, labelled.samples[turn])
    assert found.pop(turn) == 1
    return found


def many(exchanges: Sequence[Exchange], count: int = 60) -> list[LabelledSession]:
    return [session(exchanges, session_id=f"other-{number}") for number in range(count)]


def test_all_later_questions_share_the_weight_equally() -> None:
    labelled = session([CITY, DATE, PARTY])
    assert later(labelled, others=many([CITY, DATE, PARTY]), weight=0.5) == {1: 0.25, 2: 0.25}
    assert later(labelled, turn=1, others=many([CITY, DATE, PARTY]), weight=0.5) == {2: 0.5}
    assert later(labelled, turn=2) == {}


def test_a_stop_has_no_later_targets() -> None:
    labelled = session([CITY, DATE])
    stop = labelled.samples[-1].model_copy(update={"turn": 0})
    assert HindsightTargets.of([labelled], weight=1).targets(labelled, stop) == {0: 1}


def test_a_later_question_must_ask_for_fields_of_the_micro_goal_alone() -> None:
    labelled = session([CITY, DATE, PARTY])
    unanswered = labelled.samples[0].model_copy(
        update={"remaining": (Item(field="city", value="x"), Item(field="date", value="x"))}
    )
    of_two = labelled.samples[1].model_copy(update={"requested": ("date", "party")})
    found = HindsightTargets.of(many([CITY, DATE, PARTY]), weight=1)
    assert found.targets(labelled, unanswered) == {0: 1, 1: 1}
    changed = labelled.model_copy(update={"samples": (unanswered, of_two, *labelled.samples[2:])})
    assert found.targets(changed, unanswered) == {0: 1}


def test_a_turn_that_asks_for_nothing_known_is_no_target() -> None:
    assert later(session([CITY, ("", "Anything else?", "no"), DATE])) == {2: 1}


@pytest.mark.parametrize(
    "question",
    ["On which date do you go to Oslo?", "¿Qué día va a Oslo?", "奥斯陆 Oslo 几号去?"],
)
def test_a_question_with_a_value_given_in_between_is_no_target(question: str) -> None:
    exchanges = [CITY, ("date", question, "on Friday")]
    assert later(session(exchanges), others=many([CITY, DATE])) == {}
    # Known from the beginning, the value is no reason to wait.
    known = session(exchanges, opening="I want to see Oslo, or Bergen.")
    assert later(known, others=many([CITY, DATE])) == {1: 1}


def test_a_number_given_in_between_leans_however_often_experts_say_it() -> None:
    usual = [PARTY, ("table", "A table for 2?", "yes")]
    answered = [("party", PARTY[1], "we are 2"), ("table", "A table for 2?", "yes")]
    assert later(session(usual), others=many(usual)) == {1: 1}
    assert later(session(answered), others=many(usual)) == {}


def test_common_words_of_the_user_are_no_reference() -> None:
    exchanges = [("city", CITY[1], "which one do you like? On a Friday"), DATE]
    assert later(session(exchanges), others=many([CITY, DATE])) == {1: 1}


def test_the_same_words_are_one_target_and_never_one_that_was_said() -> None:
    again = ("date", "on which  DATE?", "the same")
    assert later(session([CITY, DATE, again])) == {1: 1}
    # At the turn of the date, its repetition is the expert's own text; later it asks for what is known.
    assert later(session([CITY, DATE, again]), turn=1) == {}
    assert later(session([DATE, CITY, ("date", "What day again?", "Friday"), PARTY]), turn=1) == {3: 1}


@pytest.mark.parametrize("opening", ["And", "Danke.", "それから"])
def test_a_follow_up_is_no_target(opening: str) -> None:
    """Experts of other sessions ask for both fields first and later, and begin so only later."""
    follow = ("date", f"{opening} {DATE[1].lower()}", "on Friday")
    others = many([CITY, follow], 20) + many([DATE, PARTY, CITY], 20)
    assert later(session([CITY, follow]), others=others) == {}
    assert later(session([CITY, DATE]), others=others) == {1: 1}


def test_thanks_before_a_question_is_right_after_an_exchange() -> None:
    thanks = ("date", "Thanks. On which date?", "on Friday")
    others = many([CITY, thanks], 20) + many([DATE, PARTY, CITY], 20)
    labelled = session([PARTY, CITY, thanks])
    assert later(labelled, others=others) == {1: 1}
    assert later(labelled, turn=1, others=others) == {2: 1}


def test_a_field_that_is_always_asked_late_has_no_follow_ups() -> None:
    wording = ExpertWording.of(many([CITY, DATE, PARTY]))
    assert wording.follow_ups == frozenset()


def test_of_many_later_questions_the_nearest_are_taken() -> None:
    names = "abcdefghijklmnop"
    labelled = session([(name, f"Field {name}?", "yes") for name in names])
    found = later(labelled, others=many([CITY]))
    assert list(found) == list(range(1, MOST_LATER + 1))
    assert sum(found.values()) == pytest.approx(1)


GREETING = ("", "Hello, how can I help?", "I want to travel")
CHAT = ("", "That is a lovely place.", "Yes, it is")


@pytest.mark.parametrize(
    ("exchanges", "turn", "learned"),
    [
        ([GREETING, CITY, DATE], 0, 1),
        ([GREETING, CITY, DATE], 1, 1),  # it asks for something that is needed
        ([CITY, CHAT, DATE], 1, 2),
        ([CITY, DATE, CHAT], 2, 2),  # nothing is asked later
        ([GREETING, CITY], 2, 2),  # the stop
    ],
)
def test_an_answer_that_asks_for_nothing_needed_gives_way_to_the_next_question(
    exchanges: Sequence[Exchange], turn: int, learned: int
) -> None:
    labelled = session(exchanges)
    choice = HindsightTargets.of([labelled, *many(exchanges)], weight=None)
    assert choice.targets(labelled, labelled.samples[turn]) == {learned: 1.0}


@pytest.mark.parametrize(("exchange", "learned"), [(GREETING, 0), (CHAT, 1)])
def test_patterns_may_have_missed_what_a_question_asks_for(exchange: Exchange, learned: int) -> None:
    labelled = session([exchange, CITY])
    by_patterns = labelled.samples[0].model_copy(update={"provenance": Provenance(labeller="lexicon")})
    choice = HindsightTargets.of([labelled], weight=None)
    assert choice.targets(labelled, by_patterns) == {learned: 1.0}
