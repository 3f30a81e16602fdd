"""Runs with the operator's reconciler, on an API server in memory."""

from __future__ import annotations

import asyncio

import pytest
from learntoask.core.json_object import Json
from learntoask.core.pod_contract import STAGE_LABEL
from learntoask.core.status.conditions import find_condition
from learntoask.kube import (
    CONFIG_MAP,
    DEPLOYMENT,
    ENDPOINT,
    JOB,
    POD,
    RUN,
    SERVICE,
    Forbidden,
    Invalid,
    Kind,
)
from learntoask.progress.report import ProgressReport
from worlds.operator import World, attempt_of

STAGES = ["resolve", "fetch", "prepare", "label", "grader", "sft", "grpo", "evaluate", "gate", "serve"]


def test_a_run_goes_from_its_inputs_to_an_endpoint() -> None:
    world = World()
    world.run_to_end()
    status = world.status
    assert (status.phase, status.reason) == ("Succeeded", "RunSucceeded")
    assert sorted(job["metadata"]["labels"][STAGE_LABEL] for job in world.jobs()) == sorted(STAGES)
    endpoint = world.kube.objects[ENDPOINT, "default", "clinic"]
    assert "ownerReferences" not in endpoint["metadata"]
    assert endpoint["spec"]["policy"] == {
        "run": "clinic",
        "publication": world.stage("serve").key,
        "policy": world.stage("grpo").key,
    }
    assert status.lineage is not None
    assert status.lineage.served == world.stage("serve").key
    assert [reason for reason in world.events.reasons if reason == "StagePublished"] == [
        "StagePublished"
    ] * 10
    assert world.events.reasons[-1] in ("RunSucceeded", "EndpointApplied")


def test_the_first_child_costs_three_writes() -> None:
    world = World()
    world.operate()
    assert world.kube.writes == ["create configmaps", "create jobs", "patch learntoaskruns"]


def test_a_pass_over_a_run_at_rest_writes_nothing() -> None:
    world = World()
    world.settle()
    before = len(world.kube.writes)
    world.now += 30
    world.operate()
    assert len(world.kube.writes) == before


def test_a_finished_run_stays_so_when_its_children_vanish() -> None:
    world = World()
    world.run_to_end()
    for job in world.jobs():
        world.kube.remove(JOB, job)
    world.finish_deleted()
    world.restart()
    world.settle()
    assert world.status.phase == "Succeeded"
    assert world.jobs() == []


def test_a_failed_attempt_is_repeated_and_what_cannot_succeed_is_not() -> None:
    world = World()
    world.settle()
    world.make_pods()
    world.fail(world.pods("resolve")[0])
    world.settle()
    record = world.stage("resolve")
    assert (record.state, record.attempt, record.last_failure.reason) == ("Retrying", 1, "Broken")  # type: ignore[union-attr]
    assert len(world.jobs("resolve")) == 1
    world.now = world.wake_at or 0
    world.settle()
    assert [attempt_of(job) for job in world.jobs("resolve", active=True)] == [2]
    world.make_pods()
    world.fail(world.pods("resolve", alive=True)[0], retryable=False)
    world.settle()
    assert (world.status.phase, world.status.reason) == ("Failed", "Broken")
    assert "Broken it is" in world.status.message
    assert "RunFailed" in world.events.reasons


def test_what_the_cluster_ends_does_not_count() -> None:
    world = World({"attempts": 1, "train": {"distributed": {"workers": 2, "zero": 1}}})
    world.settle()
    while not world.jobs("sft"):
        for job in world.jobs(active=True):
            world.go(job["metadata"]["labels"][STAGE_LABEL])
        world.settle()
    assert (
        world.kube.objects[SERVICE, "default", world.jobs("sft")[0]["metadata"]["name"]]["spec"]["clusterIP"]
        == "None"
    )
    world.make_pods()
    first, second = world.pods("sft", alive=True)
    world.begin(first)
    world.begin(second)
    world.settle()
    world.evict(world.kube.objects[POD, "default", first["metadata"]["name"]])
    world.settle()
    record = world.stage("sft")
    assert (record.state, record.exempt, record.disruptions) == ("Retrying", 1, 1)
    assert "StageDisrupted" in world.events.reasons
    world.now = world.wake_at or 0
    world.settle()
    assert [attempt_of(job) for job in world.jobs("sft", active=True)] == [2]
    world.run_to_end()
    assert world.status.phase == "Succeeded"


