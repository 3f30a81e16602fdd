"""Which held-out questions a grader was fitted on word for word."""

from __future__ import annotations

from learntoask.core.pack import Pack
from learntoask.grading.examples import Example
from learntoask.grading.known_wordings import KnownWordings
from learntoask.grading.questions import SessionQuestions

PACK = Pack.model_validate(
    {
        "name": "food",
        "tasks": [
            {"name": "order", "goal": "Order.", "fields": [{"name": "dish", "questions": ["What to eat?"]}]}
        ],
    }
)


def example(text: str, session_id: str) -> Example:
    return Example(session_id=session_id, task="order", text=text, asked=frozenset({"dish"}))


def fitted(session_id: str, text: str) -> SessionQuestions:
    return SessionQuestions(
        session_id=session_id,
        split="train",
        task="order",
        asked=(example(text, session_id),),
        idle=(),
        statements=(),
        draw=0.0,
    )


def test_a_wording_is_known_from_another_session_or_the_pack() -> None:
    known = KnownWordings(PACK, [fitted("one", "Which dish? It\u2019s hot."), fitted("two", "Soup or rice?")])
    assert known.has(example("which  DISH? It's hot.", "held-out"))
    assert known.has(example("What to eat?", "held-out"))
    assert not known.has(example("Which dish?", "held-out"))


def test_the_session_of_the_question_itself_does_not_count() -> None:
    known = KnownWordings(PACK, [fitted("one", "Which dish?"), fitted("two", "Soup or rice?")])
    assert not known.has(example("Which dish?", "one"))
    assert known.has(example("Which dish?", "two"))
