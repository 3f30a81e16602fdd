"""From one policy to the next without a failed ask: one pure decision.

`decide` looks at the revisions that the status remembers and at the servers there are, never at how things came to be
so. A new revision gets traffic once its servers are warm; the old one goes when nothing is asked of it any more; one
that does not warm up never gets traffic, and the old one stays.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from learntoask.core.manifest import PolicyReference, seconds
from learntoask.core.manifest.ask_endpoint import Rollout
from learntoask.core.status.conditions import WARM_UP_FAILED, seconds_of, timestamp
from learntoask.core.status.endpoint import Revision

_LIVE = ("Pending", "WarmingUp", "Serving", "Draining")


@dataclass(frozen=True, kw_only=True)
class Servers:
    """Servers of one revision as they are. `wanted` is what its Deployment asks for; `restarts` the most that a
    container of theirs has had; `last_words` why one ended or cannot start."""

    wanted: int = 0
    pods: int = 0
    ready: int = 0
    restarts: int = 0
    last_words: str = ""


@dataclass(frozen=True, kw_only=True)
class Target:
    """The revision that the spec asks for."""

    name: str
    policy: PolicyReference


@dataclass(frozen=True, kw_only=True)
class Decision:
    """`scale`: servers that each revision is to have; the Deployments of others go. `traffic`: the revisions that are
    asked, one or several. `lead`: the one whose domain pack the gateways take. `look_again`: when time alone changes
    the decision."""

    revisions: tuple[Revision, ...]
    scale: Mapping[str, int] = field(default_factory=dict)
    traffic: tuple[str, ...] = ()
    lead: str = ""
    look_again: float | None = None


def decide(
    *,
    target: Target,
    previous: str,
    revisions: Sequence[Revision],
    servers: Mapping[str, Servers],
    replicas: int,
    rollout: Rollout,
    now: float,
) -> Decision:
    """`previous` is the target of the last decision, `revisions` what it remembered (newest first), `servers` those
    there are by revision."""
    known = {one.name: one for one in revisions}
    new = _wanted(known.get(target.name), target, previous, revisions, now)
    olds = [_counted(one, servers) for one in revisions if one.name != new.name and one.state in _LIVE]
    serving = [one for one in olds if one.state == "Serving"]
    seen = servers.get(new.name, Servers())
    new = _counted(new, servers)
    if replicas:
        new = _advanced(new, seen, rollout=rollout, replaceable=bool(serving), now=now)

    enough = max(1, replicas - rollout.max_unavailable)
    partly = rollout.max_surge < replicas  # too few to bring up all new servers beside the old ones
    if new.state == "Failed":
        traffic = serving
    elif not serving or replicas == 0 or (new.warm is not None and seen.ready >= enough):
        new, traffic = _serving(new), [new]
        olds = [_draining(one, now) if one.state == "Serving" else one for one in olds]
    elif new.warm is not None and seen.ready and partly:
        new = _serving(new)
        traffic = [*serving, new]
    else:
        traffic = serving

    exchanged = partly and new.state != "Failed" and (seen.ready > 0 or rollout.max_surge == 0)
    kept, scale = _settled(
        olds,
        needed=max(0, replicas - rollout.max_unavailable - seen.ready) if exchanged else replicas,
        replicas=replicas,
        drain=0 if len(traffic) > 1 else seconds(rollout.drain),  # then health alone selects who is asked
        now=now,
    )
    wakes = [_drained_at(one, seconds(rollout.drain), now) for one in kept if one.state == "Draining"]
    if new.state != "Failed":
        others = sum(one.pods for name, one in servers.items() if name != new.name)
        most = replicas + rollout.max_surge
        promised = sum(scale[one.name] for one in kept if one.state == "Serving")
        scale[new.name] = max(0, min(replicas, max(most - others, seen.wanted), most - promised))
        if new.warm is None:
            wakes.append(seconds_of(new.created) + seconds(rollout.warm_up.deadline))
    gone = [one for one in revisions if one.state not in _LIVE and one.name != new.name]
    history = sorted([*kept, *gone], key=lambda one: -one.number)
    return Decision(
        revisions=(new, *_remembered(history, rollout.history)),
        scale=scale,
        traffic=tuple(one.name for one in traffic),
        lead=traffic[0].name if traffic else new.name,
        look_again=min((wake for wake in wakes if wake > now), default=None),
    )


def _wanted(
    known: Revision | None, target: Target, previous: str, revisions: Sequence[Revision], now: float
) -> Revision:
    """The record of the target: as it was while it stays the target, anew when it becomes one."""
    if known is not None and target.name == previous:
        return known
    number = max((one.number for one in revisions), default=0) + 1
    if known is not None and known.state == "Serving":  # a rollback before the new one had taken over
        return known.model_copy(update={"number": number, "policy": target.policy})
    if known is not None and known.state == "Draining":  # still warm
        return known.model_copy(
            update={"number": number, "policy": target.policy, "state": "WarmingUp", "replaced": None}
        )
    return Revision(
        number=number, name=target.name, policy=target.policy, state="Pending", created=timestamp(now)
    )


def _counted(one: Revision, servers: Mapping[str, Servers]) -> Revision:
    seen = servers.get(one.name, Servers())
    return one.model_copy(update={"replicas": seen.pods, "ready": seen.ready})


def _advanced(new: Revision, seen: Servers, *, rollout: Rollout, replaceable: bool, now: float) -> Revision:
    """How far the new servers are. `replaceable`: another revision serves, so this one need not be waited for."""
    if new.state in ("Serving", "Failed"):
        return new
    if new.warm is None and seen.ready:
        return new.model_copy(
            update={"state": "WarmingUp", "warm": timestamp(now), "reason": "", "message": ""}
        )
    if new.warm is not None:
        return new
    new = new.model_copy(update={"state": "WarmingUp" if seen.pods else "Pending"})
    warm_up = rollout.warm_up
    late = now >= seconds_of(new.created) + seconds(warm_up.deadline)
    if not late and seen.restarts <= warm_up.restarts:
        return new
    what = f"not warm within {warm_up.deadline}" if late else f"its container ended {seen.restarts} times"
    words = f"{what}: {seen.last_words}" if seen.last_words else what
    update = {"reason": WARM_UP_FAILED, "message": words[:2000]}
    return new.model_copy(update={**update, "state": "Failed"} if replaceable else update)


def _serving(one: Revision) -> Revision:
    """It takes traffic from now on; one that is still cold, and alone, is only waited for."""
    return one if one.warm is None else one.model_copy(update={"state": "Serving", "replaced": None})


def _draining(one: Revision, now: float) -> Revision:
    return one.model_copy(update={"state": "Draining", "replaced": timestamp(now)})


def _retired(one: Revision) -> Revision:
    """Its servers go; the record stays, for a rollback."""
    return one.model_copy(update={"state": "Retired", "replicas": 0, "ready": 0})


def _settled(
    olds: Sequence[Revision], *, needed: int, replicas: int, drain: int, now: float
) -> tuple[list[Revision], dict[str, int]]:
    """Old revisions and the servers they are to have: together `needed` where they serve, those there are while they
    drain, none afterwards."""
    kept, scale = [], {}
    for old in sorted(olds, key=lambda one: -one.ready):
        if old.state == "Serving":
            scale[old.name] = min(needed, replicas)
            needed -= scale[old.name]
            kept.append(old)
        elif old.state == "Draining" and now < _drained_at(old, drain, now):
            scale[old.name] = min(old.replicas, replicas)
            kept.append(old)
        else:
            kept.append(_retired(old))
    return kept, scale


def _drained_at(one: Revision, drain: int, now: float) -> float:
    return (seconds_of(one.replaced) if one.replaced else now) + drain


def _remembered(history: Sequence[Revision], bound: int) -> list[Revision]:
    live = [one for one in history if one.state in _LIVE]
    past = [one for one in history if one.state not in _LIVE]
    return sorted([*live, *past[:bound]], key=lambda one: -one.number)
