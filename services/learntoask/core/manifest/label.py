"""How decision points are labelled."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from learntoask.core.manifest.endpoint import Budget, Endpoint
from learntoask.core.manifest.model import ManifestModel, Share


class LlmLabelling(ManifestModel):
    """Labels by a language model (docs/labelling.md)."""

    endpoint: Endpoint
    """The model that labels."""
    judges: Annotated[tuple[Endpoint, ...], Field(max_length=8)] = ()
    """Further models that label every decision point too."""
    agreement: Literal["majority", "unanimous"] | None = None
    """With `judges`. `majority` (default): an item, or the stop, counts where more than half of all models say so.
    `unanimous`: a decision point on which they differ is quarantined."""
    per_session: bool = False
    """One request a session that labels all its turns at once, instead of one for every turn: cheaper, and harder for
    the model."""
    macro_goal: Literal["auto", "model", "log"] = "auto"
    """Who says where the expert acts. `log`: end markers and patterns of the pack. `model`: the model, too. `auto`: the
    log where the pack requires an end marker, else the model."""
    budget: Budget = Budget()

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
        if self.budget.cost is not None and any(one.prices is None for one in self.endpoints):
            raise ValueError("budget.cost needs prices at every endpoint")
        return self


class Label(ManifestModel):
    """How decision points get their labels: what the expert found out next, or that it was time to stop."""

    method: Literal["annotated", "lexicon", "llm"] = "lexicon"
    """`annotated`: the log carries structured items. `lexicon`: the pack's patterns find them. `llm`: a language model
    finds them."""
    llm: LlmLabelling | None = None
    """For `method: llm`, and unused otherwise."""
    parallelism: Annotated[int, Field(ge=1, le=256)] = 1
    """Pods that label at the same time in a cluster, each a share of the sessions."""
    max_failed_share: Share = 0.2
    """The stage stops when more than this share of the decision points could not be labelled."""
    require_stops: bool = True
    """The stage stops when no session at all holds a stop; false for a policy that only asks (`ask_only`)."""

    @model_validator(mode="after")
    def _has_a_model(self) -> Label:
        if self.method == "llm" and self.llm is None:
            raise ValueError("method llm needs llm.endpoint with uri and model")
        return self
