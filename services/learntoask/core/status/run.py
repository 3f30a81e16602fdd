"""Status of a LearnToAskRun: what happened, what happens, and why. Written by the operator alone, read by people.

It is also the operator's memory: keys and outputs of published stages, counts of attempts, and the digests of the
inputs. What it says of finished work stays true when the children that did the work are gone.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import ConfigDict, Field, JsonValue

from learntoask.core.manifest.model import ManifestModel
from learntoask.core.status.conditions import Condition

Phase = Literal["Pending", "Running", "Suspended", "Succeeded", "Failed", "Cancelled"]
FINISHED_PHASES: tuple[Phase, ...] = ("Succeeded", "Failed", "Cancelled")
StageState = Literal["Pending", "Queued", "Waiting", "Running", "Stopping", "Retrying", "Published", "Failed"]
Digest = Annotated[str, Field(max_length=128)]
Time = Annotated[str, Field(max_length=40)]
Text = Annotated[str, Field(max_length=4096)]
Word = Annotated[str, Field(max_length=128)]
Count = Annotated[int, Field(ge=0)]


class StatusModel(ManifestModel):
    """Unlike a manifest it may hold fields of a newer version: they are passed over."""

    model_config = ConfigDict(extra="ignore")


class StageProgress(StatusModel):
    """As the stage's pod last told."""

    percent: Annotated[float, Field(ge=0, le=100)] = 0.0
    """How much of the step is done."""
    remaining_seconds: Annotated[float, Field(ge=0)] | None = None
    """Estimate of the time left."""
    message: Text = ""
    """The step that is at work."""


class Failure(StatusModel):
    """The last failure of a stage, in its own words."""

    stage: Word
    """Stage that failed."""
    attempt: Count = 0
    """Attempt that failed."""
    pod: Annotated[str, Field(max_length=253)] = ""
    """Pod that failed, for `kubectl logs`."""
    container: Annotated[str, Field(max_length=253)] = ""
    """Container of that pod."""
    exit_code: int | None = None
    """How it ended; 137 is SIGKILL, often for lack of memory."""
    reason: Word = ""
    """Why, as one word."""
    message: Text = ""
    """Why, in the container's last words."""
    time: Time = ""
    """When."""
    retryable: bool = True
    """Whether another attempt could succeed where this one did not."""


class StageRecord(StatusModel):
    name: Word
    """The stage; `resolve` finds the inputs' digests."""
    state: StageState = "Pending"
    """`Queued`: waits for Kueue. `Waiting`: pods were made and none runs yet. `Stopping`: pods end. `Retrying`: failed,
    and is repeated after a pause."""
    key: Digest | None = None
    """Digest of all that the stage depends on: under this key its output is published."""
    output: Digest | None = None
    """Digest of what it published."""
    attempt: Count = 0
    """Number of the latest attempt."""
    exempt: Count = 0
    """Attempts among these that do not count against `spec.attempts`: ended by the cluster, suspended, or forgiven by
    the annotation learntoask.io/retry."""
    disruptions: Count = 0
    """Attempts that the cluster ended: evictions, preemptions, lost nodes."""
    settled: Count = 0
    """Latest attempt whose end is accounted for here; pods that still run for it are superfluous."""
    ended: Literal["", "Stopped", "Disrupted", "Failed", "Published"] = ""
    """How the settled attempt ended."""
    started: Time | None = None
    """When the latest attempt began."""
    finished: Time | None = None
    """When it ended."""
    reused: bool = False
    """The output was in the store already."""
    progress: StageProgress | None = None
    """While it runs."""
    metrics: dict[str, float] = Field(default_factory=dict)
    """Latest figures that it told."""
    summary: dict[str, JsonValue] = Field(default_factory=dict)
    """What it found: counts, metrics, digests."""
    gpu_hours: Annotated[float, Field(ge=0)] = 0.0
    """GPUs times hours of the attempts that ended."""
    reason: Word = ""
    """Why it is in its state."""
    message: Text = ""
    """The same for a person."""
    last_failure: Failure | None = None
    """Kept after a later attempt succeeds."""


class RunInputsRecord(StatusModel):
    """Digests of what lies outside the manifest, pinned for the whole run."""

    pack: dict[str, Digest] = Field(default_factory=dict)
    """Digest of each part of the domain pack."""
    files: dict[str, Digest] = Field(default_factory=dict)
    """Digest of the content of `dataset`, `test` and `base`."""


class Lineage(StatusModel):
    """Where what is served comes from: outputs of the stages, each made from the ones before."""

    dataset: Digest | None = None
    """The logs."""
    pack: Digest | None = None
    """The domain pack."""
    base: Digest | None = None
    """The base model as a folder."""
    labels: Digest | None = None
    """Micro-goals and stops."""
    graders: Digest | None = None
    """The fitted graders and their agreement."""
    policy: Digest | None = None
    """The trained policy."""
    report: Digest | None = None
    """The evaluation."""
    served: Digest | None = None
    """Key of the serve stage: the revision that the AskEndpoint serves."""


class ServedAt(StatusModel):
    name: Annotated[str, Field(max_length=253)]
    """The AskEndpoint."""
    address: Annotated[str, Field(max_length=512)] = ""
    """`host:port` for clients in the cluster, once it is known."""


class RunStatus(StatusModel):
    observed_generation: Count = 0
    """metadata.generation of the manifest that this status is about."""
    phase: Phase = "Pending"
    """Summary of the conditions, for printing."""
    stage: Annotated[str, Field(max_length=256)] = ""
    """Stages at work, for printing."""
    progress: Annotated[str, Field(max_length=64)] = ""
    """How far they are, for printing."""
    reason: Word = ""
    """Why the run is as it is, as one word."""
    message: Text = ""
    """Why, for a person."""
    conditions: Annotated[tuple[Condition, ...], Field(max_length=16)] = ()
    """Accepted, Progressing, Succeeded, WithinBudget."""
    started: Time | None = None
    """When the operator first saw the run."""
    finished: Time | None = None
    """When it was over."""
    inputs: RunInputsRecord | None = None
    """Digests of logs, pack and base model."""
    inputs_key: Digest | None = None
    """Digest of the addresses that `inputs` were found at."""
    reruns: dict[str, Count] = Field(default_factory=dict)
    """How often each stage was rewound."""
    handled: dict[str, Annotated[str, Field(max_length=1024)]] = Field(default_factory=dict)
    """Values of the annotations that were acted on: each is acted on once."""
    configuration: Annotated[str, Field(max_length=253)] = ""
    """ConfigMap with the whole manifest as the pods see it."""
    gpu_hours: Annotated[float, Field(ge=0)] = 0.0
    """GPUs times the hours that pods held them."""
    stages: Annotated[tuple[StageRecord, ...], Field(max_length=32)] = ()
    """Every stage."""
    lineage: Lineage | None = None
    """Digests from the logs to what is served."""
    endpoint: ServedAt | None = None
    """Where the policy is served."""

    def record(self, name: str) -> StageRecord | None:
        return next((one for one in self.stages if one.name == name), None)
