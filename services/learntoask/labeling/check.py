"""`lta data check`: validate and label a log as a run would, and report the problems without writing anything."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from learntoask.core.languages.pack_phrases import PHRASES, language_of
from learntoask.core.manifest import Dataset, RunSpec, Train
from learntoask.core.pack import Pack
from learntoask.core.records import EndReason, LabelledSession, Session
from learntoask.core.text.patterns import SlowPattern
from learntoask.labeling.alike_sessions import AlikeSessions
from learntoask.labeling.answer_lengths import AnswerLengths
from learntoask.labeling.labellers.annotated import ANNOTATIONS
from learntoask.labeling.labellers.choice import LabellerChoice, Method
from learntoask.labeling.labellers.protocol import TurnLabel
from learntoask.labeling.logs.broad_patterns import BroadPatterns
from learntoask.labeling.logs.lines import file_bytes
from learntoask.labeling.logs.quarantine import Reason
from learntoask.labeling.logs.reader import LogReader
from learntoask.labeling.logs.session_index import id_digest
from learntoask.labeling.problems import Problem, Problems
from learntoask.labeling.samples import make_samples
from learntoask.labeling.unmatched import QuestionGroup, UnmatchedQuestions

ENOUGH = 20  # sessions of a task from which a field that no expert asks for is worth a warning
FEWEST_SESSIONS = 4  # that the stage grader fits two graders on
_STEP = 500  # lines between progress reports
_NAMED = 10  # of the annotated items that the pack does not list, the commonest


@dataclass(frozen=True, kw_only=True)
class CheckSettings:
    """The settings of the run that the logs are checked for. `method` None: by what each session holds."""

    method: Method | None = None
    unknown_items: Literal["error", "ignore"] = "error"
    max_new_tokens: int = Train().max_new_tokens

    @classmethod
    def of(cls, spec: RunSpec) -> CheckSettings:
        return cls(
            method=spec.label.method,
            unknown_items=spec.label.unknown_items,
            max_new_tokens=spec.train.max_new_tokens,
        )


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


@dataclass
class _Counts:
    """The counts that accumulate over the lines of the file."""

    lines: int = 0
    first_line: bytes = b""  # that is not blank
    blank: int = 0
    several_stops: int = 0
    html_messages: int = 0
    cleaned_messages: int = 0
    decision_points: int = 0
    empty: int = 0
    questions: int = 0
    unnamed: int = 0
    quarantined: Counter[str] = field(default_factory=Counter)
    failed: Counter[str] = field(default_factory=Counter)
    decisions: Counter[str] = field(default_factory=Counter)
    ends: Counter[str] = field(default_factory=Counter)
    unknown_items: Counter[str] = field(default_factory=Counter)
    tasks: Counter[str] = field(default_factory=Counter)
    asked: Counter[tuple[str, str]] = field(default_factory=Counter)
    given: Counter[tuple[str, str]] = field(default_factory=Counter)
    problems: Problems = field(default_factory=Problems)


def check_file(
    path: Path,
    pack: Pack,
    dataset: Dataset,
    *,
    settings: CheckSettings = CheckSettings(),
    progress: Callable[[int, int], None] | None = None,
    examine: Callable[[LabelledSession], None] | None = None,
) -> CheckReport:
    """Validate and label every line of the log at `path`.

    Calls `progress` with the bytes read and the file's size, and `examine` with every labelled session. Large clusters
    of near-duplicate sessions are warned of, which takes a second reading where there may be some. Raises InputError
    when the file cannot be read, or when the search for a pattern of the pack does not end.
    """
    counts = _Counts()
    first_lines: dict[tuple[int, int], int] = {}  # by session id, the line of its first session
    choice = LabellerChoice(pack, settings.method, unknown_items=settings.unknown_items)
    lengths, broad = AnswerLengths(settings.max_new_tokens), BroadPatterns(pack)
    unmatched = UnmatchedQuestions(pack)
    reader, total = LogReader(pack, dataset), file_bytes(path)
    with AlikeSessions(dataset.near_duplicate) as alike:
        for entry in reader.read(path):
            counts.lines += 1
            if entry.session is not None:
                number = entry.line.number
                first = first_lines.setdefault(id_digest(entry.session.session_id), number)
                if first != number:
                    _count_duplicate_id(counts, number, first=first)
                    continue
                alike.add(entry.session, number)
                counts.several_stops += entry.acts > 1
                counts.html_messages += entry.html_messages
                counts.cleaned_messages += entry.cleaned_messages
                labelled = _label(counts, entry.session, number, pack, choice)
                lengths.add(labelled)
                broad.add(entry.session)
                unmatched.add(labelled.session)
                if examine is not None:
                    examine(labelled)
            elif entry.rejection is not None:
                counts.first_line = counts.first_line or entry.line.text[:100].strip()
                counts.quarantined[entry.rejection.reason.value] += 1
                counts.problems.add(
                    entry.line.number, entry.rejection.reason, entry.rejection.where, str(entry.rejection)
                )
            else:
                counts.blank += 1
            if progress is not None and counts.lines % _STEP == 0:
                progress(entry.line.end, total)
        warnings = [
            *broad.warnings(excluded=counts.quarantined[Reason.EXCLUDED.value]),
            *alike.warnings(reader, path),
            *filter(None, (lengths.warning(),)),
        ]
    return _report(
        path,
        pack,
        counts,
        choice=choice,
        warnings=warnings,
        sessions=len(first_lines),
        unmatched=unmatched.groups() if counts.unnamed else (),
        never_matched=tuple(broad.never()) if choice.used["lexicon"] else (),
    )


def _label(
    counts: _Counts, session: Session, line: int, pack: Pack, choice: LabellerChoice
) -> LabelledSession:
    labeller = choice.for_session(session)
    try:
        findings = labeller.label(session)
    except SlowPattern as slow:
        raise slow.at(f"line {line}") from None
    labelling = make_samples(
        session,
        findings,
        stop_at=pack.stop_at,
        require_marker=pack.require_end_marker,
        provenance=labeller.provenance,
    )
    for _, failure in labelling.failures:
        counts.failed[failure.reason.value] += 1
        counts.problems.add(line, failure.reason, ANNOTATIONS, failure.message)
    counts.unknown_items.update(findings.unknown_items)
    counts.ends[labelling.labelled.session.end.value] += 1
    counts.decision_points += labelling.decision_points
    counts.empty += labelling.empty
    counts.questions += findings.questions
    counts.unnamed += findings.unnamed_questions
    counts.decisions.update(sample.decision for sample in labelling.labelled.samples)
    counts.tasks[session.task] += 1
    asked = {name for turn in findings.turns if isinstance(turn, TurnLabel) for name in turn.requested}
    counts.asked.update((session.task, name) for name in asked)
    counts.given.update((session.task, name) for name in {answer.field for answer in findings.answers})
    return labelling.labelled


def _count_duplicate_id(counts: _Counts, line: int, *, first: int) -> None:
    counts.quarantined[Reason.DUPLICATE_SESSION_ID.value] += 1
    message = f"session_id: line {first} has the same one; give every session a different id"
    counts.problems.add(line, Reason.DUPLICATE_SESSION_ID, "session_id", message)


def _report(
    path: Path,
    pack: Pack,
    counts: _Counts,
    *,
    choice: LabellerChoice,
    warnings: Sequence[str],
    sessions: int,
    unmatched: tuple[QuestionGroup, ...],
    never_matched: tuple[tuple[str, str, str], ...],
) -> CheckReport:
    coverage = tuple(
        FieldCoverage(
            task.name,
            information.name,
            counts.tasks[task.name],
            counts.asked[task.name, information.name],
            counts.given[task.name, information.name],
        )
        for task in pack.tasks
        if counts.tasks[task.name]
        for information in task.fields
    )
    return CheckReport(
        path=str(path),
        lines=counts.lines,
        blank_lines=counts.blank,
        sessions=sessions,
        quarantined={reason: count for reason, count in counts.quarantined.most_common() if count},
        failed_labels=dict(counts.failed.most_common()),
        problems=counts.problems.listed(),
        labellers=dict(choice.used),
        labeller_reason=choice.reason(),
        unknown_items=dict(counts.unknown_items.most_common(_NAMED)),
        ends={end.value: counts.ends[end.value] for end in EndReason},
        decision_points=counts.decision_points,
        continue_samples=counts.decisions["continue"],
        stop_samples=counts.decisions["stop"],
        dropped_empty=counts.empty,
        sessions_with_several_stops=counts.several_stops,
        html_messages=counts.html_messages,
        cleaned_messages=counts.cleaned_messages,
        questions=counts.questions,
        unnamed_questions=counts.unnamed,
        unmatched=unmatched,
        never_matched=never_matched,
        coverage=coverage,
        warnings=(*_language_warning(pack), *_warnings(counts, coverage), *warnings),
    )


def _language_warning(pack: Pack) -> Iterator[str]:
    if language_of(pack) in PHRASES or pack.fluency.questions:
        return
    yield (
        f"no phrases of language {pack.language!r} are known, so a request without a question mark is a question only "
        f"where the labels teach it: give one of the codes {', '.join(sorted(PHRASES))}, or fluency.questions, "
        "fluency.refusals and nonAnswers in the pack"
    )


NO_SESSION = "no line is a session"


def why_no_session(first_line: bytes) -> str:
    """Return why a file holds no session, as its first line with text shows; "" if that does not tell."""
    if not first_line:
        return f"{NO_SESSION}, because the file is empty"
    if first_line.startswith(b"["):
        return (
            f"{NO_SESSION}, because the file is one JSON list: jq -c '.[]' FILE writes its entries on lines"
        )
    if first_line == b"{":
        return f"{NO_SESSION}, because the objects span several lines: jq -c . FILE writes each on one"
    return ""


def _warnings(counts: _Counts, coverage: Sequence[FieldCoverage]) -> Iterator[str]:
    if not counts.tasks:
        yield why_no_session(counts.first_line) or NO_SESSION
        return
    if counts.tasks.total() < FEWEST_SESSIONS:
        yield (
            f"a run needs {FEWEST_SESSIONS} sessions or more for its graders and splits, and these are "
            f"{counts.tasks.total()}"
        )
    if not counts.decisions["stop"]:
        yield "no session holds a stop: check endMarkers, actionPatterns and requireEndMarker of the pack"
    if not counts.decisions["continue"] and not counts.asked:
        yield "no decision point has anything left to ask: check that the pack's fields and patterns fit these logs"
    if counts.several_stops:
        yield f"{counts.several_stops} sessions hold several end markers; the first one counts and ends the session"
    if counts.unknown_items:
        named = ", ".join(f"{name} ({count})" for name, count in counts.unknown_items.most_common(_NAMED))
        yield (
            f"{counts.unknown_items.total()} annotated items are not in the pack ({named}): add them as fields, or set "
            "label.unknownItems: ignore to leave them out"
        )
    if counts.unnamed > counts.questions / 2:
        yield f"{counts.unnamed} of {counts.questions} questions match no pattern of the pack, so `lexicon` misses them"
    unanswered = [
        f"{entry.task}: {entry.field}"
        for entry in coverage
        if entry.asked and (not counts.decisions["continue"] or (not entry.given and entry.asked >= ENOUGH))
    ]
    if unanswered:
        more = f" and {len(unanswered) - 5} more" if len(unanswered) > 5 else ""
        yield (
            f"experts ask for {', '.join(unanswered[:5])}{more}, but no answer of a user counts, so nothing is learned "
            "from these questions: check that nonAnswers of the pack matches no answer, and that answerPatterns of "
            "these fields match them"
        )
    never = [
        f"{entry.task}: {entry.field}" for entry in coverage if not entry.asked and entry.sessions >= ENOUGH
    ]
    if never:
        more = f" and {len(never) - 5} more" if len(never) > 5 else ""
        yield f"no expert ever asks for {', '.join(never[:5])}{more}"
