"""The chart's alerts in Prometheus' rule engine: each alert fires on its fault, and none fires without a fault."""

from __future__ import annotations

import json
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest
from learntoask.core.json_object import Json
from worlds.cluster.helm import CHART, HOME, of_kind, rendered
from worlds.cluster.toolchain import missing, tool

_ABSENT = missing("helm", "promtool")
pytestmark = pytest.mark.skipif(
    bool(_ABSENT), reason=f"not built: {', '.join(_ABSENT)}; install Go and run `make chart-tools`"
)
MONITORED = CHART / "ci" / "monitoring-values.yaml"
DESK = 'namespace="team",learntoask_io_endpoint="desk",pod="p"'
RUN = 'namespace="team",run="clinic",stage="sft"'


@dataclass(frozen=True)
class Fault:
    """`series` has one value a minute, as promtool writes them. The alert fires by the minute `fires`."""

    alert: str
    series: dict[str, str]
    fires: int
    labels: str


def _counter(rate: float) -> str:
    return f"0+{rate * 60:g}x300"


def _decisions(origin: str) -> str:
    return f'lta_gateway_decisions_total{{{DESK},action="ask",origin="{origin}"}}'


def _calls(code: str, server: str = "gateway") -> str:
    return f'lta_{server}_calls_total{{{DESK},method="Decide",code="{code}"}}'


def _bucket(name: str, labels: str, bound: str) -> str:
    return f'{name}_bucket{{{labels},le="{bound}"}}'


def _grades(outcome: str) -> str:
    of = 'namespace="team",learntoask_io_run="clinic",grader="rewarding"'
    return f'lta_grader_grades_total{{{of},outcome="{outcome}"}}'


ENDPOINT = 'learntoask_io_endpoint="desk", namespace="team"'
ANSWERS = ("lta_gateway_answer_seconds", f'{DESK},method="Decide"')
QUEUE = ("lta_operator_queue_seconds", 'kind="LearnToAskRun",pod="o"')
WELL: dict[str, str] = {
    f'lta_operator_leader{{namespace="{HOME}",pod="a"}}': "1x300",
    f'lta_operator_leader{{namespace="{HOME}",pod="b"}}': "0x300",
    'lta_operator_passes_total{kind="LearnToAskRun",result="done"}': _counter(5),
    'lta_operator_passes_total{kind="LearnToAskRun",result="failed"}': _counter(0.1),
    _bucket(*QUEUE, "5"): _counter(5),
    _bucket(*QUEUE, "30"): _counter(5),
    _bucket(*QUEUE, "+Inf"): _counter(5),
    f'lta_run_info{{{RUN},phase="Running"}}': "1x300",
    'lta_run_info{namespace="team",run="done",stage="",phase="Succeeded"}': "1x300",
    'lta_endpoint_info{namespace="team",endpoint="desk",phase="Ready",rollout="RolloutComplete"}': "1x300",
    _grades("grade"): _counter(10),
    _grades("missing"): _counter(0.1),
    f'lta_gateway_servers{{{DESK},state="serving"}}': "2x300",
    f'lta_gateway_servers{{{DESK},state="away"}}': "0x300",
    _decisions("model"): _counter(20),
    _decisions("fallback"): _counter(0.2),
    _calls("OK"): _counter(20),
    _calls("UNAVAILABLE"): _counter(0.01),
    _calls("OK", "serving"): _counter(20),
    _bucket(*ANSWERS, "5"): _counter(20),
    _bucket(*ANSWERS, "10"): _counter(20),
    _bucket(*ANSWERS, "+Inf"): _counter(20),
    f"lta_gateway_record_failures_total{{{DESK}}}": "0x300",
    f"lta_gateway_record_sending_failures_total{{{DESK}}}": "0x300",
}
FAULTS = [
    Fault("LearnToAskNoLeader", {f'lta_operator_leader{{namespace="{HOME}",pod="a"}}': "0x300"}, 6, ""),
    Fault(
        "LearnToAskPassesFail",
        {'lta_operator_passes_total{kind="LearnToAskRun",result="failed"}': _counter(5)},
        20,
        'kind="LearnToAskRun"',
    ),
    Fault("LearnToAskOperatorBehind", {_bucket(*QUEUE, "5"): _counter(1)}, 20, 'kind="LearnToAskRun"'),
    Fault("LearnToAskRunStuck", {}, 14 * 60, 'namespace="team", run="clinic", stage="sft"'),
    Fault(
        "LearnToAskRunFailed",
        {f'lta_run_info{{{RUN},phase="Running"}}': "_x300", f'lta_run_info{{{RUN},phase="Failed"}}': "1x300"},
        3,
        'namespace="team", run="clinic", stage="sft"',
    ),
    Fault(
        "LearnToAskRolloutFailed",
        {
            'lta_endpoint_info{namespace="team",endpoint="desk",phase="Degraded",rollout="WarmUpFailed"}': "1x300"
        },
        3,
        'endpoint="desk", namespace="team"',
    ),
    Fault(
        "LearnToAskRolledBack",
        {'lta_endpoint_info{namespace="team",endpoint="desk",phase="Ready",rollout="RolledBack"}': "1x300"},
        3,
        'endpoint="desk", namespace="team"',
    ),
    Fault(
        "LearnToAskRolloutHeld",
        {'lta_endpoint_info{namespace="team",endpoint="desk",phase="Ready",rollout="TryingPolicy"}': "1x300"},
        3 * 24 * 60 + 2,
        'endpoint="desk", namespace="team"',
    ),
    Fault(
        "LearnToAskAssignmentSkewed",
        {'lta_endpoint_rollout_weight{namespace="team",endpoint="desk",reason="AssignmentSkewed"}': "10x300"},
        7,
        'endpoint="desk", namespace="team"',
    ),
    Fault(
        "LearnToAskMissingGrades",
        {_grades("missing"): _counter(1)},
        20,
        'grader="rewarding", learntoask_io_run="clinic", namespace="team"',
    ),
    Fault("LearnToAskNoServers", {f'lta_gateway_servers{{{DESK},state="serving"}}': "0x300"}, 5, ENDPOINT),
    Fault("LearnToAskFallbackShare", {_decisions("no_server"): _counter(2)}, 15, ENDPOINT),
    Fault("LearnToAskQueueFull", {_calls("RESOURCE_EXHAUSTED", "serving"): _counter(1)}, 10, ENDPOINT),
    Fault("LearnToAskSlowAnswers", {_bucket(*ANSWERS, "5"): _counter(2)}, 15, ENDPOINT),
    Fault("LearnToAskCallsFail", {_calls("INTERNAL"): _counter(1)}, 15, ENDPOINT),
    Fault(
        "LearnToAskRecordsLost",
        {f"lta_gateway_record_sending_failures_total{{{DESK}}}": _counter(0.1)},
        30,
        ENDPOINT,
    ),
]


