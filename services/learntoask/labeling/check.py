"""`lta data check`: what a run would make of a log, without running anything."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from learntoask.core.manifest import Dataset
from learntoask.core.pack import Pack
from learntoask.core.records import EndReason, Session
from learntoask.labeling.labellers.annotated import KEY, AnnotatedLabeller
from learntoask.labeling.labellers.lexicon import LexiconLabeller
from learntoask.labeling.labellers.protocol import TurnLabel
from learntoask.labeling.logs.lines import file_bytes
from learntoask.labeling.logs.quarantine import Reason
from learntoask.labeling.logs.reader import LogReader
from learntoask.labeling.logs.session_index import SessionIndex
from learntoask.labeling.samples import make_samples

LISTED = 20  # problems that are reported with their line; all are counted
ENOUGH = 20  # sessions of a task after which a field that nobody asks for is worth a warning
_STEP = 500  # lines between progress reports


@dataclass(frozen=True, slots=True)
class Problem:
    line: int  # from 1
    reason: str
    field: str  # key at fault, e.g. `messages[3].role`
    message: str


@dataclass(frozen=True, slots=True)
class FieldCoverage:
    """In how many sessions of its task a field is asked for by the expert, and given by the user."""

    task: str
    field: str
    sessions: int
    asked: int
    given: int


@dataclass(frozen=True, slots=True)
class CheckReport:
    path: str
    lines: int
    blank_lines: int
    sessions: int
    quarantined: dict[str, int]  # lines by reason
    failed_labels: dict[str, int]  # decision points by reason
    problems: tuple[Problem, ...]  # the first LISTED
    labellers: dict[str, int]  # sessions by labeller: `annotated` where a session carries annotations
    ends: dict[str, int]
    decision_points: int
    continue_samples: int
    stop_samples: int
    dropped_empty: int  # `continue` with an empty micro-goal
    sessions_with_several_stops: int
    questions: int  # expert messages with a question (labeller `lexicon`)
    unnamed_questions: int  # of these, matched by no pattern
    coverage: tuple[FieldCoverage, ...]
    warnings: tuple[str, ...]  # what is valid and will still disappoint

    @property
    def ok(self) -> bool:
        """Every line is a session and every decision point has a label."""
        return bool(self.sessions) and not self.quarantined and not self.failed_labels


@dataclass
class _Findings:
    """What accumulates over the file."""

    lines: int = 0
    blank: int = 0
    several_stops: int = 0
    decision_points: int = 0
    empty: int = 0
    questions: int = 0
    unnamed: int = 0
    quarantined: Counter[str] = field(default_factory=Counter)
    failed: Counter[str] = field(default_factory=Counter)
    decisions: Counter[str] = field(default_factory=Counter)
    ends: Counter[str] = field(default_factory=Counter)
    labellers: Counter[str] = field(default_factory=Counter)
    tasks: Counter[str] = field(default_factory=Counter)
    asked: Counter[tuple[str, str]] = field(default_factory=Counter)
    given: Counter[tuple[str, str]] = field(default_factory=Counter)
    problems: list[Problem] = field(default_factory=list)

    def problem(self, line: int, reason: Reason, where: str, message: str) -> None:
        if len(self.problems) < LISTED:
            self.problems.append(Problem(line, reason.value, where, message))


def check_file(
    path: Path, pack: Pack, dataset: Dataset, *, progress: Callable[[int, int], None] | None = None
) -> CheckReport:
    """Validate and label every line. `progress` hears bytes done and bytes in all.

    Raises InputError when the file cannot be read. Near-duplicates are not looked for; `prepare` counts them.
    """
    found, ledger = _Findings(), SessionIndex()
    labellers = (AnnotatedLabeller(pack), LexiconLabeller(pack))
    reader, total = LogReader(pack, dataset), file_bytes(path)
    for read in reader.read(path):
        found.lines += 1
        if read.session is not None:
            ledger.add(read.session, line=read.line.number, from_test=False, acts=read.acts)
            found.several_stops += read.acts > 1
            _label(found, read.session, read.line.number, pack, labellers)
        elif read.refusal is not None:
            found.quarantined[read.refusal.reason.value] += 1
            found.problem(read.line.number, read.refusal.reason, read.refusal.where, str(read.refusal))
        else:
            found.blank += 1
        if progress is not None and found.lines % _STEP == 0:
            progress(read.line.end, total)
    _duplicates(found, ledger)
    return _report(path, pack, found, sessions=len(ledger))


def _label(
    found: _Findings,
    session: Session,
    line: int,
    pack: Pack,
    labellers: tuple[AnnotatedLabeller, LexiconLabeller],
) -> None:
    labeller = labellers[0] if KEY in session.extras else labellers[1]
    findings = labeller.label(session)
    labelling = make_samples(
        session,
        findings,
        stop_at=pack.stop_at,
        require_marker=pack.require_end_marker,
        provenance=labeller.provenance,
    )
    for _, failure in labelling.failures:
        found.failed[failure.reason.value] += 1
        found.problem(line, failure.reason, KEY, failure.message)
    found.labellers[labeller.provenance.labeller] += 1
    found.ends[labelling.labelled.session.end.value] += 1
    found.decision_points += labelling.decision_points
    found.empty += labelling.empty
    found.questions += findings.questions
    found.unnamed += findings.unnamed_questions
    found.decisions.update(sample.decision for sample in labelling.labelled.samples)
    found.tasks[session.task] += 1
    asked = {name for turn in findings.turns if isinstance(turn, TurnLabel) for name in turn.requested}
    found.asked.update((session.task, name) for name in asked)
    found.given.update((session.task, name) for name in {answer.field for answer in findings.answers})


def _duplicates(found: _Findings, ledger: SessionIndex) -> None:
    first = ledger.first_occurrences()
    for index in np.flatnonzero(first != np.arange(len(ledger))).tolist():
        found.quarantined[Reason.DUPLICATE_SESSION_ID.value] += 1
        message = (
            f"session_id: the one of line {ledger.lines[int(first[index])]} again; "
            "give every session an id of its own"
        )
        found.problem(ledger.lines[index], Reason.DUPLICATE_SESSION_ID, "session_id", message)


def _report(path: Path, pack: Pack, found: _Findings, *, sessions: int) -> CheckReport:
    duplicates = found.quarantined[Reason.DUPLICATE_SESSION_ID.value]
    coverage = tuple(
        FieldCoverage(
            task.name,
            one.name,
            found.tasks[task.name],
            found.asked[task.name, one.name],
            found.given[task.name, one.name],
        )
        for task in pack.tasks
        if found.tasks[task.name]
        for one in task.fields
    )
    return CheckReport(
        path=str(path),
        lines=found.lines,
        blank_lines=found.blank,
        sessions=sessions - duplicates,
        quarantined={reason: count for reason, count in found.quarantined.most_common() if count},
        failed_labels=dict(found.failed.most_common()),
        problems=tuple(sorted(found.problems, key=lambda problem: problem.line)),
        labellers=dict(found.labellers),
        ends={end.value: found.ends[end.value] for end in EndReason},
        decision_points=found.decision_points,
        continue_samples=found.decisions["continue"],
        stop_samples=found.decisions["stop"],
        dropped_empty=found.empty,
        sessions_with_several_stops=found.several_stops,
        questions=found.questions,
        unnamed_questions=found.unnamed,
        coverage=coverage,
        warnings=tuple(_warnings(found, coverage)),
    )


def _warnings(found: _Findings, coverage: Sequence[FieldCoverage]) -> Iterator[str]:
    if not found.tasks:
        yield "no line is a session"
        return
    if not found.decisions["stop"]:
        yield "no session holds a stop: check endMarkers, actionPatterns and requireEndMarker of the pack"
    if not found.decisions["continue"]:
        yield "nothing is ever left to ask: do the fields of the pack and their patterns fit these logs?"
    if found.several_stops:
        yield f"{found.several_stops} sessions hold several end markers; the first counts, what follows it is left out"
    if found.unnamed > found.questions / 2:
        yield f"{found.unnamed} of {found.questions} questions match no pattern of the pack; the lexicon misses them"
    never = [f"{one.task}: {one.field}" for one in coverage if not one.asked and one.sessions >= ENOUGH]
    if never:
        more = f" and {len(never) - 5} more" if len(never) > 5 else ""
        yield f"no expert ever asks for {', '.join(never[:5])}{more}"
