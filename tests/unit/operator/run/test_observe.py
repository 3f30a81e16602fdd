"""From Jobs and pods to what the planner is told about a stage."""

from __future__ import annotations

import json
from typing import Any

from learntoask.core.json_object import Json
from learntoask.core.status.conditions import timestamp
from learntoask.core.status.run import Failure, StageRecord
from learntoask_operator.run.observe import ObservedStage, observe
from learntoask_operator.run.stage_records import settle

NOW = 1_700_000_000.0


def job(
    attempt: int = 1, *, key: str = "k", ended: str | None = None, ago: float = 0.0, **changes: Any
) -> Json:
    at = timestamp(NOW - ago)
    conditions = [{"type": ended, "status": "True", "reason": "R", "message": "m", "lastTransitionTime": at}]
    metadata = {
        "name": f"run-sft-{key}-{attempt}",
        "uid": f"uid-{key}-{attempt}",
        "labels": {"learntoask.io/attempt": str(attempt)},
        "annotations": {"learntoask.io/stage-key": key},
        "creationTimestamp": timestamp(NOW - 100),
        **changes.pop("metadata", {}),
    }
    status = {"conditions": conditions if ended else [], **changes.pop("status", {})}
    return {"metadata": metadata, "spec": changes, "status": status}


def pod(
    phase: str = "Running", *, attempt: int = 1, index: int = 0, code: int = 0, says: Any = None, **more: Any
) -> Json:
    owner = {"uid": f"uid-k-{attempt}", "controller": True}
    metadata = {
        "name": f"pod-{attempt}-{index}",
        "uid": f"pod-uid-{attempt}-{index}",
        "labels": {"batch.kubernetes.io/job-completion-index": str(index)},
        "ownerReferences": [owner],
        "creationTimestamp": timestamp(NOW - 90),
    }
    times = {"startedAt": timestamp(NOW - 80)}
    words = says if isinstance(says, str) else json.dumps(says)
    ended = {
        "exitCode": code,
        "message": words,
        "finishedAt": timestamp(NOW - 5),
        **times,
        **more.pop("end", {}),
    }
    state = {"Running": {"running": times}, "Pending": {}}.get(phase, {"terminated": ended})
    containers = [{"name": "stage", "state": state}] if state else []
    return {
        "metadata": metadata,
        "status": {"phase": phase, "containerStatuses": containers, "conditions": [], **more},
    }


def look(
    record: StageRecord | None = None, *, jobs: list[Json], pods: list[Json], together: int = 1
) -> ObservedStage:
    return observe(
        record or StageRecord(name="sft", key="k", attempt=1),
        jobs=jobs,
        pods=pods,
        together=together,
        now=NOW,
    )


def state(seen: ObservedStage) -> str:
    return seen.observed.state if seen.observed else ""


EVICTED = [{"type": "DisruptionTarget", "status": "True", "reason": "Evicted", "message": "drained"}]


def test_nothing_is_nothing() -> None:
    assert look(StageRecord(name="sft"), jobs=[], pods=[]).observed is None


def test_an_ended_job_that_no_record_knows_waits_until_it_is_asked_for() -> None:
    """Its creation is not in the status, so the attempt is created again, and its name collides with this Job."""
    assert look(StageRecord(name="sft"), jobs=[job(ended="Complete")], pods=[]).observed is None


def test_a_job_waits_queues_runs_and_succeeds() -> None:
    assert state(look(jobs=[job()], pods=[])) == "waiting"
    assert state(look(jobs=[job(suspend=True)], pods=[])) == "queued"
    running = look(jobs=[job()], pods=[pod()])
    assert (state(running), running.ran) == ("running", NOW - 80)
    done = look(
        jobs=[job(ended="Complete")], pods=[pod("Succeeded", says={"output": "o", "summary": {"n": 1}})]
    )
    assert done.result is not None
    assert (done.result.output, done.result.summary) == ("o", {"n": 1})


def test_workers_that_need_one_another_run_when_all_run() -> None:
    assert state(look(jobs=[job()], pods=[pod(), pod("Pending", index=1)], together=2)) == "waiting"
    assert state(look(jobs=[job()], pods=[pod(), pod(index=1)], together=2)) == "running"


def test_the_scheduler_and_the_image_say_why_nothing_runs() -> None:
    unscheduled = [
        {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "no GPU"}
    ]
    found = look(jobs=[job()], pods=[pod("Pending", conditions=unscheduled)]).observed
    assert found is not None
    assert (found.reason, found.message) == ("Unschedulable", "pod pod-1-0: no GPU")
    waiting = [
        {"name": "stage", "state": {"waiting": {"reason": "ImagePullBackOff", "message": "no such image"}}}
    ]
    found = look(jobs=[job()], pods=[pod("Pending", containerStatuses=waiting)]).observed
    assert found is not None
    assert found.reason == "ImagePullBackOff"


