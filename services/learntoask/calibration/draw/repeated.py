"""Repeated judgements by a language model: the same question with another order of the fields, at a temperature.

A model that answers differently when nothing but the order changes does not know the answer. Its repetitions share most
of their errors, so they only show a part of them; the other judges and the audit show more.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

from learntoask.calibration.draw.findings import LABELLER, Finding, grade_case
from learntoask.calibration.labels.sessions import LabelledLog
from learntoask.core.digest import digest_of
from learntoask.core.manifest import Endpoint, LlmJudge, LlmLabelling
from learntoask.core.pack import Pack
from learntoask.core.stages.contract import StageContext
from learntoask.grading.grades import Grade
from learntoask.grading.judge.judge import Judge
from learntoask.labeling.labellers.protocol import TurnLabel

JUDGEMENTS = 3  # of each turn by a model, the published one included
_TEMPERATURE = 0.7
_MOST_SESSIONS = 100  # that a labeller with a model labels again


def repeat_judgements(
    context: StageContext, logs: Sequence[LabelledLog], findings: Sequence[Finding]
) -> list[Finding]:
    """Return the findings with those of repeated judgements, where a model labels or grades.

    They are called `labeller#2`, `rewarding#2` and so on. At most `grader.llm.measured` turns and 100 sessions are
    judged again. Raises StageError when no further request can succeed.
    """
    found = list(findings)
    grader, label = context.spec.grader, context.spec.label
    if grader.method == "llm" and grader.llm is not None:
        found = _judged_again(context, grader.llm, logs, found)
    if label.method == "llm" and label.llm is not None:
        found = _labelled_again(context, label.llm, logs, found)
    return found


def _judged_again(
    context: StageContext, settings: LlmJudge, logs: Sequence[LabelledLog], findings: Sequence[Finding]
) -> list[Finding]:
    sessions = {log.session_id: log.log for log in logs}
    questions = [finding for finding in findings if finding.question]
    chosen = sorted(questions, key=lambda one: digest_of([one.session_id, one.turn]))[: settings.measured]
    again: dict[tuple[str, int], Finding] = {}
    for number in range(2, JUDGEMENTS + 1):
        varied = settings.model_copy(update={"endpoint": vary(settings.endpoint, number)})
        judge = Judge(
            varied, reorder(context.pack, number), journal=context.work / f"judge-again-{number}.jsonl"
        )
        try:
            grades = judge.grade([grade_case(one, sessions[one.session_id]) for one in chosen])
        finally:
            judge.close()
        for one, grade in zip(chosen, grades, strict=True):
            if isinstance(grade, Grade):
                key = one.session_id, one.turn
                again[key] = again.get(key, one).with_asks(f"{settings.role}#{number}", grade.asked)
        context.progress.update(number - 1, JUDGEMENTS - 1, "judging again")
    return [again.get((one.session_id, one.turn), one) for one in findings]


def _labelled_again(
    context: StageContext, settings: LlmLabelling, logs: Sequence[LabelledLog], findings: Sequence[Finding]
) -> list[Finding]:
    # Importing the LLM client takes longer than the rest of the stage on a small log.
    from learntoask.labeling.llm.labeller import LlmLabeller  # noqa: PLC0415

    chosen = sorted(logs, key=lambda log: digest_of(log.session_id))[:_MOST_SESSIONS]
    requested: dict[tuple[str, int], dict[str, tuple[str, ...]]] = {}
    for number in range(2, JUDGEMENTS + 1):
        varied = settings.model_copy(
            update={"endpoint": vary(settings.endpoint, number), "judges": (), "agreement": None}
        )
        work = context.work / f"label-again-{number}"
        work.mkdir(exist_ok=True)
        labeller = LlmLabeller(reorder(context.pack, number), varied, work=work)
        for session, labels in labeller.label_all(log.log for log in chosen):
            for turn, label in enumerate(labels.turns):
                if isinstance(label, TurnLabel):
                    of_turn = requested.setdefault((session.session_id, turn), {})
                    of_turn[f"{LABELLER}#{number}"] = tuple(sorted(label.requested))
        context.progress.update(number - 1, JUDGEMENTS - 1, "labelling again")
    return [
        one.model_copy(update={"asks": {**one.asks, **requested.get((one.session_id, one.turn), {})}})
        for one in findings
    ]


def vary(endpoint: Endpoint, number: int) -> Endpoint:
    """Return the endpoint with a temperature and another seed, for the repetition `number`."""
    parameters = {"temperature": _TEMPERATURE, **endpoint.parameters}
    return endpoint.model_copy(update={"seed": endpoint.seed + number, "parameters": parameters})


def reorder(pack: Pack, number: int) -> Pack:
    """Return the pack with the fields of each task in another order, for the repetition `number`."""
    tasks = []
    for task in pack.tasks:
        fields = list(task.fields)
        random.Random(f"{number}:{task.name}").shuffle(fields)
        tasks.append(task.model_copy(update={"fields": tuple(fields)}))
    return pack.with_tasks(tasks)
