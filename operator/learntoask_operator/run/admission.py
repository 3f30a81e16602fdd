"""Checks whether a cluster can run a manifest, as far as the schema cannot express it; each refusal has a reason."""

from __future__ import annotations

from collections.abc import Callable

from learntoask.core.manifest import RunSpec

from learntoask_operator.settings import FETCHED, Settings

_PUBLISHED_BASES = ("pypi:", "tiny:", "hf:")


def refusal(spec: RunSpec, settings: Settings) -> str | None:
    """Why the run cannot run as it is, naming the field and what to do; None if it can."""
    return next((why for check in _CHECKS if (why := check(spec, settings))), None)


def _store(spec: RunSpec, settings: Settings) -> str | None:
    if spec.store.uri is None and not settings.store_uri:
        return "spec.store.uri: the operator has no default store; give s3://bucket/prefix"
    return _reachable("spec.store.uri", spec.store.uri, FETCHED) if spec.store.uri else None


def _inputs(spec: RunSpec, settings: Settings) -> str | None:
    given = [
        ("spec.dataset.uri", spec.dataset.uri, FETCHED),
        ("spec.dataset.testUri", spec.dataset.test_uri, FETCHED),
        ("spec.pack.uri", spec.pack.uri, (*FETCHED, "configMap:")),
        ("spec.train.base.uri", spec.train.base.uri, (*FETCHED, *_PUBLISHED_BASES)),
    ]
    return next(
        (why for field, uri, allowed in given if uri and (why := _reachable(field, uri, allowed))), None
    )


def _credentials(spec: RunSpec, settings: Settings) -> str | None:
    if spec.store.credentials.file is not None and spec.store.credentials.secret is None:
        return "spec.store.credentials.file: a pod cannot read your files; name a Secret in `secret`"
    return None


def _judge(spec: RunSpec, settings: Settings) -> str | None:
    llm = spec.grader.llm
    if spec.grader.method != "llm" or llm is None or llm.server is None:
        return None
    return _reachable("spec.grader.llm.server.model", llm.server.model, ("hf:", "pvc:"))


_CHECKS: tuple[Callable[[RunSpec, Settings], str | None], ...] = (_store, _inputs, _credentials, _judge)


def _reachable(field: str, uri: str, allowed: tuple[str, ...]) -> str | None:
    if uri.startswith(allowed):
        return None
    return (
        f"{field}: {uri} cannot be read from a pod; `lta apply` uploads local files, or give an address that begins "
        f"with {', '.join(allowed)}"
    )
