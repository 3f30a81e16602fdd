"""The graders: which ones grade the policy's questions, and where they run."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from learntoask.core.errors import InputError
from learntoask.core.manifest.address import ServedModelAddress
from learntoask.core.manifest.duration import Duration, PositiveDuration
from learntoask.core.manifest.endpoint import Budget, Endpoint
from learntoask.core.manifest.form import WORDS
from learntoask.core.manifest.model import ManifestModel, Share
from learntoask.core.network.address import EXAMPLES, HOST_PORT, split_host_port


def _host_and_port(address: str) -> str:
    try:
        split_host_port(address)
    except InputError as error:
        raise ValueError(str(error)) from error
    return address


HostPort = Annotated[
    str,
    Field(
        max_length=300,
        json_schema_extra={"pattern": HOST_PORT, WORDS: f"write host:port, such as {EXAMPLES}"},
    ),
    AfterValidator(_host_and_port),
]


class JudgeServer(ManifestModel):
    """A vLLM server of the judge's model that the operator runs while a stage needs it."""

    model: ServedModelAddress
    """Model to serve: `hf:owner/name`, or a folder with a Hugging Face model, `pvc:claim/path`."""
    arguments: Annotated[tuple[Annotated[str, Field(max_length=1000)], ...], Field(max_length=50)] = ()
    """Further command-line arguments of vLLM, such as `--max-model-len=8192`."""


class LlmJudge(ManifestModel):
    """A language model that grades questions, the judge (docs/grading.md)."""

    endpoint: Endpoint
    """Server of the judge's model."""
    server: JudgeServer | None = None
    """In a cluster, serve this model and ask it instead of `endpoint.uri`. A laptop always asks `endpoint.uri`."""
    role: Literal["rewarding", "reporting"] = "rewarding"
    """Which of the two graders the judge is: `rewarding` computes the rewards of training, `reporting` the metrics of
    the report. The other grader needs no language model, so that a weakness of one that the policy learns to exploit
    shows in the other."""
    context_messages: Annotated[int, Field(ge=0, le=1000)] = 12
    """Number of messages before the question that the judge reads."""
    measured: Annotated[int, Field(ge=20, le=100_000)] = 200
    """Largest number of held-out expert questions that the judge's agreement is measured on. Each costs about four
    requests."""
    min_kappa: Share = 0.4
    """The grader stage fails when the judge agrees less than this with the held-out labels. Agreement is Cohen's κ of
    whether a question asks for something still needed; a judge that always gives the same grade has 0."""
    budget: Budget = Budget()
    """Budget of each stage that uses the judge, for all its attempts together."""

    @model_validator(mode="after")
    def _can_be_counted(self) -> LlmJudge:
        if self.budget.cost is not None and self.endpoint.prices is None:
            raise ValueError("budget.cost needs endpoint.prices")
        return self


class GraderSettings(ManifestModel):
    """The two graders, which determine the fields that a question asks for and grade the question by them. One computes
    the rewards of training, the other the metrics of the report."""

    method: Literal["fields", "llm"] = "fields"
    """`fields`: both graders are classifiers fitted on the labels, without a language model. `llm`: a language model,
    the judge, replaces one of the two."""
    encoder: Literal["minilm", "hashing"] = "minilm"
    """Sentence encoder of the graders: `minilm` is the packaged all-MiniLM-L6-v2, which learned English; `hashing`
    hashes character n-grams and suits tiny runs. Logs in a script that `minilm` cannot read get `hashing` instead, and
    the report says so."""
    llm: LlmJudge | None = None
    """Settings of `method: llm`; the other method ignores them."""
    max_missing_share: Share = 0.2
    """A stage fails when more than this share of the grades is missing."""
    replicas: Annotated[int, Field(ge=0, le=100)] = 0
    """In a cluster, number of pods of a grader service that the operator runs while a stage needs it. With 0 every
    stage grades in its own process. Ignored if `address` is given."""
    address: HostPort | None = None
    """`host:port` of a running service with this run's graders (`lta grader serve`). If left out, every stage grades in
    its own process, or by the service of `replicas`."""
    reporting_address: HostPort | None = None
    """`host:port` of the service with the reporting grader, if it is another one than `address`."""
    timeout: PositiveDuration = "1m"
    """Longest time of one call of the grader service."""
    retry_for: Duration = "3m"
    """How long a call is retried while the grader service is unavailable; after that its grades count as missing."""
    hedge_after: PositiveDuration | None = None
    """Time after which a call without a complete answer is sent a second time; the first answer counts. If left out, no
    call is sent twice."""

    @model_validator(mode="after")
    def _has_a_model(self) -> GraderSettings:
        if self.method == "llm" and self.llm is None:
            raise ValueError("method llm needs llm.endpoint with uri and model")
        return self
