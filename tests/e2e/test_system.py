"""The whole system, from an empty node to answers and back. Each test builds on those before it."""

from __future__ import annotations

import json
import statistics
import time
from pathlib import Path

import pytest
import yaml
from learntoask.client.types import Origin
from learntoask.core.json_object import Json
from worlds.cluster.toolchain import ROOT
from worlds.node import clients
from worlds.node.node import Node
from worlds.node.system import IMAGES, PLACE, RELEASE, SMALL, System

PHARMACY = ROOT / "examples" / "pharmacy"
RUN = "pharmacy-tiny"
SERVICE = f"{RUN}.{PLACE}.svc:50051"
OPERATORS = f"app.kubernetes.io/component=operator,app.kubernetes.io/instance={RELEASE}"
_UPDATES = 16  # GRPO updates: enough time to disturb the training
_RATE, _MOST = 20.0, 8  # asks a second, and at a time
# Origins of answers that the policy gave under load; the fallbacks do not count. An idle server gives the memorised
# answer, which needs no repair. In batches of other sizes vLLM rounds differently, which may change a token.
_POLICY: set[Origin] = {"model", "repaired"}
_SFT = {"epochs": 12, "batchSessions": 2, "learningRate": 0.002, "keptShare": 0, "shuffleFields": False}


def manifest(folder: Path) -> Path:
    """The example's tiny run, with a training long enough to be interrupted, and served by vLLM.

    Its policy memorises a few sessions, so that its questions are well formed. GRPO changes it by next to nothing.
    """
    body = yaml.safe_load((PHARMACY / "run-tiny.yaml").read_text())
    spec = body["spec"]
    spec["dataset"]["uri"], spec["pack"]["uri"] = str(PHARMACY / "logs.jsonl"), str(PHARMACY / "pack.yaml")
    spec["grader"]["maxMissingShare"] = 1.0  # such a policy writes what no grader can grade
    spec["train"]["checkpointEvery"] = 2
    spec["dataset"]["maxSessions"] = 24
    spec["train"]["sft"] = _SFT
    spec["train"]["grpo"] |= {"updates": _UPDATES, "learningRate": 1e-9}
    spec["serve"] = {"engine": "vllm"}
    spec["pods"] = SMALL
    path = folder / "run.yaml"
    path.write_text(yaml.safe_dump(body))
    return path


@pytest.mark.timeout(5400)  # includes building and importing the images
def test_pods_of_any_user_run_and_find_services_by_name(system: System) -> None:
    system.prepare()
    with system.phases("first pod of the operator's image"):
        system.start_python("look", clients.LOOK, image=IMAGES["operator"])
        assert system.finished_python("look").split() == ["10.96.0.1", "23456"]


@pytest.mark.timeout(900)
def test_the_chart_installs(system: System) -> None:
    with system.phases("helm install --wait, with MinIO"):
        said = system.install("install")
    assert "helm test" in said
    operators = system.get("pods", "--selector", OPERATORS)["items"]
    assert len(operators) == 2
    assert not any(one["restartCount"] for pod in operators for one in pod["status"]["containerStatuses"])


@pytest.mark.timeout(900)
def test_logs_are_uploaded_once(system: System) -> None:
    logs = str(PHARMACY / "logs.jsonl")
    with system.phases("lta data push"):
        first = system.lta("data", "push", logs)
    assert first.strip().startswith("s3://learntoask/lta/inputs/")
    assert system.lta("data", "push", logs) == first


