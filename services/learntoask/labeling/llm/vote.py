"""Several models on one decision point: what they agree on becomes the label, what they dispute is quarantined."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from learntoask.labeling.labellers.protocol import Exchange, LabelFailure
from learntoask.labeling.llm.extraction import ModelFindings
from learntoask.labeling.logs.quarantine import Reason


def vote(
    readings: Sequence[ModelFindings | LabelFailure], agreement: Literal["majority", "unanimous"]
) -> ModelFindings | LabelFailure:
    """One reading of a decision point from those of all models, in their order; values are the first model's that
    has the item. A model without a reading votes for nothing."""
    valid = [one for one in readings if isinstance(one, ModelFindings)]
    failures = [one for one in readings if isinstance(one, LabelFailure)]
    needed = len(readings) if agreement == "unanimous" else len(readings) // 2 + 1
    if len(valid) < needed:
        return failures[0]
    if len(readings) == 1:
        return valid[0]
    attempts = sum(one.attempts for one in valid)
    acting = [one for one in valid if one.act is not None]
    if max(len(acting), len(valid) - len(acting)) < needed:
        problem = f"{len(acting)} of {len(readings)} models say that the expert acts in this turn"
        return LabelFailure(Reason.JUDGES_DISAGREE, problem)
    act = acting[0].act if len(acting) >= needed else None
    fields = list(dict.fromkeys(one.field for reading in valid for one in reading.exchanges))
    exchanges: list[Exchange] = []
    for field in fields:
        giving = [reading for reading in valid if _of(reading, field, given=True)]
        asking = [reading for reading in valid if _of(reading, field)]
        if agreement == "unanimous" and (len(asking) < needed or 0 < len(giving) < needed):
            problem = (
                f"{len(asking)} of {len(readings)} models find {field} asked for, {len(giving)} also given"
            )
            return LabelFailure(Reason.JUDGES_DISAGREE, problem)
        if len(giving) >= needed:
            exchanges += _of(giving[0], field)
        elif len(asking) >= needed:
            exchanges += [Exchange(field, one.asked) for one in _of(asking[0], field)]
    return ModelFindings(tuple(sorted(exchanges, key=lambda one: one.asked)), act, attempts)


def _of(reading: ModelFindings, field: str, *, given: bool = False) -> list[Exchange]:
    found = [one for one in reading.exchanges if one.field == field]
    return [one for one in found if one.value is not None] if given else found
