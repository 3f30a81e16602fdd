"""The labels of decision points: the method, and the language models that find them."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from learntoask.core.manifest.endpoint import Budget, Endpoint
from learntoask.core.manifest.model import ManifestModel, Share


class LlmLabelling(ManifestModel):
    """Settings of labels that a language model finds (docs/labelling.md)."""

    endpoint: Endpoint
    """Server of the model that labels."""
    judges: Annotated[tuple[Endpoint, ...], Field(max_length=8)] = ()
    """Further models that also label every decision point."""
    agreement: Literal["majority", "unanimous"] | None = None
    """How the labels of several models are combined; needs `judges`. `majority` (the default): an item or a stop is
    kept if more than half of the models found it. `unanimous`: a decision point on which the models differ is
    quarantined."""
    per_session: bool = False
    """Send one request per session, which labels all its turns, instead of one per turn. This is cheaper, but harder
    for the model."""
    macro_goal: Literal["auto", "model", "log"] = "auto"
    """How the message in which the expert acts is found. `log`: by the end markers and patterns of the pack. `model`:
    also by the model. `auto`: like `log` if the pack requires an end marker, else like `model`."""
    budget: Budget = Budget()
    """Budget of the label stage, for all its attempts together; `calibrate` has it once more for a revised prompt."""

    @property
    def endpoints(self) -> tuple[Endpoint, ...]:
        return (self.endpoint, *self.judges)

    @model_validator(mode="after")
    def _fits(self) -> LlmLabelling:
        if self.agreement is not None and not self.judges:
            raise ValueError("agreement needs judges; give further models there, or leave it out")
        for index, judge in enumerate(self.judges, 1):
            if any(judge.answers_as(other) for other in self.endpoints[:index]):
                raise ValueError(
                    f"judges.{index - 1} would answer as the model before it; give another model or seed"
                )
        if self.budget.cost is not None and any(endpoint.prices is None for endpoint in self.endpoints):
            raise ValueError("budget.cost needs prices at every endpoint")
        return self


class Label(ManifestModel):
    """How decision points are labelled: with the items that the expert found out afterwards, or with a stop."""

    method: Literal["annotated", "lexicon", "llm"] = "lexicon"
    """How the items are found. `annotated`: the log contains them as structured data. `lexicon`: the patterns of the
    pack find them. `llm`: a language model finds them."""
    llm: LlmLabelling | None = None
    """Settings of `method: llm`; the other methods ignore them."""
    parallelism: Annotated[int, Field(ge=1, le=256)] = 1
    """In a cluster, number of pods that label at the same time, each a shard of the sessions."""
    max_failed_share: Share = 0.2
    """The label stage fails when more than this share of the decision points could not be labelled."""
    unknown_items: Literal["error", "ignore"] = "error"
    """What `annotated` does with an item that the pack does not list. `error`: the turn is quarantined, and so are
    earlier turns whose micro-goal depends on it. `ignore`: the item is left out and counted."""
    require_stops: bool = True
    """The label stage fails when no session contains a stop. Set it to false for a policy that only asks (reward mode
    `ask_only`)."""

    @model_validator(mode="after")
    def _has_a_model(self) -> Label:
        if self.method == "llm" and self.llm is None:
            raise ValueError("method llm needs llm.endpoint with uri and model")
        return self
