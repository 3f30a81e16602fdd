"""Where logs, pack and artefacts are, and how sessions become samples."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from learntoask.core.manifest.model import Address, ManifestModel, Name, Share, Uri


class Corruption(ManifestModel):
    """Faults put into the training sessions on purpose, to measure what learning bears (docs/experiments.md). Graders
    and held-out sessions never see them."""

    sloppy: Share = 0.0
    """Share of the training sessions that are made those of careless experts: late stops, redundant questions, early
    stops."""
    label_noise: Share = 0.0
    """Share of the training labels that are made wrong: another decision, or a micro-goal of other fields."""
    seed: Annotated[int, Field(ge=0, le=2**31 - 1)] = 0
    """Seed of the choice; a greater share has the same faults and more."""

    @property
    def active(self) -> bool:
        return self.sloppy > 0 or self.label_noise > 0


class Dataset(ManifestModel):
    """The logs to learn from, and how their sessions are divided."""

    uri: Address
    """Logs, one JSON session a line: a path relative to the manifest, or `s3://bucket/key`."""
    test_uri: Address | None = None
    """Held-out logs. Given, they are the test split and none is cut from `uri`."""
    validation_share: Share = 0.1
    """Share of the sessions of `uri` that choose between checkpoints and stop a run early."""
    test_share: Share = 0.2
    """Share of the sessions of `uri` held out for the report, when there is no `testUri`."""
    seed: Annotated[int, Field(ge=0, le=2**31 - 1)] = 0
    """Seed of the split; near-duplicates always stay on one side."""
    max_sessions: Annotated[int, Field(ge=1)] | None = None
    """Use only the first sessions of `uri`."""
    max_message_bytes: Annotated[int, Field(ge=1)] = 65536
    """A session with a longer message is quarantined."""
    max_messages: Annotated[int, Field(ge=2)] = 1000
    """A session with more messages is quarantined."""
    max_line_bytes: Annotated[int, Field(ge=1)] = 8 * 1024 * 1024
    """A longer line is quarantined unread, so that a file without line ends cannot fill the memory."""
    near_duplicate: Annotated[float, Field(gt=0, le=1)] = 0.8
    """Sessions whose texts are at least this similar (share of common 8-byte pieces) stay on one side of the
    split; one in `uri` that is that near to one in `testUri` is set aside and counted."""

    corrupt: Corruption = Corruption()

    @model_validator(mode="after")
    def _leaves_training(self) -> Dataset:
        held_out = self.validation_share + (0.0 if self.test_uri else self.test_share)
        if held_out >= 1:
            raise ValueError(
                "validationShare and testShare leave no session to train on; their sum must be below 1"
            )
        return self


class PackReference(ManifestModel):
    """The domain pack: what there is to ask in this domain, and in which words."""

    uri: Address
    """Domain pack (YAML): a path relative to the manifest, or `s3://bucket/key`."""


class StoreCredentials(ManifestModel):
    """Where the keys of an S3 store are found; the keys themselves never stand in a manifest. LTA_STORE_CREDENTIALS
    (a path) overrides it; with neither, the environment is asked (AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or
    MINIO_ACCESS_KEY and MINIO_SECRET_KEY)."""

    file: Uri | None = None
    """Folder with the files `accessKey` and `secretKey`, as Kubernetes mounts a Secret, or a JSON or AWS credentials
    file. A path is relative to the manifest."""
    secret: Name | None = None
    """Secret with those two keys, for the cluster; a laptop reads `file` or the environment."""


class StoreSettings(ManifestModel):
    """Where stages publish what they make."""

    uri: Address | None = None
    """Where stages are published: a folder, relative to the manifest, or `s3://bucket/prefix`. LTA_STORE overrides
    it; with neither it is `.lta/store` below the folder that `lta` runs in."""
    endpoint: Address | None = None
    """S3 service, such as `https://minio.example:9000`. LTA_STORE_ENDPOINT overrides it; with neither it is
    AWS_ENDPOINT_URL, else Amazon's."""
    region: Annotated[str, Field(pattern=r"^[a-z0-9-]+$", max_length=63)] | None = None
    """Region of the bucket; looked up where Amazon keeps it. LTA_STORE_REGION overrides it."""
    ca: Uri | None = None
    """PEM file with the authority of the endpoint's certificate, relative to the manifest. LTA_STORE_CA overrides
    it; with neither it is AWS_CA_BUNDLE, else the public authorities."""
    credentials: StoreCredentials = StoreCredentials()
