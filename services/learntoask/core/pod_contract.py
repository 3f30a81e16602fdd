"""The contract between the operator and the pods that it creates: names, variables, and the two messages they exchange.

The operator writes a `StageOrder` into a pod's environment, and the pod answers with a `TerminationMessage`. Both sides
import this module, so each name is spelled once. During an upgrade, pods that an older operator started still run: no
field or variable may be renamed or removed, and one that is added needs a default. An older image refuses an order with
a field that it does not know. docs/cluster.md describes the variables for people who build their own images.
"""

from __future__ import annotations

import json
from typing import Final

from pydantic import BaseModel, ConfigDict, JsonValue, ValidationError

from learntoask.core.stages.publication import PinnedPublication
from learntoask.core.status.run import RunInputsRecord

# --- labels and annotations of the operator's objects ----------------------------------------------------------------
LABEL_PREFIX = "learntoask.io/"
RUN_LABEL = "learntoask.io/run"
ENDPOINT_LABEL = "learntoask.io/endpoint"
STAGE_LABEL = "learntoask.io/stage"
ATTEMPT_LABEL = "learntoask.io/attempt"
REVISION_LABEL = "learntoask.io/revision"
LEADER_LABEL = "learntoask.io/leader"
"""Set on the operator pod that holds the Lease; the Service that pods call selects it."""
STAGE_KEY_ANNOTATION = "learntoask.io/stage-key"
"""On a Job and its pods: the whole key of the stage, which is too long for a label."""
COMPLETION_INDEX_LABEL = "batch.kubernetes.io/job-completion-index"
"""Kubernetes sets it on the pods of an Indexed Job."""

ROLLOUT_FILE = "rollout.json"
"""Key of the ConfigMap with an endpoint's rollout, and name of the file that its gateways follow."""

# --- annotations by which people ask the operator for something ------------------------------------------------------
RERUN_ANNOTATION = "learntoask.io/rerun"
"""On a run: `STAGE=WORD` runs the stage and all stages that depend on it again. A new WORD repeats that."""
RETRY_ANNOTATION = "learntoask.io/retry"
"""On a run: a new value forgives all failures so far; a failed stage continues from its checkpoint."""
CANCEL_ANNOTATION = "learntoask.io/cancel"
"""On a run: ends it; the value is the reason."""
ROLLOUT_PAUSED_ANNOTATION = "learntoask.io/rollout-paused"
"""On an endpoint: `true` keeps its rollout at the present weight. Harm still leads to a rollback."""
ROLLOUT_ORDER_ANNOTATION = "learntoask.io/rollout-order"
"""On an endpoint: `promote ID` or `abort ID` ends the rollout ID (`status.rollout.id`), whatever the evidence is."""
ROLLOUT_JUDGED_ANNOTATION = "learntoask.io/rollout-judged"
"""On an endpoint: what people said about copies, as JSON (`JudgedPairs` of core.status.rollout)."""

# --- environment variables of a pod; each constant equals its value --------------------------------------------------
LTA_STAGE: Final = "LTA_STAGE"
"""The StageOrder as JSON."""
LTA_RUN_FILE: Final = "LTA_RUN_FILE"
"""File with the whole manifest as JSON, defaults filled in."""
LTA_HOME: Final = "LTA_HOME"
"""Folder that the pod may write to."""
LTA_CLAIMS: Final = "LTA_CLAIMS"
"""Folder with one mounted folder for each persistent volume claim that an address `pvc:claim/path` names."""
LTA_CONFIG_MAPS: Final = "LTA_CONFIG_MAPS"
"""Folder with one mounted folder for each ConfigMap that an address `configMap:name/key` names."""
LTA_WORKERS: Final = "LTA_WORKERS"
"""Number of pods that train one policy together."""
LTA_RENDEZVOUS: Final = "LTA_RENDEZVOUS"
"""`host:port` of worker 0."""
LTA_SHARDS: Final = "LTA_SHARDS"
"""Number of pods that compute one shard of a stage each."""
LTA_PROGRESS_ADDRESS: Final = "LTA_PROGRESS_ADDRESS"
"""`host:port` of the operator's ProgressService, which is that of its GatewayService too."""
LTA_REVIEW_KEY: Final = "LTA_REVIEW_KEY"
"""File with the key that signs the links of a review."""
LTA_PROGRESS_TOKEN: Final = "LTA_PROGRESS_TOKEN"
"""File with the projected service-account token that the pod shows there."""
LTA_PROGRESS_CA: Final = "LTA_PROGRESS_CA"
"""File with the authority of the operator's certificate; without it pods speak plain text with the operator."""
LTA_CHECKPOINT_SECONDS: Final = "LTA_CHECKPOINT_SECONDS"
"""Seconds between two uploads of checkpoints."""
LTA_TERMINATION_LOG: Final = "LTA_TERMINATION_LOG"
"""File for the TerminationMessage."""
LTA_STORE: Final = "LTA_STORE"
LTA_STORE_ENDPOINT: Final = "LTA_STORE_ENDPOINT"
LTA_STORE_REGION: Final = "LTA_STORE_REGION"
LTA_STORE_CREDENTIALS: Final = "LTA_STORE_CREDENTIALS"
LTA_STORE_CA: Final = "LTA_STORE_CA"
LTA_PUBLICATION: Final = "LTA_PUBLICATION"
"""Of a policy server or a gateway: key of the serve stage that it serves."""
LTA_POLICY: Final = "LTA_POLICY"
"""Of a policy server: key of the stage that published its model."""
JOB_COMPLETION_INDEX: Final = "JOB_COMPLETION_INDEX"
"""Kubernetes sets it in the pods of an Indexed Job."""

