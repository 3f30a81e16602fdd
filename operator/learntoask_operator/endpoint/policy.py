"""Which policy the spec means: keys as given, or what the run it names has published: pure."""

from __future__ import annotations

from collections.abc import Sequence

from learntoask.core.json_object import Json
from learntoask.core.manifest import PolicyReference
from learntoask.core.status.endpoint import Revision

_SERVED, _TRAINED = "serve", "grpo"


def follows(policy: PolicyReference) -> bool:
    """Whether it is the run that says what is served."""
    return policy.uri is None and policy.publication is None


def resolved(
    policy: PolicyReference, run: Json | None, revisions: Sequence[Revision]
) -> PolicyReference | None:
    """`policy` with the keys of what `run` has published; while it publishes anew, or is gone, what it had published
    before stays. None where there is nothing to serve yet."""
    if not follows(policy):
        return policy
    keys = _published(run) if run else None
    if keys is not None:
        return PolicyReference(run=policy.run, publication=keys[0], policy=keys[1])
    return next((one.policy for one in revisions if one.policy.run == policy.run), None)


def _published(run: Json) -> tuple[str, str] | None:
    """Keys of the serve stage and of the model it serves, where the run has published both."""
    stages = {one["name"]: one for one in run.get("status", {}).get("stages") or ()}
    keys = [stages.get(name, {}) for name in (_SERVED, _TRAINED)]
    if any(one.get("state") != "Published" or not one.get("key") for one in keys):
        return None
    return keys[0]["key"], keys[1]["key"]
