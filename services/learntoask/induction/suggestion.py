"""What `lta init` found in the logs: the content of the pack, with the evidence for each part."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from learntoask.induction.patterns.mining import MinedPattern
from learntoask.review.records import ReviewItem

Confidence = Literal["high", "medium", "low"]


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """What a field is based on: counts over the sample, and what a person can check by reading."""

    sessions: int  # in which it is asked for
    asked: int  # questions
    matched: int  # of them, that a pattern matches
    held_out_precision: float | None  # of patterns mined on one half of the sessions, on the other half
    held_out_coverage: float | None
    question_ids: tuple[str, ...]  # session:message of `questions`, for a model that names the field
    questions: tuple[str, ...]
    answers: tuple[tuple[str, int], ...]  # the commonest replies, with their count

    @property
    def confidence(self) -> Confidence:
        """How far to trust the field: by what its patterns find in sessions that they were not made from."""
        if self.held_out_precision is None or self.held_out_coverage is None or self.asked < 10:
            return "low"
        if self.held_out_precision >= 0.95 and self.held_out_coverage >= 0.6 and self.asked >= 30:
            return "high"
        return "medium" if self.held_out_precision >= 0.85 and self.held_out_coverage >= 0.3 else "low"


@dataclass(frozen=True, kw_only=True)
class SuggestedField:
    """A field of information, as the pack gets it."""

    name: str
    description: str
    patterns: tuple[MinedPattern, ...]  # of all its tasks
    answer_patterns: tuple[str, ...]
    values: tuple[str, ...]
    questions: tuple[str, ...]
    evidence: Evidence
    named_by: str = ""  # the model that named it; empty for its commonest words


@dataclass(frozen=True, kw_only=True)
class FieldUse:
    """A field in one task: the number of the task's sessions in which it is asked for, and how it is asked for there.

    One thing is asked for in other words in another task ("How many tickets?", "How many seats?").
    """

    field: SuggestedField
    sessions: int
    description: str
    questions: tuple[str, ...]
    required: bool
    patterns: tuple[MinedPattern, ...]  # that tell it from the other fields of the task


@dataclass(frozen=True, kw_only=True)
class SuggestedTask:
    """A task with its fields, the most often asked first."""

    name: str
    goal: str
    sessions: int
    fields: tuple[FieldUse, ...]


EndAnswer = Literal["acts", "hands_over", "goes_on"]
"""What an expert does with a message."""


@dataclass(frozen=True)
class DoubtfulEnd:
    """An expert message, by the index of its session and its place, and what the expert seems to do with it.

    `at_stake` is the expected number of sessions whose end is wrong if a person would say something else.
    """

    session: int
    message: int
    guess: EndAnswer
    at_stake: float


@dataclass(frozen=True, kw_only=True)
class SuggestedEnds:
    """How sessions end: the pack's rules, each with the number of sessions that it decides."""

    markers: tuple[tuple[str, int], ...] = ()
    require_marker: bool = False
    actions: tuple[MinedPattern, ...] = ()
    handoffs: tuple[MinedPattern, ...] = ()
    examples: tuple[str, ...] = ()  # what experts say on acting
    abandoned: int = 0  # sessions in which the user has the last word, or the expert's last turn asks
    doubtful: tuple[DoubtfulEnd, ...] = ()  # messages that people could be asked about


@dataclass(frozen=True, kw_only=True)
class NotCovered:
    """Questions that became no field."""

    questions: tuple[tuple[str, int], ...]  # an example of each group, with how many questions it has
    total: int  # all questions outside the fields' patterns
    small_talk: tuple[tuple[str, int], ...]
    confirmations: tuple[tuple[str, int], ...]


@dataclass(frozen=True, kw_only=True)
class SortedQuestion:
    """An expert question of one task, with the field that it asks for, as far as the logs show (None otherwise)."""

    task: str
    text: str  # the whole message
    field: str | None
    count: int


@dataclass(frozen=True, kw_only=True)
class TaskGroup:
    """Sessions that look like one kind of conversation, in logs whose sessions name no task."""

    sessions: int
    opening: str  # a typical first message of the user
    fields: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Suggestion:
    """Everything that was found. Equal logs give equal suggestions."""

    logs: str  # file name
    total: int  # lines of the file that are not blank
    sessions: int  # that were read
    rejected: dict[str, int]  # lines that are no sessions, by reason
    copies: int
    user_roles: tuple[str, ...]
    expert_roles: tuple[str, ...]
    roles_reason: str
    language: str
    languages: dict[str, float]
    task_from: tuple[str, ...]
    task_share: float | None  # of what could be known about which fields are asked, that the tasks tell
    tasks: tuple[SuggestedTask, ...]
    groups: tuple[TaskGroup, ...]
    session_groups: tuple[
        int, ...
    ]  # the group of each of the first sessions; empty where a key names the task
    fields: tuple[SuggestedField, ...]
    ends: SuggestedEnds
    not_covered: NotCovered
    sorted_questions: tuple[SortedQuestion, ...]
    questions: int  # of all experts, without small talk and confirmations
    min_words: int  # of the shortest question that is asked often
    notes: tuple[str, ...]  # what a person should look at
    cards: tuple[ReviewItem, ...]  # what people could be asked, the most telling first
