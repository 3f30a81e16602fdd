"""`LearnToAskRun`: the manifest of the whole loop, the same on a laptop and in a cluster."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from learntoask.core.manifest.calibrate import Calibrate
from learntoask.core.manifest.data import Dataset, PackReference, StoreSettings
from learntoask.core.manifest.duration import Duration, PositiveDuration
from learntoask.core.manifest.endpoint import Endpoint
from learntoask.core.manifest.grader import GraderSettings
from learntoask.core.manifest.grader_metric import needs_judge
from learntoask.core.manifest.label import Label
from learntoask.core.manifest.metric import ASSESSMENT, CORRECTED, GRADER_PREFIX
from learntoask.core.manifest.model import ManifestModel, Name
from learntoask.core.manifest.pod import Pods
from learntoask.core.manifest.release import Evaluate, GateSettings, Serve
from learntoask.core.manifest.train import Train


class Metadata(ManifestModel):
    """Name, labels and annotations, as Kubernetes defines them."""

    name: Name
    namespace: Name | None = None
    labels: dict[str, str] = Field(default_factory=dict)
    annotations: dict[str, str] = Field(default_factory=dict)


class RunBudget(ManifestModel):
    """What a run may use in a cluster. A run that has used it fails; its checkpoints and published stages are kept."""

    gpu_hours: Annotated[float, Field(gt=0, le=1_000_000_000)] | None = None
    """Largest number of GPU-hours: GPUs times the hours that pods hold them, over all attempts of all stages."""


class RunSpec(ManifestModel):
    """The settings of a run."""

    dataset: Dataset
    pack: PackReference
    store: StoreSettings = StoreSettings()
    label: Label = Label()
    grader: GraderSettings = GraderSettings()
    calibrate: Calibrate | None = None
    """Ask people before anything is trained, and correct labels and graders by their answers. Without it the run trusts
    its labeller."""
    train: Train = Train()
    evaluate: Evaluate = Evaluate()
    gate: GateSettings = GateSettings()
    serve: Serve = Serve()
    suspend: bool = False
    """Stop all running stages and start none. A stopped training continues from its checkpoint when `suspend` becomes
    false again."""
    attempts: Annotated[int, Field(ge=1, le=100)] = 3
    """Number of failed attempts of a stage after which the run fails."""
    stage_deadline: PositiveDuration = "24h"
    """Longest time of one attempt of one stage; a longer one counts as failed."""
    start_deadline: PositiveDuration = "30m"
    """In a cluster, longest time that an attempt waits until its pods run; a longer wait counts as a failure. Time in a
    queue of Kueue does not count."""
    ttl: Duration | None = None
    """Time after its end when the operator deletes the run; it is kept if left out."""
    budget: RunBudget = RunBudget()
    artefacts: Literal["keep", "remove"] = "keep"
    """In a cluster, what happens to the published stages of this run when it is deleted, unless another run uses them.
    `keep`: they stay in the store. `remove`: the ConfigMap `<run>-artefacts` lists them, so that `lta gc --cluster` can
    remove them."""
    pods: Pods = Pods()

    @model_validator(mode="after")
    def _gate_has_its_figures(self) -> RunSpec:
        """A gate on a figure that the report will not have would refuse the policy after everything is trained."""
        for name in (threshold.metric for threshold in self.gate.thresholds):
            parts = name.split(".")
            if "replay" in parts[:2] and not self.evaluate.replay:
                raise ValueError(f"gate: {name} is measured only with evaluate.replay: true")
            if "sampled" in parts[:2] and not self.evaluate.samples:
                raise ValueError(f"gate: {name} is measured only with evaluate.samples of 1 or more")
            if (parts[0] == "base" or parts[0].endswith("-base")) and not self.evaluate.base:
                raise ValueError(f"gate: {name} is measured only with evaluate.base: true")
            if {CORRECTED, "calibration"} & set(parts[:2]) and self.calibrate is None:
                raise ValueError(f"gate: {name} is measured only with calibrate")
            if ASSESSMENT in parts[:2] and not self.train.assesses:
                raise ValueError(f"gate: {name} is measured only with train.assessment: fields")
            if name.startswith(GRADER_PREFIX) and (role := needs_judge(name.removeprefix(GRADER_PREFIX))):
                judge = self.grader.llm if self.grader.method == "llm" else None
                if judge is None or judge.role != role:
                    raise ValueError(f"gate: {name} is measured only with a judge as the {role} grader")
        return self

    @model_validator(mode="after")
    def _proposer_is_another_model(self) -> RunSpec:
        """A model that rewrites the rubric by which it judges or labels would praise itself."""
        if self.calibrate is None or self.calibrate.proposer is None:
            return self
        used: tuple[Endpoint, ...] = ()
        if self.grader.method == "llm" and self.grader.llm is not None:
            used += (self.grader.llm.endpoint,)
        if self.label.method == "llm" and self.label.llm is not None:
            used += self.label.llm.endpoints
        model = self.calibrate.proposer.model
        if any(model == endpoint.model for endpoint in used):
            raise ValueError(
                f"calibrate.proposer.model: {model!r} also labels or grades here, and would be asked to improve "
                "itself; name another model"
            )
        return self


class LearnToAskRun(ManifestModel):
    """A run of the whole loop, from logs of expert conversations to a served policy."""

    api_version: Literal["learntoask.io/v1alpha1"]
    kind: Literal["LearnToAskRun"]
    metadata: Metadata
    spec: RunSpec
