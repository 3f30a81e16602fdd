"""Remembers which callers a gateway has counted, so that each of them is one observation."""

from __future__ import annotations

from hashlib import blake2b

MOST_CALLERS = 200_000  # of one rollout; conversations of further ones are left out of comparisons


class CountedCallers:
    """The callers of one rollout, by a hash. Those whose conversations are copied are remembered apart, because copies
    and users are two comparisons."""

    def __init__(self) -> None:
        self._known: set[tuple[int, bool]] = set()

    def is_first(self, caller: str, *, copied: bool) -> bool:
        """Return whether a conversation that begins is the first one of its caller, and remember the caller."""
        digest = blake2b(caller.encode(errors="surrogatepass"), digest_size=8).digest()
        key = int.from_bytes(digest), copied
        if key in self._known or len(self._known) >= MOST_CALLERS:
            return False
        self._known.add(key)
        return True
