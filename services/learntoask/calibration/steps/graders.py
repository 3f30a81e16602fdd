"""Fit the graders on the calibrated labels, revise them, and publish them in the form of the stage grader."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import asdict, replace

from learntoask.calibration.agreement import Judgement
from learntoask.calibration.answers import Answered
from learntoask.calibration.draw.findings import GRADERS
from learntoask.calibration.revise.rubric import rubric
from learntoask.calibration.revise.thresholds import choose_bounds, judged
from learntoask.calibration.steps.prompts import accepted_prompt
from learntoask.calibration.steps.work import Work
from learntoask.core.records import Session
from learntoask.core.stages.contract import StageContext
from learntoask.grading import stage as grading
from learntoask.grading.fields.grader import FieldGrader
from learntoask.grading.judge.judge import keep_prompt


def publish_graders(work: Work, *, changed: bool) -> dict[str, Judgement]:
    """Publish the graders, and return what they find on the anchor where they differ from those of the stage grader.

    The graders are fitted for the pack of the run, so that later stages open them with it; what a revised pack adds has
    reached the labels they are fitted on. Graders are kept if no label `changed` and there are no answers to revise
    them by. Raises the errors of the stage grader.
    """
    context, revise = work.context, work.settings.revise
    learned = [one for one in work.to_learn if one.item.kind == "asks_for"]
    judge = context.spec.grader.llm if context.spec.grader.method == "llm" else None
    tuned = "thresholds" in revise and bool(learned)
    prompted = "prompts" in revise and bool(learned) and judge is not None
    if not (changed or tuned or prompted):
        _keep(context)
        return {}
    _seed_vectors(context)
    sessions = work.sessions
    found: dict[str, Judgement] = {}

    def adjust(role: str, grader: FieldGrader) -> None:
        found[role] = _tune(work, role, grader, learned if tuned else [], sessions)

    pack = context.pack
    if prompted and judge is not None:
        revisable = rubric(judge, work.findings, sessions, journal=context.work / "rubrics.jsonl")
        revised = accepted_prompt(work, revisable, before=work.judges()[judge.role])
        if revised is not None:
            pack, found[judge.role] = revised
    inputs = {**context.inputs, "label": context.out}
    grading.run(replace(context, inputs=inputs, pack=pack), adjust)
    if judge is not None and pack != context.pack:
        keep_prompt(context.out / judge.role)
    return found


def _keep(context: StageContext) -> None:
    for role in GRADERS:
        shutil.copytree(context.inputs["grader"] / role, context.out / role)
    shutil.copyfile(context.inputs["grader"] / "agreement.json", context.out / "agreement.json")


def _tune(
    work: Work,
    role: str,
    grader: FieldGrader,
    learned: list[Answered],
    sessions: Mapping[str, Session],
) -> Judgement:
    """Give a fitted grader the bounds that answers suggest, if the anchor accepts them; return what it finds there."""
    asks = work.review.of("anchor", kind="asks_for")
    before = judged(grader, asks, work.findings, sessions)
    fitted = grader.fitted.bounds
    bounds = choose_bounds(grader, learned, work.findings, sessions) if learned else fitted
    if bounds == fitted:
        return before.get
    grader.use_bounds(bounds)
    after = judged(grader, asks, work.findings, sessions)
    what = f"bounds of the {role} grader: {_changes(asdict(fitted), asdict(bounds))}"
    because = sorted(one.digest for one in learned)
    if work.anchor.accepts(what, before=before.get, after=after.get, because=because):
        return after.get
    grader.use_bounds(fitted)
    return before.get


def _changes(before: dict[str, float], after: dict[str, float]) -> str:
    return ", ".join(
        f"{name} {before[name]:g} to {after[name]:g}" for name in before if before[name] != after[name]
    )


def _seed_vectors(context: StageContext) -> None:
    """Put the vectors that the graders were published with where the fit looks for them."""
    folder = context.work / "embeddings"
    if folder.exists():
        return
    part = context.work / "embeddings.part"
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    published = [context.inputs["grader"] / role / "vectors.npz" for role in GRADERS]
    for number, path in enumerate(path for path in published if path.exists()):
        shutil.copyfile(path, part / f"{number:06d}.npz")
    part.rename(folder)
