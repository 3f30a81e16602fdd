"""`AskEndpoint`: policy servers behind a gateway. The gateway stays when the policy is replaced."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from learntoask.core.manifest.address import BUCKET, Address, ModelFolderAddress
from learntoask.core.manifest.data import PackReference, StoreSettings
from learntoask.core.manifest.duration import Duration, PositiveDuration
from learntoask.core.manifest.form import Form
from learntoask.core.manifest.model import ManifestModel, Name, Pattern, Precision
from learntoask.core.manifest.pod import PodTemplate, check_claims
from learntoask.core.manifest.quantity import Quantity
from learntoask.core.manifest.release import Repeat
from learntoask.core.manifest.run import Metadata
from learntoask.core.manifest.strategy import Strategy
from learntoask.core.manifest.train import Assessment

_V4 = r"(\d{1,3}\.){3}\d{1,3}/(3[0-2]|[12]?\d)"
_V6 = r"[0-9a-fA-F:.]*:[0-9a-fA-F:.]*/(12[0-8]|1[01]\d|[1-9]?\d)"
AddressBlock = Annotated[
    str,
    Field(max_length=50),
    Form(
        f"{_V4}|{_V6}", "write a block of addresses with its length, such as 203.0.113.0/24 or 2001:db8::/32"
    ),
]
Key = Annotated[str, Field(max_length=64), Form(r"[0-9a-f]{64}", "give a key of 64 digits 0-9 and a-f")]
RecordsFolder = Annotated[Address, Form(rf"s3://{BUCKET}(/.*)?", "write s3://bucket/folder")]


class PolicyReference(ManifestModel):
    """Which policy is served: one that a run published, or a model folder."""

    run: Name | None = None
    """LearnToAskRun whose policy is served. Without `publication`, the endpoint follows the run: each policy that its
    serve stage publishes is rolled out. With `publication`, it only records which run the policy comes from."""
    publication: Key | None = None
    """Key of a published serve stage (64 hex digits), which holds the domain pack and the prompt settings."""
    policy: Key | None = None
    """Key of the published training stage that holds the model (64 hex digits)."""
    uri: ModelFolderAddress | None = None
    """Model folder to serve instead of a run's policy: `s3://bucket/folder` or `pvc:claim/folder`."""
    pack: PackReference | None = None
    """Domain pack that the model at `uri` was trained with: `s3://bucket/key`, `pvc:claim/path` or
    `configMap:name/key`."""

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


class ServerTls(ManifestModel):
    """TLS between gateways and policy servers."""

    secret: Name
    """Secret of type kubernetes.io/tls with the servers' certificate for the name `ENDPOINT-policy.NAMESPACE.svc`, and
    under `ca.crt` the authority that signed it, as cert-manager writes it. Servers and gateways take a renewed one
    without a restart."""
    required: bool = True
    """Whether gateways ask servers with TLS alone. To turn TLS on for an endpoint that answers, set false until the new
    servers have the traffic: gateways then also ask servers that speak no TLS."""


class PolicyServers(ManifestModel):
    """How every policy server decodes. A field that is left out keeps the value that the policy was published with."""

    max_concurrent: Annotated[int, Field(ge=1, le=1024)] = 32
    """Largest number of requests that one server decodes in one batch."""
    max_queue: Annotated[int, Field(ge=0, le=100_000)] = 256
    """Largest number of requests that wait at one server; the gateway sends further ones to another server."""
    max_new_tokens: Annotated[int, Field(ge=1, le=4096)] | None = None
    """Largest number of tokens of one answer."""
    max_prompt_tokens: Annotated[int, Field(ge=64, le=1_000_000)] | None = None
    """Largest number of tokens of one prompt; a longer conversation loses its oldest messages."""
    may_stop: bool | None = None
    """Whether the policy may stop asking; false for a policy that was trained with reward mode `ask_only`."""
    stop_threshold: Annotated[float, Field(gt=0, lt=1)] | None = None
    """The policy stops when its probability of stopping is at least this; a lower value stops sooner."""
    assessment: Assessment | None = None
    """What the policy was trained to say before a question (`train.assessment` of its run)."""
    repeat: Repeat | None = None
    """Whether the policy may repeat a question (`allow`), or asks its next likely one or stops instead (`avoid`)."""
    precision: Precision | None = None
    """Number format that servers compute in: `float32`, `bfloat16`, or `auto` for the faster one."""
    prefix_cache: Quantity = "1Gi"
    """Memory for the attention keys and values of conversations, kept between their turns."""
    shared_memory: Quantity = "1Gi"
    """Size of /dev/shm, which the processes of vLLM share."""
    cache: Quantity = "20Gi"
    """Disk space for the fetched model; give several times the size of the model."""
    tls: ServerTls | None = None
    """Encrypts what gateways and servers tell each other, and lets gateways make sure of the servers' name. Left out,
    they speak plain text."""


