"""The status of a LearnToAskRun. Only the operator writes it.

The operator has no other memory: the status holds the keys and outputs of published stages, the counts of attempts and
the digests of the inputs, and remains correct after the Jobs that did the work are deleted.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import ConfigDict, Field, JsonValue

from learntoask.core.manifest.model import ManifestModel
from learntoask.core.status.conditions import Condition

Phase = Literal["Pending", "Running", "Suspended", "Succeeded", "Failed", "Cancelled"]
FINISHED_PHASES: tuple[Phase, ...] = ("Succeeded", "Failed", "Cancelled")
StageState = Literal[
    "Pending", "Reviewing", "Queued", "Waiting", "Running", "Stopping", "Retrying", "Published", "Failed"
]
Digest = Annotated[str, Field(max_length=128)]
Time = Annotated[str, Field(max_length=40)]
Text = Annotated[str, Field(max_length=4096)]
Word = Annotated[str, Field(max_length=128)]
Count = Annotated[int, Field(ge=0)]


class StatusModel(ManifestModel):
    """A part of a status. Fields that a newer version wrote are ignored, whereas an unknown field of a manifest is an
    error."""

    model_config = ConfigDict(extra="ignore")


class StageProgress(StatusModel):
    """Progress that the stage's pod reported last."""

    percent: Annotated[float, Field(ge=0, le=100)] = 0.0
    """Completed part of the current step, in percent."""
    remaining_seconds: Annotated[float, Field(ge=0)] | None = None
    """Estimated seconds until the step is complete."""
    message: Text = ""
    """Name of the current step."""


class Failure(StatusModel):
    """A failed attempt of a stage."""

    stage: Word
    """Name of the stage."""
    attempt: Count = 0
    """Number of the attempt."""
    pod: Annotated[str, Field(max_length=253)] = ""
    """Pod that failed, for `kubectl logs`."""
    container: Annotated[str, Field(max_length=253)] = ""
    """Container of that pod."""
    exit_code: int | None = None
    """Exit code of the container; 137 means SIGKILL, often because of a lack of memory."""
    reason: Word = ""
    """Cause, as a CamelCase word."""
    message: Text = ""
    """Cause, as the container reported it."""
    time: Time = ""
    """Time of the failure (RFC 3339)."""
    retryable: bool = True
    """Whether another attempt may succeed."""


class StageRecord(StatusModel):
    """The state of a stage, and what the operator remembers of its attempts."""

    name: Word
    """Name of the stage. The stage `resolve` computes the digests of the inputs."""
    state: StageState = "Pending"
    """State of the stage. `Reviewing`: people still have to answer. `Queued`: the Job waits for Kueue. `Waiting`: the
    pods exist, and none runs yet. `Stopping`: the pods are ending. `Retrying`: an attempt failed, and another follows
    after a delay."""
    key: Digest | None = None
    """Digest of everything that the output depends on; the output is published under this key."""
    output: Digest | None = None
    """Digest of the published output."""
    attempt: Count = 0
    """Number of the latest attempt."""
    exempt: Count = 0
    """Number of attempts that do not count against `spec.attempts`, because the cluster ended them, the run was
    suspended, or the annotation learntoask.io/retry forgave them."""
    disruptions: Count = 0
    """Number of attempts that the cluster ended: evictions, preemptions, lost nodes."""
    settled: Count = 0
    """Latest attempt whose end is recorded here. Pods of it that still run are not needed."""
    ended: Literal["", "Stopped", "Disrupted", "Failed", "Published"] = ""
    """How the attempt `settled` ended."""
    started: Time | None = None
    """Time when the latest attempt started (RFC 3339)."""
    finished: Time | None = None
    """Time when the latest attempt ended (RFC 3339)."""
    reused: bool = False
    """Whether the output was already in the store, so that the stage did not run."""
    progress: StageProgress | None = None
    """Present while the stage runs."""
    metrics: dict[str, float] = Field(default_factory=dict)
    """Latest metrics that the pod reported."""
    summary: dict[str, JsonValue] = Field(default_factory=dict)
    """Counts, metrics and digests that the stage published."""
    gpu_hours: Annotated[float, Field(ge=0)] = 0.0
    """GPU-hours of the ended attempts: GPUs times the hours that the pods held them."""
    reason: Word = ""
    """Cause of the state, as a CamelCase word."""
    message: Text = ""
    """Cause of the state, as a sentence for a person."""
    last_failure: Failure | None = None
    """Latest failure of this stage; it is kept when a later attempt succeeds."""


