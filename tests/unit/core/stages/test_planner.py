"""The planner: it decides only from publications and observed attempts."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from learntoask.core.manifest import RunSpec
from learntoask.core.pack import parse_pack
from learntoask.core.stages.graph import (
    STAGE_BY_NAME,
    STAGES,
    PackPart,
    RunInputs,
    pack_digests,
    rewind_counters,
    stage_key,
)
from learntoask.core.stages.planner import Observed, Plan, Start, Stop, plan, retry_delay
from learntoask.core.stages.publication import Publication, PublishedFile

PACK: dict[PackPart, str] = {"logs": "l", "policy": "p", "grading": "g", "whole": "w"}
INPUTS = RunInputs(pack=PACK, files={"dataset": "data"})
NOW = 1_000_000.0


def spec(**changes: Any) -> RunSpec:
    return RunSpec.model_validate({"dataset": {"uri": "logs.jsonl"}, "pack": {"uri": "pack.yaml"}, **changes})


def decide(
    *, published: dict[str, Publication], now: float = NOW, inputs: RunInputs = INPUTS, **rest: Any
) -> Plan:
    observed = rest.pop("observed", {})
    return plan(spec=spec(**rest), inputs=inputs, published=published, observed=observed, now=now)


def publication(stage: str, key: str, content: str = "") -> Publication:
    file = PublishedFile(path="out", digest=content or f"content of {stage}", size=1)
    return Publication(stage=stage, key=key, files=(file,))


def publish(store: dict[str, Publication], start: Start, content: str = "") -> None:
    store[start.key] = publication(start.stage, start.key, content)


def run_to_end(store: dict[str, Publication], **rest: Any) -> list[str]:
    """Publish each stage that the planner starts, until it starts none, and return the stages in that order."""
    started = []
    while starts := [
        action for action in decide(published=store, **rest).actions if isinstance(action, Start)
    ]:
        publish(store, starts[0])
        started.append(starts[0].stage)
    return started


def test_stages_run_in_order_and_only_when_their_inputs_are_published() -> None:
    store: dict[str, Publication] = {}
    first = decide(published=store)
    assert {action.stage for action in first.actions} == {"fetch", "prepare"}
    assert run_to_end(store) == [stage.name for stage in STAGES if not stage.only_with_calibrate]
    assert decide(published=store).outcome == "Succeeded"


def test_training_starts_after_the_grader_and_goes_on_while_graders_are_fitted_again() -> None:
    store: dict[str, Publication] = {}
    while "grader" not in (
        starts := {one.stage: one for one in decide(published=store).actions if isinstance(one, Start)}
    ):
        for start in starts.values():
            publish(store, start)
    assert set(starts) == {"grader"}  # although everything that sft reads is published
    publish(store, starts["grader"])
    (sft,) = decide(published=store).actions
    assert isinstance(sft, Start)
    assert sft.stage == "sft"
    at_work = {"sft": Observed(key=sft.key, state="running", attempt=1, started=NOW)}
    again = decide(published=store, observed=at_work, grader={"encoder": "hashing"})
    assert [(type(action), action.stage) for action in again.actions] == [(Start, "grader")]


def test_a_finished_run_starts_nothing() -> None:
    store: dict[str, Publication] = {}
    run_to_end(store)
    assert decide(published=store).actions == ()


def test_a_changed_setting_repeats_the_stages_that_depend_on_it() -> None:
    store: dict[str, Publication] = {}
    run_to_end(store)
    again = run_to_end(store, train={"grpo": {"updates": 1}})
    assert again == ["grpo"]  # the new weights equal the old ones here, so the keys downstream are unchanged
    store = {}
    run_to_end(store)
    changed = decide(published=store, train={"sft": {"epochs": 7}})
    assert [action.stage for action in changed.actions] == ["sft"]


def test_checkpoint_interval_and_address_change_no_result() -> None:
    store: dict[str, Publication] = {}
    run_to_end(store)
    assert run_to_end(store, train={"checkpointEvery": 3}, serve={"port": 1}) == []


def test_the_lineage_follows_content_not_keys() -> None:
    store: dict[str, Publication] = {}
    run_to_end(store)
    other_logs = RunInputs(pack=PACK, files={"dataset": "other data, same samples"})
    assert run_to_end(store, inputs=other_logs) == ["prepare"]


def test_rewinding_repeats_a_stage_and_all_that_read_from_it() -> None:
    counters = rewind_counters({}, "train", calibrated=False)
    assert set(counters) == {"sft", "grpo", "evaluate", "gate", "serve"}
    store: dict[str, Publication] = {}
    run_to_end(store)
    again = run_to_end(store, inputs=RunInputs(pack=PACK, files={"dataset": "data"}, reruns=counters))
    assert again == ["sft", "grpo", "evaluate", "gate", "serve"]


def _failure(key: str, **changes: Any) -> Observed:
    given = {
        "key": key,
        "state": "failed",
        "attempt": 1,
        "started": NOW - 9,
        "finished": NOW,
        "message": "no",
    }
    return Observed(**{**given, **changes})


def test_a_failed_attempt_is_repeated_after_a_pause_until_attempts_are_used_up() -> None:
    key = next(action.key for action in decide(published={}).actions if action.stage == "prepare")  # type: ignore[union-attr]
    waiting = decide(published={}, observed={"prepare": _failure(key)})
    assert waiting.outcome == "Running"
    assert [action.stage for action in waiting.actions] == ["fetch"]
    assert waiting.wake_at == NOW + retry_delay(1)
    due = decide(published={}, observed={"prepare": _failure(key)}, now=NOW + retry_delay(1))
    assert any(isinstance(a, Start) and a.stage == "prepare" and a.attempt == 2 for a in due.actions)
    spent = decide(published={}, observed={"prepare": _failure(key, attempt=3)}, now=NOW + 9999)
    assert (spent.outcome, spent.message) == ("Failed", "stage prepare: no")


def test_what_cannot_succeed_is_not_repeated() -> None:
    key = next(action.key for action in decide(published={}).actions if action.stage == "prepare")  # type: ignore[union-attr]
    assert decide(published={}, observed={"prepare": _failure(key, retryable=False)}).outcome == "Failed"


def test_a_failure_of_other_inputs_is_forgotten() -> None:
    current = decide(published={}, observed={"prepare": _failure("an older key", attempt=3, retryable=False)})
    assert any(isinstance(a, Start) and a.stage == "prepare" and a.attempt == 1 for a in current.actions)


def test_a_failed_run_stops_what_still_runs() -> None:
    keys = {action.stage: action.key for action in decide(published={}).actions}  # type: ignore[union-attr]
    observed = {
        "fetch": Observed(key=keys["fetch"], state="running", attempt=1, started=NOW),
        "prepare": _failure(keys["prepare"], retryable=False),
    }
    failed = decide(published={}, observed=observed)
    assert [(type(a), a.stage) for a in failed.actions] == [(Stop, "fetch")]


def test_a_running_stage_whose_inputs_changed_is_stopped() -> None:
    observed = {"prepare": Observed(key="an older key", state="running", attempt=1, started=NOW)}
    stop = next(a for a in decide(published={}, observed=observed).actions if a.stage == "prepare")
    assert isinstance(stop, Stop)
    assert not stop.failed


def test_an_attempt_past_its_deadline_fails() -> None:
    key = next(action.key for action in decide(published={}).actions if action.stage == "prepare")  # type: ignore[union-attr]
    observed = {"prepare": Observed(key=key, state="running", attempt=1, started=NOW - 61)}
    late = decide(published={}, observed=observed, stageDeadline="1m")
    stop = next(a for a in late.actions if a.stage == "prepare")
    assert isinstance(stop, Stop)
    assert stop.failed
    assert "1m" in stop.message
    early = decide(published={}, observed=observed, stageDeadline="2m")
    assert early.wake_at == NOW - 61 + 120


def test_suspending_stops_what_runs_and_starts_nothing() -> None:
    key = next(action.key for action in decide(published={}).actions if action.stage == "prepare")  # type: ignore[union-attr]
    observed = {"prepare": Observed(key=key, state="running", attempt=1, started=NOW)}
    suspended = decide(published={}, observed=observed, suspend=True)
    assert suspended.outcome == "Suspended"
    assert [(type(a), a.stage) for a in suspended.actions] == [(Stop, "prepare")]


def test_a_gate_that_refuses_ends_the_run_and_serves_nothing() -> None:
    store: dict[str, Publication] = {}
    while True:
        start = next(action for action in decide(published=store).actions if isinstance(action, Start))
        publish(store, start)
        if start.stage == "gate":
            summary = {"passed": False, "message": "WS-stop .2 is below .5"}
            store[start.key] = store[start.key].model_copy(update={"summary": summary})
            break
    refused = decide(published=store)
    assert (refused.outcome, refused.reason, refused.actions) == ("Failed", "GateFailed", ())
    assert "WS-stop" in refused.message


@settings(deadline=None)
@given(published=st.sets(st.sampled_from([stage.name for stage in STAGES if not stage.only_with_calibrate])))
def test_nothing_starts_before_all_it_reads_is_published(published: set[str]) -> None:
    """For any part of the graph in the store, a started stage has all its inputs, and no published stage starts."""
    whole: dict[str, Publication] = {}
    run_to_end(whole)
    store = {key: found for key, found in whole.items() if found.stage in published}
    current = decide(published=store)
    done = {status.name for status in current.stages if status.state == "Published"}
    for action in current.actions:
        assert isinstance(action, Start)
        assert set(STAGE_BY_NAME[action.stage].inputs) <= done
        assert action.stage not in done
        assert action.inputs == {name: whole_key(whole, name) for name in STAGE_BY_NAME[action.stage].inputs}


def whole_key(store: dict[str, Publication], stage: str) -> str:
    return next(key for key, found in store.items() if found.stage == stage)


def test_keys_differ_by_everything_a_stage_depends_on() -> None:
    prepare = STAGE_BY_NAME["prepare"]
    base = stage_key(prepare, spec=spec(), inputs=INPUTS, outputs={})
    variants = [
        stage_key(prepare, spec=spec(dataset={"uri": "logs.jsonl", "seed": 1}), inputs=INPUTS, outputs={}),
        stage_key(
            prepare,
            spec=spec(),
            inputs=RunInputs(pack={**PACK, "logs": "other"}, files=INPUTS.files),
            outputs={},
        ),
        stage_key(prepare, spec=spec(), inputs=RunInputs(pack=PACK, files={"dataset": "x"}), outputs={}),
        stage_key(
            prepare, spec=spec(), inputs=RunInputs(pack=PACK, files={}, reruns={"prepare": 1}), outputs={}
        ),
    ]
    assert len({base, *variants}) == 5
    moved = spec(dataset={"uri": "elsewhere/logs.jsonl"})
    assert (
        stage_key(prepare, spec=moved, inputs=INPUTS, outputs={}) == base
    )  # content counts, not its address


def test_a_pack_edit_repeats_only_the_stages_that_read_what_changed() -> None:
    text = "name: x\ntasks: [{name: default, goal: Help., fields: [{name: a, patterns: [b]}]}]\n"
    before = pack_digests(parse_pack(text, where="pack"))

    def changed(edited: str) -> set[str]:
        after = pack_digests(parse_pack(edited, where="pack"))
        return {part for part, digest in after.items() if digest != before[part]}

    assert changed(text + "demo: [hello]\n") == {"whole"}
    assert changed(text + "fluency: {maxWords: 9}\n") == {"whole", "grading", "judging"}
    assert changed(text.replace("[b]", "[c]")) == {"whole", "grading", "judging", "logs", "labelling"}
    assert changed(text + "prompts: {microGoal: Find it.}\n") == {"labelling"}
    assert changed(text + "stopping: Stop then.\n") == {"whole", "policy"}


LLM = {"endpoint": {"uri": "http://judge/v1", "model": "m"}}


def label_key(**label: Any) -> str:
    return stage_key(
        STAGE_BY_NAME["label"],
        spec=spec(label=label),
        inputs=RunInputs(pack={**PACK, "labelling": "prompts"}, files={}),
        outputs={"prepare": "p"},
    )


def test_a_model_that_does_not_label_changes_no_label() -> None:
    assert label_key(method="lexicon") == label_key(method="lexicon", llm=LLM)


def test_how_a_model_is_reached_and_paid_changes_no_label_either() -> None:
    prices = {"prompt": 1, "completion": 2}
    other = {"apiKeyEnv": "KEY", "concurrency": 3, "timeout": "9s", "retryFor": "1m", "prices": prices}
    endpoint = LLM["endpoint"]
    same = label_key(method="llm", llm={"endpoint": {**endpoint, **other}, "budget": {"cost": 3}})
    assert label_key(method="llm", llm=LLM) == same
    differing = [
        {"endpoint": {**endpoint, "model": "n"}},
        {"endpoint": {**endpoint, "seed": 1}},
        {**LLM, "perSession": True},
        {**LLM, "judges": [{**endpoint, "model": "n"}]},
    ]
    assert (
        len({same, label_key(method="lexicon"), *(label_key(method="llm", llm=llm) for llm in differing)})
        == 6
    )


def training_keys(**train: object) -> tuple[str, str]:
    """Return the keys of the two training stages."""
    outputs = dict.fromkeys(("fetch", "label", "grader", "sft"), "digest")
    sft, grpo = (
        stage_key(STAGE_BY_NAME[name], spec=spec(train=train), inputs=INPUTS, outputs=outputs)
        for name in ("sft", "grpo")
    )
    return sft, grpo


def test_variants_share_the_sft_policy_where_it_is_the_same() -> None:
    sft, grpo = training_keys()
    variants = [
        {"reward": {"mode": "sum"}},
        {"reward": {"mode": "stop_only"}},
        {"reward": {"contentWeight": 3}},
        {"method": "dpo"},
        {"method": "dpo", "dpo": {"beta": 0.5}},
        {"method": "rewardWeighted"},
    ]
    found = [training_keys(**variant) for variant in variants]
    assert {key for key, _ in found} == {sft}
    assert len({grpo, *(key for _, key in found)}) == 1 + len(variants)
    assert training_keys(dpo={"beta": 0.5}) == (sft, grpo)  # method grpo does not read it
    assessing = training_keys(assessment="fields")
    rewarded = training_keys(assessment="fields", reward={"assessmentWeight": 1})
    assert len({sft, assessing[0]}) == 2
    assert rewarded[0] == assessing[0]
    assert len({grpo, assessing[1], rewarded[1]}) == 3
    # The policy differs without stops in the prompt, and without GRPO, for which SFT leaves out sessions.
    assert training_keys(reward={"mode": "ask_only"})[0] != sft
    assert training_keys(grpo={"updates": 0})[0] != sft