def test_an_attempt_that_never_starts_fails_with_the_schedulers_words() -> None:
    world = World({"startDeadline": "1m", "attempts": 1})
    world.settle()
    world.make_pods()
    pod = world.pods("resolve")[0]
    unscheduled = {
        "type": "PodScheduled",
        "status": "False",
        "reason": "Unschedulable",
        "message": "0/3 nodes: no GPU",
    }
    world.kube.put(POD, {**pod, "status": {"phase": "Pending", "conditions": [unscheduled]}})
    world.settle()
    assert "no GPU" in world.stage("resolve").message
    world.now += 61
    world.settle()
    world.finish_deleted()
    world.settle()
    assert world.status.phase == "Failed"
    assert world.status.reason == "NeverStarted"
    assert "no GPU" in world.status.message
    assert world.jobs(active=True) == []


def test_suspending_ends_pods_first_and_resuming_goes_on() -> None:
    world = World()
    world.settle()
    world.make_pods()
    world.begin(world.pods("resolve")[0])
    world.settle()
    world.edit(suspend=True)
    world.settle()
    assert (world.status.phase, world.status.reason) == ("Running", "Suspending")
    world.finish_deleted()
    world.settle()
    assert (world.status.phase, world.status.reason) == ("Suspended", "Suspended")
    assert world.jobs(active=True) == []
    world.edit(suspend=False)
    world.settle()
    assert [attempt_of(job) for job in world.jobs("resolve", active=True)] == [2]
    assert world.stage("resolve").exempt == 1
    world.run_to_end()
    assert world.events.reasons.count("Resumed") == 1


def test_a_setting_edited_while_suspended_repeats_what_depends_on_it() -> None:
    world = World()
    world.settle()
    while not world.jobs("grpo"):
        for job in world.jobs(active=True):
            world.go(job["metadata"]["labels"][STAGE_LABEL])
        world.settle()
    sft = world.stage("sft").key
    world.edit(suspend=True)
    world.settle()
    world.finish_deleted()
    world.settle()
    world.edit(suspend=False, train={"sft": {"epochs": 5}})
    world.settle()
    assert world.stage("sft").key != sft
    assert world.stage("prepare").state == "Published"
    world.run_to_end()
    assert len(world.jobs("prepare")) == 1
    assert len(world.jobs("sft")) == 2


def test_no_attempt_starts_before_the_pods_of_the_last_are_gone() -> None:
    world = World()
    world.settle()
    world.make_pods()
    world.begin(world.pods("resolve")[0])
    world.settle()
    world.kube.remove(JOB, world.jobs("resolve")[0])  # a user did that
    world.now += 600
    world.settle()
    assert world.jobs() == []
    world.finish_deleted()
    world.settle()
    world.now += 600
    world.settle()
    assert [attempt_of(job) for job in world.jobs()] == [2]
    assert world.stage("resolve").exempt == 1


def test_a_run_over_its_gpu_hours_stops_with_the_reason() -> None:
    world = World(
        {"budget": {"gpuHours": 2}, "pods": {"fetch": {"resources": {"limits": {"nvidia.com/gpu": 4}}}}}
    )
    world.settle()
    world.go("resolve")
    world.settle()
    world.make_pods()
    world.begin(world.pods("fetch")[0])
    world.settle()
    assert world.wake_at == world.now + 1800
    world.now += 1801
    world.settle()
    world.finish_deleted()
    world.settle()
    assert (world.status.phase, world.status.reason) == ("Failed", "BudgetExhausted")
    within = find_condition(world.status.conditions, "WithinBudget")
    assert within is not None
    assert within.status == "False"
    assert world.status.gpu_hours == pytest.approx(2.0, abs=0.01)
    assert world.jobs(active=True) == []
    world.edit(budget={"gpuHours": 8})
    world.settle()
    assert world.status.phase == "Running"


