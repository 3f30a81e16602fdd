"""Keys of what lies in a bucket, below a prefix.

blobs/ab/ab12…            content, named by its SHA-256; large ones are sent in parts
published/ab/ab34….json   publications, named by stage key, written last
claims/ab12…              empty; its time says when a publisher last asked for that blob or began to send it
"""

from __future__ import annotations

from dataclasses import dataclass

CORRUPT = ".corrupt"


@dataclass(frozen=True, kw_only=True)
class Layout:
    """`prefix` is empty or ends with a slash."""

    prefix: str

    def blob(self, digest: str) -> str:
        return f"{self.blobs}{digest[:2]}/{digest}"

    def manifest(self, key: str) -> str:
        return f"{self.manifests}{key[:2]}/{key}.json"

    def claim(self, digest: str) -> str:
        return f"{self.claims}{digest}"

    @property
    def blobs(self) -> str:
        return f"{self.prefix}blobs/"

    @property
    def manifests(self) -> str:
        return f"{self.prefix}published/"

    @property
    def claims(self) -> str:
        return f"{self.prefix}claims/"


def name_of(key: str) -> str:
    """The digest of a blob or claim, the stage key of a manifest."""
    return key.rpartition("/")[2].removesuffix(".json")
