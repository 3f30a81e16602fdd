"""Pure decisions about traffic: which server is asked for a conversation, and when a server is ejected.

A conversation stays at one server, which keeps its keys and values in memory, by rendezvous hashing: each pair of
conversation and server has a score, and the server with the highest score is asked. When a server joins or leaves, only
the conversations for which it has the highest score move. A server that is much busier than the others is passed over.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from hashlib import blake2b
from math import ceil
from typing import NamedTuple

from learntoask.core.backoff import Backoff

_OVERLOAD = 1.25  # times the mean: consistent hashing with bounded loads (Mirrokni et al. 2016)
_NEGLIGIBLE_LOAD = 4  # requests in flight below which no conversation is moved
_FAILURES = 3  # failures in a row after which a server is ejected although its health service reports SERVING
_EJECTION = Backoff(first=1.0, longest=30.0)


class BackendState(NamedTuple):
    """What is known about a server.

    `serving` is the last report of its health service; `in_flight` counts requests, `failures` those in a row.
    `ejected_until` is a time of any monotonic clock.
    """

    serving: bool = False
    in_flight: int = 0
    failures: int = 0
    ejected_until: float = 0.0


def choose(
    servers: Iterable[tuple[str, BackendState]], *, conversation: str, tried: Collection[str], now: float
) -> str | None:
    """Return the address to ask next for `conversation`, None if no untried server serves.

    Ejected servers are asked only if no other server is left, because then the cause may be the gateway's network.
    """
    serving = [(address, state) for address, state in servers if state.serving]
    untried = [(address, state) for address, state in serving if address not in tried]
    healthy = [(address, state) for address, state in untried if state.ejected_until <= now]
    candidates = healthy or untried
    if not candidates:
        return None
    bound = _load_bound(state.in_flight for _, state in serving)
    ranked = sorted(candidates, key=lambda candidate: score(conversation, candidate[0]), reverse=True)
    return next((address for address, state in ranked if state.in_flight < bound), ranked[0][0])


def score(conversation: str, address: str) -> bytes:
    """Return the pair's score: a hash, which is the same at every gateway."""
    return blake2b(f"{conversation}\0{address}".encode(errors="surrogatepass"), digest_size=8).digest()


def _load_bound(loads: Iterable[int]) -> int:
    """Return the number of requests in flight from which on a server is passed over."""
    counts = list(loads)
    return max(_NEGLIGIBLE_LOAD, ceil(_OVERLOAD * (sum(counts) + 1) / len(counts)))


def after_success(state: BackendState) -> BackendState:
    """Return the state after an answer: failures are forgotten."""
    return state if not state.failures else state._replace(failures=0, ejected_until=0.0)


def after_failure(state: BackendState, *, now: float) -> BackendState:
    """Return the state after a failure at time `now`; from the third in a row on, the server is ejected for a while."""
    failures = state.failures + 1
    if failures < _FAILURES:
        return state._replace(failures=failures)
    ejection = _EJECTION.delay(failures - _FAILURES + 1)
    return state._replace(failures=failures, ejected_until=now + ejection)
