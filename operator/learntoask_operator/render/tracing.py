"""Renders the variables by which pods send traces: those of OpenTelemetry, and none unless a receiver is set."""

from __future__ import annotations

from learntoask.core.json_object import Json

from learntoask_operator.settings import Settings

_HEADERS_KEY = "headers"


def tracing_environment(settings: Settings, *, calls: bool) -> dict[str, str | Json]:
    """Variables for a pod. With `calls` it serves calls, of which the share `tracing_ratio` is traced; else it works at
    a stage, which always is.

    Headers may be missing in a namespace: its traces are then refused, and its work goes on.
    """
    if not settings.tracing_endpoint:
        return {}
    found: dict[str, str | Json] = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": settings.tracing_endpoint,
        "OTEL_EXPORTER_OTLP_PROTOCOL": settings.tracing_protocol,
        "LTA_POD_NAME": {"fieldRef": {"fieldPath": "metadata.name"}},
        "LTA_POD_NAMESPACE": {"fieldRef": {"fieldPath": "metadata.namespace"}},
        "OTEL_RESOURCE_ATTRIBUTES": ("k8s.namespace.name=$(LTA_POD_NAMESPACE),k8s.pod.name=$(LTA_POD_NAME)"),
    }
    if calls:
        found["OTEL_TRACES_SAMPLER"] = "parentbased_traceidratio"
        found["OTEL_TRACES_SAMPLER_ARG"] = f"{settings.tracing_ratio:g}"
    if secret := settings.tracing_headers_secret:
        reference = {"name": secret, "key": _HEADERS_KEY, "optional": True}
        found["OTEL_EXPORTER_OTLP_HEADERS"] = {"secretKeyRef": reference}
    return found