def test_retry_goes_on_and_rerun_begins_anew() -> None:
    world = World({"attempts": 1})
    world.settle()
    world.make_pods()
    world.fail(world.pods("resolve")[0])
    world.settle()
    assert world.status.phase == "Failed"
    world.annotate(retry="1")
    world.settle()
    assert [attempt_of(job) for job in world.jobs("resolve", active=True)] == [2]
    world.run_to_end()
    assert world.status.phase == "Succeeded"
    old = world.stage("evaluate").key
    world.annotate(rerun="evaluate=1")
    world.settle()
    assert world.stage("evaluate").key != old
    assert world.status.phase == "Running"
    assert "Rewound" in world.events.reasons
    world.run_to_end()
    assert len(world.jobs("evaluate")) == 2
    assert len(world.jobs("grpo")) == 1
    before = len(world.kube.writes)
    world.restart()
    world.settle()
    assert len(world.kube.writes) == before, "an annotation is acted on once"


def test_a_rerun_of_no_stage_is_told_and_changes_nothing() -> None:
    world = World()
    world.run_to_end()
    world.annotate(rerun="nosuch=1")
    world.settle()
    assert world.status.phase == "Succeeded"


def test_cancelling_ends_the_run_for_good() -> None:
    world = World()
    world.settle()
    world.annotate(cancel="wrong logs")
    world.settle()
    assert (world.status.phase, world.status.message) == ("Cancelled", "wrong logs")
    assert world.jobs(active=True) == []


def test_a_refused_policy_is_not_served() -> None:
    world = World()
    world.run_to_end(gate={"summary": {"passed": False, "message": "WS-stop .2 is below .5"}})
    assert (world.status.phase, world.status.reason) == ("Failed", "GateFailed")
    assert "WS-stop" in world.status.message
    assert not world.kube.all(ENDPOINT)
    assert "GateFailed" in world.events.reasons


def test_an_endpoint_that_people_made_keeps_what_they_set() -> None:
    world = World()
    metadata = {"name": "clinic", "namespace": "default", "annotations": {"test/owner": "people"}}
    world.kube.put(ENDPOINT, {"metadata": metadata, "spec": {"policy": {"uri": "s3://m"}}})
    world.run_to_end()
    world.settle()
    assert world.kube.objects[ENDPOINT, "default", "clinic"]["spec"]["policy"] == {"uri": "s3://m"}
    assert world.status.phase == "Succeeded"
    assert world.events.reasons.count("EndpointForeign") == 1


def test_a_name_that_somebody_else_took_is_left_alone() -> None:
    world = World()
    made = World()
    made.operate()
    name = made.jobs()[0]["metadata"]["name"]
    world.kube.put(
        JOB, {"metadata": {"name": name, "namespace": "default", "labels": {}}, "spec": {}, "status": {}}
    )
    world.watch()
    world.operate()
    progressing = find_condition(world.status.conditions, "Progressing")
    assert progressing is not None
    assert (progressing.status, progressing.reason) == ("False", "ChildForeign")
    assert name in progressing.message
    assert world.kube.objects[JOB, "default", name]["metadata"]["labels"] == {}


def test_a_run_that_is_invalid_says_why_and_waits_for_an_edit() -> None:
    world = World({"dataset": {"uri": "logs.jsonl"}})
    world.settle()
    accepted = find_condition(world.status.conditions, "Accepted")
    assert accepted is not None
    assert (accepted.status, accepted.reason) == ("False", "InvalidSpec")
    assert "spec.dataset.uri" in accepted.message
    assert world.events.reasons == ["InvalidSpec"]
    world.edit(dataset={"uri": "s3://logs/a.jsonl"})
    world.settle()
    assert world.jobs("resolve")


def test_an_expired_run_goes_after_its_children() -> None:
    world = World({"ttl": "1h"})
    world.run_to_end()
    world.now += 3601
    world.watch()
    world.operate()
    assert world.jobs() == []
    assert (RUN, "default", "clinic") in world.kube.objects
    world.finish_deleted()
    world.watch()
    world.operate()
    assert (RUN, "default", "clinic") not in world.kube.objects
    assert (ENDPOINT, "default", "clinic") in world.kube.objects, "serving outlives training"
    assert world.events.reasons[-1] == "Expired"