class RunInputsRecord(StatusModel):
    """Digests of the inputs outside the manifest, which stay the same for the whole run."""

    pack: dict[str, Digest] = Field(default_factory=dict)
    """Digest of each part of the domain pack."""
    files: dict[str, Digest] = Field(default_factory=dict)
    """Digests of the contents of `dataset`, `test` and `base`."""


class Lineage(StatusModel):
    """Digests of everything that the served policy was computed from."""

    dataset: Digest | None = None
    """Digest of the logs."""
    pack: Digest | None = None
    """Digest of the domain pack."""
    base: Digest | None = None
    """Digest of the base model's folder."""
    labels: Digest | None = None
    """Digest of the labelled sessions."""
    graders: Digest | None = None
    """Digest of the fitted graders and their agreement."""
    answers: Digest | None = None
    """Digest of the answers that people gave."""
    calibration: Digest | None = None
    """Digest of the labels and graders that were corrected by the answers."""
    policy: Digest | None = None
    """Digest of the trained policy."""
    report: Digest | None = None
    """Digest of the evaluation report."""
    served: Digest | None = None
    """Key of the serve stage that the AskEndpoint serves."""


class ServedAt(StatusModel):
    """The AskEndpoint that serves the policy of a run."""

    name: Annotated[str, Field(max_length=253)]
    """Name of the AskEndpoint."""
    address: Annotated[str, Field(max_length=512)] = ""
    """Address for clients in the cluster, `host:port`, once it is known."""


class RunStatus(StatusModel):
    """The status of a LearnToAskRun."""

    observed_generation: Count = 0
    """The metadata.generation that this status describes."""
    phase: Phase = "Pending"
    """Summary of the conditions, for printing."""
    stage: Annotated[str, Field(max_length=256)] = ""
    """Names of the running stages, for printing."""
    progress: Annotated[str, Field(max_length=64)] = ""
    """Progress of the running stages, for printing."""
    reason: Word = ""
    """Cause of the phase, as a CamelCase word."""
    message: Text = ""
    """Cause of the phase, as a sentence for a person."""
    conditions: Annotated[tuple[Condition, ...], Field(max_length=16)] = ()
    """Conditions of the types Accepted, Progressing, Succeeded, Reconciling, Stalled and WithinBudget."""
    started: Time | None = None
    """Time when the operator first observed the run (RFC 3339)."""
    finished: Time | None = None
    """Time when the run finished (RFC 3339)."""
    inputs: RunInputsRecord | None = None
    """Digests of logs, pack and base model."""
    inputs_key: Digest | None = None
    """Digest of the addresses that `inputs` were computed from."""
    reruns: dict[str, Count] = Field(default_factory=dict)
    """Number of rewinds of each stage."""
    handled: dict[str, Annotated[str, Field(max_length=1024)]] = Field(default_factory=dict)
    """Values of the annotations that the operator has acted on; it acts on each value once."""
    configuration: Annotated[str, Field(max_length=253)] = ""
    """Name of the ConfigMap with the whole manifest that the pods read."""
    gpu_hours: Annotated[float, Field(ge=0)] = 0.0
    """GPU-hours of the run: GPUs times the hours that its pods held them."""
    stages: Annotated[tuple[StageRecord, ...], Field(max_length=32)] = ()
    """Records of all stages."""
    lineage: Lineage | None = None
    """Digests of everything that the served policy was computed from."""
    endpoint: ServedAt | None = None
    """The AskEndpoint that serves the policy."""

    def record(self, name: str) -> StageRecord | None:
        """Return the record of the stage `name`, or None."""
        return next((record for record in self.stages if record.name == name), None)
