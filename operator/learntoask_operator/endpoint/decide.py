"""Decides how an endpoint moves from one policy to the next without a failed call. The functions are pure.

`decide` looks at the revisions that the status remembers and at the servers that exist, never at how this came about. A
new revision gets traffic once its servers are warm. The old one is deleted once no call can still be waiting for it. A
revision that does not warm up never gets traffic, and the old one stays.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from learntoask.core.manifest import seconds
from learntoask.core.manifest.ask_endpoint import Rollout
from learntoask.core.status.conditions import ROLLED_BACK, WARM_UP_FAILED, seconds_of, timestamp
from learntoask.core.status.endpoint import Revision
from learntoask.core.status.rollout import RolloutStatus

from learntoask_operator.endpoint.observe import ObservedServers
from learntoask_operator.endpoint.trial import Target, Trial, conversations_over

_LIVE = ("Pending", "WarmingUp", "Serving", "Draining")


@dataclass(frozen=True, kw_only=True)
class EndpointDecision:
    """What to serve, and with how many servers.

    `revisions` are to be remembered, the target first. `scale` is the number of servers of each revision; Deployments
    of other revisions are deleted. `traffic` has the one or more revisions that get calls, and `lead` is the one whose
    domain pack the gateways use. `rollout` is the state of the rollout in steps, and `told` the same as gateways follow
    it, None while they follow none. `canary` is the revision that gets its calls, and `queued` the one that waits for
    its end. `look_again` is when time alone changes the decision.
    """

    revisions: tuple[Revision, ...]
    scale: Mapping[str, int] = field(default_factory=dict)
    traffic: tuple[str, ...] = ()
    lead: str = ""
    rollout: RolloutStatus | None = None
    told: RolloutStatus | None = None
    canary: str = ""
    queued: str = ""
    look_again: float | None = None


def decide(
    *,
    trial: Trial,
    previous: str,
    revisions: Sequence[Revision],
    servers: Mapping[str, ObservedServers],
    replicas: int,
    rollout: Rollout,
    now: float,
) -> EndpointDecision:
    """Decide from the last decision (`previous` was its target, `revisions` are its records, newest first) and from the
    existing `servers` of each revision. `trial` says which revision is the target, and how it gets its traffic."""
    target = trial.target
    new = _target_revision(target, previous, revisions, now)
    others = [revision for revision in revisions if revision.name != new.name]
    olds = [_with_counts(revision, servers) for revision in others if revision.state in _LIVE]
    serving = [revision for revision in olds if revision.state == "Serving"]
    seen = servers.get(new.name, ObservedServers())
    new = _with_counts(new, servers)
    if replicas:
        new = _advance(new, seen, rollout=rollout, replaceable=bool(serving), now=now)
    if trial.failed and serving and new.state != "Failed":
        new = new.model_copy(
            update={"state": "Failed", "reason": ROLLED_BACK, "message": trial.failed[:2000]}
        )

    over = None if trial.state is None else conversations_over(trial.state, rollout)
    enough = max(1, replicas - rollout.max_unavailable)
    partly = rollout.max_surge < replicas  # there is no room for all new servers next to the old ones
    if new.state == "Failed" or (trial.hold and serving):
        traffic = serving
    elif not serving or replicas == 0 or (new.warm is not None and seen.ready >= enough):
        new, traffic = _serve(new), [new]
        olds = [_drain(revision, now) if revision.state == "Serving" else revision for revision in olds]
    elif trial.weight and new.warm is not None:
        new = _serve(new)  # promoted: its weight rises with its ready servers
        traffic = serving
    elif new.warm is not None and seen.ready and partly:
        new = _serve(new)
        traffic = [*serving, new]
    else:
        traffic = serving

    exchanging = (
        partly and new.state != "Failed" and not trial.hold and (seen.ready > 0 or rollout.max_surge == 0)
    )
    needed = max(0, replicas - rollout.max_unavailable - seen.ready) if exchanging else replicas
    wanted = replicas
    if trial.hold and serving:  # both policies have servers, and together no more than the surge allows
        wanted = min(trial.servers, replicas)
        needed = min(replicas, replicas + rollout.max_surge - wanted)
    # While two revisions get calls, only a pod's readiness selects it, so a draining pod would get calls too.
    drain = 0 if len(traffic) > 1 else seconds(rollout.drain)
    kept, scale = _scale_old(olds, needed=needed, replicas=replicas, drain=drain, now=now)
    wakes = [
        _drained_at(revision, seconds(rollout.drain), now)
        for revision in kept
        if revision.state == "Draining"
    ]
    if new.state != "Failed":
        promised = sum(scale[revision.name] for revision in kept if revision.state == "Serving")
        scale[new.name] = _scale_new(
            new, servers, wanted=wanted, most=replicas + rollout.max_surge, promised=promised
        )
        if new.warm is None:
            wakes.append(seconds_of(new.created) + seconds(rollout.warm_up.deadline))
    elif over is not None and now < over and seen.wanted:
        scale[new.name] = seen.wanted  # conversations finish with the policy that was rolled back
    wakes += [at for at in (over, trial.look_again) if at is not None]
    past = [revision for revision in others if revision.state not in _LIVE]
    settled = len(traffic) == 1 and all(revision.state != "Draining" for revision in kept)
    told = _told(
        trial,
        [revision.name for revision in traffic] if settled else [],
        is_over=over is not None and now >= over,
    )
    return EndpointDecision(
        revisions=(new, *_history([*kept, *past], rollout.history)),
        scale=scale,
        traffic=tuple(revision.name for revision in traffic),
        lead=traffic[0].name if traffic else new.name,
        rollout=trial.state,
        told=told,
        canary=told.canary if told is not None and told.canary in scale else "",
        queued=trial.queued,
        look_again=min((wake for wake in wakes if wake > now), default=None),
    )


def _told(trial: Trial, traffic: Sequence[str], *, is_over: bool) -> RolloutStatus | None:
    """The rollout as gateways follow it: to the end of its conversations, and until a promoted policy has all calls and
    no gateway can still ask old servers. `traffic` is empty until then."""
    state = trial.state
    if state is None or (is_over and (state.stage == "RolledBack" or list(traffic) == [state.canary])):
        return None
    return state.model_copy(update={"weight": trial.weight})


def _target_revision(target: Target, previous: str, revisions: Sequence[Revision], now: float) -> Revision:
    """The record of the target: the known one while it stays the target, a new number when it becomes the target."""
    known = next((revision for revision in revisions if revision.name == target.name), None)
    if known is not None and target.name == previous:
        return known
    number = max((revision.number for revision in revisions), default=0) + 1
    if known is not None and known.state == "Serving":  # rolled back before the new one had taken over
        return known.model_copy(update={"number": number, "policy": target.policy})
    if known is not None and known.state == "Draining":  # still warm
        return known.model_copy(
            update={"number": number, "policy": target.policy, "state": "WarmingUp", "replaced": None}
        )
    return Revision(
        number=number, name=target.name, policy=target.policy, state="Pending", created=timestamp(now)
    )


def _with_counts(revision: Revision, servers: Mapping[str, ObservedServers]) -> Revision:
    seen = servers.get(revision.name, ObservedServers())
    return revision.model_copy(update={"replicas": seen.pods, "ready": seen.ready})


def _advance(
    new: Revision, seen: ObservedServers, *, rollout: Rollout, replaceable: bool, now: float
) -> Revision:
    """The target's record with the progress of its warm-up. It can only fail if it is `replaceable`, which means that
    another revision serves."""
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
    message = f"{what}: {seen.cause}" if seen.cause else what
    update = {"reason": WARM_UP_FAILED, "message": message[:2000]}
    return new.model_copy(update={**update, "state": "Failed"} if replaceable else update)


def _serve(revision: Revision) -> Revision:
    """The revision with traffic. Without a warm server its state stays, because calls can only wait for it."""
    if revision.warm is None:
        return revision
    return revision.model_copy(update={"state": "Serving", "replaced": None})


def _drain(revision: Revision, now: float) -> Revision:
    return revision.model_copy(update={"state": "Draining", "replaced": timestamp(now)})


def _retire(revision: Revision) -> Revision:
    """The revision without servers; its record stays for a rollback."""
    return revision.model_copy(update={"state": "Retired", "replicas": 0, "ready": 0})


def _scale_old(
    olds: Sequence[Revision], *, needed: int, replicas: int, drain: int, now: float
) -> tuple[list[Revision], dict[str, int]]:
    """Old revisions and the number of their servers.

    Those that serve get `needed` servers together. One that drains keeps its servers for `drain` seconds, then it gets
    none.
    """
    kept, scale = [], {}
    for old in sorted(olds, key=lambda revision: -revision.ready):
        if old.state == "Serving":
            scale[old.name] = min(needed, replicas)
            needed -= scale[old.name]
            kept.append(old)
        elif old.state == "Draining" and now < _drained_at(old, drain, now):
            scale[old.name] = min(old.replicas, replicas)
            kept.append(old)
        else:
            kept.append(_retire(old))
    return kept, scale


def _scale_new(
    new: Revision, servers: Mapping[str, ObservedServers], *, wanted: int, most: int, promised: int
) -> int:
    """How many of `wanted` servers the target gets while other revisions have servers, of which `promised` stay, and
    all together may have `most`."""
    others = sum(seen.pods for name, seen in servers.items() if name != new.name)
    existing = servers.get(new.name, ObservedServers()).wanted
    return max(0, min(wanted, max(most - others, existing), most - promised))


def _drained_at(revision: Revision, drain: int, now: float) -> float:
    return (seconds_of(revision.replaced) if revision.replaced else now) + drain


def _history(revisions: Sequence[Revision], bound: int) -> list[Revision]:
    """The revisions to remember besides the target, newest first: all live ones, and `bound` past ones."""
    ordered = sorted(revisions, key=lambda revision: -revision.number)
    live = [revision for revision in ordered if revision.state in _LIVE]
    past = [revision for revision in ordered if revision.state not in _LIVE]
    return sorted([*live, *past[:bound]], key=lambda revision: -revision.number)
