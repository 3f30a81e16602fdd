"""A worse and a good policy are tried on a real API server, with gateways and policy servers as processes.

The gateways are what `lta gateway` starts in a pod. The policy servers have no model: they decide by the patterns of
the pack, and stop too early as often as the test says. Users are replayed meanwhile; nobody else steers the rollouts.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from learntoask.core.json_object import Json
from worlds.cluster.applied_manifests import collection, manifest, stored
from worlds.cluster.cluster import Cluster
from worlds.cluster.control_plane import ControlPlane
from worlds.cluster.operator_process import OperatorProcess, allow_everything
from worlds.cluster.pod_runner import PodRunner
from worlds.cluster.runs import OPERATOR_FLAGS, until
from worlds.pharmacy import PHARMACY
from worlds.replayed_users import ReplayedUsers

ASKS_PER_SECOND = 50.0
MOST_CONVERSATIONS = 2000  # of one rollout; in simulations the longest promotion takes 192
STRATEGY: Json = {
    "mode": "canary",
    "observeWithin": "5s",
    "steps": [{"weight": 20, "minConversations": 10}, {"weight": 50}],
    "guards": [{"metric": "stoppedEarly", "margin": 0.1}, {"metric": "error", "margin": 0.1}],
    "minConversations": 40,
}


def policy(name: str) -> Json:
    """A policy of known quality; the number at the end is the percent of conversations in which it stops at once."""
    return {"uri": f"s3://policies/{name}", "pack": {"uri": "configMap:pharmacy/pack.yaml"}}


class Desk:
    """The endpoint `desk`, as people look at it."""

    def __init__(self, cluster: Cluster, namespace: str, pods: PodRunner) -> None:
        self.cluster, self.namespace, self.pods = cluster, namespace, pods

    def apply(self, name: str) -> None:
        spec: Json = {
            "policy": policy(name),
            "replicas": 2,
            "rollout": {"maxSurge": 1, "drain": "5s", "strategy": STRATEGY},
        }
        stored(self.cluster, manifest("AskEndpoint", spec, name="desk", namespace=self.namespace))

    def change_policy(self, name: str) -> None:
        path = f"{collection('AskEndpoint', self.namespace)}/desk"
        answer = self.cluster.request(
            "PATCH", path, {"spec": {"policy": policy(name)}}, content_type="application/merge-patch+json"
        )
        assert answer.status == 200, answer.message

    @property
    def status(self) -> Json:
        answer = self.cluster.request("GET", f"{collection('AskEndpoint', self.namespace)}/desk")
        return dict(answer.body.get("status", {}))

    def condition(self, type: str) -> Json:
        found = (one for one in self.status.get("conditions", ()) if one["type"] == type)
        return next(found, {"status": "", "reason": "", "message": ""})

    def kubectl(self, *arguments: str) -> str:
        return self.cluster.kubectl("-n", self.namespace, *arguments)

    def lta(self, command: str) -> str:
        """Run a command of `lta rollout` for the endpoint, and return what it prints."""
        done = subprocess.run(
            [sys.executable, "-m", "learntoask.cli.app", "rollout", command, "desk", "-n", self.namespace],
            env={**os.environ, "KUBECONFIG": str(self.cluster.kubeconfig), "COLUMNS": "130"},
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def show(self) -> str:
        """Print and return what people see: the endpoint's line, and the rollout."""
        shown = f"{self.kubectl('get', 'askep', 'desk')}\n{self.lta('status')}"
        print(shown)
        return shown

    def gateways(self) -> list[str]:
        """The addresses of the gateways' pods."""
        selected = self.kubectl("get", "pods", "-l", "app.kubernetes.io/component=gateway", "-o", "json")
        return [f"{pod['status']['podIP']}:50051" for pod in json.loads(selected)["items"]]

    def events(self) -> dict[str, str]:
        """The messages of the endpoint's Events by reason."""
        found = json.loads(self.kubectl("get", "events", "-o", "json"))["items"]
        return {
            one["reason"]: one["message"] for one in found if one["involvedObject"]["kind"] == "AskEndpoint"
        }

    def story(self) -> str:
        """What to read when a rollout does not go on."""
        logs = [f"{path.name}:\n{path.read_text()[-1500:]}" for path in self.pods.folder.glob("*.log")]
        return "\n".join([json.dumps(self.status, indent=1)[-5000:], *logs])


