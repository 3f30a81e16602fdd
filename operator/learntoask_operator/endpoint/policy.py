"""Finds the policy that an endpoint's spec refers to: by its keys, or by the run that published it."""

from __future__ import annotations

from collections.abc import Sequence

from learntoask.core.json_object import Json
from learntoask.core.manifest import PolicyReference
from learntoask.core.status.endpoint import Revision

_SERVED, _TRAINED = "serve", "grpo"


def follows_run(policy: PolicyReference) -> bool:
    """Whether the named run decides what is served."""
    return policy.uri is None and policy.publication is None


def resolve_policy(
    policy: PolicyReference, run: Json | None, revisions: Sequence[Revision]
) -> PolicyReference | None:
    """`policy` with the keys of what `run` has published; None while there is nothing to serve.

    While the run publishes again, or once it is gone, what it had published before stays.
    """
    if not follows_run(policy):
        return policy
    keys = _published_keys(run) if run else None
    if keys is not None:
        return PolicyReference(run=policy.run, publication=keys[0], policy=keys[1])
    return next((revision.policy for revision in revisions if revision.policy.run == policy.run), None)


def waiting_for(policy: PolicyReference, run: Json | None) -> str:
    """What the endpoint waits for while there is nothing to serve."""
    if run is None:
        return f"there is no run {policy.run} in this namespace; create it, or correct spec.policy.run"
    phase = run.get("status", {}).get("phase")
    return f"run {policy.run} has published no policy yet" + (f"; it is {phase}" if phase else "")


def _published_keys(run: Json) -> tuple[str, str] | None:
    """Keys of the serve stage and of the model that it serves, if the run has published both."""
    stages = {stage["name"]: stage for stage in run.get("status", {}).get("stages") or ()}
    found = [stages.get(name, {}) for name in (_SERVED, _TRAINED)]
    if any(stage.get("state") != "Published" or not stage.get("key") for stage in found):
        return None
    return found[0]["key"], found[1]["key"]
