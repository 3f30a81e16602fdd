"""Back to an earlier revision of an AskEndpoint, as a patch of the resource. Pure."""

from __future__ import annotations

from learntoask.core.errors import InputError
from learntoask.core.json_object import Json
from learntoask.core.status.endpoint import EndpointStatus, Revision


def earlier(body: Json, number: int | None) -> Revision:
    """The revision numbered `number`, or the latest before the present one that ever answered.

    Raises InputError where there is none, or where the policy is no other.
    """
    name = body["metadata"]["name"]
    revisions = EndpointStatus.model_validate(body.get("status") or {}).revisions
    if number is None:
        found = next((one for one in revisions[1:] if one.warm is not None), None)
        if found is None:
            raise InputError(f"endpoint {name} remembers no earlier revision that answered")
    else:
        found = next((one for one in revisions if one.number == number), None)
        if found is None:
            known = ", ".join(str(one.number) for one in revisions) or "none"
            raise InputError(f"endpoint {name} remembers no revision {number}; there are {known}")
    if revisions and found.policy == revisions[0].policy:
        raise InputError(
            f"revision {found.number} of endpoint {name} serves the same policy as the present one; what differs is "
            "the rest of the spec: change it back with kubectl edit"
        )
    return found


def rolled_back(body: Json, revision: Revision) -> Json:
    """A merge patch: `spec.policy` as that revision had it, and nothing else."""
    wanted = revision.policy.model_dump(mode="json", by_alias=True, exclude_none=True)
    cleared = dict.fromkeys(body["spec"]["policy"].keys() - wanted.keys())
    return {"spec": {"policy": {**cleared, **wanted}}}
