"""Session replay: the policy conducts a held-out session, and a user simulated from the log answers.

The user opens as in the log. To a question, the user says what the log's user said when giving the fields that the
question asks for: the whole message the first time, only the value if that message was said before. If the log holds
no answer, or the grader cannot tell what is asked, the user says the pack's `unknownReply`. The replay ends with the
policy's stop or at a limit. It shows how a policy's single decisions add up. It never trains a policy, and the
simulated user knows no more than the log.

An item is *wanted* if the log's expert went on to get it, and *covered* once the user has given it. The policy may
take as many turns after the last wanted item as the expert took (for instance for a confirmation). A session is
    on-time    stopped with everything covered and within those turns
    too-early  stopped with a wanted item open
    too-late   more questions than allowed after everything was covered
    endless    never stopped, with a wanted item open
A session that the log does not bring to a stop has no verdict; it counts only for coverage and questions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, get_args

import numpy as np

from learntoask.core.answer import decision_of
from learntoask.core.pack import Pack
from learntoask.core.records import LabelledSession, Message, Record
from learntoask.core.stages.contract import ProgressCallback
from learntoask.evaluation.policy import Dialogue, PolicyUnderTest, Reply
from learntoask.evaluation.repeats import PutQuestion, counted_repetition, repeat_shares
from learntoask.evaluation.report_schema import ReplayReport
from learntoask.grading.grades import GradeCase, Grader, MissingGrade
from learntoask.labeling.repeated_questions import RepeatReader, Repetition
from learntoask.statistics.bootstrap import mean_estimates

ReplayVerdict = Literal["on-time", "too-early", "too-late", "endless"]
TOGETHER = 16
"""Sessions that are replayed together, so few that the policy can keep what it has computed for their next turns."""
SPARE_QUESTIONS = 3  # how many more than the expert's questions (or the wanted items) a replay may have


class ReplayedSession(Record):
    """The result of replaying one session with one policy."""

    session: str
    policy: str
    verdict: ReplayVerdict | None
    wanted: tuple[str, ...]
    covered: tuple[str, ...]
    questions: int
    expert_questions: int
    unanswered: int
    missing: int
    transcript: tuple[tuple[str, str], ...]
    drafts: tuple[Repetition | None, ...] = ()
    """How each question that the policy drafted repeats; the server may have put another one in its place."""
    puts: tuple[Repetition | None, ...] = ()
    """How each question that was put repeats."""


class LoggedUser:
    """A simulated user who answers with what the user of one log said."""

    def __init__(self, labelled: LabelledSession, *, unknown_reply: str) -> None:
        self._messages = labelled.session.messages
        self._answers = sorted(labelled.answers, key=lambda answer: answer.message)
        self._unknown_reply = unknown_reply
        self._said = set(range(opening_length(labelled)))
        self.given = {answer.field for answer in self._answers if answer.message in self._said}

    def reply(self, asked: frozenset[str]) -> tuple[str, bool]:
        """Return the reply to a question for the fields `asked`, and whether the log holds any of them."""
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
class _ReplayState:
    """A replay in progress. `allowance` is the number of questions allowed after everything was covered."""

    labelled: LabelledSession
    user: LoggedUser
    wanted: frozenset[str]
    allowance: int
    expert_questions: int
    messages: list[Message]
    questions: int = 0
    beyond: int = 0  # questions after everything was covered
    unanswered: int = 0
    missing: int = 0
    stop: str | None = None  # the policy's stopping answer, verbatim
    drafts: list[Repetition | None] = field(default_factory=list)
    puts: list[Repetition | None] = field(default_factory=list)

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

    def case(self, question: str) -> GradeCase:
        """Return the case of a question that is put next."""
        session = self.labelled.session
        return GradeCase(
            session_id=session.session_id,
            task=session.task,
            response=question,
            target=self.wanted - self.covered,
            context=tuple(self.messages),
        )

    def count_repeats(self, reply: Reply, reader: RepeatReader, asked: Mapping[str, frozenset[str]]) -> None:
        """Count how the questions of a reply repeat; `asked` has the fields that each of them asks for."""
        read = reader.read(self.labelled.session.task, self.messages)
        for text, found in ((reply.draft, self.drafts), (reply.text, self.puts)):
            if text in asked:
                known = frozenset(self.user.given)
                found.append(counted_repetition(read, text, asked=asked[text], known=known))

    def verdict(self) -> ReplayVerdict | None:
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
    progress: ProgressCallback,
) -> list[ReplayedSession]:
    """Replay every session that has a decision point, a few together; each round advances these by one turn."""
    states = [_start(labelled, pack) for labelled in sessions if labelled.session.turns]
    reader = RepeatReader(pack)
    for start in range(0, len(states), TOGETHER):
        group = states[start : start + TOGETHER]
        while active := [state for state in group if not state.over]:
            progress(start + len(group) - len(active), len(states))
            replies = policy.reply([state.dialogue() for state in active])
            _advance(active, replies, grader, reader)
    progress(len(states), len(states))
    return [_result(state, name) for state in states]


def opening_length(labelled: LabelledSession) -> int:
    """Return how many messages of the log come before its first decision point."""
    return labelled.session.turns[0].start if labelled.session.turns else 0


def _start(labelled: LabelledSession, pack: Pack) -> _ReplayState:
    session = labelled.session
    end = len(session.turns) if session.stop_turn is None else session.stop_turn
    asking = [sample for sample in labelled.samples if sample.remaining]
    # An item that is not among the log's answers can never be covered.
    answered = {answer.field for answer in labelled.answers}
    wanted = frozenset(item.field for sample in asking for item in sample.remaining) & answered
    last_needed = max((sample.turn for sample in asking), default=-1)
    return _ReplayState(
        labelled=labelled,
        user=LoggedUser(labelled, unknown_reply=pack.unknown_reply),
        wanted=wanted,
        allowance=max(0, end - 1 - last_needed),
        expert_questions=end,
        messages=list(session.messages[: opening_length(labelled)]),
    )


def _advance(
    states: Sequence[_ReplayState], replies: Sequence[Reply], grader: Grader, reader: RepeatReader
) -> None:
    """Let each user answer the policy's reply. Drafts that were not put are graded too, to count what they repeat."""
    questions = [
        (index, text)
        for index, reply in enumerate(replies)
        for text in dict.fromkeys((reply.draft, reply.text))
        if decision_of(text) == "continue"
    ]
    cases = [states[index].case(text) for index, text in questions]
    grades = dict(zip(questions, grader.grade(cases) if cases else [], strict=True))
    for index, (state, reply) in enumerate(zip(states, replies, strict=True)):
        asked = {
            text: frozenset[str]() if isinstance(grade, MissingGrade) else grade.asked
            for (at, text), grade in grades.items()
            if at == index
        }
        state.count_repeats(reply, reader, asked)
        if decision_of(reply.text) == "stop":
            state.stop = reply.text
            continue
        state.questions += 1
        state.beyond += state.covered == state.wanted
        state.missing += isinstance(grades[index, reply.text], MissingGrade)
        state.add("assistant", reply.text)
        answer, known = state.user.reply(asked[reply.text])
        state.unanswered += not known
        state.add("user", answer)


