"""Who grades what the policy asks, and where."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from learntoask.core.manifest.endpoint import Budget, Endpoint
from learntoask.core.manifest.model import Duration, ManifestModel, Share, Uri

HostPort = Annotated[str, Field(max_length=300, pattern=r"^[^\s/@]+:\d{1,5}$")]


class JudgeServer(ManifestModel):
    """vLLM with the judge's model, run by the operator while a stage needs it."""

    model: Uri
    """`hf:owner/name`, or a folder with a Hugging Face model: `pvc:claim/path`."""
    arguments: Annotated[tuple[Annotated[str, Field(max_length=1000)], ...], Field(max_length=50)] = ()
    """Further arguments of vLLM, such as `--max-model-len=8192`."""


class LlmJudge(ManifestModel):
    """A language model that grades (docs/grading.md)."""

    endpoint: Endpoint
    """The model that judges."""
    server: JudgeServer | None = None
    """In a cluster: serve this model and ask it, in the place of `endpoint.uri`. A laptop asks `endpoint.uri`."""
    role: Literal["rewarding", "reporting"] = "rewarding"
    """Which of the two graders it is; the other one is model-free, so that what a policy learns to exploit in one shows
    in the other."""
    context_messages: Annotated[int, Field(ge=0, le=1000)] = 12
    """How much of the conversation it reads: this many messages before the answer."""
    measured: Annotated[int, Field(ge=20, le=100_000)] = 200
    """Held-out expert questions that its agreement is measured on, at most; each costs about four requests."""
    min_kappa: Share = 0.4
    """The grader stage stops when the judge's agreement with held-out labels (Cohen's κ, of whether a question asks for
    something still needed) is lower. A judge that always says the same has 0."""
    budget: Budget = Budget()
    """What each stage that asks it may spend, all its attempts together."""

    @model_validator(mode="after")
    def _can_be_counted(self) -> LlmJudge:
        if self.budget.cost is not None and self.endpoint.prices is None:
            raise ValueError("budget.cost needs endpoint.prices")
        return self


class GraderSettings(ManifestModel):
    """Says what a question asks for, and so what it is worth."""

    method: Literal["fields", "llm"] = "fields"
    """`fields`: two model-free graders, fitted on the labels. `llm`: one of the two is a language model."""
    encoder: Literal["minilm", "hashing"] = "minilm"
    """Sentence encoder: packaged all-MiniLM-L6-v2, or character n-gram hashing for tiny runs."""
    llm: LlmJudge | None = None
    """For `method: llm`, and unused otherwise."""
    max_missing_share: Share = 0.2
    """A run stops when more than this share of the grades is missing."""
    replicas: Annotated[int, Field(ge=0, le=100)] = 0
    """In a cluster: pods of a grader service that the operator runs while a stage needs it, when `address` is left out;
    with 0 every stage grades in its own process."""
    address: HostPort | None = None
    """`host:port` of a service with this run's graders (`lta grader serve`); none given, every stage grades in its own
    process."""
    reporting_address: HostPort | None = None
    """Of a service with the reporting grader, where it is not the one of `address`."""
    timeout: Duration = "1m"
    """Longest time of one call of the service."""
    retry_for: Duration = "3m"
    """How long an outage of the service is waited for; then grades are missing."""
    hedge_after: Duration | None = None
    """A call without a full answer after this time is made a second time, and the first answer counts."""

    @model_validator(mode="after")
    def _has_a_model(self) -> GraderSettings:
        if self.method == "llm" and self.llm is None:
            raise ValueError("method llm needs llm.endpoint with uri and model")
        return self
