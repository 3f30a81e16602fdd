"""The loop, the cache of children, the Lease, the settings, and the ports of the process."""

from __future__ import annotations

import asyncio
import json
import re
import socket
import sys
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import ProxyHandler, Request, build_opener

import pytest
from learntoask.core.errors import InputError
from learntoask.core.json_object import Json
from learntoask.kube import JOB, LEASE, RUN, Conflict, Unavailable
from learntoask_operator.cache.children import ChildCache
from learntoask_operator.cache.projections import PROJECTIONS
from learntoask_operator.leader.lease import Lease, LeaseLost
from learntoask_operator.loop import Loop, Ref
from learntoask_operator.settings import parse_settings
from worlds.cluster.processes import start
from worlds.fake_kube import FakeKube
from worlds.waiting import until


def run(name: str = "a", version: int = 1, uid: str = "u") -> Json:
    return {
        "metadata": {"name": name, "namespace": "n", "uid": uid, "resourceVersion": str(version)},
        "spec": {},
    }


class Reconciles:
    """A reconciler that records its reconciles, and how many of one object ran at once."""

    kind = RUN

    def __init__(self, *, takes: float = 0.0, due: float | None = None, fails: int = 0) -> None:
        self.seen: list[tuple[str, int]] = []
        self.ended = 0  # reconciles that were not cancelled
        self.most_at_once: dict[str, int] = {}
        self.forgotten: list[str] = []
        self._takes, self._due, self._fails = takes, due, fails
        self._now: dict[str, int] = {}

    async def reconcile(self, seen: Json) -> float | None:
        name = seen["metadata"]["name"]
        self._now[name] = self._now.get(name, 0) + 1
        self.most_at_once[name] = max(self.most_at_once.get(name, 0), self._now[name])
        self.seen.append((name, int(seen["metadata"]["resourceVersion"])))
        try:
            await asyncio.sleep(self._takes)
            if self._fails:
                self._fails -= 1
                raise Unavailable("no answer")
            self.ended += 1
        finally:
            self._now[name] -= 1
        due, self._due = self._due, None
        return due

    def forget(self, ref: Ref) -> None:
        self.forgotten.append(ref.name)


async def test_passes_of_an_object_never_overlap_and_the_last_event_is_seen() -> None:
    reconciles = Reconciles(takes=0.03)
    loop = Loop([reconciles])
    loop.open()
    for first in (1, 4):
        for version in range(first, first + 3):
            loop.observed(RUN, run("a", version))
            loop.observed(RUN, run("b", version))
        await until(lambda last=version: ("a", last) in reconciles.seen and ("b", last) in reconciles.seen)
    assert reconciles.most_at_once == {"a": 1, "b": 1}
    assert len(reconciles.seen) == 4, "events during a pass are looked at together"
    await loop.close(grace=1)


async def test_nothing_passes_before_the_watches_have_listed() -> None:
    reconciles = Reconciles()
    loop = Loop([reconciles])
    loop.observed(RUN, run())
    await asyncio.sleep(0.05)
    assert reconciles.seen == []
    loop.open()
    await until(lambda: reconciles.seen)
    await loop.close(grace=1)


async def test_an_older_version_is_passed_over_and_another_object_of_the_name_is_not() -> None:
    reconciles = Reconciles()
    loop = Loop([reconciles])
    loop.open()
    loop.observed(RUN, run(version=5))
    await until(lambda: len(reconciles.seen) == 1)
    loop.observed(RUN, run(version=4))
    loop.gone(RUN, run(version=6, uid="another"))
    await asyncio.sleep(0.05)
    assert (len(reconciles.seen), loop.objects) == (1, 1)
    loop.observed(RUN, run(version=9, uid="new"))
    await until(lambda: ("a", 9) in reconciles.seen)
    loop.gone(RUN, run(version=10, uid="new"))
    assert (loop.objects, reconciles.forgotten) == (0, ["a"])
    await loop.close(grace=1)


