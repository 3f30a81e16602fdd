"""Routing: which server is asked."""

from __future__ import annotations

import grpc
import pytest
from hypothesis import given
from hypothesis import strategies as st
from learntoask.serving.gateway.failures import FailureKind, failure_kind
from learntoask.serving.gateway.routing import BackendState, after_failure, after_success, choose

UP = BackendState(serving=True)


def chosen(
    servers: dict[str, BackendState], conversation: str = "c", tried=(), now: float = 0.0
) -> str | None:
    return choose(servers.items(), conversation=conversation, tried=tried, now=now)


@given(st.sets(st.text(min_size=1), min_size=2, max_size=8), st.lists(st.text(), min_size=1, max_size=30))
def test_a_server_that_leaves_moves_only_its_own_conversations(addresses: set[str], conversations: list[str]):
    servers = dict.fromkeys(addresses, UP)
    gone = min(addresses)
    left = {address: one for address, one in servers.items() if address != gone}
    for conversation in conversations:
        before = chosen(servers, conversation)
        assert chosen(dict(reversed(servers.items())), conversation) == before  # their order does not matter
        if before != gone:
            assert chosen(left, conversation) == before


def test_conversations_spread_evenly():
    servers = dict.fromkeys(("a", "b", "c", "d"), UP)
    counts = dict.fromkeys(servers, 0)
    for number in range(4000):
        counts[chosen(servers, f"conversation-{number}")] += 1
    assert all(900 < count < 1100 for count in counts.values())


def test_only_servers_that_serve_are_asked_and_none_twice():
    assert chosen({"a": BackendState(), "b": UP}) == "b"
    assert chosen({"a": BackendState(), "b": UP}, tried={"b"}) is None
    assert chosen({}) is None


def test_a_loaded_server_is_passed_over_unless_all_are_alike():
    for conversation in map(str, range(20)):
        first = chosen({"a": UP, "b": UP}, conversation)
        other = "b" if first == "a" else "a"
        loaded = {
            first: BackendState(serving=True, in_flight=40),
            other: BackendState(serving=True, in_flight=2),
        }
        assert chosen(loaded, conversation) == other
        alike = {address: BackendState(serving=True, in_flight=40) for address in "ab"}
        assert chosen(alike, conversation) == first
        idle = {first: BackendState(serving=True, in_flight=3), other: UP}
        assert chosen(idle, conversation) == first  # too little load to move a conversation


def test_a_server_that_fails_again_and_again_rests_ever_longer_and_a_success_clears_it():
    standing, ends = UP, []
    for _ in range(9):
        standing = after_failure(standing, now=100.0)
        ends.append(standing.ejected_until)
    assert ends == [0, 0, 101, 102, 104, 108, 116, 130, 130]
    assert chosen({"a": standing, "b": UP}, now=129.0) == "b"
    assert chosen({"a": standing}, now=129.0) == "a"  # no other server is left
    assert {chosen({"a": standing, "b": UP}, str(n), now=131.0) for n in range(20)} == {"a", "b"}
    assert after_success(standing) == UP


@pytest.mark.parametrize(
    ("code", "verdict"),
    [
        ("INVALID_ARGUMENT", FailureKind.CALLER),
        ("RESOURCE_EXHAUSTED", FailureKind.BUSY),
        ("UNAVAILABLE", FailureKind.GONE),
        ("DEADLINE_EXCEEDED", FailureKind.FAULT),
        ("INTERNAL", FailureKind.FAULT),
        ("UNAUTHENTICATED", FailureKind.FAULT),
        ("CANCELLED", FailureKind.GONE),
    ],
)
def test_whose_fault_a_failed_attempt_is(code: str, verdict: FailureKind):
    assert failure_kind(grpc.StatusCode[code]) is verdict
