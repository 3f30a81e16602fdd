"""The models of report.json, from which pages, gates and comparisons are computed.

Within one `schema_version`, fields are only added. Readers ignore fields that they do not know.
"""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict, JsonValue, ValidationError

from learntoask.core.documents.messages import problem, where_of
from learntoask.core.errors import InputError
from learntoask.core.records import Decision
from learntoask.core.stages.policy_choice import PolicyChoice
from learntoask.evaluation.decisions import Decoding
from learntoask.policy.stopping import Stopping
from learntoask.statistics.bootstrap import Difference, Estimate

SCHEMA_VERSION = 1
Metrics = dict[str, Estimate]


class ReportModel(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", use_attribute_docstrings=True)


class MissingGrades(ReportModel):
    """Completions that the reporting grader could not grade.

    `zero` counts the answers that are no question of an expert, by the reason why they are graded 0 and not missing.
    """

    count: int
    share: float
    reasons: dict[str, int]
    zero: dict[str, int] = {}


class IdentityCheck(ReportModel):
    """The check that Total = TA + 2·(p·WA + (1−p)·WS-stop) + Format; `holds` is None if nothing was measured."""

    continue_share: float | None
    error: float | None
    holds: bool | None


class TaskGroup(ReportModel):
    """The metrics of the sessions of seen or of unseen tasks."""

    sessions: int
    metrics: Metrics


class StopBin(ReportModel):
    """Decision points whose stop probability lies in [low, high); `stop_share` is the share of stops among them."""

    low: float
    high: float
    n: int
    mean: float
    stop_share: float


class CalibratedStop(ReportModel):
    """The stop probability after the log-odds are divided by `temperature`."""

    temperature: float
    bins: list[StopBin]
    calibration_error: float | None


class StopProbability(ReportModel):
    """The policy's probability of the whole stop string at the held-out decision points."""

    mean_at_continue: Estimate
    mean_at_stop: Estimate
    bins: list[StopBin]
    calibration_error: float | None = None
    """Expected calibration error (ECE) over `bins`."""
    area_under_curve: float | None = None
    """Chance that the probability at a stop is greater than at a decision to go on."""
    calibrated: CalibratedStop | None = None
    """The probability that the server reports; None if it reports that of the model."""


class StopsOfTurn(ReportModel):
    """Where experts and policy stop, at the decision points of expert turn `turn` (0 is the first)."""

    turn: int
    continues: int
    wrong_stops: int
    """Stops of the policy among `continues`."""
    expert_stops: int
    right_stops: int
    """Stops of the policy among `expert_stops`."""


class DecodingReport(ReportModel):
    """One policy under one decoding."""

    completions: int
    metrics: Metrics
    """Metrics of all tasks by the reporting grader."""
    groups: dict[str, TaskGroup]
    """Metrics of `seen` and of `unseen` tasks; empty unless the held-out sessions have both."""
    identity: IdentityCheck
    missing: MissingGrades
    truncated: int
    """Completions that were cut off at the maximum length."""
    rewarding: Metrics
    """Metrics of all tasks by the rewarding grader."""
    gap: dict[str, Difference]
    """Metrics by the rewarding grader minus those by the reporting grader, over completions that both could grade."""


class ReplayReport(ReportModel):
    """Figures of session replay; replay.py defines them."""

    sessions: int
    metrics: Metrics
    expert_questions: float
    unanswered: int
    """Questions to which the log holds no answer."""
    missing: int
    """Questions that the grader could not grade; the simulated user then said `unknownReply`."""


class PolicyReport(ReportModel):
    name: str
    model: str
    """Digest of the model's folder (SHA-256)."""
    decodings: dict[Decoding, DecodingReport]
    stop_probability: StopProbability | None = None
    stops_by_turn: list[StopsOfTurn] = []
    repeats: Metrics = {}
    """Shares of the questions under greedy decoding that repeat (core.manifest.metric.REPEAT_METRICS)."""
    assessment: Metrics = {}
    """How the fields that the policy finds missing agree with the micro-goals, under greedy decoding
    (core.manifest.metric.ASSESSMENT_METRICS); empty without `train.assessment`."""
    replay: ReplayReport | None = None
    corrected: Metrics = {}
    """Metrics under greedy decoding, corrected by what people say is true (PPI++); empty without their answers."""


class Pair(ReportModel):
    """Paired differences of two policies on the same sessions, by the reporting grader."""

    before: str
    after: str
    decoding: Decoding
    metrics: dict[str, Difference]


class Miss(ReportModel):
    """One of the worst decisions of the policy under test under greedy decoding."""

    kind: str
    session: str
    task: str
    turn: int
    context: list[tuple[str, str]]
    """The last messages before the decision, as (role, text)."""
    response: str
    truth: Decision
    target: list[str]
    """`field: value` of each item that the expert still went on to get."""
    asked: list[str]


class TrainingCurve(ReportModel):
    """One figure of a training log by update, reduced to a number of points that a plot can show."""

    stage: str
    name: str
    steps: list[float]
    values: list[float]


class GraderReport(ReportModel):
    """The digests of the two graders and their agreement with held-out labels."""

    reporting: str
    rewarding: str
    agreement: dict[str, JsonValue]
    """Content of the grader stage's agreement.json."""


class DataReport(ReportModel):
    """Counts of the data that the figures are computed from."""

    sessions: int
    """Held-out sessions that were evaluated, at most `available`."""
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
    """Number of quarantined records by upstream stage and reason."""
    labelling: dict[str, JsonValue] | None = None
    """Requests, retries, tokens and cost of labelling by a language model (llm.json of the label stage)."""


class EvaluationReport(ReportModel):
    schema_version: int = SCHEMA_VERSION
    name: str
    key: str
    under_test: str
    """The last policy trained. The headline figures, the gate and the misses are about it."""
    settings: dict[str, JsonValue]
    choice: PolicyChoice | None = None
    """Which policy the grpo stage published, and why; None for other evaluations."""
    stopping: Stopping | None = None
    """What `train.stopThreshold: auto` chose."""
    policies: list[PolicyReport]
    pairs: list[Pair]
    gap_growth: dict[str, Difference]
    """The gap of the policy under test minus that of the SFT policy (greedy); reward hacking makes it grow."""
    grader: GraderReport
    calibration: dict[str, JsonValue] | None = None
    """Content of the calibrate stage's calibration.json; None if nobody was asked."""
    data: DataReport
    curves: list[TrainingCurve]
    misses: list[Miss]
    notes: list[str]
    """Facts that a reader needs to interpret the figures correctly."""

    def policy(self, name: str) -> PolicyReport | None:
        return next((policy for policy in self.policies if policy.name == name), None)

    def pair(self, after: str, before: str, decoding: Decoding = "greedy") -> Pair | None:
        wanted = (after, before, decoding)
        return next((pair for pair in self.pairs if (pair.after, pair.before, pair.decoding) == wanted), None)


def read_report(path: Path) -> EvaluationReport:
    """Read a report.json, or the one in folder `path`. Raises InputError that says what is wrong with it."""
    file = path / "report.json" if path.is_dir() else path
    try:
        report = EvaluationReport.model_validate_json(file.read_bytes())
    except OSError as error:
        raise InputError(f"report {file} cannot be read: {error.strerror}") from error
    except ValidationError as error:
        first = error.errors()[0]
        raise InputError(
            f"{file} is not an evaluation report: {where_of(first)}: {problem(first)}"
        ) from error
    if report.schema_version != SCHEMA_VERSION:
        raise InputError(
            f"{file} has report schema {report.schema_version}, this version reads {SCHEMA_VERSION}; "
            "evaluate again, or use the version that wrote it"
        )
    return report
