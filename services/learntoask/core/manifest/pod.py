"""What people change about the pods that the operator makes: merged into each pod, never replacing it."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, JsonValue, model_validator

from learntoask.core.manifest.model import ManifestModel, Name

_AMOUNT = r"^\d+(\.\d+)?(m|k|M|G|T|P|Ki|Mi|Gi|Ti|Pi)?$"
Amount = Annotated[int, Field(ge=0)] | Annotated[str, Field(max_length=20, pattern=_AMOUNT)]
Amounts = Annotated[dict[str, Amount], Field(max_length=20)]
Label = Annotated[str, Field(max_length=63)]
OurResource = Annotated[str, Field(min_length=1, max_length=253)]


class EnvVar(ManifestModel):
    name: Annotated[str, Field(pattern=r"^[-._a-zA-Z][-._a-zA-Z0-9]*$", max_length=256)]
    """Name of the variable; one that the pod has already is replaced."""
    value: Annotated[str, Field(max_length=32768)] | None = None
    """Its value."""
    value_from: dict[str, JsonValue] | None = None
    """Where its value comes from, as in a container of Kubernetes: `{secretKeyRef: {name: hub, key: token}}`."""

    @model_validator(mode="after")
    def _one_source(self) -> EnvVar:
        if self.value is not None and self.value_from is not None:
            raise ValueError("give value or valueFrom, not both")
        return self


class Resources(ManifestModel):
    requests: Amounts = Field(default_factory=dict)
    """What a node must have free: `{cpu: 4, memory: 16Gi}`."""
    limits: Amounts = Field(default_factory=dict)
    """What the container may use at most; GPUs stand here: `{nvidia.com/gpu: 1}`."""


class Toleration(ManifestModel):
    key: Annotated[str, Field(max_length=317)] | None = None
    """Taint that is tolerated; all when left out."""
    operator: Literal["Exists", "Equal"] | None = None
    """`Equal` (default) compares the value too."""
    value: Label | None = None
    """Value of the taint."""
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = None
    """Effect that is tolerated; all when left out."""
    toleration_seconds: Annotated[int, Field(ge=0)] | None = None
    """How long a NoExecute taint is tolerated."""


class VolumeMount(ManifestModel):
    name: OurResource
    """Volume that is mounted."""
    mount_path: Annotated[str, Field(min_length=1, max_length=1024, pattern=r"^/")]
    """Where to; a mount that the pod has at this path is replaced."""
    sub_path: Annotated[str, Field(max_length=1024)] | None = None
    """Folder of the volume that is mounted instead of all."""
    read_only: bool = False
    """Mount it for reading only."""


class PodTemplate(ManifestModel):
    image: Annotated[str, Field(min_length=1, max_length=1024)] | None = None
    """Image of the pod's container instead of the operator's."""
    image_pull_policy: Literal["Always", "IfNotPresent", "Never"] | None = None
    """When the image is fetched."""
    image_pull_secrets: Annotated[tuple[Name, ...], Field(max_length=10)] = ()
    """Secrets to fetch images with."""
    env: Annotated[tuple[EnvVar, ...], Field(max_length=100)] = ()
    """Environment variables."""
    resources: Resources = Resources()
    """Requests and limits; an amount given here replaces the one the pod has."""
    node_selector: Annotated[dict[str, Label], Field(max_length=50)] = Field(default_factory=dict)
    """Labels that the node must have."""
    tolerations: Annotated[tuple[Toleration, ...], Field(max_length=50)] = ()
    """Taints of nodes that are tolerated."""
    affinity: dict[str, JsonValue] = Field(default_factory=dict)
    """As in a pod of Kubernetes: `nodeAffinity`, `podAffinity`, `podAntiAffinity`."""
    priority_class_name: OurResource | None = None
    """Priority of the pod."""
    runtime_class_name: OurResource | None = None
    """Container runtime, such as `nvidia`."""
    service_account_name: OurResource | None = None
    """Account the pod runs as; it needs no rights."""
    volumes: Annotated[tuple[dict[str, JsonValue], ...], Field(max_length=50)] = ()
    """As in a pod of Kubernetes, each with its `name`; one of a name that the pod has is replaced."""
    volume_mounts: Annotated[tuple[VolumeMount, ...], Field(max_length=50)] = ()
    """Where the container sees them."""
    annotations: Annotated[dict[str, Annotated[str, Field(max_length=32768)]], Field(max_length=50)] = Field(
        default_factory=dict
    )
    """Annotations of the pod."""
    labels: Annotated[dict[str, Label], Field(max_length=50)] = Field(default_factory=dict)
    """Labels of the pod; those the operator finds its pods by cannot be changed."""
    writable_root: bool = False
    """Give the container a writable root file system. Only for runtimes that change it at start, as NVIDIA's CDI hook
    does."""

    @model_validator(mode="after")
    def _named(self) -> PodTemplate:
        for index, volume in enumerate(self.volumes):
            if not isinstance(volume.get("name"), str):
                raise ValueError(f"volumes.{index} has no name")
        return self

    @property
    def gpus(self) -> float:
        """GPUs that one pod asks for, of whatever maker."""
        amounts = {**self.resources.requests, **self.resources.limits}
        return sum(float(amount) for name, amount in amounts.items() if name.rsplit("/", 1)[-1] == "gpu")


class Pods(ManifestModel):
    """Changes of the pods of a run in a cluster; a laptop ignores them. What is given for one kind of pod is merged
    into what is given for `all`."""

    all: PodTemplate = PodTemplate()
    """Every pod of the run."""
    resolve: PodTemplate = PodTemplate()
    """The pod that finds the inputs and their digests."""
    fetch: PodTemplate = PodTemplate()
    """The pod that fetches the base model."""
    prepare: PodTemplate = PodTemplate()
    """The pod that prepares the logs."""
    label: PodTemplate = PodTemplate()
    """The pods that label, one a share of the work."""
    grader: PodTemplate = PodTemplate()
    """The pod that fits and measures the graders."""
    sft: PodTemplate = PodTemplate()
    """The pods that fine-tune, one a worker."""
    grpo: PodTemplate = PodTemplate()
    """The pods that reinforce, one a worker."""
    evaluate: PodTemplate = PodTemplate()
    """The pod that evaluates."""
    gate: PodTemplate = PodTemplate()
    """The pod that compares the report with the thresholds."""
    serve: PodTemplate = PodTemplate()
    """The pod that tries out the policy before it is served."""
    grader_service: PodTemplate = PodTemplate()
    """The pods of the grader service."""
    judge: PodTemplate = PodTemplate()
    """The pod of the judge's model server."""

    def of(self, name: str) -> tuple[PodTemplate, PodTemplate]:
        """What applies to the pods of stage or service `name`, in the order of merging."""
        return self.all, getattr(self, name)

    def gpus(self, name: str) -> float:
        """GPUs of one pod of `name`."""
        every, own = self.of(name)
        return own.gpus or every.gpus
