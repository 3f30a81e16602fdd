"""The gate: names of thresholds, their bounds, and the verdict."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from learntoask.core.errors import GateFailed, InputError
from learntoask.core.manifest import RunSpec, Threshold
from learntoask.core.manifest.metric import METRICS, check_metric
from learntoask.core.pack import parse_pack
from learntoask.core.stages.contract import StageContext
from learntoask.evaluation.gate import check_thresholds, run
from learntoask.evaluation.report_schema import (
    DataReport,
    DecodingReport,
    EvaluationReport,
    GraderReport,
    IdentityCheck,
    MissingGrades,
    Pair,
    PolicyReport,
    ReplayReport,
    TaskGroup,
)
from learntoask.statistics.bootstrap import Difference, Estimate
from pydantic import ValidationError

UNMEASURED = Estimate(value=None)


def policy(name: str, **metrics: Estimate) -> PolicyReport:
    found = {metric: metrics.get(metric.replace("-", "_"), UNMEASURED) for metric in METRICS}
    return PolicyReport(
        name=name,
        model="m",
        decodings={
            "greedy": DecodingReport(
                completions=10,
                metrics=found,
                groups={
                    "unseen": TaskGroup(
                        sessions=4, metrics=found | {"WA-GH": Estimate(value=0.5, low=0.3, high=0.7)}
                    )
                },
                identity=IdentityCheck(continue_share=0.5, error=0.0, holds=True),
                missing=MissingGrades(count=0, share=0.0, reasons={}),
                truncated=0,
                rewarding=found,
                gap={"WA-GH": Difference(value=0.04, low=0.01, high=0.07)},
            )
        },
        replay=ReplayReport(
            sessions=5,
            metrics={"coverage": Estimate(value=0.9, low=0.8, high=0.95)},
            expert_questions=2.0,
            unanswered=0,
            missing=0,
        ),
    )


REPORT = EvaluationReport(
    name="p",
    key="k",
    under_test="grpo",
    settings={},
    policies=[
        policy("sft", WA_GH=Estimate(value=0.6, low=0.55, high=0.65)),
        policy(
            "grpo",
            WA_GH=Estimate(value=0.7, low=0.65, high=0.75),
            WS_stop=Estimate(value=0.95, low=0.88, high=0.98),
        ),
    ],
    pairs=[
        Pair(
            before="sft",
            after="grpo",
            decoding="greedy",
            metrics={"WS-stop": Difference(value=-0.01, low=-0.035, high=0.02, one_sided_low=-0.025)},
        )
    ],
    gap_growth={"WA-GH": Difference(value=0.01, low=-0.02, high=0.03)},
    grader=GraderReport(
        reporting="r",
        rewarding="w",
        agreement={
            "kappa": {"value": 0.87, "low": 0.84, "high": 0.9, "n": 1880},
            "refused": {"made": 0.99},
            "measured_on": {"questions": 1880},
            "same_findings": {"value": 0.96, "n": 9},
        },
    ),
    data=DataReport(
        sessions=5,
        available=5,
        training_sessions=9,
        decision_points=20,
        continues=15,
        stops=5,
        seen_sessions=1,
        unseen_sessions=4,
        ends={},
        labellers={},
        quarantined={},
    ),
    curves=[],
    misses=[],
    notes=[],
)


@pytest.mark.parametrize(
    ("threshold", "value", "passed"),
    [
        ({"metric": "WA-GH", "min": 0.68}, 0.7, True),
        ({"metric": "WA-GH", "min": 0.7}, 0.7, True),
        ({"metric": "WA-GH", "bound": "lower", "min": 0.68}, 0.65, False),
        ({"metric": "WA-GH", "bound": "upper", "max": 0.74}, 0.75, False),
        ({"metric": "WA-GH", "min": 0.6, "max": 0.69}, 0.7, False),
        ({"metric": "sft.WA-GH", "max": 0.6}, 0.6, True),
        ({"metric": "unseen.WA-GH", "min": 0.55}, 0.5, False),
        ({"metric": "grpo-sft.WS-stop", "bound": "lower", "min": -0.03}, -0.035, False),
        ({"metric": "grpo-sft.WS-stop", "bound": "lowerOneSided", "min": -0.03}, -0.025, True),
        ({"metric": "gap.WA-GH", "max": 0.05}, 0.04, True),
        ({"metric": "gap-growth.WA-GH", "bound": "upper", "max": 0.02}, 0.03, False),
        ({"metric": "replay.coverage", "bound": "lower", "min": 0.8}, 0.8, True),
        ({"metric": "grader.kappa", "bound": "lower", "min": 0.85}, 0.84, False),
        ({"metric": "grader.measured_on.questions", "min": 1000}, 1880, True),
        ({"metric": "grader.refused.made", "min": 0.98}, 0.99, True),
        ({"metric": "grader.same_findings", "min": 0.95}, 0.96, True),
    ],
)
def test_a_threshold_compares_the_figure_and_the_bound_it_names(
    threshold: dict[str, object], value: float, passed: bool
) -> None:
    verdict = check_thresholds(REPORT, [Threshold.model_validate(threshold)])
    assert (verdict.checks[0].value, verdict.passed) == (value, passed)


@pytest.mark.parametrize(
    ("threshold", "reason"),
    [
        ({"metric": "TA", "min": 0.1}, "could not be measured"),
        ({"metric": "sampled.WA-GH", "min": 0.1}, "is not in this report"),
        ({"metric": "base.WA-GH", "max": 0.9}, "is not in this report"),
        ({"metric": "gap-growth.WA-GH", "bound": "lowerOneSided", "min": -1}, "is not known"),
    ],
)
def test_what_is_not_known_is_not_good_enough(threshold: dict[str, object], reason: str) -> None:
    verdict = check_thresholds(REPORT, [Threshold.model_validate(threshold)])
    assert not verdict.passed
    assert reason in verdict.message


def test_every_failed_threshold_is_named_and_the_held_ones_are_not() -> None:
    thresholds = [
        Threshold(metric="WA-GH", min=0.9),
        Threshold(metric="WS-stop", min=0.9),
        Threshold(metric="WS-stop", bound="lower", min=0.9),
    ]
    verdict = check_thresholds(REPORT, thresholds)
    assert [check.passed for check in verdict.checks] == [False, True, False]
    assert "fails 2 of 3 thresholds" in verdict.message
    assert "WA-GH is 0.7, below the minimum 0.9" in verdict.message
    assert "the lower bound of WS-stop is 0.88, below the minimum 0.9" in verdict.message
    assert "WS-stop is 0.95" not in verdict.message


def test_no_thresholds_pass_and_the_verdict_says_so() -> None:
    verdict = check_thresholds(REPORT, [])
    assert verdict.passed
    assert "no thresholds are set" in verdict.message


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("WS_Stop", "'WS-stop'"),
        ("grpo-sft.WSstop", "'grpo-sft.WS-stop'"),
        ("unseen.wa-gh", "'unseen.WA-GH'"),
        ("replay.covered", "'replay.coverage'"),
        ("grader.kapa", "'grader.kappa'"),
        ("zzz", "WS-continue"),
    ],
)
def test_a_typo_is_found_when_the_manifest_is_read(name: str, near: str) -> None:
    with pytest.raises(ValidationError, match=near):
        Threshold(metric=name, min=0.5)


def test_a_figure_that_the_grader_does_not_report_names_the_near_one() -> None:
    with pytest.raises(InputError, match=r"no 'grader\.any_hit'.*grader"):
        check_thresholds(REPORT, [Threshold(metric="grader.any_hit", min=0.8)])


@pytest.mark.parametrize("bad", [{}, {"min": float("nan")}, {"max": float("inf")}])
def test_a_threshold_must_compare_with_a_number(bad: dict[str, float]) -> None:
    with pytest.raises(ValidationError):
        Threshold(metric="WA", **bad)


def test_policy_scopes_are_known_names() -> None:
    assert check_metric("sft.sampled.seen.Total") == "sft.sampled.seen.Total"
    with pytest.raises(ValueError, match="did you mean"):
        check_metric("sft.seen.sampled.Total")


def context(tmp_path: Path, *thresholds: dict[str, object]) -> StageContext:
    (tmp_path / "evaluate").mkdir()
    (tmp_path / "out").mkdir()
    (tmp_path / "evaluate" / "report.json").write_text(REPORT.model_dump_json())
    return StageContext(
        stage="gate",
        key="k",
        spec=RunSpec.model_validate(
            {"dataset": {"uri": "d"}, "pack": {"uri": "p"}, "gate": {"thresholds": thresholds}}
        ),
        pack=parse_pack("{name: p, tasks: [{name: t, fields: [{name: f}]}]}", where="test"),
        inputs={"evaluate": tmp_path / "evaluate"},
        files={},
        out=tmp_path / "out",
        work=tmp_path,
        progress=None,
    )


def test_a_failed_gate_writes_its_verdict_before_it_refuses(tmp_path: Path) -> None:
    with pytest.raises(GateFailed, match=r"WA-GH is 0\.7, below the minimum 0\.9"):
        run(context(tmp_path, {"metric": "WA-GH", "min": 0.9}, {"metric": "WS-stop", "min": 0.9}))
    verdict = json.loads((tmp_path / "out" / "verdict.json").read_text())
    assert verdict["passed"] is False
    assert [check["passed"] for check in verdict["checks"]] == [False, True]


def test_a_passed_gate_says_what_it_held(tmp_path: Path) -> None:
    summary = run(context(tmp_path, {"metric": "WS-stop", "min": 0.9}))
    assert summary["passed"] is True
    assert json.loads((tmp_path / "out" / "verdict.json").read_text())["policy"] == "grpo"


def test_a_report_of_another_kind_is_refused(tmp_path: Path) -> None:
    ready = context(tmp_path)
    (tmp_path / "evaluate" / "report.json").write_text('{"schema_version": 1}')
    with pytest.raises(InputError, match="is not an evaluation report"):
        run(ready)
