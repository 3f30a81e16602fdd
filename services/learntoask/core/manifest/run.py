"""`LearnToAskRun`: the one manifest of the whole loop, for a laptop and for a cluster."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from learntoask.core.manifest.data import Dataset, PackReference, StoreSettings
from learntoask.core.manifest.grader import GraderSettings
from learntoask.core.manifest.label import Label
from learntoask.core.manifest.model import Duration, ManifestModel, Name
from learntoask.core.manifest.pod import Pods
from learntoask.core.manifest.release import Evaluate, GateSettings, Serve
from learntoask.core.manifest.train import Train


class Metadata(ManifestModel):
    name: Name
    namespace: Name | None = None
    labels: dict[str, str] = Field(default_factory=dict)
    annotations: dict[str, str] = Field(default_factory=dict)


class RunBudget(ManifestModel):
    """What a run may use in a cluster; one that has used it stops, and keeps checkpoints and published stages."""

    gpu_hours: Annotated[float, Field(gt=0)] | None = None
    """GPUs times the hours that pods held them, all attempts of all stages together."""


class RunSpec(ManifestModel):
    dataset: Dataset
    pack: PackReference
    store: StoreSettings = StoreSettings()
    label: Label = Label()
    grader: GraderSettings = GraderSettings()
    train: Train = Train()
    evaluate: Evaluate = Evaluate()
    gate: GateSettings = GateSettings()
    serve: Serve = Serve()
    suspend: bool = False
    """Stop what runs (training continues from its checkpoint later) and start nothing new."""
    attempts: Annotated[int, Field(ge=1, le=100)] = 3
    """Attempts a stage may use before the run fails."""
    stage_deadline: Duration = "24h"
    """Longest time of one attempt of one stage."""
    start_deadline: Duration = "30m"
    """In a cluster: longest time that an attempt waits for its pods to run; time in a queue of Kueue not counted."""
    ttl: Duration | None = None
    """Time after which a finished run may be collected."""
    budget: RunBudget = RunBudget()
    artefacts: Literal["keep", "remove"] = "keep"
    """In a cluster: what becomes of published stages that only this run has when the run is deleted. `keep`: they stay.
    `remove`: the ConfigMap `<run>-artefacts` lists what `lta gc --cluster` may collect once the run is gone."""
    pods: Pods = Pods()


class LearnToAskRun(ManifestModel):
    api_version: Literal["learntoask.io/v1alpha1"]
    kind: Literal["LearnToAskRun"]
    metadata: Metadata
    spec: RunSpec
