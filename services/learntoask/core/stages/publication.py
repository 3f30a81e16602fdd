"""What a stage left behind: the manifest that is written last and makes its output exist."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, JsonValue

from learntoask.core.digest import digest_of


class PublishedFile(BaseModel):
    """`digest` is the SHA-256 of the content and the name of its blob; `size` in bytes."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    path: str
    digest: str
    size: int


class Publication(BaseModel):
    """`key` says what was computed, `output` what came out; readers pin `output`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    stage: str
    key: str
    files: tuple[PublishedFile, ...]
    summary: dict[str, JsonValue] = {}
    inputs: dict[str, str] = {}  # upstream stage → digest of the output that was read: the lineage
    started: float = 0.0  # seconds since the epoch
    finished: float = 0.0

    @property
    def output(self) -> str:
        """Digest of paths and contents: the same result has the same digest whoever computed it, and when."""
        return digest_of({file.path: file.digest for file in self.files})


class PinnedPublication(BaseModel):
    """A publication to read: its key, and the digest of the output that the reader's key was computed from."""

    key: str
    output: str
