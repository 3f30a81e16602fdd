"""The manifests as pydantic models. Validation, the JSON schema, the CRDs and docs/reference.md are derived from them.

Begin with `run`. The docstrings of models and fields are the descriptions that users read.

    run            LearnToAskRun, the manifest of the whole loop
      data           logs, domain pack and store
      label          how decision points are labelled
      grader         who grades questions, and where
      calibrate      what people are asked, and what follows from their answers
      train, scale   base model, SFT, GRPO, reward; adapters and several workers
      release        evaluation, gate and serving;  metric, grader_metric: the names of what a report measures
      pod            changes of the pods in a cluster
    ask_endpoint   AskEndpoint, a policy that is served in a cluster
      strategy       how a new policy gets its share of the conversations
    sweep          LearnToAskSweep, several runs that are compared
    endpoint       an OpenAI-compatible server, used by label and grader
    model          the base class and the field types that several use
    form, address, duration, quantity   texts of a certain form, and what they allow in words
    parse          from YAML to a validated LearnToAskRun
"""

from learntoask.core.manifest.ask_endpoint import AskEndpoint, EndpointSpec, PolicyReference
from learntoask.core.manifest.calibrate import Calibrate
from learntoask.core.manifest.data import Corruption, Dataset, PackReference, StoreCredentials, StoreSettings
from learntoask.core.manifest.duration import Duration, seconds
from learntoask.core.manifest.endpoint import Budget, Endpoint, Prices
from learntoask.core.manifest.grader import GraderSettings, JudgeServer, LlmJudge
from learntoask.core.manifest.label import Label, LlmLabelling
from learntoask.core.manifest.model import ManifestModel, Precision
from learntoask.core.manifest.parse import load_manifest, parse_manifest
from learntoask.core.manifest.pod import Pods, PodTemplate
from learntoask.core.manifest.release import Evaluate, GateSettings, Serve, Threshold
from learntoask.core.manifest.run import LearnToAskRun, Metadata, RunBudget, RunSpec
from learntoask.core.manifest.scale import Distributed, Lora
from learntoask.core.manifest.train import Base, Dpo, Grpo, Method, Reward, Sft, Train

__all__ = [
    "AskEndpoint",
    "Base",
    "Budget",
    "Calibrate",
    "Corruption",
    "Dataset",
    "Distributed",
    "Dpo",
    "Duration",
    "Endpoint",
    "EndpointSpec",
    "Evaluate",
    "GateSettings",
    "GraderSettings",
    "Grpo",
    "JudgeServer",
    "Label",
    "LearnToAskRun",
    "LlmJudge",
    "LlmLabelling",
    "Lora",
    "ManifestModel",
    "Metadata",
    "Method",
    "PackReference",
    "PodTemplate",
    "Pods",
    "PolicyReference",
    "Precision",
    "Prices",
    "Reward",
    "RunBudget",
    "RunSpec",
    "Serve",
    "Sft",
    "StoreCredentials",
    "StoreSettings",
    "Threshold",
    "Train",
    "load_manifest",
    "parse_manifest",
    "seconds",
]
