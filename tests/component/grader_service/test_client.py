"""The client of the grader service: same grades as in process, outages, and services with other graders."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest
from learntoask.core.errors import InputError, StageError
from learntoask.core.records import Message
from learntoask.grader_service.client import RemoteGrader
from learntoask.grading.grades import Grade, GradeCase, MissingGrade
from learntoask.rpc.channels import Tls
from worlds.grader_service import DIGEST, Process, ScriptedGrader, case, in_background, remote, until_answered

CASES = [
    case("dish?"),
    case("time and place?", "time"),
    case("hmm?"),
    case("I am sorry.", ""),
    case("<stop />", ""),
    case("dish? <stop />"),
    case("dish?"),
]


def test_grades_are_those_of_the_grader_and_it_is_asked_for_each_case_once():
    grader = ScriptedGrader()
    with in_background(grader) as server, remote(server.address) as asking:
        found = asking.grade(CASES)
        assert asking.grade([]) == []
    expected = ScriptedGrader().grade(CASES)
    assert [found[index] for index in (0, 1, 2, 3, 6)] == [expected[index] for index in (0, 1, 2, 3, 6)]
    assert [(one.content, one.format) for one in found[4:6]] == [
        (1.0, 1.0),
        (0.0, 0.0),
    ]  # stops are graded by rule
    assert sum(len(cases) for cases in grader.batches) == 4  # neither the stops nor a repeated case


def test_more_cases_than_a_call_takes_are_asked_in_several():
    cases = [case(f"dish {number}?") for number in range(1300)]
    with in_background(ScriptedGrader()) as server, remote(server.address) as asking:
        found = asking.grade(cases)
    assert {one.content for one in found} == {1.0}
    assert len(found) == 1300


def test_a_call_is_no_larger_than_the_service_takes():
    grader = ScriptedGrader()
    long = [case(f"dish {number}? {'x' * 60_000}") for number in range(60)]
    with in_background(grader, max_request_bytes=2**22) as server, remote(server.address) as asking:
        assert {one.content for one in asking.grade(long)} == {1.0}
    with in_background(grader, max_queue=7) as server, remote(server.address) as asking:
        assert {one.content for one in asking.grade([case(f"dish {n}?") for n in range(30)])} == {1.0}


def test_contexts_go_no_further_than_they_are_read():
    context = (Message(role="user", content="hungry", author="user"),)
    grader = ScriptedGrader()
    with in_background(grader) as server, remote(server.address) as asking:
        asking.grade([case("dish?", context=context), case("dish?")])
    assert grader.batches == [[case("dish?")]]


def test_a_service_killed_while_it_answers_and_started_again_costs_nothing_but_time():
    service = Process(slow=0.02)
    service.start()
    cases = [case(f"{'dish' if number % 3 else 'hmm'} {number}?") for number in range(60)]

    def kill_and_restart() -> None:
        time.sleep(0.5)
        service.kill()
        service.start()

    try:
        with remote(service.address, retry_for=120) as asking:
            asking.grade(cases[:1])
            chaos = threading.Thread(target=kill_and_restart)
            chaos.start()
            found = asking.grade(cases)
            chaos.join()
    finally:
        service.kill()
    assert found == ScriptedGrader().grade(cases)


def test_an_outage_ends_in_missing_grades_and_is_waited_for_once():
    service = Process()
    service.start()
    try:
        with remote(service.address, retry_for=1.5) as asking:
            assert isinstance(asking.grade([case("dish?")])[0], Grade)
            service.kill()
            started = time.monotonic()
            (missing,) = asking.grade([case("dish?")])
            first = time.monotonic() - started
            assert isinstance(missing, MissingGrade)
            assert f"the grader service at {service.address} gave no answer (UNAVAILABLE" in missing.reason
            started = time.monotonic()
            assert isinstance(asking.grade([case("place?")])[0], MissingGrade)
            assert time.monotonic() - started < first / 2  # the service is known to be unreachable
            service.start()
            until_answered(asking)
    finally:
        service.kill()


def test_a_service_that_is_never_there_stops_the_stage_and_says_what_to_do():
    with (
        remote("127.0.0.1:1", retry_for=0.5) as asking,
        pytest.raises(StageError, match=r"127\.0\.0\.1:1 gave no answer.*lta grader serve") as stopped,
    ):
        asking.grade([case("dish?")])
    assert stopped.value.reason == "GraderUnavailable"


def test_a_grader_that_hangs_is_left_at_the_deadline():
    grader = ScriptedGrader()
    with (
        in_background(grader, max_batch=1) as server,
        remote(server.address, timeout=2.0, retry_for=1) as one,
    ):
        found = one.grade([case("dish?"), case("wait")])
        assert isinstance(found[0], Grade)
        assert "DEADLINE_EXCEEDED" in found[1].reason
        grader.release.set()


def test_a_full_service_is_asked_again():
    grader = ScriptedGrader()
    with (
        in_background(grader, max_queue=2) as server,
        remote(server.address) as asking,
        remote(server.address) as other,
    ):
        holding = threading.Thread(target=asking.grade, args=([case("wait"), case("wait too")],))
        holding.start()
        while not grader.batches:
            time.sleep(0.01)
        threading.Timer(0.5, grader.release.set).start()
        assert isinstance(other.grade([case("dish?")])[0], Grade)
        holding.join()


@pytest.mark.parametrize("hedge_after", [None, 0.3])
def test_a_slow_call_is_made_twice_only_where_that_is_asked_for(hedge_after: float | None):
    calls: list[float] = []

    class SlowAtFirst(ScriptedGrader):
        def grade(self, cases: list[GradeCase]) -> list[Grade | MissingGrade]:
            calls.append(time.monotonic())
            return super().grade(cases)

    grader = SlowAtFirst(slow=1.5)
    with in_background(grader, max_batch=1) as server, remote(server.address, hedge_after=hedge_after) as one:
        assert isinstance(one.grade([case("dish?")])[0], Grade)
        served = [sample for sample in _calls(server) if sample]
    assert served == ([1.0] if hedge_after is None else [2.0])


def _calls(server) -> list[float]:
    """Return the number of GradeBatch calls, with any status, once all have ended."""
    deadline = time.monotonic() + 10
    while server.metrics.registry.get_sample_value("lta_grader_in_flight") and time.monotonic() < deadline:
        time.sleep(0.05)
    values = [
        server.metrics.registry.get_sample_value(
            "lta_grader_calls_total", {"method": "GradeBatch", "code": code}
        )
        or 0.0
        for code in ("OK", "CANCELLED")
    ]
    return [sum(values)]


def test_another_grader_is_refused_at_once():
    with in_background(ScriptedGrader(digest="e" * 64)) as server, remote(server.address) as asking:
        with pytest.raises(
            StageError, match=r"grades with eeeeeeeeeeee, this run's .* dddddddddddd"
        ) as stopped:
            asking.grade([case("dish?")])
        assert stopped.value.reason == "WrongGrader"
    with (
        in_background(ScriptedGrader(), name="reporting") as server,
        remote(server.address) as asking,
        pytest.raises(StageError, match="has no grader 'rewarding', only reporting"),
    ):
        asking.grade([case("dish?")])


def test_a_service_that_became_another_grader_is_an_error_not_a_mixture():
    service = Process()
    service.start()
    try:
        with remote(service.address) as asking:
            assert isinstance(asking.grade([case("dish?")])[0], Grade)
            service.kill()
            service.start(digest="e" * 64)
            with pytest.raises(StageError, match="grades of two graders must not mix"):
                asking.grade([case("dish?")])
    finally:
        service.kill()


def test_the_token_is_sent_and_its_lack_explained():
    with in_background(ScriptedGrader(), token="s3cret") as server:
        with remote(server.address, token="s3cret") as asking:
            assert isinstance(asking.grade([case("dish?")])[0], Grade)
        with (
            remote(server.address) as asking,
            pytest.raises(StageError, match=r"UNAUTHENTICATED.*LTA_GRADER_TOKEN") as refused,
        ):
            asking.grade([case("dish?")])
        assert refused.value.reason == "GraderRefused"


def test_a_task_that_the_service_does_not_know_stops_the_stage():
    with (
        in_background(ScriptedGrader()) as server,
        remote(server.address) as asking,
        pytest.raises(StageError, match=r"refuses: INVALID_ARGUMENT: cases\[0\]\.task: 'cook'"),
    ):
        asking.grade([case("dish?", task="cook")])


def test_mutual_tls(certificates: Path):
    served = {
        "tls_certificate": certificates / "server.pem",
        "tls_key": certificates / "server.key",
        "tls_client_ca": certificates / "ca.pem",
    }
    known = Tls(
        authority=certificates / "ca.pem",
        certificate=certificates / "client.pem",
        key=certificates / "client.key",
    )
    with in_background(ScriptedGrader(), **served) as server:
        with remote(server.address, tls=known) as asking:
            assert isinstance(asking.grade([case("dish?")])[0], Grade)
        with (
            remote(server.address, tls=Tls(authority=certificates / "ca.pem"), retry_for=0.5) as anonymous,
            pytest.raises(StageError, match="gave no answer"),
        ):
            anonymous.grade([case("dish?")])
    with (
        pytest.raises(InputError, match="cannot be read"),
        RemoteGrader(
            "localhost:1", grader="rewarding", digest=DIGEST, tls=Tls(authority=certificates / "absent")
        ) as blind,
    ):
        blind.grade([case("dish?")])
