"""Digests of JSON values."""

from __future__ import annotations

import hashlib
import json

from pydantic import JsonValue


def digest_of(value: JsonValue) -> str:
    """Return the SHA-256 (64 hex digits) of `value` as canonical JSON: the order of keys does not matter."""
    canonical = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return hashlib.sha256(canonical.encode("utf-8", errors="surrogatepass")).hexdigest()
