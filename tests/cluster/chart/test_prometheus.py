"""A real Prometheus with the chart's alerts scrapes our processes: every panel shows data, and the alerts that the
figures call for fire."""

from __future__ import annotations

import json
import re
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode
from urllib.request import urlopen

import pytest
import yaml
from learntoask.core.json_object import Json
from learntoask.core.status.conditions import (
    ASSIGNMENT_SKEWED,
    ROLLED_BACK,
    ROLLED_OUT,
    TRYING_POLICY,
    WARM_UP_FAILED,
    set_condition,
)
from learntoask.core.status.endpoint import EndpointStatus
from learntoask.core.status.rollout import RolloutStatus
from learntoask.core.status.run import RunStatus, StageRecord
from learntoask.grader_service.metrics import GraderMetrics
from learntoask.grading.grades import MissingGrade
from learntoask.kube import ENDPOINT, RUN
from learntoask.rpc.metrics import expose
from learntoask.serving.engines.protocol import TokenUsage
from learntoask.serving.gateway.metrics import GatewayMetrics
from learntoask.serving.metrics import ServingMetrics
from learntoask.serving.rollout.events import EventReader
from learntoask.serving.rollout.ledger import Ledger
from learntoask.serving.rollout.metrics import RolloutCollector
from learntoask.serving.rollout.traffic import Traffic
from learntoask_operator.loop import Ref
from learntoask_operator.metrics import Metrics as OperatorMetrics
from prometheus_client import CollectorRegistry
from worlds.cluster.helm import CHART, HOME, of_kind, rendered
from worlds.cluster.toolchain import missing, tool
from worlds.serving import PACK

_ABSENT = missing("helm", "prometheus")
pytestmark = [
    pytest.mark.skipif(
        bool(_ABSENT), reason=f"not built: {', '.join(_ABSENT)}; install Go and run `make chart-tools`"
    ),
    pytest.mark.timeout(240),
]
_PATIENCE = 90.0
_THEN = "2026-01-01T00:00:00Z"
_POD = {"namespace": "team", "learntoask_io_endpoint": "desk", "learntoask_io_revision": "r1"}
CALLED_FOR = {
    "LearnToAskRunStuck",
    "LearnToAskRunFailed",
    "LearnToAskRolloutFailed",
    "LearnToAskRolledBack",
    "LearnToAskRolloutHeld",
    "LearnToAskAssignmentSkewed",
    "LearnToAskMissingGrades",
    "LearnToAskNoServers",
    "LearnToAskFallbackShare",
    "LearnToAskQueueFull",
    "LearnToAskSlowAnswers",
    "LearnToAskCallsFail",
    "LearnToAskRecordsLost",
    "LearnToAskPassesFail",
    "LearnToAskOperatorBehind",
}


