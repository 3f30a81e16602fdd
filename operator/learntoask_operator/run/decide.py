"""Decides what one reconcile of a run does, from the run, its children and the clock. The functions are pure.

The reconciler acts in an order that makes a crash anywhere harmless. First it creates children, under names that a
second creation would collide with, then it writes the status, then it deletes what is superfluous. An end that is
decided here, such as a missed deadline, is therefore in the status before its Job is deleted.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from learntoask.core.digest import digest_of
from learntoask.core.documents.input_checks import explain
from learntoask.core.json_object import Json
from learntoask.core.manifest import RunSpec, seconds
from learntoask.core.stages.graph import RESOLVE, REVIEW, RunInputs, stages_of
from learntoask.core.stages.planner import Allowance, Observed, Plan, Review, plan, plan_resolution
from learntoask.core.stages.review import review_end, waiting_message
from learntoask.core.status import conditions as c
from learntoask.core.status.conditions import seconds_of
from learntoask.core.status.run import FINISHED_PHASES, RunInputsRecord, RunStatus, StageRecord
from learntoask.kube import CONFIG_MAP, JOB, Kind
from pydantic import ValidationError

from learntoask_operator.events import Event
from learntoask_operator.ownership import is_deleting
from learntoask_operator.run import stage_records
from learntoask_operator.run.admission import refusal
from learntoask_operator.run.children import Removal, RunChildren, is_active, removal, service_removals
from learntoask_operator.run.observe import ObservedStage, observe, observe_record
from learntoask_operator.run.render.artefacts import artefact_list
from learntoask_operator.run.render.services import review_address
from learntoask_operator.run.requests import Requests, read_requests
from learntoask_operator.run.stage_records import LatestProgress
from learntoask_operator.run.status import ended_status, events_of, refused_status, status_of
from learntoask_operator.run.workload import Workload
from learntoask_operator.settings import Settings

_LOOK_AGAIN = 5.0  # seconds until another reconcile, while it waits for something that no watch reports
_PATIENCE = 300.0  # seconds that a run to be deleted waits until its children are gone


@dataclass(frozen=True, kw_only=True)
class RunDecision:
    """What to do, in this order: `creates` once each, `applies`, write `status`, then `deletes`.

    `serve` has the keys of the publications (of serve, of the policy) to give to the AskEndpoint. With `remove` the run
    itself is deleted.
    """

    status: RunStatus
    creates: tuple[tuple[Kind, Json], ...] = ()
    applies: tuple[tuple[Kind, Json], ...] = ()
    deletes: tuple[Removal, ...] = ()
    events: tuple[Event, ...] = ()
    serve: tuple[str, str] | None = None
    remove: bool = False
    wake_at: float | None = None


def decide(
    body: Json,
    children: RunChildren,
    *,
    progress: Mapping[str, LatestProgress],
    settings: Settings,
    now: float,
) -> RunDecision:
    """Decide about the run `body` (as the API server returns it); `progress` is what its pods pushed, by stage."""
    generation = int(body["metadata"].get("generation", 0))
    before = RunStatus.model_validate(body.get("status") or {})
    try:
        spec = RunSpec.model_validate(body["spec"])
        why = refusal(spec, settings)
    except ValidationError as error:
        spec, why = None, f"spec: {explain(error, RunSpec)}"
    annotations = body["metadata"].get("annotations") or {}
    asked = read_requests(
        annotations,
        handled=before.handled,
        reruns=before.reruns,
        calibrated=spec is not None and spec.calibrate is not None,
    )
    if spec is None or why is not None:
        status = refused_status(before, why or "", generation=generation, now=now)
        return RunDecision(status=status, events=tuple(events_of(before, status)))
    if before.phase in FINISHED_PHASES and before.observed_generation == generation and not asked.resume:
        return _decide_finished(spec, before, children, now=now)
    return _decide_unfinished(
        body, spec, before, children, asked=asked, progress=progress, settings=settings, now=now
    )


def _decide_finished(spec: RunSpec, before: RunStatus, children: RunChildren, *, now: float) -> RunDecision:
    """A finished run stays finished, whatever becomes of its children. What still runs is deleted, and so is the run
    itself once its ttl has passed and its children are gone."""
    finished = seconds_of(before.finished) if before.finished else now
    expires = finished + seconds(spec.ttl) if spec.ttl else None
    services = service_removals(children.deployments)
    status = ended_status(before, ending={name for name in _names(spec) if children.work_at(name)})
    if expires is None or now < expires:
        running = [removal(JOB, job) for job in children.jobs if is_active(job)]
        return RunDecision(status=status, deletes=(*running, *services), wake_at=expires)
    left = len(children.jobs) + len(children.deployments)
    message = f"finished more than {spec.ttl} ago"
    if left and now < expires + _PATIENCE:
        jobs = [removal(JOB, job) for job in children.jobs if not is_deleting(job)]
        return RunDecision(status=status, deletes=(*jobs, *services), wake_at=now + _LOOK_AGAIN)
    event = Event(reason=c.EXPIRED, message=message)
    if left:
        message += f"; {left} children were not gone in time and are left to the garbage collector"
        event = Event(reason=c.EXPIRED, message=message, type="Warning")
    return RunDecision(status=status, events=(event,), remove=True)


def _decide_unfinished(
    body: Json,
    spec: RunSpec,
    before: RunStatus,
    children: RunChildren,
    *,
    asked: Requests,
    progress: Mapping[str, LatestProgress],
    settings: Settings,
    now: float,
) -> RunDecision:
    old = {name: before.record(name) or StageRecord(name=name) for name in _names(spec)}
    seen = _observe_stages(spec, old, children, now)
    gpus = {name: stage_records.gpus_of(spec, name) for name in old}
    records = _settle_stages(old, seen, gpus, asked, now)
    if REVIEW in records:
        records[REVIEW] = stage_records.settle_review(records[REVIEW], progress.get(REVIEW), now=now)
    inputs_key = _inputs_key(spec, asked.reruns)
    inputs = _inputs(before, records[RESOLVE], seen[RESOLVE], key=inputs_key)
    used = stage_records.allowance(records, seen, spec, now)
    current = _plan(
        spec,
        records,
        seen,
        inputs=inputs,
        inputs_key=inputs_key,
        used=used,
        asked=asked,
        reviews=_reviews(body, spec, records, progress.get(REVIEW), now=now),
        now=now,
    )
    work = Workload(
        body=body,
        spec=spec,
        settings=settings,
        children=children,
        starts=stage_records.starts(current),
        stops=stage_records.stops(current),
        statuses={status.name: status for status in current.stages},
        inputs=inputs,
        published=stage_records.publications(records),
        records=records,
        configured=before.configuration,
        now=now,
    )
    after = [
        _planned_record(records[name], seen[name], work, progress=progress.get(name), gpus=gpus[name])
        for name in records
    ]
    base = before.model_copy(
        update={
            "inputs": inputs,
            "inputs_key": inputs_key if inputs else None,
            "reruns": dict(asked.reruns),
            "handled": dict(asked.handled),
            "configuration": work.configuration_name or before.configuration,
        }
    )
    generation = int(body["metadata"].get("generation", 0))
    status = status_of(base, before, after, current, spec=spec, used=used, generation=generation, now=now)
    artefacts = artefact_list(body, spec, before, status, settings)
    looks = (stage.look_again for stage in seen.values())
    wakes = [current.wake_at, now + _LOOK_AGAIN if work.held else None, *looks]
    return RunDecision(
        status=status,
        creates=work.creates(),
        applies=((CONFIG_MAP, artefacts),) if artefacts else (),
        deletes=work.deletes(seen),
        events=(*events_of(before, status), *_request_events(asked, before)),
        serve=_keys_to_serve(current, status, records),
        wake_at=min((at for at in wakes if at is not None), default=None),
    )


def _names(spec: RunSpec) -> tuple[str, ...]:
    """The stages of the run, `resolve` first."""
    return (RESOLVE, *(stage.name for stage in stages_of(spec)))


def _observe_stages(
    spec: RunSpec, records: Mapping[str, StageRecord], children: RunChildren, now: float
) -> dict[str, ObservedStage]:
    return {
        name: observe(
            record,
            jobs=children.jobs_of(name),
            pods=children.pods_of(name),
            together=stage_records.pods_together(spec, name),
            now=now,
        )
        for name, record in records.items()
    }


def _settle_stages(
    records: Mapping[str, StageRecord],
    seen: Mapping[str, ObservedStage],
    gpus: Mapping[str, float],
    asked: Requests,
    now: float,
) -> dict[str, StageRecord]:
    """The records with the ends of attempts, and without failures if a retry is asked for."""
    settled = {
        name: stage_records.settle(record, seen[name], gpus=gpus[name], now=now)
        for name, record in records.items()
    }
    if not asked.retry:
        return settled
    return {name: stage_records.forgive(record) for name, record in settled.items()}


def _plan(
    spec: RunSpec,
    records: Mapping[str, StageRecord],
    seen: Mapping[str, ObservedStage],
    *,
    inputs: RunInputsRecord | None,
    inputs_key: str,
    used: Allowance,
    asked: Requests,
    reviews: Mapping[str, Review],
    now: float,
) -> Plan:
    """The plan for the stages, or for `resolve` alone until the digests of the inputs are known."""
    observed = {
        name: attempt
        for name in records
        if (attempt := _latest_attempt(seen[name], records[name], now)) is not None
    }
    if inputs is None:
        return plan_resolution(
            spec=spec, key=inputs_key, observed=observed, now=now, cancelled=asked.cancelled
        )
    return plan(
        spec=spec,
        inputs=RunInputs(pack=inputs.pack, files=inputs.files, reruns=asked.reruns),  # type: ignore[arg-type]
        published=stage_records.publications(records),
        observed=observed,
        now=now,
        allowance=used,
        cancelled=asked.cancelled,
        reviews=reviews,
    )


def _reviews(
    body: Json,
    spec: RunSpec,
    records: Mapping[str, StageRecord],
    pushed: LatestProgress | None,
    *,
    now: float,
) -> dict[str, Review]:
    """What is known of the review of the run, by its key."""
    record, drawn = records.get(REVIEW), records.get("draw")
    if spec.calibrate is None or record is None or drawn is None or not record.key or not drawn.finished:
        return {}
    end = review_end(spec.calibrate, drawn=seconds_of(drawn.finished))
    metadata = body["metadata"]
    where = review_address(spec, run=metadata["name"], namespace=metadata["namespace"])
    if pushed is None or pushed.key != record.key:
        message = record.message or f"people have to answer at {where}; its page starts"
    else:
        message = waiting_message(
            missing=pushed.missing,
            needed=pushed.needed,
            remaining_seconds=pushed.progress.remaining_seconds,
            where=where,
            note=pushed.progress.message,
        )
    failed = spec.calibrate.on_deadline == "fail" and end is not None and now >= end
    wake = None if end is None or now >= end else end
    return {record.key: Review(message=message, failed=failed, wake_at=wake)}


def _latest_attempt(seen: ObservedStage, record: StageRecord, now: float) -> Observed | None:
    """The latest attempt for the planner: as observed while it goes on, as recorded once it has ended."""
    goes_on = seen.observed is not None and seen.observed.state in ("queued", "waiting", "running", "ending")
    return seen.observed if goes_on and seen.result is None else observe_record(record, now).observed


def _planned_record(
    record: StageRecord, seen: ObservedStage, work: Workload, *, progress: LatestProgress | None, gpus: float
) -> StageRecord:
    """The stage's record after the plan."""
    name = record.name
    if name not in work.statuses:  # `resolve`, once the inputs are known
        return record
    if name in work.stops:
        stopped = stage_records.stop(record, seen, work.stops[name], gpus=gpus, now=work.now)
        return stopped.model_copy(update={"state": "Stopping"})
    if name in work.held:
        reason, message = work.held[name]
        waits = {"state": "Waiting", "reason": reason, "message": message}
        return record.model_copy(update=waits)
    status, start = work.statuses[name], work.starts.get(name)
    return stage_records.apply_plan(record, status, seen, start=start, progress=progress)


