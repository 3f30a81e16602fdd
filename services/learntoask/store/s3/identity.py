"""Keys that a cloud gives to a pod or a machine for its identity; the minio package fetches and renews them.

Web identity: a projected token of the service account is exchanged at an STS (EKS sets the variables for an annotated
account; other clusters, and MinIO's STS, work with the same variables). Container: an agent on the node (EKS Pod
Identity, ECS). Machine: the instance metadata service of EC2.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit
from xml.etree.ElementTree import ParseError

from minio.credentials import Credentials, IamAwsProvider, Provider
from urllib3 import Retry
from urllib3.exceptions import HTTPError

from learntoask.core.errors import StoreError
from learntoask.store.s3.client import connection_pool

_AGENT, _METADATA = "http://169.254.170.2", "http://169.254.169.254"
_RETRIES = Retry(total=5, backoff_factor=0.2, status_forcelist=[500, 502, 503, 504])
_SECONDS = 10.0
_PROBE_SECONDS = 1.0  # outside of EC2 nothing may ever answer
_PROBE_RETRIES = Retry(total=2, connect=0, read=0, backoff_factor=0.2, status_forcelist=[500, 502, 503, 504])


class Identity:
    """Keys for an identity. `source` describes it for messages."""

    def __init__(self, source: str, provider: Provider) -> None:
        self.source, self._provider = source, provider

    def retrieve(self) -> Credentials:
        """Return valid keys. Raises StoreError if they are refused, ConnectionError if the service does not answer.

        The errors of minio and urllib3 are not chained, because they contain addresses with tokens in them.
        """
        try:
            return self._provider.retrieve()
        except HTTPError as error:
            why = type(getattr(error, "reason", None) or error).__name__
            raise ConnectionError(
                f"no keys from {self.source}: its service does not answer ({why})"
            ) from None
        except (ValueError, LookupError, TypeError, OSError, ParseError) as error:
            status = str(error).rpartition("HTTP status code ")[2] if "HTTP status code" in str(error) else ""
            why = f"HTTP status {status}" if status else type(error).__name__
            raise StoreError(
                f"no keys from {self.source} ({why}). Check that its role trusts this identity, and that its token "
                "file can be read",
                reason="CredentialsRefused",
            ) from None


def find_identity(environment: Mapping[str, str], *, ca: Path | None) -> Identity | None:
    """Return the identity that the variables of this pod describe, or None. No request is sent yet."""
    token, role = environment.get("AWS_WEB_IDENTITY_TOKEN_FILE"), environment.get("AWS_ROLE_ARN", "")
    full = environment.get("AWS_CONTAINER_CREDENTIALS_FULL_URI")
    relative = environment.get("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI")
    if token:
        sts = environment.get("AWS_ENDPOINT_URL_STS")
        source = f"the web identity {role or token} (AWS_WEB_IDENTITY_TOKEN_FILE)"
        url = sts or "https://sts.amazonaws.com"
        pool = connection_pool(url, environment, ca=ca if sts else None, seconds=_SECONDS, retries=_RETRIES)
        provider = IamAwsProvider(
            custom_endpoint=sts,
            http_client=pool,
            token_file=token,
            role_arn=role or None,
            role_session_name=environment.get("AWS_ROLE_SESSION_NAME"),
            region=environment.get("AWS_REGION"),
        )
        return Identity(source, provider)
    if full or relative:
        host = urlsplit(full or _AGENT).hostname
        pool = connection_pool(full or _AGENT, environment, seconds=_SECONDS, retries=_RETRIES)
        provider = IamAwsProvider(http_client=pool, full_uri=full, relative_uri=relative)
        return Identity(f"the container's identity at {host} (AWS_CONTAINER_CREDENTIALS_…_URI)", provider)
    return None


def find_machine(environment: Mapping[str, str]) -> Identity | None:
    """Return the identity of the machine, or None if no instance metadata service gives one within a second."""
    if environment.get("AWS_EC2_METADATA_DISABLED", "").lower() == "true":
        return None
    url = environment.get("AWS_EC2_METADATA_SERVICE_ENDPOINT") or _METADATA
    pool = connection_pool(url, environment, seconds=_PROBE_SECONDS, retries=_PROBE_RETRIES)
    machine = Identity("the instance metadata service", IamAwsProvider(custom_endpoint=url, http_client=pool))
    try:
        machine.retrieve()
    except (ConnectionError, StoreError):
        return None
    return machine
