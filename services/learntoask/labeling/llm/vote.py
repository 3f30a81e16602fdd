"""Combine the findings of several models: what they agree on becomes the label, a disagreement is quarantined."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from learntoask.labeling.labellers.protocol import Exchange, LabelFailure
from learntoask.labeling.llm.extraction import ModelFindings
from learntoask.labeling.logs.quarantine import Reason


def vote(
    findings: Sequence[ModelFindings | LabelFailure], agreement: Literal["majority", "unanimous"]
) -> ModelFindings | LabelFailure:
    """Return the findings about one decision point that enough models share, or why there are none.

    `findings` are those of all models, in their order. The value of an item is that of the first model that has it. A
    model whose findings failed votes for nothing.
    """
    valid = [entry for entry in findings if isinstance(entry, ModelFindings)]
    failures = [entry for entry in findings if isinstance(entry, LabelFailure)]
    needed = len(findings) if agreement == "unanimous" else len(findings) // 2 + 1
    if len(valid) < needed:
        return failures[0]
    if len(findings) == 1:
        return valid[0]
    attempts = sum(entry.attempts for entry in valid)
    acting = [entry for entry in valid if entry.act is not None]
    if max(len(acting), len(valid) - len(acting)) < needed:
        problem = f"{len(acting)} of {len(findings)} models say that the expert acts in this turn"
        return LabelFailure(Reason.JUDGES_DISAGREE, problem)
    act = acting[0].act if len(acting) >= needed else None
    fields = list(dict.fromkeys(exchange.field for entry in valid for exchange in entry.exchanges))
    exchanges: list[Exchange] = []
    for field in fields:
        giving = [entry for entry in valid if _exchanges_about(entry, field, given=True)]
        asking = [entry for entry in valid if _exchanges_about(entry, field)]
        if agreement == "unanimous" and (len(asking) < needed or 0 < len(giving) < needed):
            problem = (
                f"{len(asking)} of {len(findings)} models find {field} asked for, {len(giving)} also given"
            )
            return LabelFailure(Reason.JUDGES_DISAGREE, problem)
        if len(giving) >= needed:
            exchanges += _exchanges_about(giving[0], field)
        elif len(asking) >= needed:
            exchanges += [Exchange(field, exchange.asked) for exchange in _exchanges_about(asking[0], field)]
    return ModelFindings(tuple(sorted(exchanges, key=lambda exchange: exchange.asked)), act, attempts)


def _exchanges_about(findings: ModelFindings, field: str, *, given: bool = False) -> list[Exchange]:
    found = [exchange for exchange in findings.exchanges if exchange.field == field]
    return [exchange for exchange in found if exchange.value is not None] if given else found
