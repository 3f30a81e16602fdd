"""Digests of values: equal content, equal digest, whatever the order of keys."""

from __future__ import annotations

import hashlib
import json

from pydantic import BaseModel, JsonValue


def digest_of(value: JsonValue) -> str:
    """SHA-256 (64 hex digits) of the canonical JSON of `value`."""
    canonical = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return hashlib.sha256(canonical.encode("utf-8", errors="surrogatepass")).hexdigest()


def digest_of_model(model: BaseModel) -> str:
    """Digest of a pydantic model with its defaults filled in, so that writing a default out changes nothing."""
    return digest_of(model.model_dump(mode="json", by_alias=True))
