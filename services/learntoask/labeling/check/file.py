"""Check a log file: read, label and count every line."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from learntoask.core.manifest import Dataset, RunSpec, Train
from learntoask.core.pack import Pack
from learntoask.core.records import EndReason, LabelledSession, Session
from learntoask.core.text.patterns import SlowPattern
from learntoask.labeling.alike_sessions import AlikeSessions
from learntoask.labeling.answer_lengths import AnswerLengths
from learntoask.labeling.check.counts import Counts
from learntoask.labeling.check.report import CheckReport
from learntoask.labeling.check.warnings import MOST_NAMED, label_warnings, language_warning
from learntoask.labeling.labellers.choice import LabellerChoice, Method
from learntoask.labeling.logs.broad_patterns import BroadPatterns
from learntoask.labeling.logs.lines import file_bytes
from learntoask.labeling.logs.quarantine import Reason
from learntoask.labeling.logs.reader import LogReader
from learntoask.labeling.logs.session_index import id_digest
from learntoask.labeling.samples import make_samples
from learntoask.labeling.unmatched import QuestionGroup, UnmatchedQuestions

_STEP = 500  # lines between progress reports


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
    counts = Counts()
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
                    counts.add_duplicate_id(number, first=first)
                    continue
                alike.add(entry.session, number)
                counts.add_session(entry)
                labelled = _label(counts, entry.session, number, pack, choice)
                lengths.add(labelled)
                broad.add(entry.session)
                unmatched.add(labelled.session)
                if examine is not None:
                    examine(labelled)
            elif entry.rejection is not None:
                counts.add_rejection(entry.line, entry.rejection)
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
        unmatched=unmatched.groups() if counts.labels.unnamed_questions else (),
        never_matched=tuple(broad.never()) if choice.used["lexicon"] else (),
    )


def _label(
    counts: Counts, session: Session, line: int, pack: Pack, choice: LabellerChoice
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
    counts.add_labels(labelling, findings, line=line)
    return labelling.labelled


def _report(
    path: Path,
    pack: Pack,
    counts: Counts,
    *,
    choice: LabellerChoice,
    warnings: Sequence[str],
    sessions: int,
    unmatched: tuple[QuestionGroup, ...],
    never_matched: tuple[tuple[str, str, str], ...],
) -> CheckReport:
    coverage = counts.coverage(pack)
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
        unknown_items=dict(counts.labels.unknown_items.most_common(MOST_NAMED)),
        ends={end.value: counts.ends[end.value] for end in EndReason},
        decision_points=counts.labels.decision_points,
        continue_samples=counts.labels.decisions["continue"],
        stop_samples=counts.labels.decisions["stop"],
        dropped_empty=counts.labels.empty,
        sessions_with_several_stops=counts.several_stops,
        html_messages=counts.html_messages,
        cleaned_messages=counts.cleaned_messages,
        questions=counts.labels.questions,
        unnamed_questions=counts.labels.unnamed_questions,
        unmatched=unmatched,
        never_matched=never_matched,
        coverage=coverage,
        warnings=(*language_warning(pack), *label_warnings(counts, coverage), *warnings),
    )
