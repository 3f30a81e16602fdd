"""Fixtures for tests on a real API server. If its parts are not built, the tests are skipped with what is missing."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest
from worlds.cluster.cluster import Cluster
from worlds.cluster.control_plane import ControlPlane
from worlds.cluster.operator_process import OperatorProcess, allow_everything
from worlds.cluster.runs import OPERATOR_FLAGS, Runs
from worlds.cluster.toolchain import CONTROL_PLANE, missing


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--kubeconfig",
        type=Path,
        default=os.environ.get("LTA_TEST_KUBECONFIG"),
        help="run the cluster tests against this cluster instead of a throw-away one",
    )


@pytest.fixture(scope="session")
def cluster(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A cluster with our CRDs, one for each process of pytest-xdist."""
    given = request.config.getoption("--kubeconfig")
    if given is not None:
        if missing("kubectl"):
            pytest.skip("kubectl is not built: install Go and run `make cluster-tools`")
        cluster = Cluster(Path(given))
        cluster.install_crds()
        yield cluster
        return
    absent = missing(*CONTROL_PLANE)
    if absent:
        pytest.skip(f"not built: {', '.join(absent)}; install Go and run `make cluster-tools`")
    plane = ControlPlane(tmp_path_factory.mktemp("cluster"), audit=True)
    try:
        plane.start()
        cluster = Cluster(plane.kubeconfig, plane)
        cluster.install_crds()
        yield cluster
    finally:
        plane.stop()


@pytest.fixture
def plane(cluster: Cluster) -> Iterator[ControlPlane]:
    """A cluster for tests that stop parts of it."""
    if cluster.plane is None:
        pytest.skip("stops parts of the cluster, so it needs one of its own: leave out --kubeconfig")
    yield cluster.plane
    cluster.plane.mend()


@pytest.fixture(scope="module")
def fake_node(cluster: Cluster) -> Iterator[None]:
    """A node for the tests of one file, whose pods kwok simulates (fake_node.py)."""
    if cluster.plane is None:
        pytest.skip("brings a node of its own: leave out --kubeconfig")
    if missing("kwok"):
        pytest.skip("kwok is not built: install Go and run `make cluster-tools`")
    cluster.plane.start_fake_node()
    yield
    cluster.plane.stop_fake_node()


@pytest.fixture
def namespace(cluster: Cluster) -> Iterator[str]:
    """A new namespace for every test."""
    with cluster.namespace(f"test-{secrets.token_hex(4)}") as name:
        yield name


@pytest.fixture
def runs(cluster: Cluster, namespace: str) -> Runs:
    return Runs(cluster, namespace)


@pytest.fixture
def lease() -> str:
    """Duration of the operator's Lease: longer than an API server needs to restart on a busy machine. Tests in which
    another operator takes over set a shorter one."""
    return "60s"


@pytest.fixture
def operator(plane: ControlPlane, namespace: str, tmp_path: Path, lease: str) -> Iterator[OperatorProcess]:
    """An operator with all rights that watches the test's namespace only."""
    allow_everything(plane)
    where = (f"--namespaces={namespace}", f"--lease-namespace={namespace}", f"--lease-time={lease}")
    flags = (*OPERATOR_FLAGS, *where)
    operator = OperatorProcess(plane, tmp_path, flags)
    operator.start()
    yield operator
    operator.kill()