@pytest.fixture
def listens() -> str:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return f"127.0.0.1:{taken.getsockname()[1]}"


@pytest.fixture
def operator(plane: ControlPlane, namespace: str, tmp_path: Path, listens: str) -> Iterator[OperatorProcess]:
    allow_everything(plane)
    flags = (
        *OPERATOR_FLAGS,
        "--lease-time=60s",
        "--lease-renewal=5s",
        f"--progress-address={listens}",
        f"--progress-port={listens.partition(':')[2]}",
        f"--namespaces={namespace}",
        f"--lease-namespace={namespace}",
    )
    operator = OperatorProcess(plane, tmp_path, flags)
    operator.start()
    yield operator
    operator.kill()


@pytest.fixture
def desk(cluster: Cluster, operator: OperatorProcess, namespace: str, tmp_path: Path) -> Iterator[Desk]:
    with PodRunner(cluster.kubeconfig, tmp_path / "pods", {"serve": "worlds.known_policy"}) as pods:
        desk = Desk(cluster, namespace, pods)
        desk.kubectl("create", "configmap", "pharmacy", f"--from-file={PHARMACY / 'pack.yaml'}")
        yield desk


@pytest.mark.timeout(1200)
def test_a_worse_policy_is_rolled_back_and_a_good_one_promoted_while_users_ask(desk: Desk) -> None:
    desk.apply("first-0")
    until(lambda: desk.condition("Ready")["status"] == "True", what=desk.story)
    first = desk.status["revision"]
    with ReplayedUsers(PHARMACY / "logs.jsonl", desk.gateways(), per_second=ASKS_PER_SECOND) as users:

        def tries(name: str) -> str:
            """Publish a policy, and return its revision once users meet it."""
            before = desk.status.get("rollout")
            desk.change_policy(name)
            until(
                lambda: (desk.status.get("rollout") or {}).get("id") != (before or {}).get("id"),
                what=desk.story,
            )
            until(lambda: name in users.seen.first_policies, what=desk.story)
            return str(desk.status["rollout"]["canary"])

        def ends(verdict: str) -> Json:
            """Return the rollout after its verdict, which must come within MOST_CONVERSATIONS."""
            most = users.seen.ended + MOST_CONVERSATIONS

            def ended() -> Json | None:
                found = desk.status["rollout"]
                assert users.seen.ended < most, desk.story()
                return None if found["verdict"] == "Hold" else dict(found)

            found = dict(until(ended, what=desk.story, patience=900.0))
            assert found["verdict"] == verdict, found
            return found

        worse = tries("hasty-60")
        rolled_back = ends("Rollback")
        until(lambda: desk.condition("RolledOut")["reason"] == "RolledBack", what=desk.story)
        harm = desk.condition("RolloutHealthy")
        assert (harm["status"], harm["reason"]) == ("False", "HarmShown")
        evidence = rolled_back["verdicts"][-1]["evidence"]
        canary = next(found for found in evidence if found["metric"] == "stoppedEarly")
        share = f"stoppedEarly: {canary['canary']:.1%} of {canary['observed']} conversations of the canary"
        assert harm["message"].startswith(share)
        assert share in until(lambda: desk.events().get("HarmShown"), what="the Event of the rollback")
        assert desk.status["revision"] == first
        assert "Rollback: stoppedEarly" in desk.show()

        desk.kubectl("annotate", "askep", "desk", "learntoask.io/rollout-paused=true")
        good = tries("better-0")  # paused, so that it is seen before its verdict
        until(lambda: desk.status["rollout"]["counts"]["weights"], what=desk.story)
        shown = desk.show()
        assert all(word in shown for word in ("Hold", "paused", "stoppedEarly", good))
        desk.lta("resume")
        ends("Promote")
        until(lambda: desk.condition("RolledOut")["reason"] == "RolloutComplete", what=desk.story)
        assert desk.condition("RolloutHealthy")["reason"] == "Promoted"
        assert desk.status["revision"] == good != worse
        told = users.seen.ended
        until(lambda: users.seen.ended > told + 20, what=desk.story)
        assert set(users.seen.first_policies[-10:]) == {"better-0"}
        assert "Promote" in desk.show()
        print("Events:", desk.kubectl("describe", "askep", "desk").partition("\nEvents:")[2])
    seen = users.seen
    print(f"{seen.ended} conversations, {seen.asks} asks; moved: {seen.moved}")
    assert seen.failures == []
    assert seen.switched == []
