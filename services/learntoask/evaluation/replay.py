"""Session replay: the policy leads a held-out session itself, and the log answers.

The user opens as in the log. To a question the user says what the log's user said when giving the fields it asks for:
the message in full the first time, and the bare value where that message was said before. Where the log holds no
answer, or the grader cannot tell what is asked, the user says the pack's `unknownReply`. It ends with the policy's
stop or at a limit. This shows how a policy's single decisions add up; it never trains one, and it knows no more of
the user than the log.

An item is *wanted* if the log's expert went on to get it, and *covered* once the user has given it. The expert's own
turns after the last wanted item (a confirmation, say) are granted to the policy too. A session is
    on-time    stopped with everything covered and no question beyond that grant
    too-early  stopped with a wanted item open
    too-late   questions beyond the grant after everything was covered
    endless    never stopped, and a wanted item is still open
Sessions that the log does not bring to a stop have no such verdict; they count for coverage and questions only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from learntoask.core.answer import decision_of
from learntoask.core.pack import Pack
from learntoask.core.records import LabelledSession, Message, Record
from learntoask.evaluation.policy import Dialogue, PolicyUnderTest, Told
from learntoask.evaluation.report_schema import ReplayReport
from learntoask.evaluation.stats.bootstrap import mean_estimates
from learntoask.grading.grades import GradeCase, Grader, Missing

Verdict = Literal["on-time", "too-early", "too-late", "endless"]
SPARE_QUESTIONS = 3  # beyond what the expert needed, or one for each wanted item, before a replay is cut off


class Replayed(Record):
    """One session replayed with one policy."""

    session: str
    policy: str
    verdict: Verdict | None
    wanted: tuple[str, ...]
    covered: tuple[str, ...]
    questions: int
    expert_questions: int
    unanswered: int
    missing: int
    transcript: tuple[tuple[str, str], ...]


class LoggedUser:
    """A user who knows what the user of one log said, and says it when asked for it."""

    def __init__(self, labelled: LabelledSession, *, unknown_reply: str) -> None:
        self._messages = labelled.session.messages
        self._answers = sorted(labelled.answers, key=lambda answer: answer.message)
        self._unknown_reply = unknown_reply
        self._said = set(range(opening_length(labelled)))
        self.given = {answer.field for answer in self._answers if answer.message in self._said}

    def reply(self, asked: frozenset[str]) -> tuple[str, bool]:
        """What the user says to a question for the fields `asked`, and whether the log knew anything of them."""
        now: set[int] = set()
        values: list[str] = []
        for name in sorted(asked):
            known = [answer for answer in self._answers if answer.field == name]
            unsaid = [answer.message for answer in known if answer.message not in self._said]
            if unsaid:
                now.add(unsaid[0])
                self._said.add(unsaid[0])
            elif known and not any(answer.message in now for answer in known):
                values.append(known[-1].value)
        self.given |= {answer.field for answer in self._answers if answer.message in now}
        texts = [self._messages[message].content.strip() for message in sorted(now)] + values
        return ("\n".join(text for text in texts if text) or self._unknown_reply), bool(texts)


@dataclass
class _Replay:
    labelled: LabelledSession
    user: LoggedUser
    wanted: frozenset[str]
    allowance: int
    expert_questions: int
    messages: list[Message]
    questions: int = 0
    beyond: int = 0  # questions after everything wanted was covered
    unanswered: int = 0
    missing: int = 0
    stop: str | None = None  # the answer that stopped, as the policy wrote it

    @property
    def covered(self) -> frozenset[str]:
        return self.wanted & self.user.given

    @property
    def over(self) -> bool:
        limit = max(self.expert_questions, len(self.wanted)) + SPARE_QUESTIONS
        return self.stop is not None or self.questions >= limit

    def dialogue(self) -> Dialogue:
        session = self.labelled.session
        return Dialogue(session.session_id, session.task, session.goal, tuple(self.messages))

    def add(self, role: Literal["user", "assistant"], text: str) -> None:
        self.messages.append(Message(role=role, content=text, author="user" if role == "user" else "policy"))

    def verdict(self) -> Verdict | None:
        if self.labelled.session.stop_turn is None:
            return None
        stopped = self.stop is not None
        if self.covered != self.wanted:
            return "too-early" if stopped else "endless"
        return "on-time" if stopped and self.beyond <= self.allowance else "too-late"


def replay(
    sessions: Sequence[LabelledSession],
    *,
    name: str,
    policy: PolicyUnderTest,
    grader: Grader,
    pack: Pack,
    seed: int,
    told: Told,
) -> list[Replayed]:
    """Replay every session with a decision point, all of them one turn further in each round."""
    replays = [_start(labelled, pack) for labelled in sessions if labelled.session.turns]
    while active := [one for one in replays if not one.over]:
        told(len(replays) - len(active), len(replays))
        answers = policy.reply([one.dialogue() for one in active], seed=seed)
        asking = []
        for one, answer in zip(active, answers, strict=True):
            if decision_of(answer) == "stop":
                one.stop = answer
            else:
                one.add("assistant", answer)
                asking.append((one, answer))
        _answer(asking, grader)
    told(len(replays), len(replays))
    return [_finished(one, name) for one in replays]


def opening_length(labelled: LabelledSession) -> int:
    """How many messages of the log stand before its first decision point."""
    return labelled.session.turns[0].start if labelled.session.turns else 0


def _start(labelled: LabelledSession, pack: Pack) -> _Replay:
    session = labelled.session
    end = len(session.turns) if session.stop_turn is None else session.stop_turn
    asking = [sample for sample in labelled.samples if sample.remaining]
    # The item must be in the log's answers, else no replay could ever cover it.
    answered = {answer.field for answer in labelled.answers}
    wanted = frozenset(item.field for sample in asking for item in sample.remaining) & answered
    last_needed = max((sample.turn for sample in asking), default=-1)
    return _Replay(
        labelled=labelled,
        user=LoggedUser(labelled, unknown_reply=pack.unknown_reply),
        wanted=wanted,
        allowance=max(0, end - 1 - last_needed),
        expert_questions=end,
        messages=list(session.messages[: opening_length(labelled)]),
    )


def _answer(asking: Sequence[tuple[_Replay, str]], grader: Grader) -> None:
    cases = [
        GradeCase(
            session_id=one.labelled.session.session_id,
            task=one.labelled.session.task,
            response=answer,
            target=one.wanted - one.covered,
            context=tuple(one.messages[:-1]),
        )
        for one, answer in asking
    ]
    for (one, _), grade in zip(asking, grader.grade(cases) if cases else [], strict=True):
        one.questions += 1
        one.beyond += one.covered == one.wanted
        one.missing += isinstance(grade, Missing)
        reply, known = one.user.reply(frozenset() if isinstance(grade, Missing) else grade.asked)
        one.unanswered += not known
        one.add("user", reply)


def _finished(one: _Replay, policy: str) -> Replayed:
    return Replayed(
        session=one.labelled.session.session_id,
        policy=policy,
        verdict=one.verdict(),
        wanted=tuple(sorted(one.wanted)),
        covered=tuple(sorted(one.covered)),
        questions=one.questions,
        expert_questions=one.expert_questions,
        unanswered=one.unanswered,
        missing=one.missing,
        transcript=tuple(
            [(message.role, message.content) for message in one.messages]
            + ([("assistant", one.stop)] if one.stop is not None else [])
        ),
    )


def replay_report(replays: Sequence[Replayed], *, resamples: int, seed: int) -> ReplayReport:
    """The figures of one policy's replays, with intervals over sessions."""
    ones = np.ones(len(replays))
    judged = np.array([float(one.verdict is not None) for one in replays])
    covered = np.array([float(len(one.covered)) for one in replays])
    wanted = np.array([float(len(one.wanted)) for one in replays])
    questions = np.array([float(one.questions) for one in replays])
    expert = np.array([float(one.expert_questions) for one in replays])
    columns = {
        "coverage": (covered, wanted),
        "questions": (questions, ones),
        "questions-per-expert-question": (questions, expert),
        **{
            verdict: (np.array([float(one.verdict == verdict) for one in replays]), judged)
            for verdict in get_args(Verdict)
        },
    }
    return ReplayReport(
        sessions=len(replays),
        metrics=mean_estimates(columns, resamples=resamples, seed=seed),
        expert_questions=float(expert.mean()) if replays else 0.0,
        unanswered=sum(one.unanswered for one in replays),
        missing=sum(one.missing for one in replays),
    )