@pytest.mark.timeout(3000)
def test_a_run_survives_its_operator_its_kubelet_and_its_trainer(system: System, node: Node) -> None:
    with system.phases("lta apply"):
        system.lta("apply", str(manifest(system.folder)), "-n", PLACE)
    with system.phases("stages up to GRPO's first checkpoint"):
        system.until("checkpoint of GRPO", lambda: _checkpointed(system), seconds=1500)
    began = _begun(system)
    with system.phases("operator killed, kubelet restarted"):
        leader = system.get("pods", "--selector", "learntoask.io/leader=true")["items"][0]["metadata"]["name"]
        system.kubectl("delete", "pod", leader, "--grace-period=0", "--force")
        node.stop_kubelet()
        time.sleep(3)
        node.start_kubelet()
        system.until("another leader", lambda: _leads(system, leader), seconds=120)
    assert _begun(system) == began, "no stage may start anew for that"
    with system.phases("trainer evicted: a new attempt goes on from its checkpoint"):
        system.kubectl("delete", "pod", "--selector", "learntoask.io/stage=grpo", "--wait=false")
        went_on = system.until("going on", lambda: _went_on(system), seconds=400)
    assert went_on
    with system.phases("rest of the run"):
        system.until("end of the run", lambda: _over(system), seconds=1500, pause=3)
    status = system.run_status(RUN)
    assert status["phase"] == "Succeeded", system.look()
    assert {one["state"] for one in status["stages"]} == {"Published"}


@pytest.mark.timeout(1200)
def test_another_pod_is_answered_through_the_service(system: System) -> None:
    with system.phases("policy server and gateway ready"):
        system.until("endpoint", lambda: _serves(system), seconds=900)
    with system.phases("one answer"):
        system.start_python("ask", clients.ASK.format(address=SERVICE))
        decision = json.loads(system.finished_python("ask"))
    assert decision["origin"] == "model"
    assert decision["stop"] or decision["said"]


@pytest.mark.timeout(2400)
def test_an_upgrade_during_traffic_fails_no_ask(system: System) -> None:
    before = _revision(system)
    system.start_python("traffic", clients.TRAFFIC.format(address=SERVICE, rate=_RATE, most=_MOST))
    time.sleep(15)
    at = time.time()
    with system.phases("helm upgrade to other images, with its rollout"):
        # Other tags of the same images change every pod, as a release does.
        names = {"operator": "operator", "services": "services", "policyServer": "policy-server"}
        for name in names.values():
            system.node.containers.ctr("images", "tag", "--force", IMAGES[name], _next(IMAGES[name]))
        tag = _next(IMAGES["operator"]).rpartition(":")[2]
        system.install("upgrade", images={name: {"tag": tag} for name in names})
        system.until("rollout", lambda: _revision(system) != before and _serves(system), seconds=1200)
    done = time.time()
    time.sleep(20)
    system.kubectl("exec", "traffic", "--", "python", "-c", clients.END)
    seen = json.loads(system.finished_python("traffic"))
    print(f"asks: {len(seen['took'])}, failed: {len(seen['failed'])}")
    for name, first, last in (("before", 0.0, at), ("during", at, done), ("after", done, time.time())):
        took = [(seconds, origin) for began, seconds, origin in seen["took"] if first <= began < last]
        late = sum(origin not in _POLICY for _, origin in took)
        p95 = _p95([seconds for seconds, _ in took])
        print(f"  {name}: {len(took)} asks, p95 {p95:.3f} s, {late} not answered by the policy")
    assert seen["failed"] == []
    assert {origin for _, _, origin in seen["took"]} <= _POLICY


@pytest.mark.timeout(1800)
def test_helm_test(system: System) -> None:
    with system.phases("helm test"):
        said = system.helm("test", RELEASE, "--timeout", "25m", "--logs", timeout=1600)
    assert "Succeeded" in said, said


@pytest.mark.timeout(300)
def test_the_store_is_cleaned_up(system: System) -> None:
    with system.phases("lta gc, as the CronJob does it"):
        system.kubectl("create", "job", "cleanup-now", f"--from=cronjob/{RELEASE}-cleanup")
        system.kubectl("wait", "--for=condition=Complete", "job/cleanup-now", "--timeout=120s", timeout=130)
    assert "s3://learntoask/lta" in system.kubectl("logs", "job/cleanup-now")
    assert {one["state"] for one in system.run_status(RUN)["stages"]} == {"Published"}


