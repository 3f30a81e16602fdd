"""The type of JSON objects that have no pydantic model here, such as Kubernetes objects."""

from __future__ import annotations

from typing import Any

Json = dict[str, Any]