def test_a_run_whose_artefacts_may_go_leaves_a_list_of_them_that_outlives_it() -> None:
    world = World({"artefacts": "remove"})
    world.run_to_end()
    left = world.kube.objects[CONFIG_MAP, "default", "clinic-artefacts"]
    assert set(left["data"]["keys"].split()) == {one.key for one in world.status.stages if one.output}
    assert left["data"]["store"] == "s3://artefacts/lta"
    world.kube.remove(RUN, world.run)
    assert (CONFIG_MAP, "default", "clinic-artefacts") in world.kube.objects
    kept = World()
    kept.run_to_end()
    assert (CONFIG_MAP, "default", "clinic-artefacts") not in kept.kube.objects


def test_a_judge_and_graders_are_served_while_stages_ask_them() -> None:
    llm = {"endpoint": {"uri": "http://localhost/v1", "model": "judge"}, "server": {"model": "hf:a/b"}}
    world = World({"grader": {"method": "llm", "replicas": 2, "llm": llm}})
    world.settle()
    while not world.kube.all(DEPLOYMENT):
        for job in world.jobs(active=True):
            world.go(job["metadata"]["labels"][STAGE_LABEL])
        world.settle()
    judge = world.kube.objects[DEPLOYMENT, "default", "clinic-judge-service"]
    assert not world.jobs("grader"), "it waits for its judge"
    assert world.stage("grader").reason == "ServiceNotReady"
    world.kube.put(DEPLOYMENT, {**judge, "status": {"availableReplicas": 1}})
    world.settle()
    assert world.jobs("grader", active=True)
    config = world.kube.objects[CONFIG_MAP, "default", world.status.configuration]
    assert "http://clinic-judge-service.default.svc:8000/v1" in config["data"]["run.json"]
    for _ in range(60):
        for made in world.kube.all(DEPLOYMENT):
            if not made.get("status"):
                world.kube.put(DEPLOYMENT, {**made, "status": {"availableReplicas": 1}})
        for job in world.jobs(active=True):
            world.go(job["metadata"]["labels"][STAGE_LABEL])
        world.settle()
        if world.status.finished:
            break
    assert world.status.phase == "Succeeded"
    assert world.kube.all(DEPLOYMENT) == []


@pytest.mark.parametrize("crash_after", range(1, 8))
def test_killed_after_any_write_the_children_are_the_same(crash_after: int) -> None:
    world, whole = World(), World()
    whole.run_to_end()
    for _ in range(200):
        world.watch()
        world.operate(crash_after=crash_after)
        world.watch()
        world.operate(crash_after=1)
        if world.status.finished:
            break
        for job in world.jobs(active=True):
            world.go(job["metadata"]["labels"][STAGE_LABEL])
    world.settle()
    assert world.status.phase == "Succeeded"
    names = lambda one: sorted((kind.plural, name) for kind, _, name in one.kube.objects if kind != POD)  # noqa: E731
    assert names(world) == names(whole)


SECRET_MISSING = 'MountVolume.SetUp failed for volume "store-credentials" : secret "store-keys" not found'


def test_what_a_kubelet_tells_by_an_event_only_is_in_stage_condition_and_event() -> None:
    world = World()
    world.settle()
    world.make_pods()
    world.settle()
    world.now += 5
    world.warn(world.pods("resolve")[0], "FailedMount", SECRET_MISSING)
    world.settle()
    progressing = find_condition(world.status.conditions, "Progressing")
    assert world.stage("resolve").reason == "FailedMount"
    for text in (
        world.stage("resolve").message,
        progressing.message if progressing else "",
        world.status.message,
    ):
        assert 'secret "store-keys" not found' in text
    told = [message for reason, message in world.events.posted if reason == "WaitingForPods"]
    assert len(told) == 1
    assert 'secret "store-keys" not found' in told[0]