async def test_objects_of_namespaces_that_are_not_served_are_left_alone() -> None:
    reconciles, served = Reconciles(takes=0.2), {"n"}
    loop = Loop([reconciles], namespaces=served)
    loop.open()
    elsewhere = run("b")
    elsewhere["metadata"]["namespace"] = "m"
    loop.observed(RUN, run("a"))
    loop.observed(RUN, elsewhere)
    await until(lambda: reconciles.seen)
    assert loop.objects == 1
    served.clear()
    loop.leave("n")
    assert (loop.objects, reconciles.forgotten) == (0, ["a"])
    loop.observed(RUN, run("a", version=2))  # what a reconcile under way has written
    assert (loop.objects, reconciles.ended) == (0, 0)
    await loop.close(grace=1)


async def test_a_listing_tells_which_deletions_nobody_reported() -> None:
    reconciles = Reconciles()
    loop = Loop([reconciles])
    for name in ("kept", "deleted", "elsewhere"):
        body = run(name, version=5, uid=name)
        body["metadata"]["namespace"] = "m" if name == "elsewhere" else "n"
        loop.observed(RUN, body)
    loop.observed(RUN, run("newer than the listing", version=9, uid="newer"))
    loop.observed(RUN, run("made again", version=5, uid="first"))
    loop.listed(RUN, "n", [run("kept", uid="kept"), run("made again", uid="second")], version=8)
    assert sorted(reconciles.forgotten) == ["deleted", "made again"]
    assert loop.objects == 3
    await loop.close(grace=1)


async def test_an_object_whose_reconcile_finds_it_gone_is_reconciled_no_more() -> None:
    """Even if the next reconcile is overdue already, because the one that found it took long."""

    class Finds(Reconciles):
        async def reconcile(self, seen: Json) -> float | None:
            await super().reconcile(seen)
            loop.gone(RUN, seen)
            return 0.0

    finds = Finds()
    loop = Loop([finds])
    loop.open()
    loop.observed(RUN, run())
    await until(lambda: finds.forgotten)
    await asyncio.sleep(0.2)
    assert (len(finds.seen), loop.objects) == (1, 0)
    await loop.close(grace=1)


async def test_a_pass_that_is_due_comes_without_an_event_and_a_failed_one_again() -> None:
    now = asyncio.get_running_loop().time
    reconciles = Reconciles(due=now() + 0.05)
    loop = Loop([reconciles], clock=now)
    loop.open()
    loop.observed(RUN, run())
    await until(lambda: len(reconciles.seen) == 2)
    failing = Reconciles(fails=1)
    again = Loop([failing])
    again.open()
    again.observed(RUN, run())
    await until(lambda: len(failing.seen) == 2)
    await loop.close(grace=1)
    await again.close(grace=1)


async def test_closing_lets_a_pass_end_and_cuts_one_that_does_not() -> None:
    reconciles = Reconciles(takes=0.1)
    loop = Loop([reconciles])
    loop.open()
    loop.observed(RUN, run())
    await until(lambda: reconciles.seen)
    await loop.close(grace=60)
    assert reconciles.ended == 1
    hanging = Reconciles(takes=60)
    loop = Loop([hanging])
    loop.open()
    loop.observed(RUN, run())
    await until(lambda: hanging.seen)
    await loop.close(grace=0.1)
    assert loop.objects == 0


def job(name: str, version: int, *, uid: str = "u", **labels: str) -> Json:
    given = {"learntoask.io/run": "clinic", **labels}
    metadata = {"name": name, "namespace": "n", "uid": uid, "resourceVersion": str(version), "labels": given}
    return {"metadata": metadata, "spec": {"template": {"large": "x" * 1000}}, "status": {}}


