"""Settings of a gateway, read from flags and environment at start."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from learntoask.core.errors import InputError
from learntoask.core.network.address import split_host_port
from learntoask.rpc.channels import Tls
from learntoask.rpc.config import ListenConfig, Positive, read_settings, token_in
from learntoask.serving.records.redaction import compiled_patterns
from learntoask.serving.rollout.file import state_path

ENVIRONMENT_PREFIX = "LTA_GATEWAY_"

Duration = Annotated[float, Field(gt=0)]  # seconds


@dataclass(frozen=True, kw_only=True)
class GatewayConfig(ListenConfig):
    """Every field is a flag and the environment variable LTA_GATEWAY_<FIELD>; a flag wins."""

    servers: tuple[str, ...] = ()  # host:port of policy servers; a name stands for all its addresses
    pack: Path  # domain pack, for the fallback and for records
    canary: tuple[str, ...] = ()  # host:port of servers of a policy that is tried
    strategy: Path | None = None  # strategy of the rollout that this gateway decides (docs/rollout.md)
    rollout: Path | None = None  # the rollout's file: written with `strategy`, else followed

    deadline_seconds: Duration = 30.0  # longest time for one answer
    attempt_seconds: Duration = 15.0  # longest time one server may take before another is asked
    patience_seconds: Annotated[float, Field(ge=0)] = 1.0  # wait for a server while none serves
    faults: Positive = 2  # servers that may fail at one request before the gateway gives up
    resolve_seconds: Duration = 5.0  # between look-ups of the servers' names; at most 1 s while none serves
    operator: str | None = None  # host:port of the operator that tells where servers are
    operator_token: Path | None = None  # file with the pod's token for it
    operator_ca: Path | None = None  # authority of the operator's certificate; turns on TLS to it
    endpoint: str | None = None  # name of the AskEndpoint that this gateway belongs to
    max_in_flight: Positive = 1024  # answers waited for at once
    max_conversations: Positive = 10_000  # open Converse streams
    fallback: Literal["pack", "refuse"] = "pack"

    max_messages: Positive = 1000
    max_message_bytes: Positive = 65536
    max_conversation_bytes: Positive = 262_144

    server_ca: Path | None = None  # authority of the servers' certificates; turns on TLS to the servers
    server_name: str | None = None  # name in those certificates
    server_plain_text: bool = (
        False  # also ask servers that speak no TLS, while an endpoint changes over to it
    )
    server_certificate: Path | None = None  # what the gateway shows to the servers (mTLS)
    server_key: Path | None = None
    server_token_file: Path | None = None  # bearer token for the servers

    records: Path | None = None  # folder for served conversations; None records nothing
    records_uri: str | None = None  # s3://bucket/folder that the files are sent to
    records_seconds: Duration = 300.0  # between sendings
    redact: tuple[str, ...] = ()  # patterns replaced by [redacted] in records
    redact_hook: str | None = None  # `package.module:function`, str → str, applied after the patterns

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.servers:
            raise ValueError(
                "servers: give host:port of at least one policy server (--server, LTA_GATEWAY_SERVERS one a line)"
            )
        for field, addresses in (("servers", self.servers), ("canary", self.canary)):
            for address in addresses:
                try:
                    split_host_port(address)
                except InputError as error:
                    raise ValueError(f"{field}: {error}") from error
        if bool(self.canary) != (self.strategy is not None or self.rollout is not None):
            raise ValueError(
                "canary and strategy belong together: give the servers of the new policy and how it is tried"
            )
        if len({self.operator is None, self.operator_token is None, self.endpoint is None}) > 1:
            raise ValueError("operator, operator_token and endpoint belong together: give all or none")
        if self.records_uri is not None and self.records is None:
            raise ValueError("records_uri needs records, the folder where conversations wait to be sent")
        if self.server_plain_text and self.server_ca is None:
            raise ValueError(
                "server_plain_text needs server_ca: without it servers are asked in plain text anyway"
            )
        if (self.server_certificate is None) != (self.server_key is None):
            raise ValueError("server_certificate and server_key belong together: give both or neither")
        compiled_patterns(self.redact)

    @property
    def rollout_path(self) -> Path | None:
        """The rollout's file; next to the strategy by default."""
        if self.rollout is not None or self.strategy is None:
            return self.rollout
        return state_path(self.strategy)

    @property
    def server_tls(self) -> Tls | None:
        """TLS towards the servers; None for plain text."""
        if self.server_ca is None:
            return None
        return Tls(self.server_ca, self.server_certificate, self.server_key, self.server_name)

    @property
    def server_token(self) -> str | None:
        """The gateway's own token at the servers. Raises InputError if its file cannot be read."""
        return token_in(self.server_token_file) if self.server_token_file else None


def read_config(environment: Mapping[str, str], flags: Mapping[str, object]) -> GatewayConfig:
    """Return the settings from flags and environment; flags win, None means not given. Raises InputError."""
    return read_settings(GatewayConfig, prefix=ENVIRONMENT_PREFIX, environment=environment, flags=flags)
