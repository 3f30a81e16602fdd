"""Which server is asked: every decision about traffic, and nothing else.

A conversation stays at one server, which holds its keys and values, by rendezvous hashing: each server has a score of
its own for each conversation, and the highest one wins. A server that comes or goes moves only the conversations that
it wins or won. One that carries much more than the others is passed over for the next.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from hashlib import blake2b
from math import ceil

from learntoask.core.backoff import Backoff

_OVERLOAD = 1.25  # times the mean: consistent hashing with bounded loads (Mirrokni et al. 2016)
_UNREMARKABLE = 4  # answers at work that are no load worth moving a conversation for
_FAILURES = 3  # in a row, before a server that calls itself healthy is left alone for a while
_EJECTION = Backoff(first=1.0, longest=30.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What is known about a server. `serving` is what its health service said last; times are those of any clock."""

    serving: bool = False
    in_flight: int = 0
    failures: int = 0
    ejected_until: float = 0.0


def choose(
    servers: Iterable[tuple[str, Standing]], *, conversation: str, tried: Collection[str], now: float
) -> str | None:
    """The address that is asked next for `conversation`; None where no server is left that serves.

    Servers that are ejected are asked only when no other serves: then their faults may be ours.
    """
    serving = [(address, standing) for address, standing in servers if standing.serving]
    untried = [one for one in serving if one[0] not in tried]
    sound = [one for one in untried if one[1].ejected_until <= now]
    candidates = sound or untried
    if not candidates:
        return None
    bound = _bound(standing.in_flight for _, standing in serving)
    ranked = sorted(candidates, key=lambda one: score(conversation, one[0]), reverse=True)
    return next((address for address, standing in ranked if standing.in_flight < bound), ranked[0][0])


def score(conversation: str, address: str) -> bytes:
    """Ordered at random, and the same at every gateway."""
    return blake2b(f"{conversation}\0{address}".encode(errors="surrogatepass"), digest_size=8).digest()


def _bound(loads: Iterable[int]) -> int:
    """Answers at work with which a server is passed over."""
    counts = list(loads)
    return max(_UNREMARKABLE, ceil(_OVERLOAD * (sum(counts) + 1) / len(counts)))


def after_success(standing: Standing) -> Standing:
    return standing if not standing.failures else replace(standing, failures=0, ejected_until=0.0)


def after_failure(standing: Standing, *, now: float) -> Standing:
    failures = standing.failures + 1
    if failures < _FAILURES:
        return replace(standing, failures=failures)
    ejection = _EJECTION.delay(failures - _FAILURES + 1)
    return replace(standing, failures=failures, ejected_until=now + ejection)