def test_children_are_kept_trimmed_and_told_of_once() -> None:
    told: list[Ref] = []
    children = ChildCache(PROJECTIONS, changed=told.append)
    clinic = Ref(kind=RUN, namespace="n", name="clinic")
    children.observed(JOB, job("a", 2))
    children.observed(JOB, job("a", 1))
    assert told == [clinic]
    (kept,) = children.of(clinic, JOB)
    assert "template" not in kept["spec"]
    children.deleting(JOB, clinic, "a", at="now")
    children.observed(JOB, job("a", 3))
    assert children.of(clinic, JOB)[0]["metadata"]["deletionTimestamp"] == "now"
    children.gone(JOB, job("a", 4, uid="another"))
    assert children.of(clinic, JOB)
    children.listed(JOB, None, [job("b", 9, uid="b")])
    assert [one["metadata"]["name"] for one in children.of(clinic, JOB)] == ["b"]
    assert not children.synced([None])


class LeaseKube(FakeKube):
    """A FakeKube with the calls that a Lease needs; while `broken`, it does not answer."""

    broken = False

    async def get(self, kind: Any, name: str, *, namespace: str | None = None, deadline: float = 0) -> Json:
        if self.broken:
            raise Unavailable("no answer")
        return await super().get(kind, name, namespace=namespace)

    async def replace(self, kind: Any, body: Json, *, deadline: float = 0) -> Json:
        current = await self.get(kind, body["metadata"]["name"], namespace=body["metadata"]["namespace"])
        if current["metadata"]["resourceVersion"] != body["metadata"]["resourceVersion"]:
            raise Conflict("changed", status=409)
        return self.put(kind, body)


def lease(kube: LeaseKube, who: str) -> Lease:
    return Lease(kube, name="l", namespace="n", identity=who, duration=3.0, renewal=0.1)  # type: ignore[arg-type]


async def test_one_holds_the_lease_and_another_takes_over_when_it_is_not_renewed() -> None:
    kube = LeaseKube(lambda: 0.0)
    first, second = lease(kube, "first"), lease(kube, "second")
    await first.acquire()
    holding = asyncio.create_task(first.hold())
    waiting = asyncio.create_task(second.acquire())
    await asyncio.sleep(4.0)
    assert not waiting.done(), "a Lease that is renewed is not taken"
    holding.cancel()
    await asyncio.wait_for(waiting, 60)
    assert kube.objects[LEASE, "n", "l"]["spec"]["holderIdentity"] == "second"
    with pytest.raises(LeaseLost):
        await asyncio.wait_for(first.hold(), 60)


async def test_a_lease_given_back_is_taken_at_once_and_one_that_cannot_be_renewed_is_lost() -> None:
    kube = LeaseKube(lambda: 0.0)
    first, second = lease(kube, "first"), lease(kube, "second")
    await first.acquire()
    await first.release()
    await asyncio.wait_for(second.acquire(), 2.0)  # sooner than the Lease would expire
    kube.broken = True
    with pytest.raises(LeaseLost):
        await asyncio.wait_for(second.hold(), 60)


