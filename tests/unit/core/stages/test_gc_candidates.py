"""Artefacts of deleted runs that the garbage collection may remove."""

from __future__ import annotations

from learntoask.core.stages.gc_candidates import RUN_UID, keys_of, orphaned_lists, unneeded_keys

STORE = "s3://lta/team"
KEYS = [digit * 64 for digit in "abcd"]


def listed(uid: str, *keys: str, store: str = STORE) -> dict:
    return {
        "metadata": {"name": f"{uid}-artefacts", "annotations": {RUN_UID: uid}},
        "data": {"store": store, "keys": "\n".join(keys)},
    }


def run(uid: str, *keys: str) -> dict:
    return {"metadata": {"uid": uid}, "status": {"stages": [{"key": key} for key in keys]}}


def test_a_list_counts_once_its_very_run_is_gone_and_for_its_own_store() -> None:
    gone, alive = listed("gone", KEYS[0]), listed("alive", KEYS[1])
    elsewhere = listed("moved", KEYS[2], store="s3://lta/other")
    namesake = run("later")  # it has the name of the deleted run
    assert orphaned_lists([gone, alive, elsewhere], [run("alive"), namesake], store=STORE) == [gone]


def test_what_a_run_or_an_endpoint_uses_stays() -> None:
    lists = [listed("gone", *KEYS[:3]), listed("too", KEYS[3])]
    endpoint = {"spec": {"policy": {"publication": KEYS[2]}}}
    earlier = {"status": {"revisions": [{"policy": {"policy": KEYS[3]}}]}}
    assert unneeded_keys(lists, [run("alive", KEYS[0]), endpoint, earlier]) == {KEYS[1]}


def test_a_list_without_keys_is_read() -> None:
    assert keys_of({"metadata": {}, "data": {}}) == set()
