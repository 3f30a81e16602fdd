"""Label the logs again with a revised pack, in the form of the stage label."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from learntoask.calibration.answers import Answered
from learntoask.calibration.draw.findings import Finding
from learntoask.calibration.draw.stage import calibrate_settings
from learntoask.calibration.labels.evidence import TurnKey, asked_chances
from learntoask.calibration.revise.patterns import Edit, apply_edits, propose_patterns
from learntoask.core.pack import Pack
from learntoask.core.stages.contract import StageContext
from learntoask.labeling import stage as labeling


@dataclass(frozen=True)
class Revised:
    """A revision of the labeller, not accepted yet: its pack, and the folder with the labels that it gives."""

    what: str
    pack: Pack
    labelled: Path
    edits: Sequence[Edit]


def revise_labels(
    context: StageContext,
    *,
    pack: Pack,
    answered: Sequence[Answered],
    findings: Mapping[TurnKey, Finding],
    trained: set[str],
) -> Revised | None:
    """Return a revised labeller, or None where answers suggest nothing or the labeller reads no patterns.

    `answered` are items that are not of the anchor, and `trained` the sessions whose questions may be looked at.
    Raises the errors of the stage label.
    """
    method = context.spec.label.method
    if method != "lexicon" or "patterns" not in calibrate_settings(context).revise:
        return None
    own = [finding for finding in findings.values() if finding.session_id in trained]
    asked, _ = asked_chances(own, {}, pack=pack)
    edits = propose_patterns(pack, answered, own, asked)
    if not any(edit.action != "add question" for edit in edits):
        return None
    revised = apply_edits(pack, edits)
    changed = len({(edit.task, edit.field) for edit in edits})
    return Revised(
        what=f"patterns of {changed} fields ({sum(edit.action != 'add question' for edit in edits)} changes)",
        pack=revised,
        labelled=label_again(context, revised, context.work / "relabelled"),
        edits=edits,
    )


def label_again(context: StageContext, pack: Pack, folder: Path) -> Path:
    """Write the labels that a revised pack gives into `folder`. Raises the errors of the stage label."""
    out, work = folder / "out", folder / "work"
    for part in (out, work):
        part.mkdir(parents=True, exist_ok=True)
    labeling.run(replace(context, stage="label", pack=pack, out=out, work=work, shard=None))
    return out
