"""Any events in any order, with the operator killed anywhere: a stage never has two attempts at once and never runs
again under a key that it has published, and the status never goes back."""

from __future__ import annotations

from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from learntoask.core.pod_contract import STAGE_KEY_ANNOTATION, STAGE_LABEL
from learntoask.core.status.run import FINISHED_PHASES, RunStatus
from learntoask.kube import JOB, POD, RUN
from worlds.operator import World, attempt_of


class Life(RuleBasedStateMachine):
    """Pods begin, end and are evicted, users edit and annotate, watches are late, the operator is killed anywhere."""

    @initialize(attempts=st.integers(1, 3), workers=st.sampled_from([1, 2]))
    def begin(self, attempts: int, workers: int) -> None:
        distributed = {"distributed": {"workers": workers, "zero": int(workers > 1)}}
        self.world = World({"attempts": attempts, "startDeadline": "10m", "train": distributed})
        self.before = self.world.status
        self.created: set[str] = set()
        self.asked = 0

    # --- the operator ---
    @rule(delivered=st.integers(0, 6), crash_after=st.one_of(st.none(), st.integers(1, 6)))
    def operate(self, delivered: int, crash_after: int | None) -> None:
        """Reconcile once, on objects that may be old."""
        self.world.watch(delivered)
        published = {
            (record.name, record.key) for record in self.world.status.stages if record.ended == "Published"
        }
        known = {job["metadata"]["name"] for job in self.world.jobs()}
        self.world.operate(crash_after=crash_after)
        for job in self.world.jobs():
            if job["metadata"]["name"] not in known:
                stage = job["metadata"]["labels"][STAGE_LABEL]
                key = job["metadata"]["annotations"][STAGE_KEY_ANNOTATION]
                assert (stage, key) not in published, f"{stage} is run again under a key it has published"

    @rule()
    def catch_up(self) -> None:
        self.world.watch()
        self.world.operate()

    @rule()
    def kill(self) -> None:
        self.world.restart()

    @rule(seconds=st.sampled_from([1, 5, 30, 301, 601]))
    def wait(self, seconds: int) -> None:
        self.world.now += seconds

    # --- the cluster ---
    @rule()
    def job_controller(self) -> None:
        self.world.make_pods()

    @precondition(lambda self: self.world.pods(alive=True))
    @rule(
        data=st.data(),
        how=st.sampled_from(["begin", "succeed", "succeed", "succeed", "fail", "refuse", "evict"]),
    )
    def pod(self, data: st.DataObject, how: str) -> None:
        pod = data.draw(st.sampled_from(self.world.pods(alive=True)))
        if how == "begin" and pod["status"]["phase"] == "Pending":
            self.world.begin(pod)
        elif how == "succeed":
            self.world.succeed(pod)
        elif how == "fail":
            self.world.fail(pod)
        elif how == "refuse":
            self.world.fail(pod, retryable=False)
        elif how == "evict":
            self.world.evict(pod)

    @rule()
    def kubelet(self) -> None:
        self.world.finish_deleted()

    @precondition(lambda self: self.world.jobs())
    @rule(data=st.data())
    def somebody_deletes_a_job(self, data: st.DataObject) -> None:
        self.world.kube.remove(JOB, data.draw(st.sampled_from(self.world.jobs())))

    # --- users ---
    @rule(suspend=st.booleans())
    def suspend(self, suspend: bool) -> None:
        self.world.edit(suspend=suspend)

    @precondition(lambda self: self.world.run["spec"].get("suspend"))
    @rule(epochs=st.integers(1, 3))
    def edit(self, epochs: int) -> None:
        train = self.world.run["spec"]["train"]
        self.world.edit(train={**train, "sft": {"epochs": epochs}})

    @rule(what=st.sampled_from(["retry=", "rerun=prepare=", "rerun=grpo=", "rerun=resolve="]))
    def ask(self, what: str) -> None:
        self.asked += 1
        name, _, value = what.partition("=")
        self.world.annotate(**{name: f"{value}{self.asked}"})

    # --- invariants ---
    @invariant()
    def one_attempt_at_once(self) -> None:
        if not hasattr(self, "world"):
            return
        alive: dict[str, set[str]] = {}
        for pod in self.world.kube.all(POD):
            if pod["status"]["phase"] == "Running":
                stage = pod["metadata"]["labels"][STAGE_LABEL]
                alive.setdefault(stage, set()).add(pod["metadata"]["ownerReferences"][0]["uid"])
        assert all(len(jobs) == 1 for jobs in alive.values()), f"two attempts at once: {alive}"
        active = [
            (job["metadata"]["labels"][STAGE_LABEL], job["metadata"]["name"])
            for job in self.world.jobs(active=True)
        ]
        stages = [stage for stage, _ in active]
        assert len(stages) == len(set(stages)), f"two Jobs at once: {active}"

    @invariant()
    def status_is_monotone(self) -> None:
        if not hasattr(self, "world"):
            return
        after = self.world.status
        for record in after.stages:
            old = self.before.record(record.name)
            if old is None or old.key != record.key:
                continue
            assert record.attempt >= old.attempt, f"{record.name} went back from attempt {old.attempt}"
            assert record.settled >= old.settled
            if old.ended == "Published":
                assert (record.ended, record.output) == ("Published", old.output), (
                    f"{record.name} was unpublished"
                )
            assert record.gpu_hours >= old.gpu_hours
        if self.before.phase in FINISHED_PHASES and after.phase != self.before.phase:
            assert _something_was_asked(self.before, after), f"{self.before.phase} became {after.phase}"
        self.before = after

    @invariant()
    def attempts_are_bounded(self) -> None:
        if not hasattr(self, "world"):
            return
        for record in self.world.status.stages:
            assert record.attempt - record.exempt <= self.world.run["spec"]["attempts"]
        assert all(attempt_of(job) >= 1 for job in self.world.jobs())

    def teardown(self) -> None:
        """Without further changes, and with pods that succeed, a run ends."""
        if not hasattr(self, "world"):
            return
        self.world.edit(suspend=False)
        for _ in range(60):
            self.world.finish_deleted()
            self.world.settle()
            if self.world.status.finished:
                break
            self.world.make_pods()
            for pod in self.world.pods(alive=True):
                self.world.succeed(pod)
            self.world.now += 700
        assert self.world.status.phase in FINISHED_PHASES, (
            f"stuck: {self.world.status.reason}: {self.world.status.message}"
        )
        self.world.settle()
        assert (RUN, "default", "clinic") in self.world.kube.objects


def _something_was_asked(before: RunStatus, after: RunStatus) -> bool:
    handled: Any = before.handled != after.handled
    return bool(handled or before.observed_generation != after.observed_generation)


Life.TestCase.settings = settings(max_examples=30, stateful_step_count=50, deadline=None)
TestLife = Life.TestCase
