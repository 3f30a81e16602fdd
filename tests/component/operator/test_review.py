"""Runs that wait for people, with the operator's reconciler, on an API server in memory."""

from __future__ import annotations

import pytest
from learntoask.core.pod_contract import STAGE_KEY_ANNOTATION, STAGE_LABEL
from learntoask.core.stages.review import second_person
from learntoask.core.status.conditions import REVIEW_DEADLINE_EXCEEDED, WAITING_FOR_REVIEW
from learntoask.kube import DEPLOYMENT, SERVICE
from learntoask.progress.report import ProgressReport
from worlds.operator import World

PAGE = "clinic-review-service"


def waiting(**calibrate: str) -> World:
    """A run whose items are drawn, and which waits for answers."""
    world = World({"calibrate": calibrate})
    world.settle()
    while world.stage("draw").state != "Published":
        for job in world.jobs(active=True):
            world.go(job["metadata"]["labels"][STAGE_LABEL])
        world.settle()
    return world


def told(world: World, *, given: int, output: str = "") -> None:
    """The page's pod tells the operator how many of 120 answers are there."""
    report = ProgressReport(
        namespace="default",
        run="clinic",
        stage="review",
        attempt=1,
        done=given,
        total=120,
        message=second_person(2),
        remaining_seconds=6.0 * (120 - given),
        key=world.stage("review").key or "",
        output=output,
    )
    world.progress.report(report)
    world.settle()


def test_a_run_waits_for_people_without_a_pod_of_a_stage() -> None:
    world = waiting()
    assert (world.status.phase, world.status.reason) == ("Running", WAITING_FOR_REVIEW)
    assert world.status.stage == "review"
    assert world.jobs(active=True) == []
    page = world.kube.objects[DEPLOYMENT, "default", PAGE]
    assert page["metadata"]["annotations"][STAGE_KEY_ANNOTATION] == world.stage("review").key
    assert (SERVICE, "default", PAGE) in world.kube.objects
    told(world, given=80)
    assert "40 of 120 answers are needed" in world.status.message
    assert "http://clinic-review-service.default.svc:8080 (about 4 minutes)" in world.status.message
    assert "trained, 2 of them from a second person: http" in world.status.message
    assert world.stage("review").progress.percent == pytest.approx(66.7)  # type: ignore[union-attr]


def test_the_answers_let_the_run_go_on_and_the_page_go() -> None:
    world = waiting()
    told(world, given=120, output="digest of the answers")
    assert world.stage("review").state == "Published"
    world.run_to_end()
    world.finish_deleted()
    assert world.status.phase == "Succeeded"
    assert (DEPLOYMENT, "default", PAGE) not in world.kube.objects
    assert world.status.lineage is not None
    assert world.status.lineage.answers == "digest of the answers"
    assert world.status.lineage.calibration == world.stage("calibrate").output


def test_a_new_operator_knows_what_was_answered() -> None:
    world = waiting()
    told(world, given=80)
    world.restart()
    world.settle()
    assert "40 of 120 answers are needed" in world.status.message
    told(world, given=120, output="digest of the answers")
    world.restart()
    world.run_to_end()
    assert world.status.phase == "Succeeded"


def test_answers_to_other_questions_do_not_count() -> None:
    world = waiting()
    before = world.stage("review").key
    world.annotate(rerun="review=1")
    world.settle()
    assert world.stage("review").key != before
    stale = ProgressReport(
        namespace="default", run="clinic", stage="review", attempt=1, key=before or "", output="stale"
    )
    world.progress.report(stale)
    world.settle()
    assert world.stage("review").state == "Reviewing"
    world.finish_deleted()
    world.settle()
    page = world.kube.objects[DEPLOYMENT, "default", PAGE]
    assert page["metadata"]["annotations"][STAGE_KEY_ANNOTATION] == world.stage("review").key


def test_a_run_fails_at_the_deadline_if_it_says_so() -> None:
    world = waiting(onDeadline="fail", deadline="2h")
    told(world, given=80)
    assert world.wake_at is not None
    world.now += 7200
    world.settle()
    assert (world.status.phase, world.status.reason) == ("Failed", REVIEW_DEADLINE_EXCEEDED)
    assert "40 of 120 answers" in world.status.message


def test_an_edited_manifest_without_calibration_goes_on_without_people() -> None:
    world = waiting()
    world.edit(calibrate=None)
    world.run_to_end()
    world.finish_deleted()
    assert world.status.phase == "Succeeded"
    assert (DEPLOYMENT, "default", PAGE) not in world.kube.objects
