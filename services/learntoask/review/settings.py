"""Settings of a review queue."""

from __future__ import annotations

from pydantic import Field

from learntoask.core.records import Record


class ReviewSettings(Record):
    """How a queue asks. The same settings give the same questions in the same order.

    `reviewers` are the names that may answer (empty: anyone). `overlap` answers are wanted for an item, and two for the
    share `double_share` of the anchor items. One in `repeat_every` and one in `known_every` questions are repeats and
    known items (0: none). A lease lasts `lease_seconds`, or `lease_medians` times the reviewer's median seconds if that
    is longer. `gate_items` is how many anchor items the gate needs. `decides` tells reviewers what their answers
    decide.
    """

    reviewers: tuple[str, ...] = ()
    overlap: int = Field(default=1, ge=1)
    double_share: float = Field(default=0.2, ge=0, le=1)
    repeat_every: int = Field(default=20, ge=0)
    known_every: int = Field(default=20, ge=0)
    lease_seconds: float = Field(default=120.0, gt=0)
    lease_medians: float = Field(default=3.0, ge=0)
    gate_items: int = Field(default=100, ge=0)
    decides: str = ""
    seed: int = 0
