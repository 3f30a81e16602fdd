"""`AskEndpoint`: a policy served for as long as people ask, through a gateway that outlives every policy behind it."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from learntoask.core.manifest.data import PackReference, StoreSettings
from learntoask.core.manifest.model import Address, Duration, ManifestModel, Name, Precision, seconds
from learntoask.core.manifest.pod import PodTemplate
from learntoask.core.manifest.quantity import Quantity
from learntoask.core.manifest.run import Metadata

_BUCKET = r"^s3://"  # said twice: the JSON schema shows no pattern that follows a validator
Key = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class PolicyReference(ManifestModel):
    """Which policy is served: what a run published, or a model folder."""

    run: Name | None = None
    """Run whose policy is served. Alone, the endpoint follows the run: whenever its serve stage publishes, the new
    policy is rolled out. Beside `publication` it only says where the policy comes from."""
    publication: Key | None = None
    """Key of a published serve stage: the domain pack, and how the policy is to be prompted."""
    policy: Key | None = None
    """Key of the published training stage that holds the model."""
    uri: Address | None = None
    """Model folder instead of a run's policy: `s3://bucket/folder` or `pvc:claim/folder`."""
    pack: PackReference | None = None
    """Domain pack of the model at `uri`: `s3://bucket/key`, `pvc:claim/path` or `configMap:name/key`."""

    @model_validator(mode="after")
    def _one_source(self) -> PolicyReference:
        if (self.publication is None) != (self.policy is None):
            raise ValueError("publication and policy belong together: give both or neither")
        if self.uri is not None and (self.run or self.publication):
            raise ValueError("give uri, or run and publication, not both")
        if self.uri is not None and self.pack is None:
            raise ValueError("uri needs pack: the domain pack that the model was trained with")
        if self.uri is None and self.pack is not None:
            raise ValueError("pack is only given with uri; a published policy has its own")
        if not (self.uri or self.run or self.publication):
            raise ValueError("give run, publication and policy, or uri")
        return self


class PolicyServers(ManifestModel):
    """How every policy server decodes; what is left out is as the run's `serve` section said."""

    max_concurrent: Annotated[int, Field(ge=1, le=1024)] = 32
    """Requests that one server decodes together."""
    max_queue: Annotated[int, Field(ge=0, le=100_000)] = 256
    """Requests that may wait at one server; more go to another one."""
    max_new_tokens: Annotated[int, Field(ge=1, le=4096)] | None = None
    """Longest answer of the policy."""
    max_prompt_tokens: Annotated[int, Field(ge=64, le=1_000_000)] | None = None
    """Longest prompt; older messages are left out of a longer conversation."""
    may_stop: bool | None = None
    """Whether the policy may stop asking; false for one that was trained with reward mode `ask_only`."""
    stop_threshold: Annotated[float, Field(gt=0, lt=1)] | None = None
    """Probability of stopping from which the policy stops; lower stops sooner."""
    precision: Precision | None = None
    """What servers compute in: `float32`, `bfloat16`, or `auto`, the faster one."""
    prefix_cache: Quantity = "1Gi"
    """Memory for the keys and values of conversations between their turns."""
    shared_memory: Quantity = "1Gi"
    """Size of /dev/shm, which vLLM's processes share."""
    cache: Quantity = "20Gi"
    """Disk for the fetched model: several times its size."""


class Autoscaling(ManifestModel):
    """A HorizontalPodAutoscaler that sets `spec.replicas` of this endpoint."""

    min: Annotated[int, Field(ge=1, le=1000)] = 1
    """Fewest policy servers."""
    max: Annotated[int, Field(ge=1, le=1000)]
    """Most policy servers."""
    metric: Literal["cpu", "inFlight"] = "cpu"
    """`cpu`: use in percent of the request. `inFlight`: answers running or waiting at a server
    (`lta_serving_in_flight`), which needs an adapter that offers Prometheus metrics to the cluster, and is the one that
    means something where GPUs decode."""
    target: Annotated[int, Field(ge=1, le=10_000)] = 70
    """Mean of the metric over the servers that is aimed at."""

    @model_validator(mode="after")
    def _ordered(self) -> Autoscaling:
        if self.min > self.max:
            raise ValueError("min is greater than max")
        return self


class WarmUp(ManifestModel):
    """What a policy server must do before it gets its first question. A change of `conversation` or `deadline` is a
    change of the servers' pods, and rolled out as one."""

    conversation: bool = True
    """Answer the pack's demo conversation; false lets a server in as soon as its model is loaded."""
    deadline: Duration = "20m"
    """Longest time from the start of new servers to the first that is warm; after it the new policy counts as failed
    and the old one stays."""
    restarts: Annotated[int, Field(ge=0, le=100)] = 2
    """Restarts of a new server's container before the new policy counts as failed."""


class Rollout(ManifestModel):
    """How servers of a new policy take over from those of the old one."""

    max_surge: Annotated[int, Field(ge=0, le=1000)] = 1
    """Policy servers beyond `replicas` while both policies run; 0 where there is no GPU to spare. With as many as
    `replicas` all traffic moves at once, with fewer both policies answer for a while."""
    max_unavailable: Annotated[int, Field(ge=0, le=1000)] = 0
    """Policy servers that may be missing from `replicas` meanwhile."""
    warm_up: WarmUp = WarmUp()
    drain: Duration = "30s"
    """How long old servers stay after the last question was sent to them; it covers the time that gateways take to
    learn of the change."""
    history: Annotated[int, Field(ge=0, le=50)] = 10
    """Earlier revisions kept in the status, for `lta rollback`."""

    @model_validator(mode="after")
    def _moves(self) -> Rollout:
        if not (self.max_surge or self.max_unavailable):
            raise ValueError("maxSurge and maxUnavailable are both 0: no server could ever be exchanged")
        return self


