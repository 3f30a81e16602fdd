"""The judge's rubric as a prompt that answers can revise (`grader.method: llm`)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from learntoask.calibration.agreement import Judgement
from learntoask.calibration.answers import Answered
from learntoask.calibration.draw.findings import Finding, grade_case
from learntoask.calibration.labels.evidence import TurnKey
from learntoask.calibration.revise.prompts import RevisablePrompt
from learntoask.core.manifest import LlmJudge
from learntoask.core.pack import Pack
from learntoask.core.records import Session
from learntoask.grading.grades import Grade
from learntoask.grading.judge.judge import Judge


def rubric(
    settings: LlmJudge, findings: Mapping[TurnKey, Finding], sessions: Mapping[str, Session], *, journal: Path
) -> RevisablePrompt:
    """Return the rubric. All candidates share the journal, so the judge's budget is for all of them together."""

    def finds(pack: Pack, answered: Sequence[Answered]) -> Judgement:
        keys = dict.fromkeys((one.item.origin.session_id, one.item.origin.turn) for one in answered)
        known = [key for key in keys if key in findings]
        judge = Judge(settings, pack, journal=journal)
        try:
            grades = judge.grade([grade_case(findings[key], sessions[key[0]]) for key in known])
        finally:
            judge.close()
        found = zip(known, grades, strict=True)
        return {key: grade.asked for key, grade in found if isinstance(grade, Grade)}.get

    return RevisablePrompt("judge", title="rubric of the judge", reader="judge", finds=finds)