@dataclass
class Processes:
    """Metrics of one process of each kind, with figures that call for alerts; `work` increases the counters."""

    operator: OperatorMetrics
    gateway: GatewayMetrics
    server: ServingMetrics
    grader: GraderMetrics

    @classmethod
    def made(cls) -> Processes:
        made = cls(OperatorMetrics(), GatewayMetrics(), ServingMetrics(), GraderMetrics())
        made.gateway.watch(in_flight=lambda: 3, serving=lambda: (False,))
        made.server.watch(in_flight=lambda: 2, cache_bytes=lambda: 1e6)
        made.operator.leader.set(1)
        for name, phase in (("busy", "Running"), ("sad", "Failed")):
            status = RunStatus(phase=phase, stage="sft", gpu_hours=1.5)
            made.operator.runs.status_written(Ref(kind=RUN, namespace="team", name=name), status)
        ledger = Ledger(EventReader(PACK), gateway="gateway", clock=time.time)
        ledger.set_traffic(Traffic(rollout="r", weight=10))
        ledger.counts.add_birth(10, "canary")
        ledger.counts.add(10, "canary", {"abandoned": True})
        RolloutCollector(ledger, registry=made.gateway.registry)
        skewed = RolloutStatus(
            id="r", stage="Steps", weight=10, started=_THEN, step_started=_THEN, reason=ASSIGNMENT_SKEWED
        )
        for name, phase, reason, rollout in (
            ("desk", "Degraded", WARM_UP_FAILED, None),
            ("worse", "Ready", ROLLED_BACK, None),
            ("skewed", "Ready", TRYING_POLICY, skewed),
        ):
            conditions = set_condition((), ROLLED_OUT, "False", reason=reason, generation=1, now=0.0)
            made.operator.endpoints.status_written(
                Ref(kind=ENDPOINT, namespace="team", name=name),
                EndpointStatus(phase=phase, conditions=conditions, rollout=rollout),
            )
        return made

    def work(self) -> None:
        ref = Ref(kind=RUN, namespace="team", name="busy")
        for failed in (True, False):
            self.operator.reconciled(ref, waited=20.0, took=0.1, failed=failed)
        self.operator.called("GET", "/apis/batch/v1/namespaces/team/jobs", 200)
        times = {"started": _THEN, "finished": "2026-01-01T00:01:00Z"}
        ended = StageRecord(name="sft", state="Published", settled=1, ended="Published", **times)
        self.operator.run_written(
            Ref(kind=RUN, namespace="team", name="over"), RunStatus(), RunStatus(stages=(ended,))
        )
        for metrics in (self.gateway, self.server):
            for code in ("OK", "INTERNAL", "RESOURCE_EXHAUSTED"):
                metrics.calls["Decide", code] += 1
            metrics.seconds.observe(("Decide",), 20.0)
        for action, origin in (("ask", "model"), ("stop", "model"), ("ask", "no_server")):
            self.gateway.count_decision(action, origin)
            self.server.count_decision(action, origin, TokenUsage(prompt=100, cached=0, completion=8))
        self.gateway.record_failures.inc()
        self.grader.count("rewarding", MissingGrade(reason="unreadable"))


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of Prometheus, once it has scraped the processes at work for a while."""
    processes, folder = Processes.made(), tmp_path_factory.mktemp("prometheus")
    labelled: list[tuple[CollectorRegistry, Json]] = [
        (processes.operator.registry, {"namespace": HOME, "pod": "operator"}),
        (processes.gateway.registry, {**_POD, "pod": "gateway"}),
        (processes.server.registry, {**_POD, "pod": "server"}),
        (processes.grader.registry, {"namespace": "team", "learntoask_io_run": "busy", "pod": "grader"}),
    ]
    exposed = [(expose(registry, host="127.0.0.1", port=0), labels) for registry, labels in labelled]
    targets = [
        {"targets": [f"127.0.0.1:{server.server_port}"], "labels": labels} for (server, _), labels in exposed
    ]
    address = f"127.0.0.1:{_free_port()}"
    (rule,) = of_kind(rendered(CHART / "ci" / "monitoring-values.yaml"), "PrometheusRule")
    (folder / "rules.yaml").write_text(yaml.safe_dump(rule["spec"]))
    scraped = {"job_name": "lta", "honor_labels": True, "static_configs": targets}
    config = {
        "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
        "rule_files": ["rules.yaml"],
        "scrape_configs": [scraped],
    }
    (folder / "prometheus.yaml").write_text(yaml.safe_dump(config))
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [
                str(tool("prometheus")),
                f"--config.file={folder / 'prometheus.yaml'}",
                f"--storage.tsdb.path={folder / 'data'}",
                f"--web.listen-address={address}",
            ],
            stdout=log,
            stderr=log,
        )
        try:
            deadline = time.monotonic() + _PATIENCE
            while not _seen_working(address):
                processes.work()
                assert process.poll() is None, (folder / "log").read_text()[-2000:]
                assert time.monotonic() < deadline, (folder / "log").read_text()[-2000:]
                time.sleep(0.5)
            yield address
        finally:
            process.kill()
            process.wait()
            for (server, _), _ in exposed:
                server.shutdown()


def test_the_alerts_that_are_called_for_are_seen_and_no_other(prometheus: str) -> None:
    def seen() -> set[str]:
        alerts = _asked(prometheus, "alerts")["alerts"]
        return {one["labels"]["alertname"] for one in alerts}

    assert _until(lambda: seen() >= CALLED_FOR), CALLED_FOR - seen()
    assert seen() == CALLED_FOR
    rules = [one for group in _asked(prometheus, "rules")["groups"] for one in group["rules"]]
    assert {one["name"] for one in rules} == CALLED_FOR | {"LearnToAskNoLeader"}
    assert {one["health"] for one in rules} == {"ok"}


def test_every_panel_of_the_dashboard_shows_something(prometheus: str) -> None:
    dashboard = json.loads((CHART / "files" / "dashboard.json").read_text())
    asked = {
        (panel["title"], target["expr"])
        for panel in dashboard["panels"]
        for target in panel.get("targets", ())
    }
    for title, expression in sorted(asked):
        query = re.sub(r"\$(namespace|endpoint)\b", ".*", expression.replace("$__rate_interval", "1m"))
        assert _asked(prometheus, "query", query=query)["result"], (title, query)


def test_the_variables_of_the_dashboard_have_choices(prometheus: str) -> None:
    dashboard = json.loads((CHART / "files" / "dashboard.json").read_text())
    for variable in dashboard["templating"]["list"][1:]:
        inner = re.fullmatch(r"label_values\((.*), (\w+)\)", variable["query"].replace("$namespace", ".*"))
        assert inner
        found = _asked(prometheus, "series", **{"match[]": inner[1]})
        assert {one[inner[2]] for one in found} & {"team", "desk"}


def _seen_working(address: str) -> bool:
    """Whether there are two different samples of each process, so that its counters have rates."""
    counters = ("operator_passes", "gateway_decisions", "serving_decisions", "grader_grades")
    rates = (f"rate(lta_{counter}_total[1m]) > 0" for counter in counters)
    try:
        return all(_asked(address, "query", query=rate)["result"] for rate in rates)
    except OSError:
        return False


def _asked(address: str, what: str, **arguments: str) -> Any:
    with urlopen(f"http://{address}/api/v1/{what}?{urlencode(arguments)}", timeout=10) as answer:
        return json.load(answer)["data"]


def _until(condition: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + _PATIENCE
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.5)
    return True


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
