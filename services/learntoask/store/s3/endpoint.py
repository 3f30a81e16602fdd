"""Which host requests to an S3 service go to, and for which region they are signed. Pure.

Amazon's hosts name their region and partition: `s3.eu-central-1.amazonaws.com`, `s3-fips.us-gov-west-1.amazonaws.com`,
`s3.dualstack.eu-west-1.amazonaws.com`, `s3.cn-north-1.amazonaws.com.cn`. Some other services follow that pattern.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from learntoask.core.errors import InputError
from learntoask.core.network.address import join_host_port

_REGION = r"[a-z]{2,4}(?:-[a-z]+)+-\d+"  # eu-central-1, us-gov-west-1, us-west-004
_IN_HOST = re.compile(rf"(?:^|\.)s3(?:-[a-z]+)*\.(?:dualstack\.)?({_REGION})\.")
_OLD = re.compile(rf"^s3((?:-fips)?)-({_REGION})\.amazonaws\.com$")  # Amazon's spelling until 2019
_AMAZON = re.compile(r"(?:^|\.)amazonaws\.(?:com|com\.cn|eu)$")
_BUCKET_IN_HOST = re.compile(r"^(?!(?:bucket|accesspoint)\.vpce-)(.+)\.(s3[.-].+)$")
_PARTITIONS = (("cn-", "amazonaws.com.cn"), ("eusc-", "amazonaws.eu"))
_OTHERS_REGION = "us-east-1"  # what MinIO and most other services accept


@dataclass(frozen=True, kw_only=True)
class S3Endpoint:
    """`host` may have a port, `url` is for messages. `region` None means that the service is asked for it."""

    url: str
    host: str
    secure: bool
    region: str | None
    amazon: bool


def s3_endpoint(written: str | None, *, region: str | None, bucket: str) -> S3Endpoint:
    """Return the endpoint for a written address and region; None for the address is Amazon's of that region.

    The region in a host wins, because the host serves no other: a pod's AWS_REGION names the region of its cluster, not
    of the bucket. Raises InputError.
    """
    if not written:
        domain = next((name for prefix, name in _PARTITIONS if (region or "").startswith(prefix)), "")
        written = f"https://s3.{region}.{domain}" if domain else "https://s3.amazonaws.com"
    _check(written)
    parts = urlsplit(written)
    host = (parts.hostname or "").rstrip(".")
    if (found := _BUCKET_IN_HOST.match(host)) and _AMAZON.search(host):
        if found[1] != bucket:
            raise InputError(
                f"the store's endpoint {written!r} names the bucket {found[1]!r}, the store's address the bucket "
                f"{bucket!r}; write https://{found[2]}"
            )
        host = found[2]
    if old := _OLD.match(host):
        host = f"s3{old[1]}.{old[2]}.amazonaws.com"
    in_host, amazon = _IN_HOST.search(host), bool(_AMAZON.search(host))
    return S3Endpoint(
        url=written,
        host=join_host_port(host, parts.port) if parts.port else f"[{host}]" if ":" in host else host,
        secure=parts.scheme == "https",
        region=in_host[1] if in_host else region or (None if amazon else _OTHERS_REGION),
        amazon=amazon,
    )


def _check(written: str) -> None:
    parts = urlsplit(written)
    if "@" in parts.netloc:
        raise InputError(
            "the store's endpoint must not carry credentials; give them in the environment or a file"
        )
    try:
        port_is_valid = parts.port != 0
    except ValueError:
        port_is_valid = False
    if parts.scheme not in ("http", "https") or not parts.hostname or not port_is_valid:
        raise InputError(f"the store's endpoint {written!r} is not of the form https://host:port")
    if parts.path.strip("/") or parts.query or parts.fragment:
        raise InputError(
            f"the store's endpoint {written!r} has a path; the bucket belongs into the store's address "
            "(s3://bucket/prefix), and the endpoint is only https://host:port"
        )
