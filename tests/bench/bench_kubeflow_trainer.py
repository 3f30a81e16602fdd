"""Compares the operator with Kubeflow Trainer's controller: as many TrainJobs as runs, each on a fresh API server.

    make cluster-tools bench-tools && python tests/bench/bench_kubeflow_trainer.py                # 1000 of each; root

The first child of a TrainJob is its JobSet, made from the runtime `torch-distributed` as Trainer ships it. Three things
favour Trainer: its webhook is not called; the controller of JobSets, which would create the Jobs, does not run; and its
TrainJobs are smaller than our runs. The address of its webhook server cannot be set, so it runs in a separate network
namespace. Its certificates are below /tmp, where it looks for them. All else is as in bench_operator.py.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench_operator import HEAD, NAMESPACE, Controller, Json, Measured, create, existing, measure
from learntoask.kube import Kind
from worlds.cluster.cluster import Cluster
from worlds.cluster.control_plane import ControlPlane
from worlds.cluster.processes import start
from worlds.cluster.toolchain import ROOT, missing, tool

TRAIN_JOB = Kind(group="trainer.kubeflow.org", version="v1alpha1", plural="trainjobs", kind="TrainJob")
JOB_SET = Kind(group="jobset.x-k8s.io", version="v1alpha2", plural="jobsets", kind="JobSet")
_HOME, _SECRET = "kubeflow-system", "kubeflow-trainer-webhook-cert"
_ACCOUNT = f"system:serviceaccount:{_HOME}:trainer"
_CERTIFICATES = Path("/tmp/k8s-webhook-server/serving-certs")
_NETWORK, _OUTSIDE, _INSIDE = "lta-bench", "10.89.77.1", "10.89.77.2"


@contextmanager
def network() -> Iterator[None]:
    """A network namespace that reaches this machine at one address, and nothing else."""
    _run("ip", "netns", "add", _NETWORK)
    try:
        _run("ip", "link", "add", _NETWORK, "type", "veth", "peer", "name", "outside", "netns", _NETWORK)
        _run("ip", "address", "add", f"{_OUTSIDE}/30", "dev", _NETWORK)
        _run("ip", "link", "set", _NETWORK, "up")
        _run("ip", "-n", _NETWORK, "address", "add", f"{_INSIDE}/30", "dev", "outside")
        _run("ip", "-n", _NETWORK, "link", "set", "outside", "up")
        _run("ip", "-n", _NETWORK, "link", "set", "lo", "up")
        yield
    finally:
        _run("ip", "netns", "delete", _NETWORK)


def module(name: str) -> Path:
    """The folder of a Go module at the version that Trainer is built with."""
    listed = ["go", "list", "-C", str(ROOT / "tests" / "toolchain" / "trainer"), "-m", "-f", "{{.Dir}}", name]
    return Path(_run(*listed).strip())


def install(cluster: Cluster) -> None:
    """Install what Trainer's controller needs, without the calls of its webhook."""
    manifests = module("github.com/kubeflow/trainer/v2") / "manifests" / "base"
    job_sets = (
        module("sigs.k8s.io/jobset")
        / "config"
        / "components"
        / "crd"
        / "bases"
        / "jobset.x-k8s.io_jobsets.yaml"
    )
    for path in (job_sets, *sorted((manifests / "crds").glob("trainer*.yaml"))):
        cluster.kubectl("apply", "--server-side", "-f", str(path))
    cluster.kubectl("wait", "--for=condition=Established", "crd", "--all")
    webhook = {
        "name": "never.called.example",
        "admissionReviewVersions": ["v1"],
        "sideEffects": "None",
        "clientConfig": {"service": {"name": "nobody", "namespace": _HOME}},
    }
    objects: list[Json] = [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": _HOME}},
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}},
        {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": _SECRET, "namespace": _HOME}},
        {
            "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": "ValidatingWebhookConfiguration",
            "metadata": {"name": "validator.trainer.kubeflow.org"},
            "webhooks": [webhook],
        },
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "ClusterRoleBinding",
            "metadata": {"name": "trainer"},
            "subjects": [{"kind": "User", "name": _ACCOUNT, "apiGroup": "rbac.authorization.k8s.io"}],
            "roleRef": {
                "kind": "ClusterRole",
                "name": "cluster-admin",
                "apiGroup": "rbac.authorization.k8s.io",
            },
        },
    ]
    listing = {"apiVersion": "v1", "kind": "List", "items": objects}
    cluster.kubectl("apply", "-f", "-", stdin=json.dumps(listing))
    cluster.kubectl("apply", "-f", str(manifests / "runtimes" / "torch_distributed.yaml"))


