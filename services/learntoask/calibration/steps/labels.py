"""Revise the labeller, purge and correct labels, and publish them in the form of the stage label."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence

from learntoask.calibration.answers import acts_said, goals_said, pairs_said
from learntoask.calibration.draw.findings import LABELLER, Finding, Requests
from learntoask.calibration.labels.corrections import Corrections, correct
from learntoask.calibration.labels.evidence import TurnKey
from learntoask.calibration.labels.purge import People
from learntoask.calibration.labels.sessions import LabelledLog, read_labelled
from learntoask.calibration.revise.relabel import revise_labels
from learntoask.calibration.steps.work import Work, judges_of
from learntoask.core.json_lines import write_records
from learntoask.core.pack import Pack
from learntoask.core.stages.contract import StageContext


def revise_labeller(work: Work) -> None:
    """Revise the labeller's patterns, and label again where the revision is accepted on the anchor.

    Raises the errors of the stage label.
    """
    revised = revise_labels(
        work.context,
        pack=work.pack,
        answered=work.to_learn,
        findings=work.findings,
        trained={log.session_id for log in work.trained},
    )
    if revised is None:
        return
    logs = read_labelled(
        revised.labelled,
        work.context.inputs["prepare"],
        pack=revised.pack,
        faults=work.context.spec.dataset.corrupt,
    )
    findings = with_labels(work.findings, logs, revised.pack, work.context)
    accepted = work.anchor.accepts(
        revised.what,
        before=work.judges()[LABELLER],
        after=judges_of(findings)[LABELLER],
        because=sorted({digest for edit in revised.edits for digest in edit.because}),
    )
    if accepted:
        work.pack, work.logs, work.findings, work.edits = revised.pack, logs, findings, list(revised.edits)


def with_labels(
    findings: Mapping[TurnKey, Finding], logs: Sequence[LabelledLog], pack: Pack, context: StageContext
) -> dict[TurnKey, Finding]:
    """Return the findings with those of a revised labeller in place of the published one's."""
    requests = Requests(pack, context.spec.label, context.spec.dataset.corrupt)
    found = dict(findings)
    for log in logs:
        for turn, fields in enumerate(requests.of(log.labelled)):
            key = log.session_id, turn
            if key in found and fields is not None:
                found[key] = found[key].with_asks(LABELLER, fields)
    return found


def correct_labels(work: Work) -> Corrections:
    """Purge and correct the labels of the sessions that are not measured on."""
    learned = work.to_learn
    people = People(pairs_said(learned), acts_said(learned), goals_said(learned))
    return correct(work.trained, list(work.findings.values()), people, pack=work.pack)


def publish_labels(work: Work, corrections: Corrections) -> None:
    """Write labelled.jsonl with all sessions in their order, and quarantine.jsonl with what left training."""
    context = work.context
    published, changed = context.inputs["label"], corrections.sessions
    write_records(
        context.out / "labelled.jsonl",
        (
            changed[log.session_id].labelled if log.session_id in changed else log.labelled
            for log in work.logs
        ),
    )
    before = published / "quarantine.jsonl"
    lines = before.read_bytes().splitlines() if before.exists() else []
    with (context.out / "quarantine.jsonl").open("wb") as file:
        for line in lines:
            file.write(line + b"\n")
        for record in corrections.quarantined(context.spec.label.method):
            file.write(json.dumps(record, ensure_ascii=False).encode() + b"\n")
    if (published / "llm.json").exists():
        shutil.copyfile(published / "llm.json", context.out / "llm.json")
