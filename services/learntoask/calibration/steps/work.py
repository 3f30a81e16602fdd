"""What the stage calibrate knows and has decided so far."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from learntoask.calibration.agreement import Judgement
from learntoask.calibration.anchor import Anchor
from learntoask.calibration.answers import (
    YES,
    Answered,
    Review,
    collect,
    read_answers,
    read_carried,
    read_earlier,
)
from learntoask.calibration.draw.findings import FINDINGS_FILE, GRADERS, LABELLER, Finding
from learntoask.calibration.draw.stage import calibrate_settings, divide
from learntoask.calibration.labels.evidence import TurnKey
from learntoask.calibration.labels.sessions import LabelledLog, read_labelled
from learntoask.calibration.revise.patterns import Edit
from learntoask.calibration.revise.prompts import PromptName
from learntoask.calibration.steps.carried import still_asked
from learntoask.calibration.weights import weighted
from learntoask.core.json_lines import read_records
from learntoask.core.manifest.calibrate import Calibrate
from learntoask.core.pack import Pack
from learntoask.core.records import Session
from learntoask.core.stages.contract import StageContext
from learntoask.review.records import ANSWERS_FILE, CARRIED_FILE, EARLIER_FILE, ITEMS_FILE, Kind, ReviewItem


@dataclass
class Work:
    """The inputs of the stage, and what its steps have decided so far."""

    context: StageContext
    review: Review
    findings: dict[TurnKey, Finding]
    anchor: Anchor
    pack: Pack  # revised
    labelled: Path  # the labels that are corrected and published: those of the stage label, or of a revised labeller
    logs: list[LabelledLog]
    edits: list[Edit] = field(default_factory=list)
    carried: list[Answered] = field(default_factory=list)  # to items of earlier draws
    prompts: dict[PromptName, str] = field(default_factory=dict)  # revised prompts

    @classmethod
    def read(cls, context: StageContext) -> Work:
        """Read the answers, findings and labels. Raises InputError with the line that is wrong."""
        items = read_records(context.inputs["draw"] / ITEMS_FILE, ReviewItem)
        review = collect(items, read_answers(context.inputs["review"] / ANSWERS_FILE))
        findings = list(read_records(context.inputs["draw"] / FINDINGS_FILE, Finding))
        logs = read_labelled(
            context.inputs["label"],
            context.inputs["prepare"],
            pack=context.pack,
            faults=context.spec.dataset.corrupt,
        )
        seed = calibrate_settings(context).seed
        measured, trained = divide(logs, seed=seed)
        ids = {log.session_id for log in measured}
        review = weighted(review, [one for one in findings if one.session_id in ids])
        by_turn = {(one.session_id, one.turn): one for one in findings}
        carried = still_asked(
            read_carried(context.inputs["review"] / CARRIED_FILE),
            pack=context.pack,
            sessions={log.session_id: log.log for log in trained},
            findings=by_turn,
            seed=seed,
        )
        earlier = read_earlier(context.inputs["review"] / EARLIER_FILE)
        return cls(
            context=context,
            review=review,
            findings=by_turn,
            anchor=Anchor(calibrate_settings(context), review, earlier=earlier),
            pack=context.pack,
            labelled=context.inputs["label"],
            logs=logs,
            carried=carried,
        )

    @property
    def settings(self) -> Calibrate:
        return calibrate_settings(self.context)

    @property
    def to_learn(self) -> list[Answered]:
        """The answers that labels and revisions may be made from."""
        return self.learned("show", "search")

    def learned(self, *splits: Literal["show", "search"], kind: Kind | None = None) -> list[Answered]:
        """Return the answers of some splits, and of one kind if one is given, those to earlier draws included."""
        return [
            *self.review.of(*splits, kind=kind),
            *(
                one
                for one in self.carried
                if one.item.split in splits and kind in (None, one.item.kind) and one.keys
            ),
        ]

    @property
    def trained(self) -> list[LabelledLog]:
        """The sessions that are not measured on."""
        return divide(self.logs, seed=self.settings.seed)[1]

    @property
    def sessions(self) -> dict[str, Session]:
        """The sessions of the logs by their ids."""
        return {log.session_id: log.log for log in self.logs}

    @property
    def relabelled(self) -> bool:
        """Whether a revised labeller has labelled the logs again."""
        return self.labelled != self.context.inputs["label"]

    def judges(self) -> dict[str, Judgement]:
        """Return what labeller and graders find in each turn."""
        return judges_of(self.findings)


def judges_of(findings: Mapping[TurnKey, Finding]) -> dict[str, Judgement]:
    """Return what labeller and graders find in each turn by these findings."""

    def by(judge: str) -> Judgement:
        def finds(key: TurnKey) -> frozenset[str] | None:
            found = findings.get(key)
            return frozenset(found.asks[judge]) if found is not None and judge in found.asks else None

        return finds

    return {judge: by(judge) for judge in (LABELLER, *GRADERS)}


def stops_of(logs: Sequence[LabelledLog]) -> Judgement:
    """Return whether the labels say that the expert acts at a turn."""
    by_id = {log.session_id: log for log in logs}

    def finds(key: TurnKey) -> frozenset[str] | None:
        session = by_id[key[0]].labelled.session if key[0] in by_id else None
        if session is None:
            return None
        return frozenset({YES} if session.stop_turn == key[1] else ())

    return finds