def test_what_somebody_has_to_mend_fails_early_and_a_retry_goes_on() -> None:
    world = World()
    world.settle()
    world.make_pods()
    world.settle()
    for after in (5, 63):
        world.now += after
        world.warn(world.pods("resolve")[0], "FailedMount", SECRET_MISSING)
        world.settle()
    world.finish_deleted()
    world.settle()
    assert (world.status.phase, world.status.reason) == ("Failed", "CannotStart")
    assert 'secret "store-keys" not found' in world.status.message
    assert "CannotStart" in world.events.reasons
    assert len(world.jobs()) <= 1, "no other attempt was made"
    world.annotate(retry="now")
    world.settle()
    world.run_to_end()
    assert world.status.phase == "Succeeded"


def test_an_image_that_the_registry_refuses_fails_early() -> None:
    world = World()
    world.settle()
    world.make_pods()
    said = 'failed to pull image "lta:1": unauthorized: authentication required'
    (pod,) = world.pods("resolve")
    for reason, after in (("ErrImagePull", 5), ("ImagePullBackOff", 30), ("ErrImagePull", 35)):
        world.now += after
        waiting = {"name": "stage", "state": {"waiting": {"reason": reason, "message": said}}}
        world.kube.put(POD, {**pod, "status": {"phase": "Pending", "containerStatuses": [waiting]}})
        world.settle()
    assert said in world.stage("resolve").message
    world.finish_deleted()
    world.settle()
    assert (world.status.phase, world.status.reason) == ("Failed", "CannotStart")
    assert said in world.status.message
    assert [attempt_of(job) for job in world.jobs("resolve")] in ([], [1]), "no other attempt was made"


def test_what_was_missing_at_first_and_came_does_not_fail_a_run_that_still_loads_its_image() -> None:
    world = World()
    world.settle()
    world.make_pods()
    world.settle()
    world.now += 5
    world.warn(world.pods("resolve")[0], "FailedMount", SECRET_MISSING)
    world.settle()
    world.now += 300
    world.settle()
    assert world.stage("resolve").state == "Waiting"
    world.now += 600
    world.settle()
    assert world.stage("resolve").reason == "", "a cause that is no longer told is not shown"
    world.go("resolve")
    world.run_to_end()
    assert world.status.phase == "Succeeded"


def test_pods_that_cannot_be_created_say_why() -> None:
    world = World()
    world.settle()
    job = world.jobs("resolve")[0]
    quota = 'Error creating: pods "x" is forbidden: exceeded quota: q, requested: pods=1, used: pods=4, limited: pods=4'
    world.warn(job, "FailedCreate", quota)
    world.settle()
    assert "exceeded quota" in world.stage("resolve").message
    world.now += 90
    world.warn(job, "FailedCreate", quota)
    world.settle()
    assert world.stage("resolve").state == "Waiting", "other pods end, and the quota has room"
    never = quota.replace("limited: pods=4", "limited: pods=0")
    world.warn(job, "FailedCreate", never)
    world.settle()
    assert world.status.reason == "CannotStart"


def test_a_job_that_the_api_server_refuses_is_a_condition_and_not_a_traceback() -> None:
    world = World()
    answer = Invalid("POST jobs: spec.template: requests must be at most limits", status=422)
    world.kube.refuse = lambda verb, kind: answer if (verb, kind) == ("create", JOB) else None
    world.settle()
    progressing = find_condition(world.status.conditions, "Progressing")
    assert progressing is not None
    assert (progressing.status, progressing.reason) == ("False", "ChildRefused")
    assert "requests must be at most limits" in progressing.message
    assert find_condition(world.status.conditions, "Stalled") is not None
    assert (world.status.phase, world.status.reason) == ("Pending", "ChildRefused")
    assert world.wake_at == world.now + 30
    assert [reason for reason, _ in world.events.posted] == ["ChildRefused"]
    world.kube.refuse = lambda verb, kind: None
    world.run_to_end()
    assert find_condition(world.status.conditions, "Stalled") is None


