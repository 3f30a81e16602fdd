"""What the labelled sessions hold for fitting graders and for measuring them."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from learntoask.core.json_lines import read_records
from learntoask.core.pack import Pack
from learntoask.core.records import LabelledSession, Split
from learntoask.grading.examples import Example, expert_questions, idle_questions, one_line
from learntoask.grading.fluency import fluency_guard

_MOST_QUESTIONS = 16_000  # of all logs; more cost time and add hardly any accuracy
_MOST_STATEMENTS = 400
_QUESTION_MARKS = ("?", "？", "؟")


@dataclass(frozen=True, kw_only=True)
class SessionQuestions:
    """`asked` by the expert, at least one; `idle` are known to ask for no field; `statements` of the user do not ask.

    `draw`, 0…1, is made of the id: an order that has nothing to do with time or content.
    """

    session_id: str
    split: Split
    task: str
    asked: tuple[Example, ...]
    idle: tuple[Example, ...]
    statements: tuple[str, ...]
    draw: float


@dataclass
class Questions:
    """`seen_groups` are the groups of tasks that training knows."""

    sessions: list[SessionQuestions] = field(default_factory=list)
    seen_groups: set[str] = field(default_factory=set)
    labellers: set[str] = field(default_factory=set)

    @property
    def evaluation_split(self) -> Split:
        """Where graders are measured: on the test sessions, or the nearest to it that the logs have."""
        splits = {session.split for session in self.sessions}
        return next(split for split in ("test", "validation", "train") if split in splits)

    def evaluation_sessions(self) -> list[SessionQuestions]:
        return [session for session in self.sessions if session.split == self.evaluation_split]

    def statements(self) -> list[tuple[SessionQuestions, str]]:
        return [(session, text) for session in self.sessions for text in session.statements][
            :_MOST_STATEMENTS
        ]

    def halves(self) -> tuple[list[SessionQuestions], list[SessionQuestions]]:
        """Two parts without a common session, with near as many questions of each task and split."""
        strata: dict[tuple[str, str], list[SessionQuestions]] = defaultdict(list)
        for session in self.sessions:
            strata[session.task, session.split].append(session)
        first: list[SessionQuestions] = []
        second: list[SessionQuestions] = []
        ahead = 0  # questions that the first part has more
        for _, sessions in sorted(strata.items()):
            for session in sessions:
                part, sign = (second, -1) if ahead > 0 else (first, 1)
                part.append(session)
                ahead += sign * len(session.asked)
        return first, second


def read_questions(labelled: Path, pack: Pack) -> Questions:
    """Stream labelled.jsonl; of large logs a share of the sessions is kept, chosen by their ids."""
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
            found.sessions = [one for one in found.sessions if one.draw < ceiling]
            count = sum(len(one.asked) for one in found.sessions)
    found.sessions.sort(key=lambda one: (one.draw, one.session_id))
    return found


def _statements(labelled: LabelledSession) -> Iterator[str]:
    for message in labelled.session.messages:
        text = one_line(message.content)
        if message.author == "user" and text and not any(mark in text for mark in _QUESTION_MARKS):
            yield text


def draw_of(session_id: str) -> float:
    """0…1, made of the id."""
    digest = hashlib.sha256(session_id.encode("utf-8", errors="surrogatepass")).digest()
    return int.from_bytes(digest[:8], "big") / 2**64