def train_job(name: str) -> Json:
    return {
        "apiVersion": TRAIN_JOB.api_version,
        "kind": TRAIN_JOB.kind,
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": {"runtimeRef": {"name": "torch-distributed"}},
    }


@contextmanager
def trainer(plane: ControlPlane, cluster: Cluster, log: Path) -> Iterator[Controller]:
    """Whether the controller is ready: it has created the JobSet of a first TrainJob."""
    kubeconfig = plane.kubeconfig_of(_ACCOUNT, groups=("system:serviceaccounts",))
    flags = [f"--kubeconfig={kubeconfig}", "--health-probe-bind-address=0", "--zap-log-level=error"]
    command = ["ip", "netns", "exec", _NETWORK, str(tool("trainer-controller-manager")), *flags]
    _CERTIFICATES.mkdir(parents=True)
    process = start(command, log=log, outlive=False)
    try:
        controller = Controller(plane=plane, process=process, log=log, user=_ACCOUNT)
        controller.wait(1, lambda: bool(_certificates(cluster)))
        for name, content in _certificates(cluster).items():
            (_CERTIFICATES / name).write_bytes(base64.b64decode(content))
        asyncio.run(create(plane.kubeconfig, TRAIN_JOB, [train_job("first-0")]))
        controller.wait(1, lambda: existing(cluster, JOB_SET))
        yield controller
    finally:
        process.kill()
        shutil.rmtree(_CERTIFICATES.parent)


def measure_trainer(count: int, folder: Path) -> Measured:
    with network():
        plane = ControlPlane(folder, audit=True, address=_OUTSIDE)
        try:
            plane.start()
            cluster = Cluster(plane.kubeconfig, plane)
            install(cluster)
            with trainer(plane, cluster, folder / "trainer.log") as controller:
                time.sleep(10.0)
                bodies = [train_job(f"run-{index}") for index in range(count)]
                return controller.load(TRAIN_JOB, bodies, JOB_SET)
        finally:
            plane.stop()


def _certificates(cluster: Cluster) -> dict[str, str]:
    return dict(
        cluster.request("GET", f"/api/v1/namespaces/{_HOME}/secrets/{_SECRET}").body.get("data") or {}
    )


def _run(*command: str) -> str:
    return subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, timeout=60).stdout


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=1000)
    count = parser.parse_args().runs
    if absent := missing("trainer-controller-manager"):
        sys.exit(f"not built: {', '.join(absent)}; install Go and run `make bench-tools`")
    with tempfile.TemporaryDirectory() as temporary:
        folders = {name: Path(temporary) / name for name in ("ours", "trainer")}
        for folder in folders.values():
            folder.mkdir()
        theirs = measure_trainer(count, folders["trainer"])
        ours = measure(count, folders["ours"], complete=False)
    print(HEAD.replace("| runs", "| | runs", 1).replace("|---", "|---|---", 1))
    print(f"| LearnToAskRun {ours.row()}\n| TrainJob {theirs.row()}")
    ratio = statistics.median(theirs.first_child) / statistics.median(ours.first_child)
    print(f"\nfirst child, p50: {ratio:.2f} times as long with Trainer")


if __name__ == "__main__":
    main()
