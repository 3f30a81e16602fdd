"""Greedy decoding of the validation sessions: chooses the policy that GRPO publishes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from learntoask.core.answer import decision_of
from learntoask.core.records import LabelledSession
from learntoask.grading.grades import Grade, GradeCase, Grader, require_answers, stop_grade
from learntoask.training.policy import Policy
from learntoask.training.sampling import decode_sessions


@dataclass(frozen=True)
class Validation:
    """Metrics of design page 1, §6, with the grader that rewards (the report has another). Each is 0 where the
    sessions hold no such sample."""

    total: float
    ws_continue: float
    ws_stop: float
    wa_gh: float
    samples: int


def validate(
    policy: Policy,
    sessions: Sequence[LabelledSession],
    *,
    grader: Grader,
    max_new_tokens: int,
    max_missing_share: float,
) -> Validation:
    """Raises TooManyMissing: what is left would choose between policies by who was graded, not by who is better."""
    decoded = decode_sessions(
        policy, sessions, samples=1, temperature=0.0, max_new_tokens=max_new_tokens, seed=0
    )
    answers = [
        (labelled, sample, completions[0].text)
        for labelled, groups in zip(sessions, decoded, strict=True)
        for sample, completions in zip(labelled.samples, groups, strict=True)
    ]
    grades = grader.grade(
        [
            GradeCase(
                session_id=labelled.session.session_id,
                task=labelled.session.task,
                response=text,
                target=frozenset(item.field for item in sample.remaining),
                context=labelled.context(sample),
            )
            for labelled, sample, text in answers
        ]
    )
    require_answers(grades, max_missing_share=max_missing_share, where="GRPO, validation sessions")
    totals, asks, stops, hits = [], [], [], []
    for (_, sample, text), graded in zip(answers, grades, strict=True):
        decided = decision_of(text)
        grade = stop_grade(text, decision=sample.decision) if decided == "stop" else graded
        if not isinstance(grade, Grade):
            continue  # a missing grade leaves every metric
        right = float(decided == sample.decision)
        totals.append(right * (1 + 2 * grade.content_any + grade.format))
        if sample.decision == "stop":
            stops.append(right)
        else:
            asks.append(right)
            hits.append(right * grade.content_any)
    return Validation(
        total=_mean(totals),
        ws_continue=_mean(asks),
        ws_stop=_mean(stops),
        wa_gh=_mean(hits),
        samples=len(totals),
    )


def better(candidate: Validation, *, than: Validation, start: Validation, max_stop_loss: float) -> bool:
    """Whether `candidate` may replace `than`: a greater Total, and hardly a stop lost against the SFT policy."""
    return candidate.total > than.total and candidate.ws_stop >= start.ws_stop - max_stop_loss


def _mean(values: list[float]) -> float:
    return fmean(values) if values else 0.0
