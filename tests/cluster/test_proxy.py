"""The API server behind a proxy: the operator, and kopf in it, take the way that HTTPS_PROXY names."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from worlds.cluster.control_plane import ControlPlane
from worlds.cluster.operator_process import ACCOUNT, OperatorProcess, allow_everything
from worlds.cluster.runs import OPERATOR_FLAGS, Runs
from worlds.proxy import Proxy, proxy

pytestmark = [pytest.mark.usefixtures("fake_node"), pytest.mark.timeout(600)]
PLACE = (
    "kubernetes.default:443"  # a name in the server's certificate, which no machine knows outside a cluster
)


@pytest.fixture
def between(plane: ControlPlane) -> Iterator[Proxy]:
    with proxy() as server:
        server.places = {PLACE: plane.ports["api"]}
        yield server


def test_the_operator_reaches_the_api_server_through_the_proxy_alone(
    plane: ControlPlane, runs: Runs, between: Proxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", between.url)
    allow_everything(plane)
    kubeconfig = plane.kubeconfig_of(
        ACCOUNT, groups=("system:serviceaccounts",), path=tmp_path / "kubeconfig"
    )
    given = yaml.safe_load(kubeconfig.read_text())
    given["clusters"][0]["cluster"]["server"] = f"https://{PLACE}"
    kubeconfig.write_text(yaml.safe_dump(given))
    where = (
        f"--namespaces={runs.namespace}",
        f"--lease-namespace={runs.namespace}",
        f"--kubeconfig={kubeconfig}",
    )
    operator = OperatorProcess(plane, tmp_path, (*OPERATOR_FLAGS, *where))
    runs.apply()
    operator.start()
    try:
        runs.wait_phase("Succeeded")
    finally:
        operator.kill()
    assert set(between.seen) == {("CONNECT", PLACE)}
