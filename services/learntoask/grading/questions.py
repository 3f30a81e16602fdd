"""Read the questions of the labelled sessions, on which graders are fitted and measured."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from learntoask.core.json_lines import read_records
from learntoask.core.pack import Pack
from learntoask.core.records import LabelledSession, Split
from learntoask.core.text.characters import one_line
from learntoask.core.text.sentences import has_question_mark
from learntoask.grading.examples import Example, expert_questions, idle_questions
from learntoask.grading.fluency import fluency_guard

_MOST_QUESTIONS = 16_000  # of all logs; more questions cost time and hardly improve the graders
_MOST_STATEMENTS = 400


@dataclass(frozen=True, kw_only=True)
class SessionQuestions:
    """The questions of one session, with at least one that asks for a field."""

    session_id: str
    split: Split
    task: str
    asked: tuple[Example, ...]  # the expert's questions whose fields are known
    idle: tuple[Example, ...]  # questions that are known to ask for no field
    statements: tuple[str, ...]  # messages of the user that ask nothing
    draw: float  # see draw_of


@dataclass
class Questions:
    """The questions of all sessions, ordered by `draw`."""

    sessions: list[SessionQuestions] = field(default_factory=list)
    seen_groups: set[str] = field(default_factory=set)  # task groups of the training sessions
    labellers: set[str] = field(default_factory=set)  # that labelled the questions

    @property
    def evaluation_split(self) -> Split:
        """The split on which graders are measured: test, or else validation, or else train."""
        splits = {session.split for session in self.sessions}
        return next(split for split in ("test", "validation", "train") if split in splits)

    def evaluation_sessions(self) -> list[SessionQuestions]:
        """Return the sessions of the evaluation split."""
        return [session for session in self.sessions if session.split == self.evaluation_split]

    def statements(self) -> list[tuple[SessionQuestions, str]]:
        """Return messages of users that ask nothing, each with its session."""
        return [(session, text) for session in self.sessions for text in session.statements][
            :_MOST_STATEMENTS
        ]

    def halves(self) -> tuple[list[SessionQuestions], list[SessionQuestions]]:
        """Divide the sessions into two parts with about the same number of questions of each task and split."""
        strata: dict[tuple[str, str], list[SessionQuestions]] = defaultdict(list)
        for session in self.sessions:
            strata[session.task, session.split].append(session)
        first: list[SessionQuestions] = []
        second: list[SessionQuestions] = []
        ahead = 0  # how many more questions the first part has
        for _, sessions in sorted(strata.items()):
            for session in sessions:
                part, sign = (second, -1) if ahead > 0 else (first, 1)
                part.append(session)
                ahead += sign * len(session.asked)
        return first, second


def read_questions(labelled: Path, pack: Pack) -> Questions:
    """Read labelled.jsonl as a stream. Of large logs, keep a share of the sessions that depends on their ids alone."""
    found = Questions()
    ceiling, count = 1.0, 0
    is_question = fluency_guard(pack)
    for labelled_session in read_records(labelled, LabelledSession):
        session = labelled_session.session
        if session.split == "train":
            found.seen_groups.add(pack.task(session.task).group_name)
        draw = draw_of(session.session_id)
        asked = tuple(expert_questions(labelled_session, pack)) if draw < ceiling else ()
        if not asked:
            continue
        found.labellers |= {sample.provenance.labeller for sample in labelled_session.samples}
        found.sessions.append(
            SessionQuestions(
                session_id=session.session_id,
                split=session.split,
                task=session.task,
                asked=asked,
                idle=tuple(idle_questions(labelled_session, is_question)),
                statements=tuple(_statements(labelled_session)),
                draw=draw,
            )
        )
        count += len(asked)
        while count > _MOST_QUESTIONS:
            ceiling /= 2
            found.sessions = [kept for kept in found.sessions if kept.draw < ceiling]
            count = sum(len(kept.asked) for kept in found.sessions)
    found.sessions.sort(key=lambda questions: (questions.draw, questions.session_id))
    return found


def _statements(labelled: LabelledSession) -> Iterator[str]:
    for message in labelled.session.messages:
        text = one_line(message.content)
        if message.author == "user" and text and not has_question_mark(text):
            yield text


def draw_of(session_id: str) -> float:
    """Return a number in 0…1 that depends on the session id alone: an order unrelated to time and content."""
    digest = hashlib.sha256(session_id.encode("utf-8", errors="surrogatepass")).digest()
    return int.from_bytes(digest[:8], "big") / 2**64
