"""Read the questions of the labelled sessions, on which graders are fitted and measured."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from learntoask.core.json_lines import read_records
from learntoask.core.pack import Pack
from learntoask.core.records import LabelledSession, Sample, Split
from learntoask.core.text.characters import one_line
from learntoask.core.text.patterns import bounded_search
from learntoask.core.text.sentences import has_question_mark, sentences
from learntoask.core.text.words import morphemes, words
from learntoask.grading.cues import NO_CUES, LearnedCues
from learntoask.grading.examples import Example, expert_questions, expert_text, idle_questions
from learntoask.grading.fluency import FluencyGuard
from learntoask.grading.learned_cues import CueLearner

_MOST_QUESTIONS = 16_000  # of all logs; more questions cost time and hardly improve the graders
_MOST_STATEMENTS = 400
_MOST_TOLD = 20
_FILLER_WORDS = 12


@dataclass(frozen=True, kw_only=True)
class SessionQuestions:
    """The questions of one session, with at least one that asks for a field."""

    session_id: str
    split: Split
    task: str
    asked: tuple[Example, ...]  # the expert's questions whose fields are known
    idle: tuple[Example, ...]  # questions that are known to ask for no field
    statements: tuple[str, ...]  # messages of the user that ask nothing
    told: tuple[str, ...] = ()  # what the expert says on acting, by sentences without a question mark
    asides: tuple[str, ...] = ()  # sentences beside the expert's questions that ask nothing
    draw: float  # see draw_of


@dataclass
class Questions:
    """The questions of all sessions, ordered by `draw`."""

    sessions: list[SessionQuestions] = field(default_factory=list)
    seen_groups: set[str] = field(default_factory=set)  # task groups of the training sessions
    labellers: set[str] = field(default_factory=set)  # that labelled the questions
    cues: LearnedCues = NO_CUES  # of requests without a question mark, learned from the training sessions

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

    def told(self) -> list[str]:
        """Return different sentences with which experts act, the most frequent first."""
        return _most_frequent(session.told for session in self.sessions)[:_MOST_TOLD]

    def filler(self) -> str:
        """Return some sentences of the logs that ask nothing: what experts say beside questions, or else users.

        It is empty if the logs hold too little of that.
        """
        found: list[str] = []
        beside = _most_frequent(session.asides for session in self.sessions)
        users = _most_frequent(session.statements for session in self.sessions)
        for sentence in (*beside, *self.told(), *users):
            if sentence not in found:
                found.append(sentence)
            if _size(" ".join(found)) >= _FILLER_WORDS:
                return " ".join(found)
        return ""

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
    collector = QuestionCollector(pack)
    for session in read_records(labelled, LabelledSession):
        collector.add(session)
    return collector.found()


class QuestionCollector:
    """Collects the questions of labelled sessions, at most about `at_most` of the experts' labelled ones."""

    def __init__(self, pack: Pack, *, at_most: int = _MOST_QUESTIONS) -> None:
        self._pack = pack
        self._at_most = at_most
        self._guard = FluencyGuard(pack)
        self._patterns = {
            task.name: [bounded_search(pattern) for field in task.fields for pattern in field.patterns]
            for task in pack.tasks
        }
        self._learner = CueLearner(pack)
        self._questions = Questions()
        self._ceiling, self._count = 1.0, 0

    def add(self, labelled: LabelledSession) -> None:
        """Take the questions of one session."""
        session, found, pack = labelled.session, self._questions, self._pack
        if session.split == "train":
            found.seen_groups.add(pack.task(session.task).group_name)
            self._learner.add(labelled)
        draw = draw_of(session.session_id)
        asked = tuple(expert_questions(labelled, pack)) if draw < self._ceiling else ()
        if not asked:
            return
        found.labellers |= {sample.provenance.labeller for sample in labelled.samples}
        found.sessions.append(
            SessionQuestions(
                session_id=session.session_id,
                split=session.split,
                task=session.task,
                asked=asked,
                idle=tuple(idle_questions(labelled, lambda text: bool(self._guard.asking(text)))),
                statements=tuple(_statements(labelled)),
                told=tuple(self._told(labelled)),
                asides=tuple(self._asides(labelled)),
                draw=draw,
            )
        )
        self._count += len(asked)
        while self._count > self._at_most:
            self._ceiling /= 2
            found.sessions = [kept for kept in found.sessions if kept.draw < self._ceiling]
            self._count = sum(len(kept.asked) for kept in found.sessions)

    def _told(self, labelled: LabelledSession) -> Iterator[str]:
        for sample in labelled.samples:
            if sample.decision == "stop":
                yield from self._idle_sentences(labelled, sample, asking=())

    def _asides(self, labelled: LabelledSession) -> Iterator[str]:
        for sample in labelled.samples:
            asking = self._guard.asking(expert_text(labelled, labelled.session.turns[sample.turn]))
            if sample.decision == "continue" and asking:
                yield from self._idle_sentences(labelled, sample, asking=asking)

    def _idle_sentences(
        self, labelled: LabelledSession, sample: Sample, *, asking: Sequence[str]
    ) -> Iterator[str]:
        """Yield sentences of a turn without a mark, outside those `asking`, that no pattern of a field matches."""
        session = labelled.session
        turn = session.turns[sample.turn]
        patterns = self._patterns[session.task]
        for message in session.messages[turn.start : turn.end]:
            for sentence in sentences(one_line(message.content)) if message.author == "expert" else ():
                if (
                    _size(sentence) > 1
                    and not has_question_mark(sentence)
                    and not any(search(sentence) for search in patterns)
                    and not any(sentence in part for part in asking)
                ):
                    yield sentence

    def found(self) -> Questions:
        """Return the questions so far, with the cues that the training sessions teach."""
        found = self._questions
        found.cues = self._learner.cues()
        found.sessions.sort(key=lambda questions: (questions.draw, questions.session_id))
        return found


def _statements(labelled: LabelledSession) -> Iterator[str]:
    for message in labelled.session.messages:
        text = one_line(message.content)
        if message.author == "user" and text and not has_question_mark(text):
            yield text


def _most_frequent(of_sessions: Iterable[tuple[str, ...]]) -> list[str]:
    """Return the different texts, those of the most sessions first."""
    counts = Counter(text for texts in of_sessions for text in dict.fromkeys(texts))
    return [text for text, _ in sorted(counts.items(), key=lambda count: (-count[1], count[0]))]


def _size(text: str) -> int:
    return max(len(words(text)), morphemes(text))


def draw_of(session_id: str) -> float:
    """Return a number in 0…1 that depends on the session id alone: an order unrelated to time and content."""
    digest = hashlib.sha256(session_id.encode("utf-8", errors="surrogatepass")).digest()
    return int.from_bytes(digest[:8], "big") / 2**64
