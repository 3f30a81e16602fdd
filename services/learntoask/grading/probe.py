"""Probing a grader offline, without a run: while a judge's prompt is revised, or before its model is paid for."""

from __future__ import annotations

from pathlib import Path

from pydantic import JsonValue

from learntoask.core.errors import InputError
from learntoask.core.manifest import LlmJudge
from learntoask.core.pack import Pack
from learntoask.grading.judge.judge import Judge
from learntoask.grading.judge.probes import probed, read_probes
from learntoask.grading.loading import LoadedGrader, load_grader
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
    """Figures of the grader published in `folder`, or without one of `judge` with the pack's present prompt.

    Raises InputError where there is neither, StageError where asking a judge is no use.
    """
    grader = _grader(folder, judge, pack, work)
    reverse: Judge | None = None
    if isinstance(grader, Judge):
        journal = work / "judge-reversed.jsonl"
        reverse = Judge(grader.settings, pack, journal=journal, reverse=True, spending=grader.spending)
    split = read_questions(labelled, pack).measured_split
    probes = read_probes(labelled, pack, split=split, at_most=at_most)
    try:
        _, figures = probed(grader, probes, pack=pack, other_way_round=reverse)
        if isinstance(grader, Judge):
            figures["asked"] = grader.spending.counts()
    finally:
        for one in (grader, reverse):
            if isinstance(one, Judge):
                one.close()
    return {"questions": len(probes), "digest": grader.digest, **figures}


def _grader(folder: Path | None, judge: LlmJudge | None, pack: Pack, work: Path) -> LoadedGrader:
    journal = work / "judge.jsonl"
    if folder is not None:
        return load_grader(folder, pack, judge=judge, journal=journal)
    if judge is None:
        raise InputError("the manifest names no judge; give spec.grader.llm, or probe a published grader")
    return Judge(judge, pack, journal=journal)
