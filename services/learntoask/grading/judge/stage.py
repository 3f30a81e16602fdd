"""The judge's part of the stage grader: publish and measure a judge, and refuse one that grades too badly."""

from __future__ import annotations

from pydantic import JsonValue

from learntoask.core.errors import StageError
from learntoask.core.manifest import LlmJudge
from learntoask.core.stages.contract import StageContext
from learntoask.grading.agreement import GradedQuestion, agreement, same_fields, share
from learntoask.grading.cues import LearnedCues
from learntoask.grading.grades import Grade, Grader, MissingGrade, require_answers
from learntoask.grading.judge.judge import Judge, write_judge
from learntoask.grading.judge.probes import Probe, explain, read_probes, run_probes
from learntoask.grading.questions import Questions
from learntoask.grading.unsure_check import UnsureCheck

Figures = dict[str, JsonValue]


def publish_judge(settings: LlmJudge, cues: LearnedCues, context: StageContext) -> Figures:
    """Write the judge into the folder of its role, and return its entry in agreement.json."""
    digest = write_judge(context.out / settings.role, settings, context.pack, cues)
    return {"kind": "llm", "digest": digest, "model": settings.endpoint.model}


def measure_judge(
    settings: LlmJudge, questions: Questions, other: Grader, context: StageContext
) -> tuple[Figures, JsonValue, UnsureCheck]:
    """Return the judge's figures on held-out questions, how often it finds the fields of the `other` grader, its check.

    Raises StageError when it agrees too little with the labels (`minKappa`) or no further request can succeed,
    TooManyMissing when it gives no grade for too many questions.
    """
    pack = context.pack
    probes = read_probes(
        context.inputs["label"] / "labelled.jsonl",
        pack,
        split=questions.evaluation_split,
        at_most=settings.measured,
    )
    context.progress.update(0, 1, f"asking judge {settings.endpoint.model}")
    # The journals keep the replies that a killed attempt received. The reversed judge sends other requests, so it has
    # another journal.
    judge = Judge(settings, pack, journal=context.work / "judge.jsonl", cues=questions.cues)
    reversed_judge = Judge(
        settings,
        pack,
        journal=context.work / "judge-reversed.jsonl",
        reverse=True,
        spending=judge.spending,
        cues=questions.cues,
    )
    try:
        grades, figures = run_probes(judge, probes, filler=questions.filler(), reversed_grader=reversed_judge)
    finally:
        judge.close()
        reversed_judge.close()
    where = f"judge {settings.endpoint.model}"
    texts = [probe.right.response for probe in probes]
    unsure = UnsureCheck.of(where, grades, texts)
    require_answers(
        grades,
        texts,
        max_missing_share=context.spec.grader.max_missing_share,
        where=f"{where}, expert questions",
    )
    unsure.require()
    _require_kappa(figures, settings, count=len(probes))
    graded = [
        _graded_question(probe, grade, questions, context)
        for probe, grade in zip(probes, grades, strict=True)
    ]
    same = share(same_fields(grades, other.grade([probe.right for probe in probes])))
    return {**agreement(graded), "probes": figures, "asked": judge.spending.counts()}, same, unsure


def _require_kappa(figures: Figures, settings: LlmJudge, *, count: int) -> None:
    kappa = figures["kappa"]
    assert isinstance(kappa, dict)
    value = kappa["value"]
    if isinstance(value, float) and value >= settings.min_kappa:
        return
    raise StageError(
        f"judge {settings.endpoint.model} cannot be trusted: κ {'unknown' if value is None else value} "
        f"[{kappa['low']}, {kappa['high']}] with the labels of {count} held-out questions is below "
        f"spec.grader.llm.minKappa ({settings.min_kappa:g}): {'; '.join(explain(figures))}. Use another model, revise "
        "prompts.judge of the pack, or use method: fields",
        reason="JudgeRefused",
    )


def _graded_question(
    probe: Probe, grade: Grade | MissingGrade, questions: Questions, context: StageContext
) -> GradedQuestion:
    task = context.pack.task(probe.right.task)
    return GradedQuestion(
        session_id=probe.right.session_id,
        seen=task.group_name in questions.seen_groups,
        fields=task.field_names,
        gold=probe.asked,
        grade=grade,
    )
