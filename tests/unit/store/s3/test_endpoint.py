"""The host that requests go to, and the region they are signed for."""

from __future__ import annotations

import pytest
from learntoask.core.errors import InputError
from learntoask.store.s3.client import connect, connection_pool
from learntoask.store.s3.endpoint import s3_endpoint
from minio.credentials import StaticProvider


def _first_request(written: str | None, region: str | None, bucket: str = "team") -> tuple[str | None, str]:
    """The region of the first request for an object, and its URL."""
    endpoint = s3_endpoint(written, region=region, bucket=bucket)
    client = connect(endpoint, StaticProvider("a", "b"), pool=connection_pool(endpoint.url, {}))
    base = client._base_url
    url = base.build(method="GET", region=base.region or "us-east-1", bucket_name=bucket, object_name="k")
    return base.region or None, url.geturl()


@pytest.mark.parametrize(
    ("host", "region", "requested"),
    [
        ("s3.eu-central-1.amazonaws.com", "eu-central-1", "team.s3.eu-central-1.amazonaws.com"),
        ("s3-eu-west-1.amazonaws.com", "eu-west-1", "team.s3.eu-west-1.amazonaws.com"),
        ("s3.dualstack.eu-west-1.amazonaws.com", "eu-west-1", "team.s3.dualstack.eu-west-1.amazonaws.com"),
        ("s3-fips.us-gov-west-1.amazonaws.com", "us-gov-west-1", "team.s3-fips.us-gov-west-1.amazonaws.com"),
        (
            "s3-fips.dualstack.us-east-2.amazonaws.com",
            "us-east-2",
            "team.s3-fips.dualstack.us-east-2.amazonaws.com",
        ),
        ("s3.us-gov-east-1.amazonaws.com", "us-gov-east-1", "team.s3.us-gov-east-1.amazonaws.com"),
        ("s3-us-gov-west-1.amazonaws.com", "us-gov-west-1", "team.s3.us-gov-west-1.amazonaws.com"),
        ("s3-fips-us-gov-west-1.amazonaws.com", "us-gov-west-1", "team.s3-fips.us-gov-west-1.amazonaws.com"),
        ("s3.cn-north-1.amazonaws.com.cn", "cn-north-1", "team.s3.cn-north-1.amazonaws.com.cn"),
        ("team.s3.eu-central-1.amazonaws.com", "eu-central-1", "team.s3.eu-central-1.amazonaws.com"),
        ("team.s3.cn-north-1.amazonaws.com.cn", "cn-north-1", "team.s3.cn-north-1.amazonaws.com.cn"),
    ],
)
@pytest.mark.parametrize("given", [None, "ap-south-1"])
def test_a_host_of_amazon_says_its_region_and_is_not_rewritten(
    host: str, region: str, requested: str, given: str | None
) -> None:
    """AWS_REGION in a pod names the region of its cluster."""
    assert _first_request(f"https://{host}", given) == (region, f"https://{requested}/k")


@pytest.mark.parametrize(
    ("region", "signed", "requested"),
    [
        (None, None, "team.s3.us-east-1.amazonaws.com"),  # the service is asked for the region
        ("eu-north-1", "eu-north-1", "team.s3.eu-north-1.amazonaws.com"),
        ("cn-northwest-1", "cn-northwest-1", "team.s3.cn-northwest-1.amazonaws.com.cn"),
        ("us-gov-west-1", "us-gov-west-1", "team.s3.us-gov-west-1.amazonaws.com"),
    ],
)
def test_without_an_endpoint_the_region_names_the_host(
    region: str | None, signed: str | None, requested: str
) -> None:
    assert _first_request(None, region) == (signed, f"https://{requested}/k")


@pytest.mark.parametrize(
    ("written", "given", "region"),
    [
        ("http://minio.team.svc:9000", None, "us-east-1"),
        ("http://minio.team.svc:9000", "eu-south-1", "eu-south-1"),
        ("http://[fd00::7]:9000", None, "us-east-1"),
        ("https://s3.example.com:9443", None, "us-east-1"),
        ("https://s3.us-west-004.backblazeb2.com", None, "us-west-004"),
        ("https://s3.eusc-de-east-1.amazonaws.eu", None, "eusc-de-east-1"),
    ],
)
def test_other_services_keep_host_and_path_style(written: str, given: str | None, region: str) -> None:
    assert _first_request(written, given) == (region, f"{written}/team/k")


@pytest.mark.parametrize(
    ("written", "says"),
    [
        (
            "https://other.s3.eu-central-1.amazonaws.com",
            "names the bucket 'other'.*write https://s3.eu-central-1",
        ),
        ("https://s3.eu-central-1.amazonaws.com/team", "the bucket belongs into the store's address"),
        ("https://minio.example?x=1", "has a path"),
        ("minio.example:9000", "not of the form"),
        ("ftp://minio.example", "not of the form"),
        ("https://minio.example:99999", "not of the form"),
        ("https://me:secret@minio.example", "must not carry credentials"),
    ],
)
def test_another_address_is_refused_with_what_to_write(written: str, says: str) -> None:
    with pytest.raises(InputError, match=says):
        s3_endpoint(written, region=None, bucket="team")
