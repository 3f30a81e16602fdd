"""Holds the sampled answers of one batch: decision points, grades, rewards, and figures for the journal."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from learntoask.core.assessment import f1
from learntoask.core.manifest import Grpo, Reward
from learntoask.core.records import STOP, Decision, LabelledSession, Sample
from learntoask.decoding.sessions import SampledAnswer
from learntoask.grading.grades import Grade, GradeCase, Grader, MissingGrade
from learntoask.grading.reward import reward


@dataclass(frozen=True)
class GradedAnswer:
    """A sampled answer with its grade and its reward. `reward` is None where the grade is missing.

    `assessment_f1` is the F1 score of its assessment against the micro-goal, 0 for a malformed one.
    """

    answer: SampledAnswer
    grade: Grade | MissingGrade
    reward: float | None
    assessment_f1: float = 0.0


@dataclass(frozen=True)
class AnswerGroup:
    """The answers sampled at one decision point. `session` is the index of its session in the batch."""

    session: int
    turn: int
    decision: Decision
    members: tuple[GradedAnswer, ...]


def sampled_points(labelled: LabelledSession, settings: Grpo, mode: str) -> LabelledSession:
    """Return the session with only those samples at whose decision points answers are drawn.

    Factored credit draws none at a stop: only the decision matters there, and its gradient is computed exactly. Neither
    does reward mode `ask_only`.
    """
    if settings.credit == "plain" and mode != "ask_only":
        return labelled
    samples = tuple(sample for sample in labelled.samples if sample.decision == "continue")
    return labelled.model_copy(update={"samples": samples})


def grade_samples(
    sessions: Sequence[LabelledSession],
    sampled: Sequence[Sequence[Sequence[SampledAnswer]]],
    *,
    grader: Grader,
    spec: Reward,
) -> list[AnswerGroup]:
    """Grade all answers in one call of the grader and compute their rewards.

    `sampled` is [session][index in `LabelledSession.samples`][answer].
    """
    points: list[tuple[int, LabelledSession, Sample, Sequence[SampledAnswer]]] = [
        (index, labelled, sample, answers)
        for index, (labelled, of_session) in enumerate(zip(sessions, sampled, strict=True))
        for sample, answers in zip(labelled.samples, of_session, strict=True)
    ]
    cases = [
        GradeCase.of_sample(labelled, sample, answer.text)
        for _, labelled, sample, answers in points
        for answer in answers
    ]
    grades = iter(grader.grade(cases))
    groups = []
    for index, _, sample, answers in points:
        members = []
        needed = {item.field for item in sample.remaining}
        for answer in answers:
            grade = next(grades)
            score = 0.0 if answer.malformed else f1(answer.assessment, needed)
            value = reward(
                grade, decision=sample.decision, response=answer.text, spec=spec, assessment_f1=score
            )
            members.append(GradedAnswer(answer, grade, value, score))
        groups.append(AnswerGroup(index, sample.turn, sample.decision, tuple(members)))
    return groups


@dataclass(frozen=True)
class BatchFigures:
    """Means over the answers of one batch, for the journal and the guards. All but `reward` are between 0 and 1.

    `hit` is the share of graded answers at `continue` points that ask for something needed, `wrong_stops` the share of
    stops among all answers there, `missing` that of missing grades, `unfinished` that of answers cut at the token
    limit, `commonest` that of the most frequent text. `assessment_f1` is the mean F1 score of the assessments at
    `continue` points, `malformed` the share of malformed ones among all answers; both are None for a policy without.
    """

    reward: float
    hit: float
    missing: float
    unfinished: float
    wrong_stops: float
    commonest: float
    assessment_f1: float | None = None
    malformed: float | None = None


def batch_figures(groups: Sequence[AnswerGroup]) -> BatchFigures:
    """Return the figures of the batch that `groups` make up."""
    members = [(group, member) for group in groups for member in group.members]
    rewards = [member.reward for _, member in members if member.reward is not None]
    grades = [member.grade for group, member in members if group.decision == "continue"]
    assesses = any(member.answer.malformed or member.answer.assessment is not None for _, member in members)
    texts = Counter(member.answer.text for _, member in members)
    return BatchFigures(
        reward=fmean(rewards) if rewards else 0.0,
        hit=_mean([grade.content_any for grade in grades if isinstance(grade, Grade)]),
        missing=_mean([float(member.reward is None) for _, member in members]),
        unfinished=_mean([float(not member.answer.finished) for _, member in members]),
        wrong_stops=_mean(
            [float(STOP in member.answer.text) for group, member in members if group.decision == "continue"]
        ),
        commonest=max(texts.values(), default=0) / max(1, len(members)),
        assessment_f1=_mean(
            [member.assessment_f1 for group, member in members if group.decision == "continue"]
        )
        if assesses
        else None,
        malformed=_mean([float(member.answer.malformed) for _, member in members]) if assesses else None,
    )


def _mean(values: list[float]) -> float:
    return fmean(values) if values else 0.0
