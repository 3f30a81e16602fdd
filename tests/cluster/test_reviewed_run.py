"""A run that waits for people on a real API server, with TLS wherever pods talk to each other.

The review page is a pod, and its progress goes over TLS, as do calls to gateways and policy servers in the end. Pods
are processes of this machine, and the reviewers are the example's, who know the truth.
"""

from __future__ import annotations

import json
import secrets
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest
import yaml
from learntoask.client import CallFailed, Client, user
from learntoask.core.json_object import Json
from learntoask.review.records import ReviewItem
from learntoask.review.state import repeated
from learntoask.rpc.channels import Tls
from worlds.cluster.cluster import Cluster
from worlds.cluster.development import DevelopmentCluster, development_cluster
from worlds.cluster.runs import until
from worlds.pharmacy import PHARMACY, Gold, pharmacy_gold
from worlds.review import fields, post

RUN = "reviewed"
PATIENCE = 1200.0
SPEC = {
    "dataset": {"uri": str(PHARMACY / "logs.jsonl"), "maxSessions": 160},
    "pack": {"uri": str(PHARMACY / "pack.yaml")},
    "label": {"method": "lexicon"},
    "grader": {"encoder": "hashing", "maxMissingShare": 1},
    "calibrate": {
        "budget": 60,
        "overlapShare": 0,
        "minKappa": 0.2,
        "minAnswers": 20,
        "minRarer": 5,
        "review": {"keySecret": "review-key"},
    },
    "train": {"base": {"uri": "tiny:"}, "sft": {"epochs": 0}, "grpo": {"updates": 0}, "maxNewTokens": 12},
    "evaluate": {"samples": 0, "replay": False, "bootstrap": 100},
}


@pytest.fixture
def development(cluster: Cluster, tmp_path: Path) -> Iterator[DevelopmentCluster]:
    with development_cluster(cluster, tmp_path, progress_tls=True) as made:
        yield made


def manifest(folder: Path) -> Path:
    path = folder / "run.yaml"
    body = {
        "apiVersion": "learntoask.io/v1alpha1",
        "kind": "LearnToAskRun",
        "metadata": {"name": RUN},
        "spec": SPEC,
    }
    path.write_text(yaml.safe_dump(body))
    return path


def page_pod(development: DevelopmentCluster, other_than: str = "") -> Json:
    """The ready pod of the page. Waits for it."""

    def found() -> Json | None:
        pods = development.ready_pods("review")
        return next((pod for pod in pods if pod["metadata"]["uid"] != other_than), None)

    return dict(until(found, what="the pod of the review page"))


def in_pod(development: DevelopmentCluster, pod: Json, *command: str) -> str:
    """Call `lta review` in the page's pod as `kubectl exec` does it, and return what it prints."""
    place = development.pods.running[pod["metadata"]["uid"]].place
    return subprocess.run(
        [*place.command()[:3], "review", *command],
        env=place.environment(),
        cwd=place.root,
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    ).stdout


def link(development: DevelopmentCluster, pod: Json, name: str) -> str:
    """A person's link."""
    address = f"http://{development.pods.running[pod['metadata']['uid']].place.address}:8080"
    said = in_pod(development, pod, "link", RUN, name, "--address", address)
    return next(word for word in said.split() if word.startswith(address))