@pytest.mark.timeout(300)
def test_nobody_is_shown_the_keys_of_the_store(system: System) -> None:
    shown = system.shown()
    assert len(shown) > 50_000
    assert "s3://learntoask/lta" in shown
    assert [name for name, value in system.keys.items() if value in shown] == []


@pytest.mark.timeout(300)
def test_operators_are_small(system: System) -> None:
    pods = [one["metadata"]["name"] for one in system.get("pods", "--selector", OPERATORS)["items"]]
    taken = {name: mebibytes for name, mebibytes in system.memory().items() if name in pods}
    print({name: f"{mebibytes:.0f} MiB" for name, mebibytes in taken.items()})
    assert len(taken) == 2
    assert max(taken.values()) < 150


@pytest.mark.timeout(600)
def test_uninstalling_leaves_what_people_made(system: System) -> None:
    with system.phases("helm uninstall"):
        system.helm("uninstall", RELEASE, "--wait", "--timeout=5m")
    left = system.get("deploy,statefulset,jobs,roles,rolebindings,networkpolicies,ltar,askep,pvc,secrets")[
        "items"
    ]
    names = {(one["kind"], one["metadata"]["name"]) for one in left}
    assert {("LearnToAskRun", RUN), ("AskEndpoint", RUN)} <= names
    assert ("Secret", f"{RELEASE}-store") in names
    assert ("PersistentVolumeClaim", f"data-{RELEASE}-minio-0") in names
    ours = {name for kind, name in names if kind in ("Role", "RoleBinding", "NetworkPolicy", "StatefulSet")}
    assert ours == set()
    assert not any("operator" in name for kind, name in names if kind == "Deployment")
    with system.phases("one answer without an operator"):
        system.start_python("ask-again", clients.ASK.format(address=SERVICE))
        assert json.loads(system.finished_python("ask-again"))["origin"] == "model"
    system.kubectl("delete", "ltar,askep", "--all", "--timeout=60s")  # no finalizer holds them back


def _checkpointed(system: System) -> bool:
    stage = _training(system)
    progress = stage.get("progress") or {}
    return bool(progress.get("percent", 0) >= 20)


def _training(system: System) -> Json:
    """The record of GRPO, which must not have ended yet."""
    stage = system.stage(RUN, "grpo")
    assert stage.get("state") != "Published", "GRPO is over before it could be disturbed"
    assert system.run_status(RUN).get("phase") != "Failed", system.look()
    return stage


def _begun(system: System) -> dict[str, int]:
    return {one["name"]: one.get("attempt", 0) for one in system.run_status(RUN)["stages"]}


def _leads(system: System, other_than: str) -> bool:
    pods = system.get("pods", "--selector", "learntoask.io/leader=true")["items"]
    return any(one["metadata"]["name"] != other_than for one in pods)


def _went_on(system: System) -> bool:
    _training(system)
    for pod in system.get("pods", "--selector", "learntoask.io/stage=grpo")["items"]:
        try:
            if "going on from the checkpoint" in system.kubectl("logs", pod["metadata"]["name"]):
                return True
        except RuntimeError:
            continue
    return False


def _over(system: System) -> bool:
    """Whether the run has ended, be it by failure."""
    return system.run_status(RUN).get("phase") in ("Succeeded", "Failed")


def _serves(system: System) -> bool:
    status = system.get("askendpoint", RUN).get("status", {})
    return status.get("phase") == "Ready" and status["revision"] == status["target"]


def _revision(system: System) -> str:
    return str(system.get("askendpoint", RUN).get("status", {}).get("revision"))


def _next(image: str) -> str:
    return f"{image}-next"


def _p95(seconds: list[float]) -> float:
    return statistics.quantiles(seconds, n=20)[-1] if len(seconds) > 1 else float("nan")
