"""Session replay: what the simulated user says, what counts as covered, and the verdict of a session."""

from __future__ import annotations

import re
from collections.abc import Sequence

import pytest
from learntoask.core.pack import parse_pack
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
from learntoask.evaluation.policy import Dialogue, Reply
from learntoask.evaluation.replay import LoggedUser, ReplayedSession, replay, replay_report
from learntoask.grading.grades import Grade, GradeCase, MissingGrade, question_grade

PACK = parse_pack(
    "{name: p, unknownReply: No idea., tasks: [{name: t, fields: [{name: age}, {name: dose}, {name: fever}]}]}",
    where="test",
)
BY = Provenance(labeller="annotated")


def log(*, stops: bool = True, confirms: int = 0) -> LabelledSession:
    """The user opens with the fever; the expert asks for age and dose at once, confirms, and stops."""
    messages = [
        ("user", "Hello, I have a fever of 39"),
        ("assistant", "How old are you, and what dose did you take?"),
        ("user", "I am 7 and took 2 spoons"),
    ]
    turns = [Turn(start=1, end=2)]
    for _ in range(confirms):
        turns.append(Turn(start=len(messages), end=len(messages) + 1))
        messages += [("assistant", "So that is right?"), ("user", "Yes")]
    if stops:
        turns.append(Turn(start=len(messages), end=len(messages)))
    remaining = (Item(field="age", value="7"), Item(field="dose", value="2 spoons"))
    samples = [Sample(turn=0, decision="continue", remaining=remaining, provenance=BY)]
    if stops:
        samples.append(Sample(turn=len(turns) - 1, decision="stop", remaining=(), provenance=BY))
    return LabelledSession(
        session=Session(
            session_id="s",
            split="test",
            task="t",
            messages=tuple(
                Message(role=role, content=text, author="user" if role == "user" else "expert")
                for role, text in messages
            ),
            turns=tuple(turns),
            end=EndReason.COMPLETED if stops else EndReason.ABANDONED,
            stop_turn=len(turns) - 1 if stops else None,
        ),
        samples=tuple(samples),
        answers=(
            UserAnswer(field="fever", value="39", message=0),
            UserAnswer(field="age", value="7", message=2),
            UserAnswer(field="dose", value="2 spoons", message=2),
        ),
    )


class Script:
    """A policy that says its lines in order and repeats the last one; it records the dialogues that it sees."""

    def __init__(self, *lines: str) -> None:
        self.lines = lines
        self.shown: list[Dialogue] = []

    def reply(self, dialogues: Sequence[Dialogue]) -> list[Reply]:
        self.shown += dialogues
        lines = [self.lines[min(_policy_turns(dialogue), len(self.lines) - 1)] for dialogue in dialogues]
        return [Reply(text=line, draft=line) for line in lines]


def _policy_turns(dialogue: Dialogue) -> int:
    return sum(message.author == "policy" for message in dialogue.messages)


class NameGrader:
    """A grader that finds the names of fields in a question; it cannot grade a question with `hm`."""

    digest = "w"

    def grade(self, cases: Sequence[GradeCase]) -> list[Grade | MissingGrade]:
        return [
            MissingGrade("unclear")
            if "hm" in case.response
            else question_grade(frozenset(re.findall("age|dose|fever", case.response)), target=case.target)
            for case in cases
        ]


def run(policy: Script, *sessions: LabelledSession) -> list[ReplayedSession]:
    return replay(
        sessions or [log()],
        name="p",
        policy=policy,
        grader=NameGrader(),
        pack=PACK,
        progress=lambda done, total: None,
    )


def test_the_user_says_the_logs_message_once_and_then_the_bare_value() -> None:
    user = LoggedUser(log(), unknown_reply="No idea.")
    assert user.given == {"fever"}
    assert user.reply(frozenset({"age"})) == ("I am 7 and took 2 spoons", True)
    assert user.given == {"fever", "age", "dose"}
    assert user.reply(frozenset({"age"})) == ("7", True)
    assert user.reply(frozenset({"fever"})) == ("39", True)


def test_one_message_that_answers_two_fields_is_said_once() -> None:
    assert LoggedUser(log(), unknown_reply="-").reply(frozenset({"age", "dose"})) == (
        "I am 7 and took 2 spoons",
        True,
    )


def test_a_message_and_a_value_are_said_together() -> None:
    reply, _ = LoggedUser(log(), unknown_reply="-").reply(frozenset({"age", "fever"}))
    assert reply == "I am 7 and took 2 spoons\n39"


@pytest.mark.parametrize("asked", [frozenset(), frozenset({"allergy"})])
def test_what_the_log_does_not_hold_the_user_does_not_know(asked: frozenset[str]) -> None:
    assert LoggedUser(log(), unknown_reply="No idea.").reply(asked) == ("No idea.", False)


