"""Measure a grader without a run (`lta grader probe`): to revise a judge's prompt, or before paying for its model."""

from __future__ import annotations

from pathlib import Path

from pydantic import JsonValue

from learntoask.core.errors import InputError
from learntoask.core.manifest import LlmJudge
from learntoask.core.pack import Pack
from learntoask.grading.judge.judge import Judge
from learntoask.grading.judge.probes import read_probes, run_probes
from learntoask.grading.loader import LoadedGrader, load_grader
from learntoask.grading.questions import read_questions


def probe_grader(
    folder: Path | None,
    *,
    judge: LlmJudge | None,
    labelled: Path,
    pack: Pack,
    at_most: int,
    work: Path,
) -> dict[str, JsonValue]:
    """Return the figures of the grader in `folder` or, without a folder, of a judge with the pack's current prompt.

    At most `at_most` questions of `labelled` are graded; `work` keeps the judge's replies. Raises InputError when there
    is neither a folder nor a judge, StageError when no further request to the judge can succeed.
    """
    grader = _grader(folder, judge, pack, work)
    reverse: Judge | None = None
    if isinstance(grader, Judge):
        journal = work / "judge-reversed.jsonl"
        reverse = Judge(
            grader.settings, pack, journal=journal, reverse=True, spending=grader.spending, cues=grader.cues
        )
    questions = read_questions(labelled, pack)
    probes = read_probes(labelled, pack, split=questions.evaluation_split, at_most=at_most)
    try:
        _, figures = run_probes(grader, probes, filler=questions.filler(), reversed_grader=reverse)
        if isinstance(grader, Judge):
            figures["asked"] = grader.spending.counts()
    finally:
        for opened in (grader, reverse):
            if isinstance(opened, Judge):
                opened.close()
    return {"questions": len(probes), "digest": grader.digest, **figures}


def _grader(folder: Path | None, judge: LlmJudge | None, pack: Pack, work: Path) -> LoadedGrader:
    journal = work / "judge.jsonl"
    if folder is not None:
        return load_grader(folder, pack, judge=judge, journal=journal)
    if judge is None:
        raise InputError("the manifest names no judge; give spec.grader.llm, or probe a published grader")
    return Judge(judge, pack, journal=journal)
