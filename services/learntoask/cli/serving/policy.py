"""The configuration of a policy server, for the policy of a run, a published policy or a model folder."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from learntoask.core.errors import InputError
from learntoask.local.view import view
from learntoask.policy.stopping import published_stopping
from learntoask.runner.home import home_folder
from learntoask.serving.config import ServeConfig, read_config, settings_of
from learntoask.serving.published import fetch_path, fetch_policy
from learntoask.store.address import environment_store
from learntoask.store.factory import open_store


def policy_config(
    run: str | None, model: str | None, pack: str | None, flags: Mapping[str, Any]
) -> ServeConfig:
    """Return the configuration for a run, or for `model` and `pack`. Flags win over the environment, and both over the
    run's manifest.

    Raises InputError when neither is given, or when the run has no policy to serve.
    """
    if run is None:
        if model is None or pack is None:
            raise InputError("name a run, or give --model and --pack")
        cache = home_folder() / "served"
        files = {
            "model": fetch_path(model, field="--model", cache=cache),
            "pack": fetch_path(pack, field="--pack", cache=cache),
        }
        return read_config(os.environ, {**flags, **files})
    shown = view(run, home=home_folder())
    if "serve" not in shown.publications:
        reason = shown.plan.message or "it has not come that far; see `lta status`"
        raise InputError(f"run {shown.folder.name!r} has no policy to serve: {reason}")
    trained = shown.output("grpo")
    files = {"model": trained / "model", "pack": shown.output("serve") / "pack.json"}
    defaults = settings_of(shown.sources.spec, published_stopping(trained))
    return read_config(os.environ, {**flags, **files}, defaults=defaults)


def published_config(publication: str, policy: str | None, flags: Mapping[str, Any]) -> ServeConfig:
    """Return the configuration for a policy in the store. It gets the prompts that it was published with.

    `publication` is the key of a serve stage, and `policy` that of the stage with the model.
    """
    if policy is None:
        raise InputError("--publication needs --policy, the key of the stage that holds the model")
    store = open_store(environment_store())
    found = fetch_policy(store, publication, policy, cache=home_folder() / "served")
    files = {"model": found.model, "pack": found.pack}
    return read_config(os.environ, {**flags, **files}, defaults=found.settings)
