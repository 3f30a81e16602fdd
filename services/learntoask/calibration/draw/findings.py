"""What each judge finds in each expert turn: the fields that it asks for, by the labeller and by both graders."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from pydantic import Field

from learntoask.calibration.labels.sessions import LabelledLog
from learntoask.core.json_lines import write_records
from learntoask.core.manifest import Corruption, Label
from learntoask.core.pack import Pack
from learntoask.core.records import LabelledSession, Record, Session, Split
from learntoask.core.stages.contract import ProgressCallback
from learntoask.core.text.characters import one_line
from learntoask.grading.fields.grader import FieldGrader
from learntoask.grading.fluency import FluencyGuard
from learntoask.grading.grades import Grade, GradeCase, Grader
from learntoask.labeling.labellers.annotated import AnnotatedLabeller
from learntoask.labeling.labellers.lexicon import LexiconLabeller
from learntoask.labeling.labellers.protocol import TurnLabel

LABELLER = "labeller"
GRADERS = ("rewarding", "reporting")
FINDINGS_FILE = "findings.jsonl"
_BATCH = 256


class Finding(Record):
    """The fields that judges find in one expert turn.

    `asks` maps each judge to its fields; a judge that found no answer is left out. `chances` maps a model-free grader
    to the probability of each field of the task; it is empty where the fluency guard finds no question.
    """

    session_id: str
    split: Split
    task: str
    turn: int  # index into Session.turns
    text: str
    question: bool  # whether the fluency guard finds a question
    asks: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    chances: dict[str, dict[str, float]] = Field(default_factory=dict)

    @property
    def unnamed(self) -> bool:
        """Whether the turn is a question for which the labeller finds no field."""
        return self.question and self.asks.get(LABELLER) == ()

    @property
    def doubtful(self) -> bool:
        """Whether judges differ about the turn, or the labeller finds no field that its question asks for."""
        return len(set(self.asks.values())) > 1 or self.unnamed

    def with_asks(self, judge: str, fields: Iterable[str]) -> Finding:
        return self.model_copy(update={"asks": {**self.asks, judge: tuple(sorted(fields))}})

    def with_labeller(self, fields: Iterable[str] | None) -> Finding:
        """Return the finding with what another labeller finds, None if that is unknown.

        Repeated judgements of the labeller before are left out: they have its errors, and could outvote the other one.
        """
        asks = {judge: found for judge, found in self.asks.items() if judge.split("#")[0] != LABELLER}
        kept = self.model_copy(update={"asks": asks})
        return kept if fields is None else kept.with_asks(LABELLER, fields)


def turn_text(session: Session, turn: int) -> str:
    """Return the words of an expert turn on one line; empty if the expert acted without a message."""
    where = session.turns[turn]
    return one_line(" ".join(message.content for message in session.messages[where.start : where.end]))


class Requests:
    """Says which fields the labeller finds requested in each turn, also in turns for which it published no sample.

    A turn has no sample where nothing asked from there on is given. The labellers without a model read the session
    again there; for those with a model, and for sessions that were changed on purpose, the turn counts as unknown.
    """

    def __init__(self, pack: Pack, label: Label, corrupt: Corruption) -> None:
        self._labeller: LexiconLabeller | AnnotatedLabeller | None = None
        if label.method == "lexicon":
            self._labeller = LexiconLabeller(pack)
        elif label.method == "annotated" and not corrupt.sloppy:
            self._labeller = AnnotatedLabeller(pack, unknown_items=label.unknown_items)
        self._pack = pack

    def of(self, labelled: LabelledSession) -> list[frozenset[str] | None]:
        """Return the requested fields of each turn, None where they are unknown."""
        session = labelled.session
        known = self._pack.task(session.task).field_names
        found: list[frozenset[str] | None] = [None] * len(session.turns)
        if self._labeller is not None:
            for turn, label in enumerate(self._labeller.label(session).turns[: len(found)]):
                found[turn] = frozenset(label.requested) if isinstance(label, TurnLabel) else None
        for sample in labelled.samples:
            if sample.requested:
                found[sample.turn] = known.intersection(sample.requested)
        return found


def find_all(
    logs: Sequence[LabelledLog],
    *,
    pack: Pack,
    requests: Requests,
    graders: Mapping[str, Grader],
    report: ProgressCallback,
) -> list[Finding]:
    """Return the findings of every turn of the logs with words, in their order.

    Turns after a published stop have none of the labeller.
    A model-free grader leaves out the session that it reads, so its finding does not repeat the label.
    """
    guard = FluencyGuard(pack)
    found = [finding for log in logs for finding in _of_labeller(log.log, requests.of(log.labelled), guard)]
    sessions = {log.session_id: log.log for log in logs}
    for number, (role, grader) in enumerate(graders.items()):
        for start in range(0, len(found), _BATCH):
            part = found[start : start + _BATCH]
            found[start : start + _BATCH] = _graded(part, role, grader, sessions)
            report(number * len(found) + start + len(part), len(graders) * len(found))
    return found


def _of_labeller(
    session: Session, requested: Sequence[frozenset[str] | None], guard: FluencyGuard
) -> Iterator[Finding]:
    for turn in range(len(session.turns)):
        fields = requested[turn] if turn < len(requested) else None
        text = turn_text(session, turn)
        if text:
            yield Finding(
                session_id=session.session_id,
                split=session.split,
                task=session.task,
                turn=turn,
                text=text,
                question=bool(guard.asking(text)),
                asks={} if fields is None else {LABELLER: tuple(sorted(fields))},
            )


def _graded(
    found: Sequence[Finding], role: str, grader: Grader, sessions: Mapping[str, Session]
) -> list[Finding]:
    cases = [grade_case(one, sessions[one.session_id]) for one in found]
    graded = [
        one.with_asks(role, grade.asked) if isinstance(grade, Grade) else one
        for one, grade in zip(found, grader.grade(cases), strict=True)
    ]
    if not isinstance(grader, FieldGrader):
        return graded
    asking = [one for one in found if one.question]
    estimates = grader.estimates([(one.session_id, one.task, one.text) for one in asking])
    chances = {
        (one.session_id, one.turn): {
            name: round(0.0 if estimate.unlike else min(chance, estimate.asks), 4)
            for name, chance in estimate.probabilities.items()
        }
        for one, estimate in zip(asking, estimates, strict=True)
    }
    return [
        one.model_copy(update={"chances": {**one.chances, role: chances.get((one.session_id, one.turn), {})}})
        for one in graded
    ]


def grade_case(finding: Finding, session: Session) -> GradeCase:
    """The grade case of an expert turn as a response in its own context, with no target."""
    return GradeCase(
        session_id=finding.session_id,
        task=finding.task,
        response=finding.text,
        target=frozenset(),
        context=session.messages[: session.turns[finding.turn].start],
    )


def write_findings(folder: Path, findings: Iterable[Finding]) -> None:
    """Write findings.jsonl into `folder`."""
    write_records(folder / FINDINGS_FILE, findings)
