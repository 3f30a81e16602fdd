"""Addresses of the logs, the domain pack and the store, and how sessions are divided into splits."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from learntoask.core.manifest.address import Address, LogsAddress, PackAddress, Uri
from learntoask.core.manifest.form import Form
from learntoask.core.manifest.model import ManifestModel, Name, Share

Region = Annotated[
    str,
    Field(max_length=63),
    Form("[a-z0-9-]+", "use lower-case letters a-z, digits and -, as in eu-central-1"),
]


class Corruption(ManifestModel):
    """Faults that are put into the training sessions on purpose, to measure how much of them training tolerates
    (docs/experiments.md). Graders and held-out sessions stay as they are."""

    sloppy: Share = 0.0
    """Share of the training sessions that are changed into those of careless experts, with late stops, redundant
    questions or early stops."""
    label_noise: Share = 0.0
    """Share of the training labels that are made wrong: the other decision, or a micro-goal with other fields."""
    seed: Annotated[int, Field(ge=0, le=2**31 - 1)] = 0
    """Random seed of the choice. With the same seed, a larger share contains all faults of a smaller one."""

    @property
    def active(self) -> bool:
        return self.sloppy > 0 or self.label_noise > 0


class Dataset(ManifestModel):
    """The logs to learn from, and how their sessions are divided into splits."""

    uri: LogsAddress
    """Logs, as one JSON session on each line: a path relative to the manifest, or `s3://bucket/key`. In a cluster also
    `pvc:claim/path`."""
    test_uri: LogsAddress | None = None
    """Held-out logs, in the same format. If given, they are the test split, and `testShare` is ignored."""
    validation_share: Share = 0.1
    """Share of the sessions of `uri` in the validation split, on which the policy that is published is chosen."""
    test_share: Share = 0.2
    """Share of the sessions of `uri` that are held out for the report, if `testUri` is not given. It must then be above
    0, because a run ends with a report."""
    seed: Annotated[int, Field(ge=0, le=2**31 - 1)] = 0
    """Random seed of the split. Near-duplicate sessions always go into the same split."""
    max_sessions: Annotated[int, Field(ge=1, le=1_000_000_000)] | None = None
    """Use only this many sessions, the first ones of `uri`."""
    max_message_bytes: Annotated[int, Field(ge=1, le=2**30)] = 65536
    """Largest size of a message in bytes; a session with a longer one is quarantined."""
    max_messages: Annotated[int, Field(ge=2, le=1_000_000)] = 1000
    """Largest number of messages of a session; a longer one is quarantined."""
    max_line_bytes: Annotated[int, Field(ge=1, le=2**30)] = 8 * 1024 * 1024
    """Largest size of a line in bytes. A longer line is quarantined unread, so that a file without line breaks cannot
    fill the memory."""
    near_duplicate: Annotated[float, Field(gt=0, le=1)] = 0.8
    """Similarity (share of common 8-byte pieces) from which two sessions count as near-duplicates. Text that
    most sessions of a large group share, such as a greeting, does not count. Near-duplicates go into the same split; a
    session of `uri` that is a near-duplicate of one in `testUri` is left out and counted."""

    corrupt: Corruption = Corruption()

    @model_validator(mode="after")
    def _every_split_has_its_share(self) -> Dataset:
        held_out = self.validation_share + (0.0 if self.test_uri else self.test_share)
        if held_out >= 1:
            raise ValueError(
                "validationShare and testShare leave no session to train on; their sum must be below 1"
            )
        if self.test_uri == self.uri:
            raise ValueError("testUri is the same as uri; give other logs, or leave it out and use testShare")
        if not self.test_uri and not self.test_share:
            raise ValueError(
                "testShare 0 holds out no session for the report; raise it, or give held-out logs in testUri"
            )
        return self


class PackReference(ManifestModel):
    """The domain pack: the fields of information, prompts and patterns of one domain."""

    uri: PackAddress
    """Domain pack (YAML): a path relative to the manifest, or `s3://bucket/key`. In a cluster also `pvc:claim/path` or
    `configMap:name/key`."""


class StoreCredentials(ManifestModel):
    """Where the access keys of an S3 store are read from; a manifest never holds the keys themselves. The environment
    variable LTA_STORE_CREDENTIALS (a path) takes precedence. Without either, the keys are read from the variables
    AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or MINIO_ACCESS_KEY and MINIO_SECRET_KEY, or from
    ~/.aws/credentials."""

    file: Uri | None = None
    """Folder with the files `accessKey` and `secretKey`, as Kubernetes mounts a Secret, or a JSON or AWS credentials
    file; a path relative to the manifest."""
    secret: Name | None = None
    """Secret with the keys `accessKey` and `secretKey`, for a run in a cluster. A laptop reads `file` or the
    environment."""


class StoreSettings(ManifestModel):
    """The store that stages publish their outputs to."""

    uri: Address | None = None
    """Address of the store: a folder, relative to the manifest, or `s3://bucket/prefix`. The environment variable
    LTA_STORE takes precedence. Without either it is `.lta/store` in the working directory of `lta`."""
    endpoint: Address | None = None
    """Address of the S3 service, such as `https://minio.example:9000`. LTA_STORE_ENDPOINT takes precedence. Without
    either it is AWS_ENDPOINT_URL, or else Amazon S3."""
    region: Region | None = None
    """Region of the bucket. LTA_STORE_REGION takes precedence. Without either it is AWS_REGION; Amazon's service is
    asked for it if that is not set."""
    ca: Uri | None = None
    """PEM file with the certificate authority of the endpoint, relative to the manifest. LTA_STORE_CA takes precedence.
    Without either it is AWS_CA_BUNDLE, or else the public authorities."""
    credentials: StoreCredentials = StoreCredentials()
