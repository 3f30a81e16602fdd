"""Published stages that runs left to be collected when they went (`spec.artefacts: remove`). Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable

from learntoask.core.json_object import Json

COLLECTABLE = "learntoask.io/collectable"
"""Label of a list of them: a ConfigMap that outlives its run; its value is the run's name."""
RUN_UID = "learntoask.io/run-uid"
_KEY = re.compile(r"\b[0-9a-f]{64}\b")


def orphaned_lists(lists: Iterable[Json], runs: Iterable[Json], *, store: str) -> list[Json]:
    """Those of `lists` (ConfigMaps) that speak of `store` and whose run is there no more."""
    there = {one["metadata"]["uid"] for one in runs}
    return [
        one
        for one in lists
        if (one.get("data") or {}).get("store") == store
        and (one["metadata"].get("annotations") or {}).get(RUN_UID) not in there
    ]


def unneeded_keys(lists: Iterable[Json], users: Iterable[Json]) -> set[str]:
    """Keys in `lists` that none of `users` (runs and endpoints that are there) mentions."""
    used = {key for one in users for key in _KEY.findall(json.dumps(one))}
    return {key for one in lists for key in keys_of(one)} - used


def keys_of(listed: Json) -> set[str]:
    return set(_KEY.findall(listed["data"].get("keys", "")))