def _request_events(asked: Requests, before: RunStatus) -> list[Event]:
    """Events that answer an annotation."""
    if asked.rewound_to:
        message = f"{asked.rewound_to} and all stages that depend on it run again"
        return [Event(reason=c.REWOUND, message=message)]
    if asked.refused and dict(asked.handled) != before.handled:
        return [Event(reason=c.INVALID_SPEC, message=asked.refused, type="Warning")]
    return []


def _inputs_key(spec: RunSpec, reruns: Mapping[str, int]) -> str:
    """Digest of the addresses of the inputs. While it stays the same, their digests stay pinned."""
    addresses = [spec.dataset.uri, spec.dataset.test_uri, spec.pack.uri, spec.train.base.uri]
    return digest_of({"stage": RESOLVE, "addresses": addresses, "rerun": reruns.get(RESOLVE, 0)})  # type: ignore[dict-item]


def _inputs(
    before: RunStatus, record: StageRecord, seen: ObservedStage, *, key: str
) -> RunInputsRecord | None:
    """The digests of the inputs at the addresses of `key`: just resolved, or known from before."""
    if (
        seen.result is not None
        and seen.result.inputs is not None
        and record.key == key
        and record.ended == "Published"
    ):
        return seen.result.inputs
    return before.inputs if before.inputs_key == key else None


def _keys_to_serve(
    current: Plan, status: RunStatus, records: Mapping[str, StageRecord]
) -> tuple[str, str] | None:
    """The keys for the AskEndpoint, if the run has succeeded and the endpoint does not have them yet."""
    publication, policy = records["serve"].key, records["grpo"].key
    if current.outcome != "Succeeded" or not publication or not policy:
        return None
    served = status.lineage.served if status.lineage else None
    return (publication, policy) if served != publication else None