class Autoscaling(ManifestModel):
    """A HorizontalPodAutoscaler that sets `spec.replicas` of this endpoint."""

    min: Annotated[int, Field(ge=1, le=1000)] = 1
    """Smallest number of policy servers."""
    max: Annotated[int, Field(ge=1, le=1000)]
    """Largest number of policy servers."""
    metric: Literal["cpu", "inFlight"] = "cpu"
    """Load that is measured. `cpu`: CPU use in percent of the CPU request. `inFlight`: number of requests that run or
    wait at a server (`lta_serving_in_flight`); it needs an adapter that offers Prometheus metrics to the cluster. Use
    `inFlight` where GPUs decode, because their load does not show in `cpu`."""
    target: Annotated[int, Field(ge=1, le=10_000)] = 70
    """Mean of the metric over the servers that the autoscaler aims at: percent for `cpu`, requests for `inFlight`."""

    @model_validator(mode="after")
    def _ordered(self) -> Autoscaling:
        if self.min > self.max:
            raise ValueError("min is greater than max")
        return self


class WarmUp(ManifestModel):
    """What a policy server does before it gets traffic. A change of `conversation` or `deadline` changes the servers'
    pods, so that it is rolled out like a new policy."""

    conversation: bool = True
    """Answer the pack's demo conversation first. With false a server gets traffic as soon as its model is loaded."""
    deadline: PositiveDuration = "20m"
    """Longest time from the start of the new servers until one of them is warm. After it the new policy counts as
    failed, and the old one keeps serving."""
    restarts: Annotated[int, Field(ge=0, le=100)] = 2
    """Number of container restarts of a new server after which the new policy counts as failed."""


class Rollout(ManifestModel):
    """How the servers of a new policy replace those of the old one."""

    max_surge: Annotated[int, Field(ge=0, le=1000)] = 1
    """Number of policy servers beyond `replicas` while both policies run; use 0 where no GPU is free. With at least
    `replicas` all traffic moves at once; with fewer both policies answer for a while."""
    max_unavailable: Annotated[int, Field(ge=0, le=1000)] = 0
    """Number of policy servers that may be missing from `replicas` during a rollout."""
    strategy: Strategy = Strategy()
    """Which conversations the new policy gets, and what decides that it gets all of them."""
    warm_up: WarmUp = WarmUp()
    drain: Duration = "30s"
    """How long old servers keep running after they are taken out of the traffic. It has to cover the time that gateways
    need to notice the change."""
    history: Annotated[int, Field(ge=0, le=50)] = 10
    """Number of earlier revisions that the status keeps for `lta rollback`."""

    @model_validator(mode="after")
    def _moves(self) -> Rollout:
        if not (self.max_surge or self.max_unavailable):
            raise ValueError("maxSurge and maxUnavailable are both 0: no server could ever be exchanged")
        if self.strategy.mode != "replace" and not self.max_surge:
            raise ValueError(
                "strategy needs maxSurge of 1 or more, because both policies run while one is tried"
            )
        return self


class Fallback(ManifestModel):
    """What the gateway answers while no policy server is available."""

    mode: Literal["pack", "refuse"] = "pack"
    """`pack`: answer with the fallback question of the domain pack, marked as a fallback. `refuse`: fail the call with
    the gRPC status UNAVAILABLE."""


class Records(ManifestModel):
    """Records of served conversations, in the format of logs, so that a later run can train on them (opt-in)."""

    enabled: bool = False
    """Write served conversations into the store."""
    uri: RecordsFolder | None = None
    """Folder for the records, `s3://bucket/folder`. By default it is `records/ENDPOINT` in the store."""
    redact: Annotated[tuple[Pattern, ...], Field(max_length=100)] = ()
    """Regular expressions (Python syntax); every match in a recorded message is replaced by `[redacted]`."""
    interval: PositiveDuration = "5m"
    """Longest time that a gateway keeps an ended conversation before it sends it to the store."""


class Access(ManifestModel):
    """Who may call the gateway. Without these fields, every client that reaches its Service may call it."""

    token_secret: Name | None = None
    """Secret that holds, under the key `token`, the bearer token that every call must carry."""
    tls_secret: Name | None = None
    """Secret of type kubernetes.io/tls with the gateway's certificate; with it the port only accepts TLS."""
    client_authority_secret: Name | None = None
    """Secret that holds a certificate authority under the key `ca.crt`; clients must present a certificate that it
    signed. Needs `tlsSecret`."""

    @model_validator(mode="after")
    def _needs_tls(self) -> Access:
        if self.client_authority_secret and not self.tls_secret:
            raise ValueError("clientAuthoritySecret needs tlsSecret")
        return self