def test_settings_come_from_flags_before_variables_and_must_make_sense() -> None:
    environment = {"LTA_OPERATOR_LEASE_TIME": "30s", "LTA_OPERATOR_HEALTH_PORT": "1"}
    settings = parse_settings(["--health-port=2", "--namespaces=a, b"], environment)
    assert (settings.lease_time, settings.health_port, settings.watched) == ("30s", 2, ("a", "b"))
    assert parse_settings([], {}).watched == (None,)
    for arguments, message in (
        (["--lease-time=5s"], "--lease-renewal"),
        (["--grace=soon"], "--grace"),
        (["--lease-renewal=0s"], "at least 1s"),
        (["--log-level=LOUD"], "--log-level: give DEBUG"),
        (["--concurrency=0"], "--concurrency: give at least 1"),
        (["--store-uri=ftp://x"], "--store-uri"),
        (["--store-endpoint=minio:9000"], "--store-endpoint"),
        (["--metrics-port=70000"], "--metrics-port"),
        (["--image-pull-policy=always"], "--image-pull-policy"),
        (["--namespaces=a,B_b"], "--namespaces"),
        (["--namespace-selector=team=care,in live"], "--namespace-selector: give a label selector"),
        (["--namespace-selector=team in care"], "--namespace-selector: give a label selector"),
        (["--namespace-selector=team=care", "--namespaces=a"], "not both"),
        (["--store-credentials=My Secret"], "--store-credentials"),
        (["--progress-address=operator"], "--progress-address"),
        (["--pod-user=-1"], "--pod-user"),
        (["--tracing-endpoint=collector:4317"], "--tracing-endpoint: give http://host:port"),
        (["--tracing-protocol=http"], "--tracing-protocol: give grpc or http/protobuf"),
        (["--progress-certificate=/c", "--progress-key=/k"], "--progress-ca: belongs to"),
        (["--progress-ca=authority"], "give all three or none"),
        (["--tracing-ratio=5"], "--tracing-ratio"),
    ):
        with pytest.raises(InputError, match=message):
            parse_settings(arguments, {})
    sensible = [
        "--progress-address=[::1]:50055",
        "--store-uri=pvc:store/lta",
        "--namespaces=a,b",
        "--log-level=DEBUG",
    ]
    assert parse_settings(sensible, {}).watched == ("a", "b")
    for selector in ("team", "!team", "a.io/team==care, stage!=dev", "stage in (test, live),x notin ( y )"):
        assert parse_settings([f"--namespace-selector={selector}"], {}).watched == (None,)
    with pytest.raises(InputError, match="LTA_OPERATOR_CONCURRENCY"):
        parse_settings([], {"LTA_OPERATOR_CONCURRENCY": "many"})


@pytest.mark.parametrize("listen", ["0.0.0.0", "::"])
async def test_probes_and_metrics_are_served_to_both_families_and_metrics_for_their_token(
    tmp_path: Path, listen: str
) -> None:
    """The process answers while it waits for the Lease, which no API server gives it here."""
    kubeconfig, token, log = tmp_path / "kubeconfig", tmp_path / "token", tmp_path / "log"
    kubeconfig.write_text(
        json.dumps(
            {
                "current-context": "c",
                "clusters": [{"name": "c", "cluster": {"server": "http://127.0.0.1:1"}}],
                "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
                "users": [{"name": "u", "user": {}}],
            }
        )
    )
    token.write_text("of-prometheus\n")
    ports = [f"--{name}-port=0" for name in ("health", "metrics", "progress")]
    settings = [f"--kubeconfig={kubeconfig}", f"--listen={listen}", f"--metrics-token-file={token}"]
    command = [sys.executable, "-m", "learntoask_operator", *settings, *ports]
    process = start(command, log=log, outlive=False)
    try:
        await until(lambda: "health on port" in log.read_text() or not process.alive)
        found = re.search(r"health on port (\d+), metrics on port (\d+)", log.read_text())
        assert found is not None, log.read_text()
        for host in ["127.0.0.1", "[::1]"] if socket.has_dualstack_ipv6() else ["127.0.0.1"]:
            for path in ("healthz", "readyz"):
                assert _get(f"{host}:{found[1]}/{path}") == (200, "ok")
            for given in ("", "Bearer wrong"):
                assert _get(f"{host}:{found[2]}/metrics", given) == (401, "")
            status, text = _get(f"{host}:{found[2]}/metrics", "Bearer of-prometheus")
            assert (status, "lta_operator_leader" in text) == (200, True)
    finally:
        process.kill()


def _get(url: str, authorization: str = "") -> tuple[int, str]:
    request = Request(f"http://{url}", headers={"Authorization": authorization})
    try:
        with build_opener(ProxyHandler({})).open(request, timeout=30) as answer:
            return answer.status, answer.read().decode()
    except HTTPError as refused:
        return refused.code, refused.read().decode()
