"""`lta rollout` on an endpoint: what it reads, and the patches that the operator follows."""

from __future__ import annotations

from typing import Any

import pytest
from learntoask.cluster.rollout import rollout_in, steering_patch
from learntoask.core.errors import InputError
from learntoask.core.json_object import Json
from learntoask.core.status.conditions import timestamp
from learntoask.rollout.decide import begin
from learntoask_operator.endpoint.trial import _order
from worlds.fake_kube import apply_merge_patch

STRATEGY: Json = {"mode": "canary", "guards": [{"metric": "abandoned"}]}


def endpoint(**status: Any) -> Json:
    spec = {"policy": {"run": "r"}, "rollout": {"strategy": STRATEGY}}
    return {"metadata": {"name": "desk"}, "spec": spec, "status": status}


def test_the_rollout_is_read_from_the_status():
    tried = rollout_in(
        endpoint(
            rollout={
                "id": "b-2",
                "stage": "Steps",
                "weight": 10,
                "started": timestamp(0),
                "stepStarted": timestamp(0),
            }
        )
    )
    assert tried.state is not None
    assert (tried.state.id, tried.state.weight, tried.strategy.mode) == ("b-2", 10, "canary")
    assert begin(tried.strategy, id="b-2", stable="", canary="", now=0.0).weight == tried.state.weight


def test_an_endpoint_that_tried_nothing_says_how_it_would():
    with pytest.raises(InputError, match=r"desk has tried no policy .*mode is canary"):
        rollout_in(endpoint())


@pytest.mark.parametrize("order", ["promote", "abort"])
def test_an_order_is_understood_by_the_operator_for_this_rollout_alone(order: Any):
    body = apply_merge_patch(endpoint(), steering_patch(paused=True, id="b-2", order=None))
    assert body["metadata"]["annotations"] == {"learntoask.io/rollout-paused": "true"}
    body = apply_merge_patch(body, steering_patch(paused=False, id="b-2", order=order))
    assert _order(body["metadata"]["annotations"], "b-2") == order
    assert _order(body["metadata"]["annotations"], "b-3") is None
    assert "learntoask.io/rollout-paused" not in body["metadata"]["annotations"]
