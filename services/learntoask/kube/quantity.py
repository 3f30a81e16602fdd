"""Amounts of resources as Kubernetes writes them: `500m`, `2Gi`, `1e3`."""

from __future__ import annotations

from kubernetes.utils.quantity import parse_quantity


def quantity(text: str) -> float | None:
    """Return the amount, or None if `text` is none."""
    try:
        return float(parse_quantity(text))
    except ValueError:
        return None
