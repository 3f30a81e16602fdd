"""report.json: what an evaluation found, as one document that pages, gates and comparisons are made from.

Fields are only ever added under one `schema_version`; readers ignore those they do not know.
"""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict, JsonValue, ValidationError

from learntoask.core.errors import InputError
from learntoask.core.records import Decision
from learntoask.evaluation.decisions import Decoding
from learntoask.evaluation.stats.bootstrap import Difference, Estimate

SCHEMA_VERSION = 1
Metrics = dict[str, Estimate]


class ReportModel(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", use_attribute_docstrings=True)


class Missing(ReportModel):
    """Completions that no grade could be had for, by the reporting grader."""

    count: int
    share: float
    reasons: dict[str, int]


class Identity(ReportModel):
    """Total = TA + 2·(p·WA + (1−p)·WS-stop) + Format; `holds` is None where nothing was measured."""

    continue_share: float | None
    error: float | None
    holds: bool | None


class Group(ReportModel):
    sessions: int
    metrics: Metrics


class StopBin(ReportModel):
    """Decision points whose stop probability lies in [low, high): how often the truth is to stop."""

    low: float
    high: float
    n: int
    mean: float
    stop_share: float


class StopProbability(ReportModel):
    """The probability of the whole stop string under the policy, at the held-out decision points."""

    mean_at_continue: Estimate
    mean_at_stop: Estimate
    bins: list[StopBin]


class DecodingReport(ReportModel):
    """One policy under one decoding."""

    completions: int
    metrics: Metrics
    """By the reporting grader, all tasks."""
    groups: dict[str, Group]
    """`seen` and `unseen` tasks, where the held-out sessions have both."""
    identity: Identity
    missing: Missing
    truncated: int
    """Completions cut off at the longest answer."""
    rewarding: Metrics
    """The same metrics by the grader that rewarded."""
    gap: dict[str, Difference]
    """Rewarding minus reporting grader, over the completions both could grade."""


class ReplayReport(ReportModel):
    """Sessions replayed with the answers of their logs; see replay.py for what the names mean."""

    sessions: int
    metrics: Metrics
    expert_questions: float
    unanswered: int
    """Questions that the log holds no answer to."""
    missing: int
    """Questions that the grader could not tell the fields of; the user did not know what to say."""


class PolicyReport(ReportModel):
    name: str
    model: str
    """SHA-256 over the files of the model's folder."""
    decodings: dict[Decoding, DecodingReport]
    stop_probability: StopProbability | None = None
    replay: ReplayReport | None = None


class Pair(ReportModel):
    """Paired differences of two policies on the same sessions, by the reporting grader."""

    before: str
    after: str
    decoding: Decoding
    metrics: dict[str, Difference]


class Miss(ReportModel):
    """One of the worst decisions of the policy under test (greedy)."""

    kind: str
    session: str
    task: str
    turn: int
    context: list[tuple[str, str]]
    """The last messages before the decision, as (role, text)."""
    response: str
    truth: Decision
    target: list[str]
    """`field: value` of what the expert still went on to get."""
    asked: list[str]


class Curve(ReportModel):
    """One figure of a training log against its updates, thinned out for plotting."""

    stage: str
    name: str
    steps: list[float]
    values: list[float]


class GraderReport(ReportModel):
    reporting: str
    rewarding: str
    """Digests of the two fitted graders."""
    agreement: dict[str, JsonValue]
    """agreement.json of the grader stage: agreement with held-out annotations."""


class DataReport(ReportModel):
    """What the figures are computed from."""

    sessions: int
    """Held-out sessions that were evaluated, of `available`."""
    available: int
    training_sessions: int
    decision_points: int
    continues: int
    stops: int
    seen_sessions: int
    unseen_sessions: int
    ends: dict[str, int]
    labellers: dict[str, int]
    quarantined: dict[str, dict[str, int]]
    """Upstream stage → reason → lines set aside."""
    labelling: dict[str, JsonValue] | None = None
    """What labelling by a language model took: requests, retries, tokens, cost (llm.json of the label stage)."""


class Report(ReportModel):
    schema_version: int = SCHEMA_VERSION
    name: str
    key: str
    under_test: str
    """The policy that headline figures, the gate and the misses are about: the last one trained."""
    settings: dict[str, JsonValue]
    policies: list[PolicyReport]
    pairs: list[Pair]
    gap_growth: dict[str, Difference]
    """The gap of the policy under test minus that of the SFT policy (greedy): what reward hacking looks like."""
    grader: GraderReport
    data: DataReport
    curves: list[Curve]
    misses: list[Miss]
    notes: list[str]
    """What a reader must know to read the figures rightly."""

    def policy(self, name: str) -> PolicyReport | None:
        return next((policy for policy in self.policies if policy.name == name), None)

    def pair(self, after: str, before: str, decoding: Decoding = "greedy") -> Pair | None:
        wanted = (after, before, decoding)
        return next((pair for pair in self.pairs if (pair.after, pair.before, pair.decoding) == wanted), None)


def read_report(path: Path) -> Report:
    """Read report.json, or the one in folder `path`. Raises InputError saying what is wrong with it."""
    file = path / "report.json" if path.is_dir() else path
    try:
        report = Report.model_validate_json(file.read_bytes())
    except OSError as error:
        raise InputError(f"report {file} cannot be read: {error.strerror}") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "document"
        raise InputError(f"{file} is not an evaluation report: {where}: {first['msg']}") from error
    if report.schema_version != SCHEMA_VERSION:
        raise InputError(
            f"{file} has report schema {report.schema_version}, this version reads {SCHEMA_VERSION}; "
            "evaluate again, or use the version that wrote it"
        )
    return report
