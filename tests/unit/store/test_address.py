"""Addresses of stores: where they are read from, and which ones are refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from learntoask.core.errors import InputError
from learntoask.core.manifest import StoreSettings, parse_manifest
from learntoask.store.address import StoreAddress, address_of, bucket_and_key
from learntoask.store.factory import open_store

KEYS = {"AWS_ACCESS_KEY_ID": "me", "AWS_SECRET_ACCESS_KEY": "s3cret"}


def _address(store: StoreSettings, environment: dict[str, str] | None = None) -> StoreAddress:
    return address_of(
        store, folder=Path("/manifests"), default=Path("/home/.lta/store"), environment=environment or {}
    )


def test_the_environment_comes_before_the_manifest_and_shared_variables_after_it() -> None:
    written = StoreSettings.model_validate(
        {
            "uri": "s3://team/lta/",
            "endpoint": "https://minio:9000",
            "ca": "ca.pem",
            "credentials": {"file": "keys"},
        }
    )
    assert _address(written) == StoreAddress(
        uri="s3://team/lta",
        endpoint="https://minio:9000",
        ca=Path("/manifests/ca.pem"),
        credentials=Path("/manifests/keys"),
    )
    ours = {
        "LTA_STORE": "s3://other",
        "LTA_STORE_ENDPOINT": "http://here:1",
        "LTA_STORE_REGION": "eu-central-1",
        "LTA_STORE_CA": "/etc/ca.pem",
        "LTA_STORE_CREDENTIALS": "/var/run/store",
    }
    shared = {
        "AWS_ENDPOINT_URL": "http://shared:1",
        "AWS_REGION": "us-west-2",
        "AWS_CA_BUNDLE": "/shared.pem",
    }
    assert _address(written, ours | shared) == StoreAddress(
        uri="s3://other",
        endpoint="http://here:1",
        region="eu-central-1",
        ca=Path("/etc/ca.pem"),
        credentials=Path("/var/run/store"),
    )
    assert _address(written, shared).endpoint == "https://minio:9000"
    assert _address(StoreSettings(), shared).endpoint == "http://shared:1"


def test_folders_are_absolute() -> None:
    assert _address(StoreSettings()).uri == "/home/.lta/store"
    assert _address(StoreSettings(uri="store")).uri == "/manifests/store"
    assert _address(StoreSettings(uri="file:///srv/store")).uri == "/srv/store"


@pytest.mark.parametrize(
    ("uri", "message"),
    [
        ("s3://", "names no bucket"),
        ("s3://Bucket/x", "names no bucket"),
        ("s3:bucket/x", "not a kind of store"),
        ("gs://bucket/x", "not a kind of store"),
        ("pvc:volume/x", "not a kind of store"),
        ("s3://bucket/a/../b", "treat differently"),
        ("s3://bucket/a//b", "treat differently"),
    ],
)
def test_what_is_no_address_is_said_so(uri: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        _address(StoreSettings(uri=uri))


@pytest.mark.parametrize("endpoint", ["minio:9000", "ftp://minio", "https://minio/bucket", "https://"])
def test_an_endpoint_is_scheme_and_host(endpoint: str) -> None:
    with pytest.raises(InputError, match="https://host:port"):
        open_store(StoreAddress(uri="s3://bucket", endpoint=endpoint), KEYS)


def test_an_authority_that_is_no_certificate_is_named(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("not a certificate")
    for path in (tmp_path / "ca.pem", tmp_path / "absent.pem"):
        with pytest.raises(InputError, match=str(path)):
            open_store(StoreAddress(uri="s3://bucket", endpoint="https://minio", ca=path), KEYS)


def test_credentials_in_an_address_are_refused_and_not_repeated() -> None:
    for section in (
        "store: {uri: 's3://me:hunter2@bucket/x'}",
        "store: {uri: 's3://me:hunter2/2@bucket/x'}",
        "store: {endpoint: 'https://me:hunter2@minio'}",
        "dataset: {uri: 's3://me:hunter2@bucket/x'}",
    ):
        with pytest.raises(InputError, match="must not carry credentials") as caught:
            parse_manifest(
                "apiVersion: learntoask.io/v1alpha1\nkind: LearnToAskRun\nmetadata: {name: x}\n"
                f"spec:\n  pack: {{uri: p}}\n  {section}\n",
                where="run.yaml",
            )
        assert "hunter2" not in str(caught.value)
    for refused in (
        lambda: _address(StoreSettings(), {"LTA_STORE": "s3://me:hunter2@bucket/x"}),
        lambda: bucket_and_key("s3://me:hunter2@bucket/x", field="spec.train.base.uri"),
        lambda: open_store(StoreAddress(uri="s3://bucket", endpoint="https://me:hunter2@minio"), KEYS),
    ):
        with pytest.raises(InputError, match="must not carry credentials") as caught:
            refused()
        assert "hunter2" not in str(caught.value)
