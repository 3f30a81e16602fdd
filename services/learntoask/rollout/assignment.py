"""Assigns conversations to arms. The arm depends on ids alone, so every gateway finds the same one."""

from __future__ import annotations

from hashlib import blake2b

from learntoask.core.status.rollout import Arm


def position(conversation: str, rollout: str) -> float:
    """Return the place of a conversation in [0, 1), which is uniform over conversations and fixed in one rollout."""
    digest = blake2b(f"{rollout}\0{conversation}".encode(errors="surrogatepass"), digest_size=8).digest()
    return (int.from_bytes(digest) >> 11) / 2**53  # 53 bits are exact in a float, so it never becomes 1


def pseudonym(caller: str, rollout: str) -> str:
    """Return what stands for a caller in the records of a rollout; another rollout has another one."""
    return blake2b(f"{rollout}\0{caller}\0caller".encode(errors="surrogatepass"), digest_size=8).hexdigest()


def arm_at_birth(conversation: str, rollout: str, *, weight: int) -> Arm:
    """Return the arm of a conversation that begins while the canary gets `weight` percent of them."""
    return "canary" if position(conversation, rollout) * 100 < weight else "control"
