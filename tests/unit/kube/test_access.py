"""Which proxy the calls to an API server go through."""

from __future__ import annotations

import pytest
from kubernetes.aio import client
from learntoask.kube.access import ClusterAccess

PROXY = "http://proxy.example:3128"


def access(server: str, *, proxy_url: str | None = None) -> ClusterAccess:
    configuration = client.Configuration(host=server)
    configuration.proxy = proxy_url
    return ClusterAccess(configuration=configuration, namespace="default")


@pytest.mark.parametrize(
    ("server", "environment", "proxy"),
    [
        ("https://api.example:6443", {}, None),
        ("https://api.example:6443", {"HTTPS_PROXY": PROXY}, PROXY),
        ("https://api.example:6443", {"HTTP_PROXY": PROXY}, None),
        ("https://api.example:6443", {"HTTPS_PROXY": PROXY, "NO_PROXY": ".example"}, None),
        ("https://127.0.0.1:6443", {"HTTPS_PROXY": PROXY}, None),
        ("https://[::1]:6443", {"HTTPS_PROXY": PROXY}, None),
        ("https://kubernetes.default.svc", {"HTTPS_PROXY": PROXY}, None),
        ("https://10.96.0.1:443", {"HTTPS_PROXY": PROXY, "KUBERNETES_SERVICE_HOST": "10.96.0.1"}, None),
    ],
)
def test_the_api_server_is_called_by_the_rule_of_all_clients(
    server: str, environment: dict[str, str], proxy: str | None
) -> None:
    assert access(server).proxy(environment) == proxy


def test_the_proxy_of_the_kubeconfig_wins_over_the_variables() -> None:
    found = access("https://api.example:6443", proxy_url="http://own.example:1")
    assert found.proxy({"HTTPS_PROXY": PROXY, "NO_PROXY": "*"}) == "http://own.example:1"
