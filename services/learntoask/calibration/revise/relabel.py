"""Label the logs again with a revised pack, in the form of the stage label."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from learntoask.calibration.answers import Answered
from learntoask.calibration.draw.findings import Finding
from learntoask.calibration.labels.evidence import TurnKey, asked_chances
from learntoask.calibration.revise.patterns import Edit, propose_patterns
from learntoask.core.pack import Pack
from learntoask.core.stages.contract import StageContext
from learntoask.labeling import stage as labeling


def propose_edits(
    *, pack: Pack, answered: Sequence[Answered], findings: Mapping[TurnKey, Finding], trained: set[str]
) -> list[Edit]:
    """Return the edits of a pack that change its labels, and the example questions that come with them.

    `answered` are items that are not of the anchor, and `trained` the sessions whose questions may be looked at.
    """
    own = [finding for finding in findings.values() if finding.session_id in trained]
    asked, _ = asked_chances(own, {}, pack=pack)
    edits = propose_patterns(pack, answered, own, asked)
    return edits if any(edit.action != "add question" for edit in edits) else []


def relabelling_work(context: StageContext) -> Path:
    """Return the folder that keeps the replies of a labeller with a model, also to the candidates for its prompts."""
    return context.work / "relabelled" / "work"


def label_again(context: StageContext, pack: Pack) -> Path:
    """Write the labels that a revised pack gives, and return their folder. Raises the errors of the stage label."""
    out, work = context.work / "relabelled" / "out", relabelling_work(context)
    for part in (out, work):
        part.mkdir(parents=True, exist_ok=True)
    labeling.run(replace(context, stage="label", pack=pack, out=out, work=work, shard=None))
    return out
