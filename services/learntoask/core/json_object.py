"""The type of JSON objects whose fields no model of ours describes, such as Kubernetes objects."""

from __future__ import annotations

from typing import Any

Json = dict[str, Any]
