"""Objects kept as compressed JSON: thousands of manifests and pods as dicts would fill the memory."""

from __future__ import annotations

import json
import zlib

from learntoask.core.json_object import Json


def packed(body: Json) -> bytes:
    return zlib.compress(json.dumps(body, separators=(",", ":")).encode(), 1)


def unpacked(body: bytes) -> Json:
    return json.loads(zlib.decompress(body))