class Fallback(ManifestModel):
    """What a user hears while no policy server answers."""

    mode: Literal["pack", "refuse"] = "pack"
    """`pack`: the domain pack's fallback question, marked as such in the answer; `refuse`: the error UNAVAILABLE."""


class Records(ManifestModel):
    """Served conversations as logs that a later run trains on (opt-in)."""

    enabled: bool = False
    """Write served conversations into the store."""
    uri: Annotated[Address, Field(pattern=_BUCKET, json_schema_extra={"pattern": _BUCKET})] | None = None
    """Where to, `s3://bucket/folder`; below the endpoint's name in `records/` of the store when left out."""
    redact: Annotated[
        tuple[Annotated[str, Field(min_length=1, max_length=2000)], ...], Field(max_length=100)
    ] = ()
    """Regular expressions whose matches are replaced by `[redacted]`."""
    interval: Duration = "5m"
    """Longest time that an ended conversation waits in a gateway before it is sent to the store."""

    @field_validator("redact")
    @classmethod
    def _compiles(cls, patterns: tuple[str, ...]) -> tuple[str, ...]:
        for pattern in patterns:
            try:
                re.compile(pattern)
            except re.error as error:
                raise ValueError(f"pattern {pattern!r} is not a regular expression: {error}") from error
        return patterns

    @field_validator("interval")
    @classmethod
    def _some_time(cls, interval: str) -> str:
        if not seconds(interval):
            raise ValueError("give at least 1s")
        return interval


class Access(ManifestModel):
    """Who may ask. Without any of it, everybody who reaches the gateway's Service."""

    token_secret: Name | None = None
    """Secret with the bearer token that every call must carry, under the key `token`."""
    tls_secret: Name | None = None
    """Secret of type kubernetes.io/tls with the gateway's certificate; the port then speaks TLS."""
    client_authority_secret: Name | None = None
    """Secret with the authority of client certificates, under the key `ca.crt`; clients must show one signed by it."""

    @model_validator(mode="after")
    def _needs_tls(self) -> Access:
        if self.client_authority_secret and not self.tls_secret:
            raise ValueError("clientAuthoritySecret needs tlsSecret")
        return self


class GatewayServiceSettings(ManifestModel):
    """The Service that clients connect to."""

    type: Literal["ClusterIP", "NodePort", "LoadBalancer"] = "ClusterIP"
    """How the gateway is reached."""
    port: Annotated[int, Field(ge=1, le=65535)] = 50051
    """Port of the Service."""
    annotations: Annotated[dict[str, str], Field(max_length=50)] = Field(default_factory=dict)
    """Annotations of the Service, for load balancers and name servers."""


class GatewaySettings(ManifestModel):
    """What stands between clients and policy servers."""

    replicas: Annotated[int, Field(ge=1, le=100)] = 2
    """Gateway pods."""
    service: GatewayServiceSettings = GatewayServiceSettings()
    access: Access = Access()
    fallback: Fallback = Fallback()
    records: Records = Records()
    deadline: Duration = "30s"
    """Longest time for one answer; a caller's own deadline may only shorten it."""
    attempt: Duration = "15s"
    """Longest time that one policy server may take before another one is asked."""
    max_in_flight: Annotated[int, Field(ge=1, le=100_000)] = 1024
    """Answers that one gateway waits for at once; more are refused with RESOURCE_EXHAUSTED."""

    @model_validator(mode="after")
    def _some_time(self) -> GatewaySettings:
        for name, duration in (("deadline", self.deadline), ("attempt", self.attempt)):
            if not seconds(duration):
                raise ValueError(f"{name}: give at least 1s")
        return self


class EndpointPods(ManifestModel):
    """Changes of the pods of an endpoint. A change of its policy servers' pods is rolled out like a new policy."""

    gateway: PodTemplate = PodTemplate()
    """The gateways."""
    policy_server: PodTemplate = PodTemplate()
    """The policy servers."""


class EndpointSpec(ManifestModel):
    policy: PolicyReference
    """Which policy is served. Changing it rolls the new policy out; changing it back rolls back."""
    store: StoreSettings = StoreSettings()
    """Where published policies lie; the operator's own store when left out. Keys come from `credentials.secret`."""
    engine: Literal["transformers", "vllm"] = "transformers"
    """What decodes: `transformers`, ready in seconds, or `vllm`."""
    replicas: Annotated[int, Field(ge=0, le=1000)] = 1
    """Policy servers; `kubectl scale` and autoscalers set it. With 0 only the fallback answers."""
    gpus: Annotated[int, Field(ge=0, le=64)] = 0
    """GPUs of every policy server (`nvidia.com/gpu`; another kind is set in `pods`)."""
    servers: PolicyServers = PolicyServers()
    autoscaling: Autoscaling | None = None
    """Leave it out to keep `replicas` as it is set."""
    rollout: Rollout = Rollout()
    gateway: GatewaySettings = GatewaySettings()
    pods: EndpointPods = EndpointPods()


class AskEndpoint(ManifestModel):
    api_version: Literal["learntoask.io/v1alpha1"]
    kind: Literal["AskEndpoint"]
    metadata: Metadata
    spec: EndpointSpec
