"""Compresses JSON objects in memory, because thousands of manifests and pods as dicts would need gigabytes."""

from __future__ import annotations

import json
import zlib

from learntoask.core.json_object import Json


def compress(body: Json) -> bytes:
    return zlib.compress(json.dumps(body, separators=(",", ":")).encode(), 1)


def decompress(content: bytes) -> Json:
    body: Json = json.loads(zlib.decompress(content))
    return body
