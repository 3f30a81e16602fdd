"""User settings that the operator merges into the pods that it creates."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, JsonValue, model_validator

from learntoask.core.manifest.form import Form
from learntoask.core.manifest.model import ManifestModel, Name

_AMOUNT = Form(
    r"\d+(\.\d+)?(m|k|M|G|T|P|Ki|Mi|Gi|Ti|Pi)?", "write an amount such as 2, 500m or 16Gi, without spaces"
)
Amount = Annotated[int, Field(ge=0, le=2**53)] | Annotated[str, Field(max_length=20), _AMOUNT]
Amounts = Annotated[dict[str, Amount], Field(max_length=20)]
Label = Annotated[str, Field(max_length=63)]
ClaimName = Annotated[str, Field(max_length=63, pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$")]
OurResource = Annotated[str, Field(min_length=1, max_length=253)]


class EnvVar(ManifestModel):
    """An environment variable of a container."""

    name: Annotated[
        str,
        Field(max_length=256),
        Form(
            "[-._a-zA-Z][-._a-zA-Z0-9]*",
            "give the name of a variable: letters, digits, - . and _, no digit first",
        ),
    ]
    """Name of the variable; a variable of this name that the pod already has is replaced."""
    value: Annotated[str, Field(max_length=32768)] | None = None
    """Value of the variable."""
    value_from: dict[str, JsonValue] | None = None
    """Source of the value, as in a Kubernetes container: `{secretKeyRef: {name: hub, key: token}}`."""

    @model_validator(mode="after")
    def _one_source(self) -> EnvVar:
        if self.value is not None and self.value_from is not None:
            raise ValueError("give value or valueFrom, not both")
        return self


class ResourceClaim(ManifestModel):
    """Devices for a pod (dynamic resource allocation), as in a Kubernetes pod. Give one of the two sources."""

    name: ClaimName
    """Name of the claim in this pod, for `resources.claims`."""
    resource_claim_name: Name | None = None
    """ResourceClaim of the namespace; all pods with it share its devices."""
    resource_claim_template_name: Name | None = None
    """ResourceClaimTemplate of the namespace; each pod gets a ResourceClaim made from it."""

    @model_validator(mode="after")
    def _one_source(self) -> ResourceClaim:
        if (self.resource_claim_name is None) == (self.resource_claim_template_name is None):
            raise ValueError("give resourceClaimName or resourceClaimTemplateName")
        return self


class UsedClaim(ManifestModel):
    """A claim of the pod whose devices the container uses."""

    name: ClaimName
    """Name of the claim in `resourceClaims`."""
    request: Annotated[str, Field(max_length=127, pattern=r"^[a-z0-9]([-a-z0-9/]*[a-z0-9])?$")] | None = None
    """Request of the claim whose devices are used; those of all its requests if left out."""


class Resources(ManifestModel):
    requests: Amounts = Field(default_factory=dict)
    """Amounts that the node must have free: `{cpu: 4, memory: 16Gi}`."""
    limits: Amounts = Field(default_factory=dict)
    """Largest amounts that the container may use. GPUs are requested here: `{nvidia.com/gpu: 1}`."""
    claims: Annotated[tuple[UsedClaim, ...], Field(max_length=10)] = ()
    """Claims of `resourceClaims` whose devices the container uses: `[{name: gpu}]`. Their devices do not count as GPUs
    in `budget.gpuHours`."""


class Toleration(ManifestModel):
    """A toleration of taints, as in a Kubernetes pod."""

    key: Annotated[str, Field(max_length=317)] | None = None
    """Key of the taint that is tolerated; all taints if left out."""
    operator: Literal["Exists", "Equal"] | None = None
    """How the taint is matched: `Exists` by its key, `Equal` (the default) by its key and value."""
    value: Label | None = None
    """Value of the taint."""
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = None
    """Effect of the taint that is tolerated; all effects if left out."""
    toleration_seconds: Annotated[int, Field(ge=0, le=2**31 - 1)] | None = None
    """Seconds for which a NoExecute taint is tolerated; without limit if left out."""


class VolumeMount(ManifestModel):
    """A mount of a volume, as in a Kubernetes container."""

    name: OurResource
    """Name of the volume that is mounted."""
    mount_path: Annotated[
        str, Field(min_length=1, max_length=1024), Form("/[^:]*", "give an absolute path, without colons")
    ]
    """Path in the container, absolute; a mount that the pod already has at this path is replaced."""
    sub_path: Annotated[str, Field(max_length=1024)] | None = None
    """Folder of the volume that is mounted; the whole volume if left out."""
    read_only: bool = False
    """Mount the volume read-only."""


class PodTemplate(ManifestModel):
    image: Annotated[str, Field(min_length=1, max_length=1024)] | None = None
    """Image of the pod's container; the operator's default image if left out."""
    image_pull_policy: Literal["Always", "IfNotPresent", "Never"] | None = None
    """When the node pulls the image."""
    image_pull_secrets: Annotated[tuple[Name, ...], Field(max_length=10)] = ()
    """Secrets with the credentials of image registries."""
    env: Annotated[tuple[EnvVar, ...], Field(max_length=100)] = ()
    """Environment variables of the container."""
    env_from: Annotated[tuple[dict[str, JsonValue], ...], Field(max_length=50)] = ()
    """Secrets and ConfigMaps whose keys become environment variables, as in a Kubernetes container:
    `[{secretRef: {name: hub}}]`. Variables that the operator sets win over them."""
    resources: Resources = Resources()
    """Resource requests and limits; an amount given here replaces the default of the pod."""
    resource_claims: Annotated[tuple[ResourceClaim, ...], Field(max_length=10)] = ()
    """Devices that a driver of the cluster allocates, such as GPUs or parts of them:
    `[{name: gpu, resourceClaimTemplateName: one-gpu}]`. The container uses those in `resources.claims`."""
    node_selector: Annotated[dict[str, Label], Field(max_length=50)] = Field(default_factory=dict)
    """Labels that the node must have."""
    tolerations: Annotated[tuple[Toleration, ...], Field(max_length=50)] = ()
    """Taints of nodes that the pod tolerates."""
    affinity: dict[str, JsonValue] = Field(default_factory=dict)
    """Affinity rules, as in a Kubernetes pod: `nodeAffinity`, `podAffinity`, `podAntiAffinity`."""
    topology_spread_constraints: Annotated[tuple[dict[str, JsonValue], ...], Field(max_length=20)] = ()
    """How the pods are spread over nodes or zones, as in a Kubernetes pod. They replace those of the operator."""
    scheduler_name: OurResource | None = None
    """Scheduler of the pod; the cluster's default one if left out."""
    priority_class_name: OurResource | None = None
    """PriorityClass of the pod."""
    runtime_class_name: OurResource | None = None
    """RuntimeClass of the pod, such as `nvidia`."""
    service_account_name: OurResource | None = None
    """ServiceAccount that the pod runs as. It needs no permissions."""
    dns_policy: Literal["ClusterFirst", "ClusterFirstWithHostNet", "Default", "None"] | None = None
    """Which name servers the pod asks; those of the cluster (`ClusterFirst`) if left out."""
    dns_config: dict[str, JsonValue] = Field(default_factory=dict)
    """Name servers, search domains and resolver options, as in a Kubernetes pod."""
    init_containers: Annotated[tuple[dict[str, JsonValue], ...], Field(max_length=10)] = ()
    """Containers that run before the pod's own, as in a Kubernetes pod, each with its `name` and `image`. Without a
    `securityContext` they get the one of the pod's container."""
    volumes: Annotated[tuple[dict[str, JsonValue], ...], Field(max_length=50)] = ()
    """Volumes, as in a Kubernetes pod, each with its `name`; a volume of this name that the pod already has is
    replaced."""
    volume_mounts: Annotated[tuple[VolumeMount, ...], Field(max_length=50)] = ()
    """Paths at which the container mounts volumes."""
    annotations: Annotated[dict[str, Annotated[str, Field(max_length=32768)]], Field(max_length=50)] = Field(
        default_factory=dict
    )
    """Annotations of the pod."""
    labels: Annotated[dict[str, Label], Field(max_length=50)] = Field(default_factory=dict)
    """Labels of the pod. The labels by which the operator finds its pods cannot be changed."""
    writable_root: bool = False
    """Make the root file system of the container writable. Only for container runtimes that write to it at start, such
    as NVIDIA's CDI hook."""

    @model_validator(mode="after")
    def _named(self) -> PodTemplate:
        for field, items in (("volumes", self.volumes), ("initContainers", self.init_containers)):
            for index, item in enumerate(items):
                if not isinstance(item.get("name"), str):
                    raise ValueError(f"{field}.{index} has no name")
        for field, claims in (
            ("resourceClaims", self.resource_claims),
            ("resources.claims", self.resources.claims),
        ):
            names = [claim.name for claim in claims]
            if repeated := next((name for name in names if names.count(name) > 1), None):
                raise ValueError(f"{field} has the name {repeated} twice")
        return self

    @property
    def gpus(self) -> float:
        """Number of GPUs that one pod requests, of any vendor (`VENDOR/gpu`)."""
        amounts = {**self.resources.requests, **self.resources.limits}
        return sum(float(amount) for name, amount in amounts.items() if name.rsplit("/", 1)[-1] == "gpu")


