"""What a policy server is told: environment and flags, read once at start."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, TypeAdapter, ValidationError

from learntoask.core.errors import InputError
from learntoask.core.manifest import RunSpec, seconds
from learntoask.core.manifest.quantity import byte_count

ENVIRONMENT_PREFIX = "LTA_SERVE_"

Port = Annotated[int, Field(ge=0, le=65535)]
Positive = Annotated[int, Field(ge=1)]
Seconds = Annotated[float, Field(ge=0)]


@dataclass(frozen=True, kw_only=True)
class ServeConfig:
    """Every field is a flag and the environment variable LTA_SERVE_<FIELD>; a flag wins."""

    model: Path  # folder with the policy (Hugging Face layout)
    pack: Path  # domain pack (YAML)
    host: str = "127.0.0.1"
    port: Port = 50051  # 0 takes a free one
    metrics_port: Port | None = None  # None: no metrics endpoint

    max_concurrent: Positive = 32  # requests decoded together
    max_queue: Annotated[int, Field(ge=0)] = 256  # requests that may wait beyond those
    max_conversations: Positive = 1024  # open Converse streams
    max_new_tokens: Positive = 64
    max_prompt_tokens: Positive = 2048
    may_stop: bool = True  # False for a policy trained with reward mode ask_only
    deadline_seconds: Annotated[float, Field(gt=0)] = 30.0  # longest time for one answer
    prefix_cache_bytes: Annotated[int, Field(ge=0)] = 2**30
    threads: Positive | None = None  # of the engine; None leaves it to torch

    max_messages: Positive = 1000
    max_message_bytes: Positive = 65536
    max_conversation_bytes: Positive = 262_144
    max_request_bytes: Positive = 8 * 2**20

    tls_certificate: Path | None = None
    tls_key: Path | None = None
    tls_client_ca: Path | None = None  # given, clients must show a certificate signed by it
    token: str | None = field(default=None, repr=False)  # bearer token every call must carry
    token_file: Path | None = None

    records: Path | None = None  # folder for served conversations; None records nothing
    redact: tuple[str, ...] = ()  # patterns replaced by [redacted] in records
    redact_hook: str | None = None  # `package.module:function`, str → str, applied after the patterns

    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    log_messages: bool = False  # put what was said into the log
    drain_delay_seconds: Seconds = 0.0  # between NOT_SERVING and refusing new calls
    drain_seconds: Seconds = 30.0  # running answers may take this long to finish

    def __post_init__(self) -> None:
        if (self.tls_certificate is None) != (self.tls_key is None):
            raise ValueError("tls_certificate and tls_key belong together: give both or neither")
        if self.tls_client_ca is not None and self.tls_certificate is None:
            raise ValueError("tls_client_ca needs tls_certificate and tls_key")
        if self.token is not None and self.token_file is not None:
            raise ValueError("give token or token_file, not both")
        for pattern in self.redact:
            try:
                re.compile(pattern)
            except re.error as error:
                raise ValueError(
                    f"redact pattern {pattern!r} is not a regular expression: {error}"
                ) from error


_ADAPTER = TypeAdapter(ServeConfig)
_NAMES = frozenset(field.name for field in fields(ServeConfig))


def read_config(
    environment: Mapping[str, str],
    flags: Mapping[str, object],
    *,
    defaults: Mapping[str, object] | None = None,
) -> ServeConfig:
    """The configuration of flags (None = not given) over environment over `defaults`. Raises InputError."""
    values: dict[str, object] = dict(defaults or {})
    for key, text in environment.items():
        name = key.removeprefix(ENVIRONMENT_PREFIX).lower()
        if not key.startswith(ENVIRONMENT_PREFIX):
            continue
        if name not in _NAMES:
            raise InputError(
                f"environment variable {key} is not known; the fields are {', '.join(sorted(_NAMES))}"
            )
        values[name] = tuple(text.splitlines()) if name == "redact" else text
    values |= {name: value for name, value in flags.items() if value is not None}
    try:
        return _ADAPTER.validate_python(values)
    except ValidationError as error:
        findings = (
            f"{'.'.join(map(str, finding['loc'])) or 'serve'}: {finding['msg']}"
            for finding in error.errors(include_url=False)
        )
        raise InputError("server configuration: " + "; ".join(findings)) from error


def settings_of(spec: RunSpec) -> dict[str, object]:
    """What a run's manifest says about serving its policy, as defaults for `read_config`."""
    serve = spec.serve
    return {
        "host": serve.host,
        "port": serve.port,
        "max_concurrent": serve.max_concurrent,
        "max_queue": serve.max_queue,
        "max_new_tokens": serve.max_new_tokens,
        "max_prompt_tokens": spec.train.max_prompt_tokens,
        "may_stop": spec.train.reward.mode != "ask_only",
        "deadline_seconds": float(seconds(serve.deadline)),
        "prefix_cache_bytes": byte_count(serve.prefix_cache),
        "redact": serve.redact,
    }


def config_of(spec: RunSpec, *, model: Path, pack: Path) -> ServeConfig:
    """The manifest's configuration, nothing else heard."""
    return read_config({}, {"model": model, "pack": pack}, defaults=settings_of(spec))


def bearer_token(config: ServeConfig) -> str | None:
    """The token calls must carry. Raises InputError where its file cannot be read or is empty."""
    if config.token_file is None:
        return config.token or None
    try:
        token = config.token_file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"token_file {config.token_file} cannot be read: {error}") from error
    if not token:
        raise InputError(f"token_file {config.token_file} is empty")
    return token
