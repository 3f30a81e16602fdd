"""Prometheus metrics of the operator."""

from __future__ import annotations

import re
from collections import Counter as Count
from collections.abc import Iterable

from learntoask.core.status.conditions import ROLLED_OUT, find_condition, seconds_of
from learntoask.core.status.endpoint import EndpointStatus
from learntoask.core.status.run import RunStatus
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric

from learntoask_operator.loop import Ref

_STAGE_SECONDS = (5, 15, 60, 300, 900, 1800, 3600, 2 * 3600, 6 * 3600, 12 * 3600, 24 * 3600)
_RECONCILE_SECONDS = (0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 30)
_PLURAL = re.compile(r"^/(?:api|apis/[^/]+)/[^/]+(?:/namespaces/[^/]+)?/([a-z]+)(?:/[^/]+(?:/([a-z]+))?)?$")


class Metrics:
    """All metrics of one process, in one registry."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self.calls = Counter(
            "lta_operator_api_calls",
            "Calls to the API server",
            ["verb", "resource", "code"],
            registry=self.registry,
        )
        self.reconciles = Counter(
            "lta_operator_passes", "Reconciles of objects", ["kind", "result"], registry=self.registry
        )
        self.reconcile_seconds = Histogram(
            "lta_operator_pass_seconds",
            "Time of a reconcile",
            ["kind"],
            buckets=_RECONCILE_SECONDS,
            registry=self.registry,
        )
        self.queue_seconds = Histogram(
            "lta_operator_queue_seconds",
            "Time from what woke an object to its reconcile",
            ["kind"],
            buckets=_RECONCILE_SECONDS,
            registry=self.registry,
        )
        self.stage_seconds = Histogram(
            "lta_run_stage_seconds",
            "Time of attempts that ended",
            ["stage", "ended"],
            buckets=_STAGE_SECONDS,
            registry=self.registry,
        )
        self.leader = Gauge("lta_operator_leader", "1 while this replica acts", registry=self.registry)
        self.runs = RunGauges()
        self.registry.register(self.runs)
        self.endpoints = EndpointGauges()
        self.registry.register(self.endpoints)

    def called(self, method: str, path: str, status: int) -> None:
        """Count a call; see kube.transport.Called."""
        match = _PLURAL.match(path)
        resource = "/".join(part for part in match.groups() if part) if match else "other"
        self.calls.labels(method, resource, str(status)).inc()

    def reconciled(self, ref: Ref, *, waited: float, took: float, failed: bool) -> None:
        """Count a reconcile; see loop.Observer."""
        kind = ref.kind.kind
        self.reconciles.labels(kind, "failed" if failed else "done").inc()
        self.reconcile_seconds.labels(kind).observe(took)
        self.queue_seconds.labels(kind).observe(max(0.0, waited))

    def run_written(self, ref: Ref, before: RunStatus, after: RunStatus) -> None:
        """Take the written status of a run, and the time of each attempt that ended since `before`."""
        self.runs.status_written(ref, after)
        for record in after.stages:
            old = before.record(record.name)
            settled_before = (old.settled, old.key) if old else (0, None)
            if (
                record.ended
                and (record.settled, record.key) != settled_before
                and record.started
                and record.finished
            ):
                took = seconds_of(record.finished) - seconds_of(record.started)
                self.stage_seconds.labels(record.name, record.ended).observe(took)


class RunGauges:
    """Phases and stages of all runs, from their last written status.

    They are computed at each scrape, so that a run that is gone leaves no series behind.
    """

    def __init__(self) -> None:
        self._runs: dict[Ref, tuple[str, str, float]] = {}

    def status_written(self, ref: Ref, status: RunStatus) -> None:
        self._runs[ref] = (status.phase, status.stage, status.gpu_hours)

    def forget(self, ref: Ref) -> None:
        self._runs.pop(ref, None)

    def collect(self) -> Iterable[Metric]:
        phases = GaugeMetricFamily("lta_runs", "Runs by phase", labels=["namespace", "phase"])
        info = GaugeMetricFamily("lta_run_info", "A run", labels=["namespace", "run", "phase", "stage"])
        hours = GaugeMetricFamily(
            "lta_run_gpu_hours", "GPU-hours that a run used", labels=["namespace", "run"]
        )
        counts: Count[tuple[str, str]] = Count()
        for ref, (phase, stage, used) in self._runs.items():
            counts[ref.namespace, phase] += 1
            info.add_metric([ref.namespace, ref.name, phase, stage], 1)
            hours.add_metric([ref.namespace, ref.name], used)
        for (namespace, phase), count in counts.items():
            phases.add_metric([namespace, phase], count)
        return [phases, info, hours]


class EndpointGauges:
    """Phase of all endpoints and reason of their rollout, from their last written status."""

    def __init__(self) -> None:
        self._endpoints: dict[Ref, tuple[str, str]] = {}
        self._rollouts: dict[Ref, tuple[str, int]] = {}

    def status_written(self, ref: Ref, status: EndpointStatus) -> None:
        rolled_out = find_condition(status.conditions, ROLLED_OUT)
        self._endpoints[ref] = (status.phase, rolled_out.reason if rolled_out else "")
        self._rollouts.pop(ref, None)
        if status.rollout is not None:
            self._rollouts[ref] = (status.rollout.reason, status.rollout.weight)

    def forget(self, ref: Ref) -> None:
        self._endpoints.pop(ref, None)
        self._rollouts.pop(ref, None)

    def collect(self) -> Iterable[Metric]:
        info = GaugeMetricFamily(
            "lta_endpoint_info", "An endpoint", labels=["namespace", "endpoint", "phase", "rollout"]
        )
        for ref, (phase, rollout) in self._endpoints.items():
            info.add_metric([ref.namespace, ref.name, phase, rollout], 1)
        weights = GaugeMetricFamily(
            "lta_endpoint_rollout_weight",
            "Percent of the new conversations that a policy gets that is or was tried, by what its rollout waits for",
            labels=["namespace", "endpoint", "reason"],
        )
        for ref, (reason, weight) in self._rollouts.items():
            weights.add_metric([ref.namespace, ref.name, reason], weight)
        return [info, weights]
