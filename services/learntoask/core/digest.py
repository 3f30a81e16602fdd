"""Digests of values: equal content, equal digest, whatever the order of keys."""

from __future__ import annotations

import hashlib
import json

from pydantic import JsonValue


def digest_of(value: JsonValue) -> str:
    """SHA-256 (64 hex digits) of the canonical JSON of `value`."""
    canonical = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return hashlib.sha256(canonical.encode("utf-8", errors="surrogatepass")).hexdigest()
