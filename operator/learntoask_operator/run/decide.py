"""One pass over a run, decided: from the run, its children and the clock to what is to be done. Pure.

The order in which it is done makes a crash anywhere harmless: first children are created (by names that a second
creation would collide with), then the status is written, then what is superfluous is deleted. An end that is decided
here, such as a missed deadline, is in the status before its Job goes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from learntoask.core.digest import digest_of
from learntoask.core.input_checks import explain
from learntoask.core.json_object import Json
from learntoask.core.manifest import RunSpec, seconds
from learntoask.core.stages.graph import RESOLVE, STAGES, RunInputs
from learntoask.core.stages.planner import Allowance, Observed, Plan, plan, plan_resolution
from learntoask.core.status import conditions as c
from learntoask.core.status.conditions import seconds_of
from learntoask.core.status.run import RunInputsRecord, RunStatus, StageRecord
from learntoask.kube import CONFIG_MAP, JOB, Kind
from pydantic import ValidationError

from learntoask_operator.run import admission
from learntoask_operator.run import stage_records as records
from learntoask_operator.run import status as story
from learntoask_operator.run.observe import Seen, observe, of_record
from learntoask_operator.run.render.artefacts import collectable
from learntoask_operator.run.requests import Requests, requests
from learntoask_operator.run.stage_records import Told
from learntoask_operator.run.workload import (
    Children,
    Removal,
    Workload,
    active,
    going_away,
    removal,
    services_gone,
)
from learntoask_operator.settings import Settings

_NAMES = (RESOLVE, *(stage.name for stage in STAGES))
_LOOK_AGAIN = 5.0  # seconds, while something is waited for that no watch tells of
_PATIENCE = 300.0  # seconds that a run which is to be removed waits for its children to go


@dataclass(frozen=True, kw_only=True)
class Decision:
    """`creates` once and in order, `applies` in order, then the status, then `deletes` as (kind, name, uid)."""

    status: RunStatus
    creates: tuple[tuple[Kind, Json], ...] = ()
    applies: tuple[tuple[Kind, Json], ...] = ()
    deletes: tuple[Removal, ...] = ()
    events: tuple[story.Happened, ...] = ()
    serve: tuple[str, str] | None = None
    """Keys of the publications (of serve, of the policy) that the AskEndpoint is to serve."""
    remove: bool = False
    wake_at: float | None = None


def decide(
    body: Json,
    children: Children,
    *,
    told: Mapping[str, Told],
    settings: Settings,
    now: float,
) -> Decision:
    """What to do about the run `body` (as the API server gives it); `told` is the progress its pods pushed."""
    generation = int(body["metadata"].get("generation", 0))
    before = RunStatus.model_validate(body.get("status") or {})
    try:
        spec = RunSpec.model_validate(body["spec"])
        why = admission.refusal(spec, settings)
    except ValidationError as error:
        spec, why = None, f"spec: {explain(error, RunSpec)}"
    asked = requests(body["metadata"].get("annotations") or {}, handled=before.handled, reruns=before.reruns)
    if spec is None or why is not None:
        status = story.refused(before, why or "", generation=generation, now=now)
        return Decision(status=status, events=tuple(story.happened(before, status)))
    if before.phase in story.OVER and before.observed_generation == generation and not asked.anew:
        return _over(body, spec, before, children, now=now)
    return _going(body, spec, before, children, asked, told=told, settings=settings, now=now)


def _over(body: Json, spec: RunSpec, before: RunStatus, children: Children, *, now: float) -> Decision:
    """A run that is over stays so, whatever becomes of its children. What still runs goes; so does the run itself when
    its time has come, after its children."""
    finished = seconds_of(before.finished) if before.finished else now
    expires = finished + seconds(spec.ttl) if spec.ttl else None
    services_too = services_gone(children.deployments)
    if expires is None or now < expires:
        running = [removal(JOB, one) for one in children.jobs if active(one)]
        return Decision(status=before, deletes=(*running, *services_too), wake_at=expires)
    left = len(children.jobs) + len(children.deployments)
    message = f"finished more than {spec.ttl} ago"
    if left and now < expires + _PATIENCE:
        jobs = [removal(JOB, one) for one in children.jobs if not going_away(one)]
        return Decision(status=before, deletes=(*jobs, *services_too), wake_at=now + _LOOK_AGAIN)
    event = story.Happened(reason=c.EXPIRED, message=message)
    if left:
        message += f"; {left} children did not go in time and are left to the garbage collector"
        event = story.Happened(reason=c.EXPIRED, message=message, type="Warning")
    return Decision(status=before, events=(event,), remove=True)


def _going(
    body: Json,
    spec: RunSpec,
    before: RunStatus,
    children: Children,
    asked: Requests,
    *,
    told: Mapping[str, Told],
    settings: Settings,
    now: float,
) -> Decision:
    """A run that is not over."""
    old = {name: before.record(name) or StageRecord(name=name) for name in _NAMES}
    seen = {
        name: observe(
            old[name],
            jobs=children.jobs_of(name),
            pods=children.pods_of(name),
            together=records.pods_together(spec, name),
            now=now,
        )
        for name in _NAMES
    }
    gpus = {name: records.gpus_of(spec, name) for name in _NAMES}
    known = {name: records.settled(old[name], seen[name], gpus=gpus[name], now=now) for name in _NAMES}
    if asked.retry:
        known = {name: records.forgiven(record) for name, record in known.items()}
    inputs_key = _inputs_key(spec, asked.reruns)
    inputs = _inputs(before, known[RESOLVE], seen[RESOLVE], inputs_key)
    used = records.allowance(known, seen, spec, now)
    observed = {name: one for name in _NAMES if (one := _for_plan(seen[name], known[name], now)) is not None}
    current = _planned(spec, inputs, inputs_key, known, observed, used, asked, now)
    work = Workload(
        body, spec, settings, children, records.starts(current), records.stops(current),
        {status.name: status for status in current.stages}, inputs, records.published(known), known, now,
    )  # fmt: skip
    after = [_record(name, known[name], seen[name], work, told.get(name), gpus[name]) for name in _NAMES]
    status = before.model_copy(
        update={
            "inputs": inputs,
            "inputs_key": inputs_key if inputs else None,
            "reruns": dict(asked.reruns),
            "handled": dict(asked.handled),
            "configuration": work.configuration_name or before.configuration,
        }
    )
    generation = int(body["metadata"].get("generation", 0))
    status = story.told(status, before, after, current, spec=spec, used=used, generation=generation, now=now)
    marked = collectable(body, spec, before, status, settings)
    looks = [one.look_again for one in seen.values()] + [now + _LOOK_AGAIN if work.held else None]
    return Decision(
        status=status,
        creates=work.creates(configured=before.configuration),
        applies=(*work.applies(), *(((CONFIG_MAP, marked),) if marked else ())),
        deletes=work.deletes(seen),
        events=(*story.happened(before, status), *_answers(asked, before)),
        serve=_served(current, status, known),
        wake_at=min((at for at in (current.wake_at, *looks) if at is not None), default=None),
    )


def _record(
    name: str, record: StageRecord, seen: Seen, work: Workload, told: Told | None, gpus: float
) -> StageRecord:
    """The record of stage `name` after the plan."""
    if name not in work.statuses:  # resolve, once the inputs are known
        return record
    if name in work.stops:
        stopped = records.stopped(record, seen, work.stops[name], gpus=gpus, now=work.now)
        return stopped.model_copy(update={"state": "Stopping"})
    if name in work.held:
        waits = {"state": "Waiting", "reason": "ServiceNotReady", "message": work.held[name]}
        return record.model_copy(update=waits)
    return records.recorded(record, work.statuses[name], seen, start=work.starts.get(name), told=told)


def _answers(asked: Requests, before: RunStatus) -> list[story.Happened]:
    """Events about what was asked by annotation."""
    if asked.rewound_to:
        return [story.Happened(reason=c.REWOUND, message=f"stages run anew from {asked.rewound_to} on")]
    if asked.refused and dict(asked.handled) != before.handled:
        return [story.Happened(reason=c.INVALID_SPEC, message=asked.refused, type="Warning")]
    return []


def _planned(
    spec: RunSpec, inputs: RunInputsRecord | None, inputs_key: str, known: Mapping[str, StageRecord],
    observed: Mapping[str, Observed], used: Allowance, asked: Requests, now: float,
) -> Plan:  # fmt: skip
    if inputs is None:
        return plan_resolution(
            spec=spec, key=inputs_key, observed=observed, now=now, cancelled=asked.cancelled
        )
    given = RunInputs(pack=inputs.pack, files=inputs.files, reruns=asked.reruns)  # type: ignore[arg-type]
    return plan(
        spec=spec, inputs=given, published=records.published(known), observed=observed, now=now, allowance=used,
        cancelled=asked.cancelled,
    )  # fmt: skip


def _inputs_key(spec: RunSpec, reruns: Mapping[str, int]) -> str:
    """Digest of where the inputs lie: as long as it is the same, their digests stay pinned."""
    addresses = [spec.dataset.uri, spec.dataset.test_uri, spec.pack.uri, spec.train.base.uri]
    return digest_of({"stage": RESOLVE, "addresses": addresses, "rerun": reruns.get(RESOLVE, 0)})  # type: ignore[dict-item]


def _inputs(before: RunStatus, record: StageRecord, seen: Seen, key: str) -> RunInputsRecord | None:
    """The digests found at the addresses of `key`, now or before."""
    if (
        seen.report is not None
        and seen.report.inputs is not None
        and record.key == key
        and record.ended == "Published"
    ):
        return seen.report.inputs
    return before.inputs if before.inputs_key == key else None


def _for_plan(seen: Seen, record: StageRecord, now: float) -> Observed | None:
    """What the planner is told: of an attempt that goes on what is seen, of one that is over what is recorded."""
    going = seen.observed is not None and seen.observed.state in ("queued", "waiting", "running", "ending")
    return seen.observed if going and seen.report is None else of_record(record, now).observed


def _served(current: Plan, status: RunStatus, known: Mapping[str, StageRecord]) -> tuple[str, str] | None:
    """The keys to serve, when the AskEndpoint does not have them yet."""
    publication, policy = known["serve"].key, known["grpo"].key
    if current.outcome != "Succeeded" or not publication or not policy:
        return None
    served = status.lineage.served if status.lineage else None
    return (publication, policy) if served != publication else None