# --- where these files are mounted when a variable does not say otherwise --------------------------------------------
CONFIGURATION_FOLDER = "/etc/learntoask"
RUN_FILE = f"{CONFIGURATION_FOLDER}/run.json"
CLAIMS_FOLDER = "/claims"
WORK_FOLDER = "/work"
TOKEN_FOLDER, TOKEN_NAME = "/var/run/secrets/learntoask/progress", "token"
TOKEN_FILE = f"{TOKEN_FOLDER}/{TOKEN_NAME}"
TERMINATION_LOG = "/dev/termination-log"
PROGRESS_AUDIENCE = "learntoask-progress"
"""Audience of the token at LTA_PROGRESS_TOKEN: only the operator accepts such a token, the API server refuses it."""

DISRUPTED = "Disrupted"
"""`TerminationMessage.reason` of a pod that got SIGTERM; such an attempt does not count as failed."""
LONGEST_TERMINATION_MESSAGE = 4096
"""Bytes that Kubernetes keeps of a termination message."""


def gateway_name(endpoint: str) -> str:
    """Name of an endpoint's Deployment of gateways, with which the names of their pods begin."""
    return f"{endpoint}-gateway"


def service_name(run: str, service: str) -> str:
    """Name of the Deployment and Service of a run's `service`, with which the names of its pods begin."""
    return f"{run}-{service}-service"


class StageOrder(BaseModel):
    """What one pod is to compute: attempt `attempt` of stage `stage`, whose output is published under `key`.

    `inputs` maps each upstream stage to the publication to read, `files` each role to a digest, and `pack` is the
    digest of the whole domain pack. The key was computed from these digests, so the pod refuses inputs that differ. The
    stage `resolve` finds the digests and needs none of them.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    stage: str
    key: str = ""
    attempt: int = 1
    inputs: dict[str, PinnedPublication] = {}
    pack: str | None = None
    files: dict[str, str] = {}

    def variable(self) -> str:
        """The value of LTA_STAGE."""
        return json.dumps(self.model_dump(), separators=(",", ":"))


class TerminationMessage(BaseModel):
    """How the stage of a pod ended. Each pod sets the fields of one of three cases and leaves out the others:

    - published: `output` (None from a shard that was not the last one), `summary`, `skipped` (the output was in the
      store already), `seconds`;
    - `resolve` succeeded: `inputs`;
    - failed: `reason`, `message`, `retryable`.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    output: str | None = None
    summary: dict[str, JsonValue] = {}
    skipped: bool = False
    seconds: float = 0.0
    inputs: RunInputsRecord | None = None
    reason: str = ""
    message: str = ""
    retryable: bool = True

    def encode(self) -> bytes:
        """JSON of the fields that were set, as valid UTF-8: Kubernetes refuses lone surrogates of broken logs."""
        content = self.model_dump(exclude_unset=True)
        return json.dumps(content, ensure_ascii=False).encode("utf-8", errors="replace")

    @classmethod
    def parse(cls, text: str | None) -> TerminationMessage | None:
        """The message that a pod wrote; None for any other text, such as the end of a log."""
        try:
            return cls.model_validate(json.loads(text or ""))
        except (ValueError, ValidationError):
            return None