def test_an_endpoint_that_may_not_be_written_keeps_the_run_from_succeeding_and_says_so() -> None:
    world = World()
    world.kube.refuse = lambda verb, kind: (
        Forbidden("PATCH askendpoints", status=403) if kind == ENDPOINT else None
    )
    for _ in range(12):
        world.settle()
        for job in world.jobs(active=True):
            world.go(job["metadata"]["labels"][STAGE_LABEL])
    assert (world.status.phase, world.status.reason) == ("Running", "ChildRefused")
    world.kube.refuse = lambda verb, kind: None
    world.settle()
    assert world.status.phase == "Succeeded"
    assert world.status.endpoint is not None
    assert world.status.endpoint.address == "clinic.default.svc:50051"


def test_a_configuration_deleted_by_hand_is_made_again_for_a_pod_that_waits_and_for_the_next() -> None:
    world = World()
    world.settle()
    for kind in (CONFIG_MAP, CONFIG_MAP):
        (made,) = world.kube.all(kind)
        world.kube.remove(kind, made)
        world.settle()
        (again,) = world.kube.all(kind)
        assert (again["metadata"]["name"], again["data"]) == (made["metadata"]["name"], made["data"])
        world.go("resolve")
    world.run_to_end()


def test_the_service_of_workers_and_the_one_of_graders_are_made_again() -> None:
    world = World({"grader": {"replicas": 1}, "train": {"distributed": {"workers": 2, "zero": 1}}})
    while not world.jobs("grpo", active=True):
        world.settle()
        for made in world.kube.all(DEPLOYMENT):
            world.kube.put(DEPLOYMENT, {**made, "status": {"availableReplicas": 1}})
        for job in world.jobs(active=True):
            if job["metadata"]["labels"][STAGE_LABEL] != "grpo":
                world.go(job["metadata"]["labels"][STAGE_LABEL])
    world.make_pods()
    for pod in world.pods("grpo"):
        world.begin(pod)
    world.settle()
    names = {service["metadata"]["name"] for service in world.kube.all(SERVICE)}
    assert {"clinic-grader-service", world.jobs("grpo")[0]["metadata"]["name"]} <= names
    for service in world.kube.all(SERVICE):
        world.kube.remove(SERVICE, service)
    for deployment in world.kube.all(DEPLOYMENT):
        world.kube.remove(DEPLOYMENT, deployment)
    world.settle()
    made = {service["metadata"]["name"] for service in world.kube.all(SERVICE)}
    assert {"clinic-grader-service", world.jobs("grpo")[0]["metadata"]["name"]} <= made
    assert [body["metadata"]["name"] for body in world.kube.all(DEPLOYMENT)] == ["clinic-grader-service"]


def test_no_job_is_made_for_a_run_whose_deletion_nobody_heard_of() -> None:
    world = World()
    seen = world._seen
    world.kube.remove(RUN, world.run)
    world.kube.put(
        RUN, {"metadata": {"name": "clinic", "namespace": "default"}, "spec": seen["spec"] if seen else {}}
    )
    world._seen = seen
    world.operate()
    assert world.jobs() == []
    assert world._seen is None, "it is forgotten"


@pytest.mark.parametrize(
    ("phase", "reason", "left"),
    [
        ("Cancelled", "Cancelled", {"Pending", "Published"}),
        ("Failed", "Broken", {"Pending", "Published", "Failed"}),
    ],
)
def test_a_run_that_is_over_says_so_everywhere(phase: str, reason: str, left: set[str]) -> None:
    world = World()
    world.settle()
    world.go("resolve")
    world.settle()
    world.make_pods()
    for pod in world.pods(alive=True):
        world.begin(pod)
    (job,) = world.jobs("prepare", active=True)
    world.progress.report(
        ProgressReport(
            namespace="default",
            run="clinic",
            stage="prepare",
            attempt=1,
            index=0,
            key=job["metadata"]["annotations"]["learntoask.io/stage-key"],
            done=1,
            total=2,
        )
    )
    world.settle()
    assert world.status.progress == "50%"
    if phase == "Cancelled":
        world.annotate(cancel="Broken it is")
    else:
        world.fail(world.pods("fetch", alive=True)[0], retryable=False)
    world.watch()
    world.operate()
    assert "prepare" in world.status.stage, "its pods still end"
    world.settle()
    world.finish_deleted()
    world.settle()
    status = world.status
    assert (status.phase, status.stage, status.progress) == (phase, "", "")
    assert {record.state for record in status.stages} == left
    stalled = find_condition(status.conditions, "Stalled")
    assert stalled is not None
    assert (stalled.status, stalled.reason) == ("True", reason)
    assert "Broken it is" in stalled.message
    assert find_condition(status.conditions, "Reconciling") is None


