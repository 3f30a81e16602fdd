"""An OpenAI-compatible server of a language model, and the budget for its use."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Annotated

from pydantic import Field, JsonValue, field_validator, model_validator

from learntoask.core.manifest.address import Address
from learntoask.core.manifest.duration import Duration, PositiveDuration
from learntoask.core.manifest.form import Form
from learntoask.core.manifest.model import ManifestModel

Price = Annotated[float, Field(ge=0, le=1_000_000_000)]
HttpAddress = Annotated[
    Address,
    Form(r"https?://[^\s/]\S*", "write an address that begins with http:// or https://, without spaces"),
]
VariableName = Annotated[
    str,
    Field(max_length=256),
    Form("[A-Za-z_][A-Za-z0-9_]*", "give the name of an environment variable: letters, digits and _"),
]
_SET_BY_CLIENT = frozenset({"messages", "model", "n", "response_format", "seed", "stream", "stream_options"})


class Prices(ManifestModel):
    """Prices per million tokens, all in the same currency."""

    prompt: Price
    """Price of a million prompt tokens."""
    cached_prompt: Price | None = None
    """Price of a million prompt tokens that the server finds in its prefix cache; the price in `prompt` if left out."""
    completion: Price
    """Price of a million generated tokens."""


class Endpoint(ManifestModel):
    """An OpenAI-compatible server, such as vLLM."""

    uri: HttpAddress
    """Base address of the API, such as `http://judge.models.svc:8000/v1`."""
    model: Annotated[str, Field(min_length=1, max_length=300)]
    """Name of the model on the server."""
    api_key_env: VariableName | None = None
    """Environment variable that holds the API key. A manifest never holds the key itself."""
    api_key_file: Annotated[str, Field(max_length=4096)] | None = None
    """File that holds the API key, as an absolute path. It is read for every request, so that a mounted Secret can be
    rotated during a run."""
    concurrency: Annotated[int, Field(ge=1, le=1024)] = 16
    """Largest number of requests at once. It is reduced while the server refuses or fails many of them."""
    timeout: PositiveDuration = "2m"
    """Longest time of one request."""
    retry_for: Duration = "10m"
    """How long a request is retried after errors (status 429 or 5xx, timeouts, lost connections)."""
    seed: Annotated[int, Field(ge=0, le=2**31 - 1)] = 0
    """Random seed that is sent with every request; the temperature is 0."""
    max_tokens: Annotated[int, Field(ge=16, le=1_000_000)] = 1024
    """Largest number of tokens of an answer. A longer answer is requested once more with twice as many."""
    parameters: dict[str, JsonValue] = Field(default_factory=dict)
    """Further fields of the request, such as `{chat_template_kwargs: {enable_thinking: false}}`. With `null` a field
    that is sent by default (`max_tokens`, `temperature`) is left out."""
    prices: Prices | None = None
    """Prices of this model, from which the cost of a stage is computed."""

    @property
    def determining(self) -> dict[str, JsonValue]:
        """The fields that the answers depend on. A change of any other field must not make a stage run again."""
        return {
            "uri": self.uri,
            "model": self.model,
            "seed": self.seed,
            "maxTokens": self.max_tokens,
            "parameters": self.parameters,
        }

    def answers_as(self, other: Endpoint) -> bool:
        """Whether both endpoints give the same answers to the same requests."""
        return self.determining == other.determining

    @field_validator("api_key_file")
    @classmethod
    def _absolute(cls, path: str | None) -> str | None:
        if path is not None and not PurePosixPath(path).is_absolute():
            raise ValueError("give an absolute path")
        return path

    @field_validator("parameters")
    @classmethod
    def _not_ours(cls, parameters: dict[str, JsonValue]) -> dict[str, JsonValue]:
        ours = sorted(_SET_BY_CLIENT & set(parameters))
        if ours:
            raise ValueError(f"{', '.join(ours)} cannot be set here; the program sets it itself")
        return parameters

    @model_validator(mode="after")
    def _one_key(self) -> Endpoint:
        if self.api_key_env and self.api_key_file:
            raise ValueError("give apiKeyEnv or apiKeyFile, not both")
        return self


class Budget(ManifestModel):
    """What a stage may spend on language models. A stage that has spent it fails with the reason BudgetSpent; its
    answers are kept, so that the stage continues from them when the budget is raised."""

    requests: Annotated[int, Field(ge=1, le=10**12)] | None = None
    """Largest number of requests, including retries."""
    tokens: Annotated[int, Field(ge=1, le=10**15)] | None = None
    """Largest number of prompt and generated tokens. Requests that are already sent may exceed it."""
    cost: Annotated[float, Field(gt=0, le=10**12)] | None = None
    """Largest cost, in the currency of `prices`. Requests that are already sent may exceed it."""
