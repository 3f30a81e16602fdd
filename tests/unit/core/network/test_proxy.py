"""Which requests go through a proxy: one rule for the store, gRPC and language models."""

from __future__ import annotations

import pytest
from learntoask.core.errors import InputError
from learntoask.core.network.proxy import proxy_for

PROXY = "http://proxy.example:3128"
BOTH = {"HTTPS_PROXY": PROXY, "HTTP_PROXY": "http://plain.example:3128"}


@pytest.mark.parametrize(
    ("scheme", "environment", "proxy"),
    [
        ("https", {}, None),
        ("https", BOTH, PROXY),
        ("http", BOTH, "http://plain.example:3128"),
        ("http", {"HTTPS_PROXY": PROXY}, None),
        ("http", {"ALL_PROXY": PROXY}, PROXY),
        ("https", {"HTTPS_PROXY": "upper:1", "https_proxy": "lower:1"}, "http://lower:1"),
        ("https", {"HTTPS_PROXY": "", "all_proxy": "proxy:1"}, "http://proxy:1"),
        ("https", {"HTTPS_PROXY": "http://me:secret@proxy:1"}, "http://me:secret@proxy:1"),
    ],
)
def test_the_variable_of_the_scheme_names_the_proxy(
    scheme: str, environment: dict[str, str], proxy: str | None
) -> None:
    assert proxy_for(scheme, "api.example", environment) == proxy


@pytest.mark.parametrize(
    "host",
    [
        "localhost", "LOCALHOST.", "a.localhost", "127.0.0.1", "127.8.8.8", "::1", "[::1]",
        "169.254.169.254", "169.254.170.23", "fd00:ec2::23", "fe80::1",
        "learntoask-minio.learntoask.svc", "progress.team.svc.cluster.local",
    ],
)  # fmt: skip
def test_loopback_this_node_and_services_of_the_cluster_never_go_through_a_proxy(host: str) -> None:
    for scheme in ("http", "https"):
        assert proxy_for(scheme, host, {"ALL_PROXY": PROXY, **BOTH}) is None


@pytest.mark.parametrize(
    ("given", "host"), [("10.96.0.1", "10.96.0.1"), ("fd00::1", "[fd00::1]"), ("[fd00::1]", "fd00::1")]
)
def test_a_pod_calls_the_api_server_of_its_cluster_directly(given: str, host: str) -> None:
    assert proxy_for("https", host, {**BOTH, "KUBERNETES_SERVICE_HOST": given}) is None
    assert proxy_for("https", host, BOTH) == PROXY
    assert proxy_for("https", "10.96.0.2", {**BOTH, "KUBERNETES_SERVICE_HOST": given}) == PROXY


@pytest.mark.parametrize(
    ("host", "no_proxy", "direct"),
    [
        ("s3.example", "*", True),
        ("s3.example", "s3.example", True),
        ("s3.example", "example", True),
        ("s3.example", ".example", True),
        ("s3.example", "*.example", True),
        ("S3.Example", "s3.EXAMPLE", True),
        ("s3.example", "other.example, s3.example", True),
        ("s3.example", "other.example s3.example", True),
        ("mys3.example", "s3.example", False),
        ("s3.example.org", "example", False),
        ("s3.example", ",, ", False),
        ("10.3.4.5", "10.0.0.0/8", True),
        ("10.3.4.5", "10.3.4.5", True),
        ("11.3.4.5", "10.0.0.0/8", False),
        ("[fd00::5]", "fd00::/8,10.0.0.0/8", True),
        ("fd00::5", "[fd00::5]", True),
        ("fe00::5", "10.0.0.0/8", False),
        ("s3.example", "10.0.0.0/8", False),
    ],
)
def test_no_proxy_takes_hosts_domains_addresses_and_blocks(host: str, no_proxy: str, direct: bool) -> None:
    assert (proxy_for("https", host, {**BOTH, "NO_PROXY": no_proxy}) is None) is direct


@pytest.mark.parametrize("proxy", ["socks5://me:secret@proxy:1080", "http://", "://x"])
def test_a_proxy_that_cannot_be_used_is_named_without_its_password(proxy: str) -> None:
    with pytest.raises(
        InputError, match=r"HTTPS_PROXY is not the address.*api\.example in NO_PROXY"
    ) as refused:
        proxy_for("https", "api.example", {"HTTPS_PROXY": proxy})
    assert "secret" not in str(refused.value)
    assert proxy_for("https", "localhost", {"HTTPS_PROXY": proxy}) is None