@pytest.fixture(scope="module")
def rules(tmp_path_factory: pytest.TempPathFactory) -> Path:
    (rule,) = of_kind(rendered(MONITORED), "PrometheusRule")
    path = tmp_path_factory.mktemp("rules") / "rules.json"  # JSON is YAML
    path.write_text(json.dumps(rule["spec"]))
    return path


def test_the_rules_are_valid_and_each_is_tried(rules: Path) -> None:
    said = _promtool("check", "rules", "--lint=all", "--lint-fatal", str(rules))
    assert f"{len(FAULTS)} rules found" in said
    names = [rule["alert"] for group in json.loads(rules.read_text())["groups"] for rule in group["rules"]]
    assert [fault.alert for fault in FAULTS] == names


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.alert)
def test_an_alert_fires_on_its_fault(rules: Path, fault: Fault, tmp_path: Path) -> None:
    minutes = max(60, fault.fires + 1)
    tried = _test({**WELL, **fault.series}, minutes, fault.fires, [_firing(rules, fault)], alert=fault.alert)
    _run(rules, tried, tmp_path)


def test_no_alert_fires_while_all_is_well(rules: Path, tmp_path: Path) -> None:
    _run(rules, _test(WELL, 120, 119, []), tmp_path)


def test_no_leader_is_seen_without_an_operator_too(rules: Path, tmp_path: Path) -> None:
    series = {name: values for name, values in WELL.items() if "leader" not in name}
    _run(rules, _test(series, 60, 6, [_firing(rules, FAULTS[0])], alert=FAULTS[0].alert), tmp_path)


def test_every_query_of_the_dashboard_is_one_that_prometheus_understands(tmp_path: Path) -> None:
    dashboard = json.loads((CHART / "files" / "dashboard.json").read_text())
    asked = [target["expr"] for panel in dashboard["panels"] for target in panel.get("targets", ())]
    assert len(asked) > 15
    queries = [
        re.sub(r"\$(namespace|endpoint)\b", ".*", one.replace("$__rate_interval", "5m")) for one in asked
    ]
    rules = [{"record": f"panel:{number}:query", "expr": query} for number, query in enumerate(queries)]
    path = tmp_path / "queries.json"
    path.write_text(json.dumps({"groups": [{"name": "dashboard", "rules": rules}]}))
    assert f"{len(asked)} rules found" in _promtool("check", "rules", str(path))


def _firing(rules: Path, fault: Fault) -> Json:
    (rule,) = [
        rule
        for group in json.loads(rules.read_text())["groups"]
        for rule in group["rules"]
        if rule["alert"] == fault.alert
    ]
    labels = f'alertname="{fault.alert}", alertstate="firing", severity="{rule["labels"]["severity"]}"'
    return {"labels": f"ALERTS{{{', '.join(one for one in (labels, fault.labels) if one)}}}", "value": 1}


def _test(
    series: dict[str, str], minutes: int, at: int, expected: list[Json], *, alert: str | None = None
) -> Json:
    chosen = f',alertname="{alert}"' if alert else ""
    return {
        "interval": "1m",
        "input_series": [
            {"series": name, "values": values.replace("x300", f"x{minutes}")}
            for name, values in series.items()
        ],
        "promql_expr_test": [
            {"expr": f'ALERTS{{alertstate="firing"{chosen}}}', "eval_time": f"{at}m", "exp_samples": expected}
        ],
    }


def _run(rules: Path, tried: Json, folder: Path) -> None:
    path = folder / "test.json"
    path.write_text(json.dumps({"rule_files": [str(rules)], "evaluation_interval": "1m", "tests": [tried]}))
    _promtool("test", "rules", str(path))


def _promtool(*arguments: str) -> str:
    done = subprocess.run(
        [str(tool("promtool")), *arguments], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