def test_on_time() -> None:
    (found,) = run(Script("Your age and dose?", "<stop />"))
    assert found.verdict == "on-time"
    assert found.wanted == found.covered == ("age", "dose")
    assert (found.questions, found.expert_questions, found.unanswered) == (1, 1, 0)
    assert [text for _, text in found.transcript] == [
        "Hello, I have a fever of 39",
        "Your age and dose?",
        "I am 7 and took 2 spoons",
        "<stop />",
    ]


def test_too_early() -> None:
    (found,) = run(Script("What fever?", "<stop />"))
    assert (found.verdict, found.covered) == ("too-early", ())


def test_too_late_when_it_asks_on_after_everything_is_covered() -> None:
    (found,) = run(Script("age and dose?", "fever?", "<stop />"))
    assert found.verdict == "too-late"


def test_the_experts_own_confirmations_are_granted_to_the_policy() -> None:
    script = Script("age and dose?", "So it is right?", "<stop />")
    (confirming,) = run(script, log(confirms=1))
    (twice,) = run(Script("age and dose?", "right?", "sure?", "<stop />"), log(confirms=1))
    assert (confirming.verdict, confirming.expert_questions) == ("on-time", 2)
    assert twice.verdict == "too-late"


def test_never_stopping_ends_at_the_limit() -> None:
    (lost,) = run(Script("fever?"))
    assert lost.verdict == "endless"
    assert lost.questions == 2 + 3  # one for each wanted item, and the spare ones
    (late,) = run(Script("age and dose?"))
    assert late.verdict == "too-late"


def test_a_session_that_the_log_does_not_finish_is_not_judged() -> None:
    (found,) = run(Script("age?", "<stop />"), log(stops=False))
    assert found.verdict is None
    assert found.covered == ("age", "dose")


def test_a_missing_grade_is_counted_and_answered_like_an_unknown_question() -> None:
    (found,) = run(Script("hm?", "age and dose?", "<stop />"))
    assert (found.missing, found.unanswered, found.verdict) == (1, 1, "on-time")
    assert ("user", "No idea.") in found.transcript


def test_the_policy_sees_the_whole_conversation_as_its_own() -> None:
    script = Script("age?", "<stop />")
    run(script)
    last = script.shown[-1]
    assert [(message.role, message.author) for message in last.messages] == [
        ("user", "user"),
        ("assistant", "policy"),
        ("user", "user"),
    ]


def test_all_open_sessions_are_decoded_together() -> None:
    calls: list[int] = []

    class Counting(Script):
        def reply(self, dialogues: Sequence[Dialogue]) -> list[Reply]:
            calls.append(len(dialogues))
            return super().reply(dialogues)

    run(Counting("age and dose?", "<stop />"), *[log()] * 7)
    assert calls == [7, 7]


def test_the_report_counts_items_questions_and_verdicts() -> None:
    replays = (
        run(Script("age and dose?", "<stop />"))
        + run(Script("<stop />"))
        + run(Script("age?"), log(stops=False))
    )
    found = replay_report(replays, resamples=200, seed=0)
    value = {name: estimate.value for name, estimate in found.metrics.items()}
    assert value["coverage"] == pytest.approx(4 / 6)
    assert value["questions"] == pytest.approx((1 + 0 + 5) / 3)
    assert value["questions-per-expert-question"] == pytest.approx(6 / 3)
    assert (value["on-time"], value["too-early"], value["too-late"], value["endless"]) == (0.5, 0.5, 0.0, 0.0)
    assert found.metrics["on-time"].n == 2
    assert found.sessions == 3


def test_repeated_questions_are_counted_as_drafted_and_as_put() -> None:
    class Guarded(Script):
        """Drafts its first line again and again, and puts the next one."""

        def reply(self, dialogues: Sequence[Dialogue]) -> list[Reply]:
            return [Reply(text=reply.text, draft=self.lines[0]) for reply in super().reply(dialogues)]

    (found,) = run(Guarded("age?", "dose?", "<stop />"))
    assert found.drafts == (None, "same-text", "same-text")
    assert found.puts == (None, "known-field")  # the user gave both at once, as the grader and the log tell
    metrics = replay_report([found], resamples=100, seed=0).metrics
    assert metrics["same-text"].value == pytest.approx(2 / 3)
    assert (metrics["same-text-served"].value, metrics["same-text-served"].n) == (0, 2)
    assert (metrics["known-field"].value, metrics["known-field"].n) == (0, 3)
    assert (metrics["known-field-served"].value, metrics["known-field-served"].n) == (0.5, 2)
