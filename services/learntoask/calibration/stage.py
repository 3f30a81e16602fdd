"""Stage `calibrate`: purge and correct labels, revise patterns and graders, and say how far they agree with people.

The stage publishes labelled.jsonl, quarantine.jsonl, `rewarding/`, `reporting/` and agreement.json in the form of the
stages label and grader, which keep their own outputs, and calibration.json. Answers to `show` and `search` items are
used to correct and to revise; those to `anchor` items only measure, and they decide whether a revision is accepted.
"""

from __future__ import annotations

import json

from learntoask.calibration.steps.graders import publish_graders
from learntoask.calibration.steps.labels import correct_labels, publish_labels, revise_labeller
from learntoask.calibration.steps.record import agreement_of, record_of, write_revised
from learntoask.calibration.steps.work import Work
from learntoask.calibration.truth import TRUTH_FILE, human_points
from learntoask.calibration.verdict import CALIBRATION_FILE, gate_warnings, refusal
from learntoask.core.json_lines import write_records
from learntoask.core.stages.contract import StageContext, StageSummary
from learntoask.core.stages.warnings_file import publish_warnings, published_warnings


def run(context: StageContext) -> StageSummary:
    """Publish the calibrated labels and graders, and calibration.json.

    Without answers the labels and graders are those of the stages before, and the record says that nothing was
    measured. Raises the errors of the stages label and grader.
    """
    work = Work.read(context)
    before = agreement_of(work, work.judges())
    revise_labeller(work)
    corrections = correct_labels(work)
    publish_labels(work, corrections)
    graders = publish_graders(work, changed=corrections.changed or work.relabelled)
    judges = {**work.judges(), **graders}
    record = record_of(work, before, agreement_of(work, judges), corrections)
    record["gate"] = work.anchor.gate(judges.items())
    text = json.dumps(record, indent=1, ensure_ascii=False)
    (context.out / CALIBRATION_FILE).write_text(f"{text}\n", encoding="utf-8")
    write_records(context.out / TRUTH_FILE, human_points(work.review.of("anchor")))
    write_revised(work, context.out)
    agreement = json.loads((context.out / "agreement.json").read_text(encoding="utf-8"))
    own = [*published_warnings(context.inputs["review"]), *gate_warnings(record, work.settings)]
    publish_warnings(context.out, own)
    return {
        "calibration": record,
        "agreement": agreement,
        "warnings": [*agreement.get("warnings", []), *own],
        **refusal(record, work.settings),
    }
