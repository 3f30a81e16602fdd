"""What any server is told about listening: environment and flags, read once at start."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Annotated, Literal, TypeVar

from pydantic import Field, TypeAdapter, ValidationError

from learntoask.core.errors import InputError

Port = Annotated[int, Field(ge=0, le=65535)]
Positive = Annotated[int, Field(ge=1)]
Seconds = Annotated[float, Field(ge=0)]


@dataclass(frozen=True, kw_only=True)
class ListenConfig:
    """Part of every server's configuration. Each field is a flag and an environment variable; a flag wins."""

    host: str = "127.0.0.1"
    port: Port = 50051  # 0 takes a free one
    metrics_port: Port | None = None  # None: no metrics endpoint
    max_request_bytes: Positive = 8 * 2**20

    tls_certificate: Path | None = None
    tls_key: Path | None = None
    tls_client_ca: Path | None = None  # given, clients must show a certificate signed by it
    token: str | None = field(default=None, repr=False)  # bearer token every call must carry
    token_file: Path | None = None

    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    max_connection_seconds: Seconds = 0.0  # callers are then asked to connect anew; 0: never
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
    """The configuration of flags (None = not given) over environment over `defaults`. Raises InputError.

    Environment variables are `prefix` and the field's name in capitals; those of several values have one a line.
    """
    known = {one.name: one for one in fields(kind)}
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
            f"{'.'.join(map(str, finding['loc'])) or 'server'}: {finding['msg']}"
            for finding in error.errors(include_url=False)
        )
        raise InputError("server configuration: " + "; ".join(findings)) from error


def bearer_token(config: ListenConfig) -> str | None:
    """The token calls must carry. Raises InputError where its file cannot be read or is empty."""
    return config.token or None if config.token_file is None else token_in(config.token_file)


def token_in(path: Path) -> str:
    """Raises InputError where the file cannot be read or is empty."""
    try:
        token = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"token_file {path} cannot be read: {error}") from error
    if not token:
        raise InputError(f"token_file {path} is empty")
    return token