def drawn_items(development: DevelopmentCluster, status: Json, folder: Path) -> dict[str, ReviewItem]:
    """The items that were drawn and those that ask them again, by digest."""
    key = next(stage["key"] for stage in status["stages"] if stage["stage"] == "draw")
    store = development.minio.store()
    publication = store.find(key)
    assert publication is not None
    path = folder / "items.jsonl"
    store.fetch(next(file for file in publication.files if file.path == path.name), path)
    drawn = [ReviewItem.model_validate_json(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return {item.digest: item for each in drawn for item in (each, repeated(each, each.digest))}


def answer(link: str, items: dict[str, ReviewItem], gold: Gold, *, at_most: int = 10_000) -> list[str]:
    """Answer what the page asks, at most `at_most` questions, and return their digests."""
    answered: list[str] = []
    with httpx2.Client(follow_redirects=True, timeout=60) as client:
        base = link.partition("/enter")[0]
        page = client.get(link)
        while len(answered) < at_most and '<form class="keys"' in page.text:
            hidden = fields(page.text)
            item = items[hidden["item"]]
            right = gold[item.origin.session_id].answer(item)
            chosen = {"answer": list(right)} if right else {"say": "none"}
            done = post(client, f"{base}/answer", **{**hidden, **chosen, "seconds": "9"})
            assert done.status_code == 200, done.text
            answered.append(hidden["item"])
            page = client.get(f"{base}/")
    return answered


def turn_tls_on(development: DevelopmentCluster) -> Path:
    """Give the run's endpoint certificates for its gateways and policy servers, and return their authority's."""
    assert development.cluster.plane is not None
    authority, place = development.cluster.plane.authority, development.namespace
    for host in (RUN, f"{RUN}-policy"):
        signed = authority.signed(host, hosts=(f"{host}.{place}.svc",))
        files = {
            "tls.crt": signed.certificate,
            "tls.key": signed.key,
            "ca.crt": authority.identity.certificate,
        }
        content = {name: path.read_text() for name, path in files.items()}
        development.create("Secret", f"{host}-tls", type="kubernetes.io/tls", stringData=content)
    spec = {
        "gateway": {"access": {"tlsSecret": f"{RUN}-tls"}},
        "servers": {"tls": {"secret": f"{RUN}-policy-tls"}},
    }
    patch = json.dumps({"spec": spec})
    development.cluster.kubectl("patch", "askep", RUN, "-n", place, "--type=merge", "-p", patch)
    return authority.identity.certificate


def revisions_over_tls(development: DevelopmentCluster, authority: Path) -> set[str]:
    """The policies that answer at the gateways that speak TLS."""
    tls = Tls(authority=authority, server_name=f"{RUN}.{development.namespace}.svc")
    found = set()
    for pod in development.ready_pods("gateway"):
        try:
            with Client(f"{pod['status']['podIP']}:50051", tls=tls, timeout=60, attempts=1) as client:
                found.add(client.decide([user("hi, I have had a sore throat")]).policy_revision)
        except CallFailed:
            continue
    return found - {""}


@pytest.mark.timeout(1900)
def test_a_run_waits_without_a_pod_of_a_stage_until_people_have_answered(
    development: DevelopmentCluster, tmp_path: Path
) -> None:
    place, kubectl = development.namespace, development.cluster.kubectl
    development.create("Secret", "review-key", stringData={"key": secrets.token_hex(16)})
    development.lta("apply", str(manifest(tmp_path)), "-n", place, folder=tmp_path)
    seen = development.follow(
        RUN,
        folder=tmp_path,
        until=lambda status: status["reason"] == "WaitingForReview",
        patience=PATIENCE,
    )
    assert seen[-1]["reason"] == "WaitingForReview", seen[-1]
    pod = page_pod(development)
    assert "WaitingForReview" in kubectl("get", "ltar", RUN, "-n", place)
    message = until(
        lambda: "answers are needed" in (shown := kubectl("describe", "ltar", RUN, "-n", place)) and shown,
        what="the number of missing answers",
    )
    assert f"http://{RUN}-review-service.{place}.svc:8080" in message
    active = kubectl("get", "jobs", "-n", place, "-o", "jsonpath={.items[*].status.active}")
    assert active.strip() == ""

    gold = pharmacy_gold()
    items = drawn_items(development, seen[-1], tmp_path / "drawn")
    first = answer(link(development, pod, "ada"), items, gold, at_most=10)
    assert len(first) == 10
    kubectl("delete", "pod", pod["metadata"]["name"], "-n", place, "--wait=false")
    pod = page_pod(development, other_than=pod["metadata"]["uid"])
    assert "ada: 10 answers" in in_pod(development, pod, "status", RUN)
    exported = [json.loads(line) for line in in_pod(development, pod, "export", RUN).splitlines()]
    assert {line["item"] for line in exported} == set(first)
    assert not set(first) & set(answer(link(development, pod, "ada"), items, gold))

    ended = development.follow(RUN, folder=tmp_path, until=lambda _: False, patience=PATIENCE)[-1]
    assert ended["outcome"] == "Succeeded", f"{ended}\n{development.operator.log.read_text()[-3000:]}"
    until(lambda: not development.ready_pods("review"), what="the end of the page's pod")
    lineage = kubectl("get", "ltar", RUN, "-n", place, "-o", "jsonpath={.status.lineage.answers}")
    assert lineage

    kubectl("wait", "--for=condition=Ready", f"askep/{RUN}", "-n", place, "--timeout=480s", timeout=490)
    served = next(stage for stage in ended["stages"] if stage["stage"] == "serve")["summary"]["revision"]
    authority = turn_tls_on(development)
    until(
        lambda: revisions_over_tls(development, authority) == {served},
        what="answers of the policy over TLS",
        patience=480,
    )
