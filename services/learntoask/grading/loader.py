"""Open a grader that the stage grader published: a model-free grader or a judge."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from learntoask.core.errors import InputError
from learntoask.core.manifest import LlmJudge
from learntoask.core.pack import Pack
from learntoask.grading.fields.grader import FieldGrader
from learntoask.grading.fields.storage import stored_digest
from learntoask.grading.judge.judge import JUDGE_FILE, Judge, published_pack, read_judge

LoadedGrader = FieldGrader | Judge


def load_grader(
    folder: Path, pack: Pack, *, judge: LlmJudge | None = None, journal: Path | None = None
) -> LoadedGrader:
    """Load the grader in `folder`.

    `judge` are the current settings of a judge, whose limits and keys may differ from the published ones. `journal` is
    the file for its replies. Raises InputError when `folder` holds no grader of this pack, StageError when the
    encoder's package is missing.
    """
    if not (folder / JUDGE_FILE).exists():
        return FieldGrader.load(folder, pack)
    published, digest, cues = read_judge(folder)
    found = Judge(judge or published, published_pack(folder, pack), journal=journal, cues=cues)
    if found.digest != digest:
        found.close()
        raise InputError(
            f"the judge in {folder} was published for another pack or with other settings; run the grader stage again"
        )
    return found


@contextmanager
def open_published_grader(
    folder: Path, pack: Pack, *, judge: LlmJudge | None = None, journal: Path | None = None
) -> Iterator[LoadedGrader]:
    """Load a grader as `load_grader` does, and close its connections at the end of the block."""
    grader = load_grader(folder, pack, judge=judge, journal=journal)
    try:
        yield grader
    finally:
        if isinstance(grader, Judge):
            grader.close()


def published_digest(folder: Path) -> str:
    """Return the digest of the grader in `folder` without loading it. Raises InputError when there is none."""
    if (folder / JUDGE_FILE).exists():
        return read_judge(folder)[1]
    try:
        return stored_digest(folder)
    except OSError as error:
        raise InputError(f"{folder} holds no grader ({error}); run the grader stage again") from error
