"""The manifest as pydantic models: the one source of validation, JSON schema and (in a cluster) the CRD."""

from learntoask.core.manifest.ask_endpoint import AskEndpoint, EndpointSpec, PolicyReference
from learntoask.core.manifest.data import Corruption, Dataset, PackReference, StoreCredentials, StoreSettings
from learntoask.core.manifest.endpoint import Budget, Endpoint, Prices
from learntoask.core.manifest.grader import GraderSettings, JudgeServer, LlmJudge
from learntoask.core.manifest.label import Label, LlmLabelling
from learntoask.core.manifest.model import Duration, ManifestModel, Precision, seconds
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