class GatewayServiceSettings(ManifestModel):
    """The Kubernetes Service that clients connect to."""

    type: Literal["ClusterIP", "NodePort", "LoadBalancer"] = "ClusterIP"
    """Type of the Service: from where the gateway can be reached."""
    port: Annotated[int, Field(ge=1, le=65535)] = 50051
    """Port of the Service."""
    annotations: Annotated[dict[str, str], Field(max_length=50)] = Field(default_factory=dict)
    """Annotations of the Service, for example for a load balancer or a DNS controller."""
    load_balancer_class: Annotated[str, Field(min_length=1, max_length=253)] | None = None
    """Class of the load balancer, such as `service.k8s.aws/nlb`; the cluster's default one if left out. Kubernetes does
    not let it change while the Service is of type `LoadBalancer`."""
    load_balancer_source_ranges: Annotated[tuple[AddressBlock, ...], Field(max_length=100)] = ()
    """Blocks of addresses whose clients the load balancer lets in, such as `203.0.113.0/24`; every one if empty."""
    external_traffic_policy: Literal["Cluster", "Local"] | None = None
    """`Local` keeps the clients' addresses and only uses nodes with a gateway; `Cluster` uses every node. For the types
    `NodePort` and `LoadBalancer`."""

    @model_validator(mode="after")
    def _fits_type(self) -> GatewayServiceSettings:
        if self.type != "LoadBalancer" and (self.load_balancer_class or self.load_balancer_source_ranges):
            raise ValueError("loadBalancerClass and loadBalancerSourceRanges need type LoadBalancer")
        if self.type == "ClusterIP" and self.external_traffic_policy:
            raise ValueError("externalTrafficPolicy needs type NodePort or LoadBalancer")
        return self


class GatewayAutoscaling(ManifestModel):
    """A HorizontalPodAutoscaler that sets the number of gateway pods by their CPU use."""

    min: Annotated[int, Field(ge=1, le=100)] = 2
    """Smallest number of gateway pods."""
    max: Annotated[int, Field(ge=1, le=100)]
    """Largest number of gateway pods."""
    target: Annotated[int, Field(ge=1, le=1000)] = 70
    """Mean CPU use that the autoscaler aims at, in percent of the CPU request (`pods.gateway.resources`)."""

    @model_validator(mode="after")
    def _ordered(self) -> GatewayAutoscaling:
        if self.min > self.max:
            raise ValueError("min is greater than max")
        return self


class GatewaySettings(ManifestModel):
    """The gateway, which takes the calls of clients and sends each one to a policy server."""

    replicas: Annotated[int, Field(ge=1, le=100)] = 2
    """Number of gateway pods; ignored with `autoscaling`."""
    autoscaling: GatewayAutoscaling | None = None
    """Leave it out to set `replicas` yourself."""
    service: GatewayServiceSettings = GatewayServiceSettings()
    access: Access = Access()
    fallback: Fallback = Fallback()
    records: Records = Records()
    deadline: PositiveDuration = "30s"
    """Longest time for one answer. A caller's own deadline can shorten it, but not extend it."""
    attempt: PositiveDuration = "15s"
    """Longest time that the gateway waits for one policy server before it asks another one."""
    max_in_flight: Annotated[int, Field(ge=1, le=100_000)] = 1024
    """Largest number of requests that one gateway handles at once; further ones are refused with RESOURCE_EXHAUSTED."""


class EndpointPods(ManifestModel):
    """Changes of the pods of an endpoint. A change of the policy servers' pods is rolled out like a new policy."""

    gateway: PodTemplate = PodTemplate()
    """The pods of the gateway."""
    policy_server: PodTemplate = PodTemplate()
    """The pods of the policy servers."""

    @model_validator(mode="after")
    def _claims_known(self) -> EndpointPods:
        check_claims("gateway", self.gateway)
        check_claims("policyServer", self.policy_server)
        return self


class EndpointSpec(ManifestModel):
    """The settings of an endpoint."""

    policy: PolicyReference
    """Which policy is served. A changed value is rolled out; the former value rolls back."""
    store: StoreSettings = StoreSettings()
    """Store with the published policies; the operator's own store when left out. The credentials are read from the
    Secret `credentials.secret`."""
    engine: Literal["transformers", "vllm"] = "transformers"
    """Program that decodes: `transformers`, which starts within seconds, or `vllm`."""
    replicas: Annotated[int, Field(ge=0, le=1000)] = 1
    """Number of policy servers; `kubectl scale` and autoscalers set it. With 0 only the fallback answers."""
    gpus: Annotated[int, Field(ge=0, le=64)] = 0
    """Number of GPUs of each policy server (resource `nvidia.com/gpu`; request other kinds in `pods`)."""
    servers: PolicyServers = PolicyServers()
    autoscaling: Autoscaling | None = None
    """Leave it out to set `replicas` yourself."""
    rollout: Rollout = Rollout()
    gateway: GatewaySettings = GatewaySettings()
    pods: EndpointPods = EndpointPods()


class AskEndpoint(ManifestModel):
    """Policy servers behind a gateway."""

    api_version: Literal["learntoask.io/v1alpha1"]
    kind: Literal["AskEndpoint"]
    metadata: Metadata
    spec: EndpointSpec
