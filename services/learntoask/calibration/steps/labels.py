"""Revise the labeller, purge and correct labels, and publish them in the form of the stage label."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from learntoask.calibration.answers import acts_said, goals_said, pairs_said
from learntoask.calibration.draw.findings import LABELLER, Finding, Requests
from learntoask.calibration.labels.corrections import Corrections, correct
from learntoask.calibration.labels.evidence import TurnKey
from learntoask.calibration.labels.purge import People
from learntoask.calibration.labels.sessions import LabelledLog, read_labelled
from learntoask.calibration.revise.labelling import labelling_prompt
from learntoask.calibration.revise.patterns import apply_edits
from learntoask.calibration.revise.relabel import label_again, propose_edits, relabelling_work
from learntoask.calibration.steps.prompts import accepted_prompt
from learntoask.calibration.steps.work import Work, judges_of
from learntoask.core.json_lines import write_records
from learntoask.core.manifest import LlmLabelling
from learntoask.core.pack import Pack
from learntoask.core.stages.contract import StageContext


def revise_labeller(work: Work) -> None:
    """Revise the labeller's patterns or prompt, and label again where the revision is accepted on the anchor.

    Raises the errors of the stage label.
    """
    label, revise = work.context.spec.label, work.settings.revise
    if label.method == "lexicon" and "patterns" in revise:
        _revise_patterns(work)
    if label.method == "llm" and label.llm is not None and "prompts" in revise:
        _revise_prompt(work, label.llm)


def _revise_patterns(work: Work) -> None:
    edits = propose_edits(
        pack=work.pack,
        answered=work.to_learn,
        findings=work.findings,
        trained={log.session_id for log in work.trained},
    )
    if not edits:
        return
    pack = apply_edits(work.pack, edits)
    labelled = label_again(work.context, pack)
    logs = _read(work, labelled, pack)
    findings = with_labels(work.findings, logs, pack, work.context)
    changed = [edit for edit in edits if edit.action != "add question"]
    accepted = work.anchor.accepts(
        f"patterns of {len({(edit.task, edit.field) for edit in edits})} fields ({len(changed)} changes)",
        before=work.judges()[LABELLER],
        after=judges_of(findings)[LABELLER],
        because=sorted({digest for edit in edits for digest in edit.because}),
    )
    if accepted:
        work.pack, work.labelled, work.logs, work.findings = pack, labelled, logs, findings
        work.edits = edits


def _revise_prompt(work: Work, settings: LlmLabelling) -> None:
    prompt = labelling_prompt(settings, work.sessions, work=relabelling_work(work.context))
    revised = accepted_prompt(work, prompt)
    if revised is None:
        return
    work.pack, _ = revised
    work.labelled = label_again(work.context, work.pack)
    work.logs = _read(work, work.labelled, work.pack)
    work.findings = with_labels(work.findings, work.logs, work.pack, work.context)


def _read(work: Work, labelled: Path, pack: Pack) -> list[LabelledLog]:
    context = work.context
    return read_labelled(labelled, context.inputs["prepare"], pack=pack, faults=context.spec.dataset.corrupt)


def with_labels(
    findings: Mapping[TurnKey, Finding], logs: Sequence[LabelledLog], pack: Pack, context: StageContext
) -> dict[TurnKey, Finding]:
    """Return the findings with those of a revised labeller in place of the published one's."""
    requests = Requests(pack, context.spec.label, context.spec.dataset.corrupt)
    requested = {
        (log.session_id, turn): fields
        for log in logs
        for turn, fields in enumerate(requests.of(log.labelled))
    }
    return {key: found.with_labeller(requested.get(key)) for key, found in findings.items()}


def correct_labels(work: Work) -> Corrections:
    """Purge and correct the labels of the sessions that are not measured on."""
    learned = work.to_learn
    people = People(pairs_said(learned), acts_said(learned), goals_said(learned))
    return correct(work.trained, list(work.findings.values()), people, pack=work.pack)


def publish_labels(work: Work, corrections: Corrections) -> None:
    """Write labelled.jsonl with all sessions in their order, and quarantine.jsonl with what left training."""
    context, changed = work.context, corrections.sessions
    write_records(
        context.out / "labelled.jsonl",
        (
            changed[log.session_id].labelled if log.session_id in changed else log.labelled
            for log in work.logs
        ),
    )
    before = work.labelled / "quarantine.jsonl"
    lines = before.read_bytes().splitlines() if before.exists() else []
    with (context.out / "quarantine.jsonl").open("wb") as file:
        for line in lines:
            file.write(line + b"\n")
        for record in corrections.quarantined(context.spec.label.method):
            file.write(json.dumps(record, ensure_ascii=False).encode() + b"\n")
    # Its figures are those of the stage label: how many replies are from an earlier attempt is no part of a result.
    usage = context.inputs["label"] / "llm.json"
    if usage.exists():
        shutil.copyfile(usage, context.out / "llm.json")
