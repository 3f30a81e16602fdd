"""A model behind an OpenAI-compatible address, and what may be spent on it."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Annotated

from pydantic import Field, JsonValue, field_validator, model_validator

from learntoask.core.manifest.model import Address, Duration, ManifestModel, seconds

Price = Annotated[float, Field(ge=0)]
_HTTP = r"^https?://\S+$"  # said twice: the JSON schema shows no pattern that follows a validator
_OURS = frozenset({"messages", "model", "n", "response_format", "seed", "stream", "stream_options"})


class Prices(ManifestModel):
    """Prices of a million tokens, in any one currency."""

    prompt: Price
    """A million tokens that are read."""
    cached_prompt: Price | None = None
    """A million tokens that the server found in its prefix cache; as `prompt` when left out."""
    completion: Price
    """A million tokens that are written."""


class Endpoint(ManifestModel):
    """An OpenAI-compatible server, such as vLLM."""

    uri: Annotated[Address, Field(pattern=_HTTP, json_schema_extra={"pattern": _HTTP})]
    """Where its API begins: `http://judge.models.svc:8000/v1`."""
    model: Annotated[str, Field(min_length=1, max_length=300)]
    """Name under which the server offers the model."""
    api_key_env: Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")] | None = None
    """Environment variable that holds the API key; the key itself never stands in a manifest."""
    api_key_file: Annotated[str, Field(max_length=4096)] | None = None
    """File that holds the API key (absolute path), read anew for every request, so that a Secret may rotate."""
    concurrency: Annotated[int, Field(ge=1, le=1024)] = 16
    """Requests under way at most; fewer while the server refuses or fails many of them."""
    timeout: Duration = "2m"
    """Longest time of one request."""
    retry_for: Duration = "10m"
    """How long a request that meets errors (429, 5xx, timeouts, lost connections) is tried again."""
    seed: Annotated[int, Field(ge=0, le=2**31 - 1)] = 0
    """Seed sent with every request; the temperature is 0."""
    max_tokens: Annotated[int, Field(ge=16)] = 1024
    """Longest answer; one that is cut there is asked for once more with twice as many."""
    parameters: dict[str, JsonValue] = Field(default_factory=dict)
    """Further fields of the request, e.g. `{chat_template_kwargs: {enable_thinking: false}}`; `null` leaves out one
    that would be sent otherwise (`max_tokens`, `temperature`)."""
    prices: Prices | None = None
    """Of a million tokens each, for the count of costs."""

    @property
    def determining(self) -> dict[str, JsonValue]:
        """What the answers depend on; the rest is about how they are fetched and must not make a stage run again."""
        return {
            "uri": self.uri,
            "model": self.model,
            "seed": self.seed,
            "maxTokens": self.max_tokens,
            "parameters": self.parameters,
        }

    def answers_as(self, other: Endpoint) -> bool:
        return self.determining == other.determining

    @field_validator("timeout")
    @classmethod
    def _some_time(cls, timeout: str) -> str:
        if not seconds(timeout):
            raise ValueError("give at least 1s")
        return timeout

    @field_validator("api_key_file")
    @classmethod
    def _absolute(cls, path: str | None) -> str | None:
        if path is not None and not PurePosixPath(path).is_absolute():
            raise ValueError("give an absolute path")
        return path

    @field_validator("parameters")
    @classmethod
    def _not_ours(cls, parameters: dict[str, JsonValue]) -> dict[str, JsonValue]:
        ours = sorted(_OURS & set(parameters))
        if ours:
            raise ValueError(f"{', '.join(ours)} cannot be set here; the program sets it itself")
        return parameters

    @model_validator(mode="after")
    def _one_key(self) -> Endpoint:
        if self.api_key_env and self.api_key_file:
            raise ValueError("give apiKeyEnv or apiKeyFile, not both")
        return self


class Budget(ManifestModel):
    """A stage that has spent it stops with the reason; what was answered is kept, and a run with more goes on."""

    requests: Annotated[int, Field(ge=1)] | None = None
    """Requests, repeated ones included."""
    tokens: Annotated[int, Field(ge=1)] | None = None
    """Tokens read and written; requests under way may still pass it."""
    cost: Annotated[float, Field(gt=0)] | None = None
    """In the currency of the endpoints' prices; requests under way may still pass it."""
