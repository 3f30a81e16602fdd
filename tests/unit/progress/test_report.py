"""Checks of reports, the pods that may send them, and the estimate of remaining time."""

from __future__ import annotations

from dataclasses import replace

import pytest
from learntoask.progress.remaining_time import RemainingTime
from learntoask.progress.report import ProgressReport, from_wire, pod_of, to_wire
from learntoask.progress.tokens import TokenRefused, identity_of
from learntoask.rpc.requests import InvalidRequest

REPORT = ProgressReport(
    namespace="lab",
    run="clinic",
    stage="sft",
    attempt=2,
    done=3,
    total=12,
    message="SFT",
    metrics={"loss": 0.5},
    remaining_seconds=90.0,
)


@pytest.mark.parametrize("report", [REPORT, replace(REPORT, remaining_seconds=None, index=3, metrics={})])
def test_a_report_comes_as_it_was_sent(report: ProgressReport) -> None:
    assert from_wire(to_wire(report)) == report


def test_metrics_that_are_no_numbers_are_left_out_and_texts_cut() -> None:
    sent = replace(REPORT, metrics={"loss": float("nan"), "kl": 1.0}, message="m" * 1000)
    read = from_wire(to_wire(sent))
    assert read.metrics == {"kl": 1.0}
    assert len(read.message) == 200


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"run": ""}, "run"),
        ({"namespace": ""}, "namespace"),
        ({"stage": ""}, "stage"),
        ({"attempt": 0}, "attempt"),
        ({"done": float("nan")}, "done"),
        ({"total": -1.0}, "total"),
        ({"remaining_seconds": float("inf")}, "remaining_seconds"),
    ],
)
def test_what_cannot_be_so_is_refused_by_name(change: dict[str, object], field: str) -> None:
    with pytest.raises(InvalidRequest, match=f"^{field}:"):
        from_wire(to_wire(replace(REPORT, **change)))


@pytest.mark.parametrize(
    ("pod", "mine"),
    [
        ("clinic-sft-0a1b2c3d-2-x7k2p", True),
        ("clinic-sft-0a1b2c3d-2-0-x7k2p", True),
        ("clinic-sft-0a1b2c3d-2-1-x7k2p", False),  # another index
        ("clinic-sft-0a1b2c3d-1-x7k2p", False),  # an earlier attempt
        ("clinic-grpo-0a1b2c3d-2-x7k2p", False),
        ("clinic-sft-sft-0a1b2c3d-2-x7k2p", False),  # of the run clinic-sft
        ("other-clinic-sft-0a1b2c3d-2-x7k2p", False),
        ("clinic-sft-0a1b2c3d-2-x7k2p-more", False),
    ],
)
def test_only_pods_of_the_attempt_speak_for_it(pod: str, mine: bool) -> None:
    assert bool(pod_of(REPORT).match(pod)) is mine


def test_names_are_no_patterns() -> None:
    assert not pod_of(replace(REPORT, run=".*")).match("clinic-sft-0a1b2c3d-2-x7k2p")


CLAIMS = {
    "namespace": "lab",
    "pod": {"name": "p", "uid": "u"},
    "serviceaccount": {"name": "learntoask-stage"},
}


def test_a_token_says_whose_it_is() -> None:
    identity = identity_of({"kubernetes.io": CLAIMS})
    assert (identity.namespace, identity.pod, identity.uid) == ("lab", "p", "u")


@pytest.mark.parametrize("missing", ["namespace", "pod", "serviceaccount", None])
def test_a_token_that_is_bound_to_no_pod_is_refused(missing: str | None) -> None:
    claims = {name: value for name, value in CLAIMS.items() if name != missing}
    with pytest.raises(TokenRefused, match="not bound to a pod"):
        identity_of({"kubernetes.io": claims} if missing else {})


def test_the_rest_of_a_step_is_estimated_by_its_own_pace() -> None:
    clock = [0.0]
    pace = RemainingTime(lambda: clock[0])
    assert pace.remaining(100, 200, "SFT") is None  # continued from a checkpoint, so the pace is unknown
    clock[0] = 10.0
    assert pace.remaining(150, 200, "SFT") == pytest.approx(10.0)
    assert pace.remaining(0, 50, "validating") is None  # another step
    clock[0] = 12.0
    assert pace.remaining(1, 50, "validating") == pytest.approx(98.0)
    assert pace.remaining(0, 50, "validating") is None  # started again
