"""Settings that all servers share, and how settings are read from flags and environment at start."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Annotated, Literal, TypeVar

from pydantic import Field, TypeAdapter, ValidationError

from learntoask.core.documents.messages import problem, where_of
from learntoask.core.errors import InputError

Port = Annotated[int, Field(ge=0, le=65535)]
Positive = Annotated[int, Field(ge=1)]
Seconds = Annotated[float, Field(ge=0)]


@dataclass(frozen=True, kw_only=True)
class ListenConfig:
    """Settings about listening. Each field is a flag and an environment variable; a flag wins."""

    host: str = "127.0.0.1"
    port: Port = 50051  # 0 takes a free port
    metrics_port: Port | None = None  # None: no metrics endpoint
    metrics_token_file: Path | None = None  # bearer token that a scrape of /metrics must carry
    health_port: Port | None = (
        None  # plain-text port of the health service alone, for probes that speak no TLS
    )
    max_request_bytes: Positive = 8 * 2**20

    tls_certificate: Path | None = None
    tls_key: Path | None = None
    tls_client_ca: Path | None = None  # given, clients must show a certificate signed by it
    token: str | None = field(default=None, repr=False)  # bearer token every call must carry
    token_file: Path | None = None

    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    max_connection_seconds: Seconds = 0.0  # age at which clients are asked to reconnect; 0: never
    drain_delay_seconds: Seconds = 0.0  # between NOT_SERVING and refusing new calls
    drain_seconds: Seconds = 30.0  # running answers may take this long to finish

    def __post_init__(self) -> None:
        if (self.tls_certificate is None) != (self.tls_key is None):
            raise ValueError("tls_certificate and tls_key belong together: give both or neither")
        if self.tls_client_ca is not None and self.tls_certificate is None:
            raise ValueError("tls_client_ca needs tls_certificate and tls_key")
        if self.token is not None and self.token_file is not None:
            raise ValueError("give token or token_file, not both")


Config = TypeVar("Config", bound=ListenConfig)


def read_settings(
    kind: type[Config],
    *,
    prefix: str,
    environment: Mapping[str, str],
    flags: Mapping[str, object],
    defaults: Mapping[str, object] | None = None,
) -> Config:
    """Return settings of class `kind` from flags, environment and `defaults`, in this order of precedence.

    A flag that is None is not given. An environment variable is named `prefix` plus the field's name in capitals; a
    field of several values has one per line. Raises InputError naming unknown variables and invalid fields.
    """
    known = {setting.name: setting for setting in fields(kind)}
    values: dict[str, object] = dict(defaults or {})
    for key, text in environment.items():
        if not key.startswith(prefix):
            continue
        name = key.removeprefix(prefix).lower()
        if name not in known:
            raise InputError(
                f"environment variable {key} is not known; the fields are {', '.join(sorted(known))}"
            )
        values[name] = tuple(text.splitlines()) if isinstance(known[name].default, tuple) else text
    values |= {name: value for name, value in flags.items() if value is not None}
    try:
        return TypeAdapter(kind).validate_python(values)
    except ValidationError as error:
        findings = (
            f"{where_of(finding, 'server')}: {problem(finding)}"
            for finding in error.errors(include_url=False)
        )
        raise InputError("server configuration: " + "; ".join(findings)) from error


def bearer_token(config: ListenConfig) -> str | None:
    """Return the token that calls must carry, None if they need none. Raises InputError as `token_in` does."""
    return config.token or None if config.token_file is None else token_in(config.token_file)


def token_in(path: Path) -> str:
    """Read a bearer token from a file. Raises InputError if the file cannot be read or is empty."""
    try:
        token = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"token_file {path} cannot be read: {error}") from error
    if not token:
        raise InputError(f"token_file {path} is empty")
    return token