def check_claims(field: str, own: PodTemplate, every: PodTemplate | None = None) -> None:
    """Check that the claims which the container of `own` uses are claims of its pod; the template is merged into
    `every`. Raises ValueError that names the `field`."""
    known = {claim.name for template in (own, every) if template for claim in template.resource_claims}
    for claim in own.resources.claims:
        if claim.name not in known:
            raise ValueError(f"{field}.resources.claims: {claim.name} is not in resourceClaims")


class Pods(ManifestModel):
    """Changes of the pods of a run in a cluster; a laptop ignores them. The template of one kind of pod is merged into
    the template `all`."""

    all: PodTemplate = PodTemplate()
    """All pods of the run."""
    resolve: PodTemplate = PodTemplate()
    """The pod that computes the digests of the inputs."""
    fetch: PodTemplate = PodTemplate()
    """The pod that fetches the base model."""
    prepare: PodTemplate = PodTemplate()
    """The pod that parses and splits the logs."""
    label: PodTemplate = PodTemplate()
    """The pods that label the sessions, one for each shard."""
    grader: PodTemplate = PodTemplate()
    """The pod that fits the graders and measures their agreement."""
    draw: PodTemplate = PodTemplate()
    """The pod that draws the items of a review."""
    review: PodTemplate = PodTemplate()
    """The pod that serves the page of a review."""
    calibrate: PodTemplate = PodTemplate()
    """The pod that corrects labels and graders by people's answers."""
    sft: PodTemplate = PodTemplate()
    """The pods of supervised fine-tuning, one for each worker."""
    grpo: PodTemplate = PodTemplate()
    """The pods of reinforcement learning (GRPO), one for each worker."""
    evaluate: PodTemplate = PodTemplate()
    """The pod that evaluates the policies on held-out sessions."""
    gate: PodTemplate = PodTemplate()
    """The pod that compares the report with the thresholds."""
    serve: PodTemplate = PodTemplate()
    """The pod that tests the policy before it is served."""
    grader_service: PodTemplate = PodTemplate()
    """The pods of the grader service."""
    judge: PodTemplate = PodTemplate()
    """The pod of the judge's model server."""

    @model_validator(mode="after")
    def _claims_known(self) -> Pods:
        for name, field in type(self).model_fields.items():
            check_claims(field.alias or name, getattr(self, name), self.all)
        return self

    def of(self, name: str) -> tuple[PodTemplate, PodTemplate]:
        """Return the templates for the pods of the stage or service `name`; the second is merged into the first."""
        return self.all, getattr(self, name)

    def gpus(self, name: str) -> float:
        """Return the number of GPUs of one pod of the stage or service `name`."""
        every, own = self.of(name)
        return own.gpus or every.gpus
