"""The keys of the objects in a bucket, below a prefix.

blobs/ab/ab12…            content, named by its SHA-256; large files are sent in parts
published/ab/ab34….json   publications, named by stage key, written last
claims/ab12…              an empty object; its time is when a publisher last needed that blob or began to send it
"""

from __future__ import annotations

from dataclasses import dataclass

CORRUPT = ".corrupt"


@dataclass(frozen=True, kw_only=True)
class Layout:
    """The keys below `prefix`, which is empty or ends with a slash."""

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
    """Return the digest in the key of a blob or claim, or the stage key in the key of a manifest."""
    return key.rpartition("/")[2].removesuffix(".json")