def test_a_failure_is_in_the_containers_own_words() -> None:
    says = {"reason": "LowAgreement", "message": "κ is 0.1", "retryable": False}
    seen = look(jobs=[job(ended="Failed")], pods=[pod("Failed", code=3, says=says)])
    assert state(seen) == "failed"
    assert seen.failure is not None
    assert (seen.failure.pod, seen.failure.container, seen.failure.exit_code) == ("pod-1-0", "stage", 3)
    assert (seen.failure.reason, seen.failure.message, seen.failure.retryable) == (
        "LowAgreement",
        "κ is 0.1",
        False,
    )


def test_a_log_tail_and_a_kill_for_memory_are_told_as_they_are() -> None:
    traceback = look(jobs=[job(ended="Failed")], pods=[pod("Failed", code=1, says="Traceback …")]).failure
    assert traceback is not None
    assert (traceback.reason, traceback.message, traceback.retryable) == ("Crashed", "Traceback …", True)
    killed = look(
        jobs=[job(ended="Failed")], pods=[pod("Failed", code=137, says="", end={"reason": "OOMKilled"})]
    )
    assert killed.failure is not None
    assert killed.failure.reason == "OOMKilled"
    assert "memory" in killed.failure.message


def test_of_several_the_one_that_speaks_for_itself_explains_the_failure() -> None:
    peers = [
        pod("Failed", code=137, says=""),
        pod("Failed", index=1, code=1, says="Traceback: connection lost"),
        pod("Failed", index=2, code=3, says={"reason": "Diverged", "message": "loss is nan"}),
    ]
    failure = look(jobs=[job(ended="Failed")], pods=peers, together=3).failure
    assert failure is not None
    assert failure.reason == "Diverged"


def test_a_lost_node_is_no_failure() -> None:
    seen = look(jobs=[job(ended="Failed")], pods=[pod("Failed", code=143, says="", conditions=EVICTED)])
    assert (state(seen), seen.observed.exempt if seen.observed else 0) == ("disrupted", 1)
    told = {"reason": "Disrupted", "message": "told to end", "retryable": True}
    assert state(look(jobs=[job(ended="Failed")], pods=[pod("Failed", code=143, says=told)])) == "disrupted"


def test_the_watch_of_pods_may_be_behind_that_of_jobs() -> None:
    seen = look(jobs=[job(ended="Complete")], pods=[])
    assert (state(seen), seen.look_again) == ("ending", NOW + 15)
    late = look(jobs=[job(ended="Complete", ago=16)], pods=[])
    assert late.observed is not None
    assert (late.observed.state, late.observed.reason) == ("disrupted", "OutputUnknown")
    assert state(look(jobs=[job(ended="Failed", ago=16)], pods=[])) == "failed"
    assert state(look(jobs=[job(ended="Complete")], pods=[pod()])) == "ending"


def test_pods_of_a_job_that_is_gone_hold_up_the_next_attempt() -> None:
    record = StageRecord(name="sft", key="k", attempt=1)
    assert state(look(record, jobs=[], pods=[pod()])) == "ending"
    lost = look(record, jobs=[], pods=[])
    assert lost.observed is not None
    assert (lost.observed.state, lost.observed.reason, lost.observed.exempt) == ("disrupted", "JobDeleted", 1)


def test_a_settled_attempt_stays_settled_and_its_job_is_superfluous() -> None:
    failure = Failure(stage="sft", attempt=1, reason="NeverStarted", message="no GPU")
    record = StageRecord(
        name="sft",
        key="k",
        attempt=1,
        settled=1,
        ended="Failed",
        last_failure=failure,
        finished=timestamp(NOW),
    )
    seen = look(record, jobs=[job()], pods=[])
    assert (state(seen), seen.superfluous) == ("ending", (("run-sft-k-1", "uid-k-1"),))
    seen = look(record, jobs=[], pods=[])
    assert seen.observed is not None
    assert (seen.observed.state, seen.observed.reason) == ("failed", "NeverStarted")


def test_of_two_jobs_the_recorded_key_counts_and_the_other_goes() -> None:
    record = StageRecord(name="sft", key="k", attempt=1)
    seen = look(record, jobs=[job(), job(key="other")], pods=[])
    assert (state(seen), seen.superfluous) == ("ending", (("run-sft-other-1", "uid-other-1"),))


def test_settling_counts_gpu_hours_once() -> None:
    record = StageRecord(name="sft", key="k", attempt=1)
    seen = look(record, jobs=[job(ended="Complete")], pods=[pod("Succeeded", says={"output": "o"})])
    once = settle(record, seen, gpus=45.0, now=NOW)
    assert (once.ended, once.output, once.gpu_hours) == ("Published", "o", 1.0)
    assert settle(once, seen, gpus=45.0, now=NOW + 99) == once
