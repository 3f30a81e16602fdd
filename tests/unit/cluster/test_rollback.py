"""`lta rollback`: which revision, and the patch that asks for it."""

from __future__ import annotations

from typing import Any

import pytest
from learntoask.cluster.rollback import earlier_revision, rollback_patch
from learntoask.core.errors import InputError


def endpoint(*letters: str, cold: str = "", spec: dict[str, Any] | None = None) -> dict[str, Any]:
    revisions = [
        {
            "number": len(letters) - index,
            "name": f"r{len(letters) - index}",
            "policy": {"run": "clinic", "publication": letter * 64, "policy": letter * 64},
            "state": "Retired",
            "created": "2027-01-01T00:00:00Z",
            **({} if letter in cold else {"warm": "2027-01-01T00:00:10Z"}),
        }
        for index, letter in enumerate(letters)
    ]
    policy = spec or {"run": "clinic"}
    return {"metadata": {"name": "desk"}, "spec": {"policy": policy}, "status": {"revisions": revisions}}


def test_the_one_before_is_the_latest_that_ever_answered():
    assert earlier_revision(endpoint("c", "b", "a"), None).number == 2
    assert earlier_revision(endpoint("c", "b", "a", cold="b"), None).number == 1
    assert earlier_revision(endpoint("c", "b", "a"), 1).name == "r1"


@pytest.mark.parametrize(
    ("body", "number", "message"),
    [
        (endpoint("a"), None, "no earlier revision that answered"),
        (endpoint("b", "a", cold="a"), None, "no earlier revision that answered"),
        (endpoint("b", "a"), 7, "no revision 7; there are 2, 1"),
        (endpoint("a", "a"), 1, "serves the same policy"),
    ],
)
def test_what_cannot_be_gone_back_to(body: dict[str, Any], number: int | None, message: str):
    with pytest.raises(InputError, match=message):
        earlier_revision(body, number)


def test_the_patch_puts_the_policy_there_and_clears_what_was_instead():
    spec = {"uri": "pvc:models/x", "pack": {"uri": "pvc:models/p"}}
    body = endpoint("b", "a", spec=spec)
    assert rollback_patch(body, earlier_revision(body, None)) == {
        "spec": {
            "policy": {
                "uri": None,
                "pack": None,
                "run": "clinic",
                "publication": "a" * 64,
                "policy": "a" * 64,
            }
        }
    }