def test_two_equal_runs_share_a_stage_under_way() -> None:
    """The second one waits until the first has computed it, and then finds it published."""
    world = World()
    world.settle()
    world.go("resolve")
    alone = World()
    alone.settle()
    alone.go("resolve")
    alone.settle()
    (job,) = alone.jobs("fetch", active=True)
    key = job["metadata"]["annotations"]["learntoask.io/stage-key"]
    twin = {**job["metadata"], "name": f"twin-fetch-{key[:8]}-1", "uid": "twin", "resourceVersion": "1"}
    twin["labels"] = {**twin["labels"], "learntoask.io/run": "twin"}
    elsewhere = {**job, "metadata": twin, "status": {"active": 1, "ready": 1}}
    world.children.observed(JOB, elsewhere)
    world.settle()
    assert world.jobs("fetch") == []
    assert (world.stage("fetch").state, world.stage("fetch").reason) == ("Waiting", "ComputedElsewhere")
    assert twin["name"] in world.stage("fetch").message
    assert world.jobs("prepare"), "what nobody else computes goes on"
    world.children.gone(JOB, elsewhere)
    world.settle()
    assert world.jobs("fetch", active=True)
    world.run_to_end()


def test_two_equal_runs_that_are_reconciled_at_once_create_one_job_of_a_stage(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The second one is decided about while the first one's Job is on its way to the API server."""
    world = World()
    world.settle()
    world.go("resolve")
    world.edit(suspend=True)
    world.settle()
    assert (world.status.phase, world.jobs(active=True)) == ("Suspended", [])
    world.edit(suspend=False)
    twin = {name: value for name, value in world.run["metadata"].items() if name != "uid"}
    world.kube.put(RUN, {**world.run, "metadata": {**twin, "name": "twin"}})
    create = world.kube.create

    async def slow(kind: Kind, body: Json, *, deadline: float = 0) -> Json:
        await asyncio.sleep(0)
        return await create(kind, body, deadline=deadline)

    monkeypatch.setattr(world.kube, "create", slow)

    async def reconcile_both() -> None:
        await asyncio.gather(*(world.reconciler.reconcile(body) for body in world.kube.all(RUN)))

    asyncio.run(reconcile_both())
    assert [job["metadata"]["labels"]["learntoask.io/run"] for job in world.jobs("fetch")] == ["clinic"]
    twin_status = world.kube.objects[RUN, "default", "twin"]["status"]
    (fetch,) = [stage for stage in twin_status["stages"] if stage["name"] == "fetch"]
    assert (fetch["state"], fetch["reason"]) == ("Waiting", "ComputedElsewhere")


@pytest.mark.parametrize("difference", ["store", "suspended", "late", "ended"])
def test_what_another_run_does_not_compute_for_this_store_is_not_waited_for(difference: str) -> None:
    world, alone = World(), World()
    for one in (world, alone):
        one.settle()
        one.go("resolve")
    alone.settle()
    (job,) = alone.jobs("fetch", active=True)
    metadata = {**job["metadata"], "name": "twin", "uid": "twin", "resourceVersion": "1"}
    metadata["labels"] = {**metadata["labels"], "learntoask.io/run": "twin"}
    other = {**job, "metadata": metadata, "status": {"active": 1}}
    match difference:
        case "store":
            metadata["annotations"] = {**metadata["annotations"], "learntoask.io/store": "other"}
        case "suspended":
            other["spec"] = {**job["spec"], "suspend": True}
        case "late":
            world.now += 3 * 3600
        case "ended":
            other["status"] = {"conditions": [{"type": "Failed", "status": "True"}]}
    world.children.observed(JOB, other)
    world.settle()
    assert world.jobs("fetch", active=True)
