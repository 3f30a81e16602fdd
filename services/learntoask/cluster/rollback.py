"""A patch that gives an AskEndpoint the policy of an earlier revision. Pure functions."""

from __future__ import annotations

from learntoask.core.errors import InputError
from learntoask.core.json_object import Json
from learntoask.core.status.endpoint import EndpointStatus, Revision


def earlier_revision(body: Json, number: int | None) -> Revision:
    """Return revision `number` of the endpoint `body`; for None, the latest before the present one that ever answered.

    Raises InputError when there is no such revision, or when it has the same policy as the present one.
    """
    name = body["metadata"]["name"]
    revisions = EndpointStatus.model_validate(body.get("status") or {}).revisions
    if number is None:
        found = next((revision for revision in revisions[1:] if revision.warm is not None), None)
        if found is None:
            raise InputError(f"endpoint {name} remembers no earlier revision that answered")
    else:
        found = next((revision for revision in revisions if revision.number == number), None)
        if found is None:
            known = ", ".join(str(revision.number) for revision in revisions) or "none"
            raise InputError(f"endpoint {name} remembers no revision {number}; there are {known}")
    if revisions and found.policy == revisions[0].policy:
        raise InputError(
            f"revision {found.number} of endpoint {name} serves the same policy as the present one; the two differ in "
            "the rest of the spec, which kubectl edit can change back"
        )
    return found


def rollback_patch(body: Json, revision: Revision) -> Json:
    """Return a merge patch that sets `spec.policy` as `revision` had it, and changes nothing else."""
    policy = revision.policy.model_dump(mode="json", by_alias=True, exclude_none=True)
    removed = dict.fromkeys(body["spec"]["policy"].keys() - policy.keys())
    return {"spec": {"policy": {**removed, **policy}}}
