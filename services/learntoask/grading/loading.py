"""A grader as its stage published it, whatever it is."""

from __future__ import annotations

from pathlib import Path

from learntoask.core.errors import InputError
from learntoask.core.pack import Pack
from learntoask.grading.fields import FieldGrader
from learntoask.grading.grades import Grader
from learntoask.grading.storage import stored_digest


def load_grader(folder: Path, pack: Pack) -> Grader:
    """Raises InputError where `folder` holds no grader of this pack, StageError without its encoder."""
    return FieldGrader.load(folder, pack)


def published_digest(folder: Path) -> str:
    """What identifies the grader in `folder`, without loading it. Raises InputError where there is none."""
    try:
        return stored_digest(folder)
    except OSError as error:
        raise InputError(f"{folder} holds no grader ({error}); run the grader stage again") from error
