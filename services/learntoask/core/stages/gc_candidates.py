"""Artefacts of deleted runs that the garbage collection may remove (`spec.artefacts: remove`).

Each run with `remove` has a ConfigMap that lists the keys of its published stages and outlives the run.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable

from learntoask.core.json_object import Json

COLLECTABLE = "learntoask.io/collectable"
"""Label of such a ConfigMap; its value is the name of the run."""
RUN_UID = "learntoask.io/run-uid"
_KEY = re.compile(r"\b[0-9a-f]{64}\b")


def orphaned_lists(lists: Iterable[Json], runs: Iterable[Json], *, store: str) -> list[Json]:
    """Return the ConfigMaps in `lists` that belong to the store at address `store` and whose run is deleted."""
    existing = {run["metadata"]["uid"] for run in runs}
    return [
        listed
        for listed in lists
        if (listed.get("data") or {}).get("store") == store
        and (listed["metadata"].get("annotations") or {}).get(RUN_UID) not in existing
    ]


def unneeded_keys(lists: Iterable[Json], users: Iterable[Json]) -> set[str]:
    """Return the keys in `lists` that none of `users` (the existing runs and endpoints) mentions."""
    used = {key for user in users for key in _KEY.findall(json.dumps(user))}
    return {key for listed in lists for key in keys_of(listed)} - used


def keys_of(listed: Json) -> set[str]:
    """Return the stage keys in one ConfigMap."""
    return set(_KEY.findall(listed["data"].get("keys", "")))
