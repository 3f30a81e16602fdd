"""The published output of a stage. It exists once its manifest, which is written last, is in the store."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, JsonValue

from learntoask.core.digest import digest_of


class PublishedFile(BaseModel):
    """A file of an output. `digest` is the SHA-256 of its content and the name of its blob; `size` is in bytes."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    path: str
    digest: str
    size: int


class Publication(BaseModel):
    """The manifest of a published output. `key` identifies what was computed, `output` the result. Downstream stages
    pin `output`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    stage: str
    key: str
    files: tuple[PublishedFile, ...]
    summary: dict[str, JsonValue] = {}
    inputs: dict[str, str] = {}  # lineage: upstream stage → digest of the output that was read
    started: float = 0.0  # seconds since the epoch
    finished: float = 0.0

    @property
    def output(self) -> str:
        """Digest of the paths and contents of all files. It does not depend on who computed them, or when."""
        return digest_of({file.path: file.digest for file in self.files})


class PinnedPublication(BaseModel):
    """A publication to read: its key, and the digest of the output that the reader's key was computed from."""

    key: str
    output: str