def _result(state: _ReplayState, policy: str) -> ReplayedSession:
    return ReplayedSession(
        session=state.labelled.session.session_id,
        policy=policy,
        verdict=state.verdict(),
        wanted=tuple(sorted(state.wanted)),
        covered=tuple(sorted(state.covered)),
        questions=state.questions,
        expert_questions=state.expert_questions,
        unanswered=state.unanswered,
        missing=state.missing,
        transcript=tuple(
            [(message.role, message.content) for message in state.messages]
            + ([("assistant", state.stop)] if state.stop is not None else [])
        ),
        drafts=tuple(state.drafts),
        puts=tuple(state.puts),
    )


def replay_report(replays: Sequence[ReplayedSession], *, resamples: int, seed: int) -> ReplayReport:
    """Compute the figures of one policy's replays, with intervals that resample sessions."""
    ones = np.ones(len(replays))
    with_verdict = np.array([float(replay.verdict is not None) for replay in replays])
    covered = np.array([float(len(replay.covered)) for replay in replays])
    wanted = np.array([float(len(replay.wanted)) for replay in replays])
    questions = np.array([float(replay.questions) for replay in replays])
    expert = np.array([float(replay.expert_questions) for replay in replays])
    columns = {
        "coverage": (covered, wanted),
        "questions": (questions, ones),
        "questions-per-expert-question": (questions, expert),
        **{
            verdict: (np.array([float(replay.verdict == verdict) for replay in replays]), with_verdict)
            for verdict in get_args(ReplayVerdict)
        },
    }
    return ReplayReport(
        sessions=len(replays),
        metrics=mean_estimates(columns, resamples=resamples, seed=seed)
        | repeat_shares(
            [
                PutQuestion(row, served, repetition)
                for row, replay in enumerate(replays)
                for served, questions in ((False, replay.drafts), (True, replay.puts))
                for repetition in questions
            ],
            sessions=len(replays),
            resamples=resamples,
            seed=seed,
        ),
        expert_questions=float(expert.mean()) if replays else 0.0,
        unanswered=sum(replay.unanswered for replay in replays),
        missing=sum(replay.missing for replay in replays),
    )
