"""What a check finds in a log."""

from __future__ import annotations

from dataclasses import dataclass

from learntoask.labeling.problems import Problem
from learntoask.labeling.unmatched import QuestionGroup


@dataclass(frozen=True, slots=True)
class FieldCoverage:
    """The number of sessions in which the expert asks for a field, and in which the user gives it."""

    task: str
    field: str
    sessions: int  # of the task
    asked: int
    given: int


@dataclass(frozen=True, slots=True)
class CheckReport:
    """What a run would make of the log file `path`."""

    path: str
    lines: int
    blank_lines: int
    sessions: int
    quarantined: dict[str, int]  # lines by reason
    failed_labels: dict[str, int]  # decision points by reason
    problems: tuple[Problem, ...]  # the first LISTED of them
    labellers: dict[str, int]  # sessions by labeller
    labeller_reason: str  # which labellers were used, and why
    unknown_items: dict[
        str, int
    ]  # annotated items that the pack does not list, by name; the commonest of them
    ends: dict[str, int]  # sessions by end reason
    decision_points: int
    continue_samples: int
    stop_samples: int
    dropped_empty: int  # `continue` with an empty micro-goal
    sessions_with_several_stops: int
    html_messages: int  # messages whose HTML a run removes
    cleaned_messages: (
        int  # other messages with invisible or unusual characters, which a run removes or unifies
    )
    questions: int  # expert messages with a question (labeller `lexicon`)
    unnamed_questions: int  # those of them that no pattern matches
    unmatched: tuple[QuestionGroup, ...]  # the commonest of these, grouped by their words
    never_matched: tuple[
        tuple[str, str, str], ...
    ]  # task, place in the pack, and pattern that matches no message
    coverage: tuple[FieldCoverage, ...]
    warnings: tuple[str, ...]  # valid logs that will train a poor policy, and why

    @property
    def ok(self) -> bool:
        """Whether every line is a session and every decision point has a label."""
        return bool(self.sessions) and not self.quarantined and not self.failed_labels
