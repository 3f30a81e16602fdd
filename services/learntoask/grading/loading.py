"""A grader as its stage published it: model-free or a judge."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from learntoask.core.errors import InputError
from learntoask.core.manifest import LlmJudge
from learntoask.core.pack import Pack
from learntoask.grading.fields.grader import FieldGrader
from learntoask.grading.fields.storage import stored_digest
from learntoask.grading.judge.judge import JUDGE_FILE, Judge, read_judge

LoadedGrader = FieldGrader | Judge


def load_grader(
    folder: Path, pack: Pack, *, judge: LlmJudge | None = None, journal: Path | None = None
) -> LoadedGrader:
    """`judge` are the present settings of a judge (limits and keys may differ from those it was published with);
    `journal` is where its answers are kept.

    Raises InputError where `folder` holds no grader of this pack, StageError without its encoder.
    """
    if not (folder / JUDGE_FILE).exists():
        return FieldGrader.load(folder, pack)
    published, digest = read_judge(folder)
    found = Judge(judge or published, pack, journal=journal)
    if found.digest != digest:
        found.close()
        raise InputError(
            f"the judge in {folder} was published for another pack or with other settings; run the grader stage again"
        )
    return found


@contextmanager
def opened_grader(
    folder: Path, pack: Pack, *, judge: LlmJudge | None = None, journal: Path | None = None
) -> Iterator[LoadedGrader]:
    """See `load_grader`; connections are closed with the block."""
    grader = load_grader(folder, pack, judge=judge, journal=journal)
    try:
        yield grader
    finally:
        if isinstance(grader, Judge):
            grader.close()


def published_digest(folder: Path) -> str:
    """What identifies the grader in `folder`, without loading it. Raises InputError where there is none."""
    if (folder / JUDGE_FILE).exists():
        return read_judge(folder)[1]
    try:
        return stored_digest(folder)
    except OSError as error:
        raise InputError(f"{folder} holds no grader ({error}); run the grader stage again") from error
