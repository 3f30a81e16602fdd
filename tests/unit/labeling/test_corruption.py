"""Faults put into training sessions: what stays true of every session, and that the share is kept."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from learntoask.core.manifest import Corruption
from learntoask.core.pack import Pack
from learntoask.core.records import (
    EndReason,
    Item,
    LabelledSession,
    Message,
    Provenance,
    Sample,
    Session,
    Split,
    Turn,
    UserAnswer,
)
from learntoask.labeling.corruption import ask_again, corrupt, noisy, stop_early

FIELDS = ("age", "duration", "allergy", "medicine", "symptom")
PACK = Pack.model_validate(
    {
        "name": "clinic",
        "tasks": [{"name": "visit", "goal": "Help.", "fields": [{"name": name} for name in FIELDS]}],
    }
)
BY = Provenance(labeller="annotated")


def session(
    asked: list[str], *, name: str = "s", split: Split = "train", stops: bool = True
) -> LabelledSession:
    """One field a turn, each answered; then the expert acts with a word or the session ends."""
    messages = [Message(role="user", content="hello", author="user")]
    turns, samples, answers = [], [], []
    for place, field in enumerate(asked):
        remaining = tuple(Item(field=field, value="v") for field in dict.fromkeys(asked[place:]))
        samples.append(
            Sample(turn=place, decision="continue", remaining=remaining, requested=(field,), provenance=BY)
        )
        turns.append(Turn(start=len(messages), end=len(messages) + 1))
        messages.append(Message(role="assistant", content=f"{field}?", author="expert"))
        answers.append(UserAnswer(field=field, value="v", message=len(messages)))
        messages.append(Message(role="user", content=f"my {field}", author="user"))
    if stops:
        samples.append(Sample(turn=len(turns), decision="stop", remaining=(), provenance=BY))
        turns.append(Turn(start=len(messages), end=len(messages) + 1))
        messages.append(Message(role="assistant", content="Take this.", author="expert"))
        messages.append(Message(role="user", content="thanks", author="user"))
    record = Session(
        session_id=name,
        split=split,
        task="visit",
        messages=tuple(messages),
        turns=tuple(turns),
        end=EndReason.COMPLETED if stops else EndReason.ABANDONED,
        stop_turn=len(turns) - 1 if stops else None,
    )
    return LabelledSession(session=record, samples=tuple(samples), answers=tuple(answers))


asked = st.lists(st.sampled_from(FIELDS), min_size=1, max_size=5, unique=True)
shares = st.sampled_from([0.0, 0.1, 0.5, 1.0])


def check(labelled: LabelledSession) -> None:
    """What every stage relies on."""
    record = labelled.session
    assert [sample.turn for sample in labelled.samples] == sorted({s.turn for s in labelled.samples})
    for sample in labelled.samples:
        assert sample.turn < len(record.turns)
        assert (sample.decision == "stop") == (sample.turn == record.stop_turn)
        assert bool(sample.remaining) == (sample.decision == "continue")
    ends = 0
    for turn in record.turns:
        assert ends <= turn.start <= turn.end <= len(record.messages)
        assert record.messages[turn.start - 1].role == "user"
        assert all(message.author == "expert" for message in record.messages[turn.start : turn.end])
        ends = turn.end
    if record.stop_turn is not None:
        assert record.stop_turn == len(record.turns) - 1
        assert record.end is EndReason.COMPLETED
    for answer in labelled.answers:
        assert record.messages[answer.message].content == f"my {answer.field}"


@settings(max_examples=200, deadline=None)
@given(asked=asked, stops=st.booleans(), sloppy=shares, noise=shares, seed=st.integers(0, 10**6))
def test_what_comes_out_is_a_session_like_any_other(
    asked: list[str], stops: bool, sloppy: float, noise: float, seed: int
) -> None:
    given = session(asked, stops=stops)
    faults = Corruption(sloppy=sloppy, label_noise=noise, seed=seed)
    (found,) = corrupt([given], settings=faults, pack=PACK)
    check(found)
    assert [found] == list(corrupt([given], settings=faults, pack=PACK))
    if not faults.active:
        assert found == given


@settings(max_examples=200, deadline=None)
@given(asked=asked, stops=st.booleans(), seed=st.integers(0, 10**6))
def test_a_sloppy_session_is_labelled_by_its_own_future(asked: list[str], stops: bool, seed: int) -> None:
    (found,) = corrupt([session(asked, stops=stops)], settings=Corruption(sloppy=1, seed=seed), pack=PACK)
    record = found.session
    for sample in found.samples:
        future = record.messages[record.turns[sample.turn].start :]
        if record.stop_turn is not None:
            future = record.messages[record.turns[sample.turn].start : record.turns[record.stop_turn].start]
        wanted = {message.content.removesuffix("?") for message in future if message.author == "expert"}
        assert {item.field for item in sample.remaining} == wanted
    if len(asked) > 1 or stops:
        assert record != session(asked, stops=stops).session


@given(split=st.sampled_from(["validation", "test"]), asked=asked, seed=st.integers(0, 100))
def test_sessions_that_are_held_out_are_never_touched(split: Split, asked: list[str], seed: int) -> None:
    given = session(asked, split=split)
    assert list(corrupt([given], settings=Corruption(sloppy=1, label_noise=1, seed=seed), pack=PACK)) == [
        given
    ]


def test_a_greater_share_has_the_same_faults_and_more() -> None:
    sessions = [session(list(FIELDS), name=str(number)) for number in range(400)]

    def faults(**settings: float) -> dict[str, LabelledSession]:
        found = corrupt(sessions, settings=Corruption(**settings), pack=PACK)
        return {a.session.session_id: b for a, b in zip(sessions, found, strict=True) if a != b}

    few, many = faults(sloppy=0.1), faults(sloppy=0.5)
    assert few.items() <= many.items()
    assert 20 < len(few) < 60
    assert 160 < len(many) < 240
    ends = {len(labelled.session.turns) for labelled in many.values()}
    assert min(ends) < 6 < max(ends)  # early and late stops
    assert faults(label_noise=0.02).keys() <= faults(label_noise=0.3).keys()


def test_asking_again_and_stopping_early() -> None:
    given = session(["age", "duration"])
    late = ask_again(given, 0, before=2)
    assert [message.content for message in late.session.messages[3:7]] == [
        "duration?",
        "my duration",
        "age?",
        "my age",
    ]
    assert [[item.field for item in sample.remaining] for sample in late.samples] == [
        ["age", "duration"],
        ["duration", "age"],
        ["age"],
        [],
    ]
    early = stop_early(given, 1)
    assert [message.content for message in early.session.messages] == ["hello", "age?", "my age"]
    assert [(s.decision, [item.field for item in s.remaining]) for s in early.samples] == [
        ("continue", ["age"]),
        ("stop", []),
    ]


def test_every_label_wrong() -> None:
    found = noisy(session(["age", "duration"]), share=1.0, seed=3, fields=FIELDS)
    check(found)
    truth = session(["age", "duration"])
    for sample in found.samples:
        before = truth.samples[sample.turn]
        assert sample.decision != before.decision or not (
            {item.field for item in sample.remaining} & {item.field for item in before.remaining}
        )
