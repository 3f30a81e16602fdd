"""The counts that a check adds up over the lines of a log."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from learntoask.core.pack import Pack
from learntoask.labeling.check.report import FieldCoverage
from learntoask.labeling.counts import LabelCounts
from learntoask.labeling.labellers.annotated import ANNOTATIONS
from learntoask.labeling.labellers.protocol import Findings, TurnLabel
from learntoask.labeling.logs.lines import LogLine
from learntoask.labeling.logs.quarantine import Reason, Rejected
from learntoask.labeling.logs.reader import ReadLine
from learntoask.labeling.problems import Problems
from learntoask.labeling.samples import Labelling


@dataclass
class Counts:
    """The counts that accumulate over the lines of the file."""

    lines: int = 0
    first_line: bytes = b""  # that is not blank
    blank: int = 0
    several_stops: int = 0
    html_messages: int = 0
    cleaned_messages: int = 0
    quarantined: Counter[str] = field(default_factory=Counter)
    failed: Counter[str] = field(default_factory=Counter)
    ends: Counter[str] = field(default_factory=Counter)
    tasks: Counter[str] = field(default_factory=Counter)
    asked: Counter[tuple[str, str]] = field(default_factory=Counter)
    given: Counter[tuple[str, str]] = field(default_factory=Counter)
    problems: Problems = field(default_factory=Problems)
    labels: LabelCounts = field(default_factory=LabelCounts)

    def add_session(self, entry: ReadLine) -> None:
        """Add what the line of a session shows before labelling."""
        self.several_stops += entry.acts > 1
        self.html_messages += entry.html_messages
        self.cleaned_messages += entry.cleaned_messages

    def add_labels(self, labelling: Labelling, findings: Findings, *, line: int) -> None:
        """Add what the labeller found in the session of `line`, and the labels that follow."""
        self.labels.add(labelling, findings)
        session = labelling.labelled.session
        for _, failure in labelling.failures:
            self.failed[failure.reason.value] += 1
            self.problems.add(line, failure.reason, ANNOTATIONS, failure.message)
        self.ends[session.end.value] += 1
        self.tasks[session.task] += 1
        asked = {name for turn in findings.turns if isinstance(turn, TurnLabel) for name in turn.requested}
        self.asked.update((session.task, name) for name in asked)
        self.given.update((session.task, name) for name in {answer.field for answer in findings.answers})

    def add_rejection(self, line: LogLine, rejection: Rejected) -> None:
        """Add a line that is no session."""
        self.first_line = self.first_line or line.text[:100].strip()
        self.quarantined[rejection.reason.value] += 1
        self.problems.add(line.number, rejection.reason, rejection.where, str(rejection))

    def add_duplicate_id(self, line: int, *, first: int) -> None:
        """Add a session whose id the session of line `first` has, too."""
        self.quarantined[Reason.DUPLICATE_SESSION_ID.value] += 1
        message = f"session_id: line {first} has the same one; give every session a different id"
        self.problems.add(line, Reason.DUPLICATE_SESSION_ID, "session_id", message)

    def coverage(self, pack: Pack) -> tuple[FieldCoverage, ...]:
        """Return the coverage of every field of the tasks that have sessions."""
        return tuple(
            FieldCoverage(
                task.name,
                information.name,
                self.tasks[task.name],
                self.asked[task.name, information.name],
                self.given[task.name, information.name],
            )
            for task in pack.tasks
            if self.tasks[task.name]
            for information in task.fields
        )
