"""The graph of stages: the inputs of each stage, the settings that it depends on, and its key.

A stage's output is a function of its key. Raise `version` with every change of the code that changes a stage's output,
so that the store does not return outputs of the former code.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from pydantic import JsonValue

from learntoask.core.digest import digest_of
from learntoask.core.errors import InputError
from learntoask.core.manifest import ManifestModel, RunSpec
from learntoask.core.pack import Pack

PackPart = Literal["logs", "labelling", "policy", "grading", "judging", "whole"]
REVIEW, CALIBRATE = "review", "calibrate"
_CALIBRATED = ("label", "grader")  # inputs that `calibrate` publishes, too
RESOLVE = "resolve"
"""In a cluster, the stage before all others: a pod finds the digests that the keys of `STAGES` are computed from."""


@dataclass(frozen=True, kw_only=True)
class Stage:
    """A stage. `inputs` are its upstream stages, and `files` the external inputs that it reads, by their role. `pack`
    and `settings` are the parts of the pack and of the spec that its output depends on."""

    name: str
    version: int
    inputs: tuple[str, ...] = ()
    after: tuple[str, ...] = ()
    """Further stages that have to be published before this one starts, although it reads nothing of them."""
    by_people: bool = False
    """People compute the stage, so it has no process: whoever serves the review queue publishes their answers."""
    only_with_calibrate: bool = False
    reads_calibrated: bool = False
    """With `spec.calibrate`, this stage reads what `calibrate` publishes in place of the labels and graders."""
    files: tuple[str, ...] = ()
    pack: PackPart | Callable[[RunSpec], PackPart] | None = None
    settings: Callable[[RunSpec], dict[str, JsonValue]]


@dataclass(frozen=True, kw_only=True)
class RunInputs:
    """The inputs of a run outside its manifest: digests of the pack's parts and external files, and rerun counters."""

    pack: Mapping[PackPart, str]
    files: Mapping[str, str]
    reruns: Mapping[str, int] = field(default_factory=dict)


def pack_digests(pack: Pack) -> dict[PackPart, str]:
    """Return one digest for each part of a pack, so that a change of one part only reruns the stages that read it.

    For example, a new demo conversation, fallback question or fluency rule must not train the policy again.
    """
    whole = pack.model_dump(mode="json", by_alias=True)
    logs = {"prompts", "fluency", "fallback", "demo", "demoTask", "stopping", "name", "version"}
    unprompted = {"patterns", "answerPatterns", "questions"}
    prompted_tasks = [
        {
            **task,
            "fields": [{k: v for k, v in field.items() if k not in unprompted} for field in task["fields"]],
        }
        for task in whole["tasks"]
    ]
    roles = {role: whole["roles"][role] for role in ("user", "expert")}
    prompt = {"tasks": prompted_tasks, "roles": roles, "stopping": whole["stopping"]}
    # Only the labeller or judge `llm` reads these prompts, so they are removed from the parts that other stages use.
    labelling = {name: whole["prompts"].pop(name) for name in ("microGoal", "macroGoal")}
    judging = {"prompt": whole["prompts"].pop("judge"), "roles": whole["roles"]}
    grading = {part: whole[part] for part in ("tasks", "fluency", "language")}
    read = {part: value for part, value in whole.items() if part not in logs}
    return {
        "logs": digest_of(read),
        "labelling": digest_of({**read, "prompts": labelling}),
        "policy": digest_of({**prompt, "prompt": whole["prompts"]["policy"]}),
        "grading": digest_of(grading),
        "judging": digest_of({**grading, **judging}),
        "whole": digest_of(whole),
    }


def _dump(model: ManifestModel, *exclude: str) -> dict[str, JsonValue]:
    return model.model_dump(mode="json", by_alias=True, exclude=set(exclude))


def _policy(spec: RunSpec) -> dict[str, JsonValue]:
    """The settings that every stage with a model depends on. Checkpoint intervals change no result and are left out."""
    ask_only = spec.train.reward.mode == "ask_only"
    return {
        "seed": spec.train.seed,
        "precision": spec.train.precision,
        "maxPromptTokens": spec.train.max_prompt_tokens,
        # All other modes have the same prompt, so their runs share the SFT policy.
        "mode": "ask_only" if ask_only else "product",
        # Nothing by default, since keys are older than the setting.
        **({"assessment": spec.train.assessment} if spec.train.assesses else {}),
    }


def _reward(spec: RunSpec) -> dict[str, JsonValue]:
    unused = () if spec.train.reward.assessment_weight else ("assessment_weight",)  # as for `assessment`
    return _dump(spec.train.reward, *unused)


def _trained(spec: RunSpec) -> dict[str, JsonValue]:
    """The settings of adapters and DeepSpeed that change the trained weights.

    The number of workers, the ZeRO stage and activation checkpointing only change the rounding, so that a run may
    continue with other values.
    """
    train = spec.train
    settings: dict[str, JsonValue] = {"lora": _dump(train.lora)} if train.lora else {}
    if train.distributed.zero and train.distributed.deepspeed:
        settings["deepspeed"] = train.distributed.deepspeed
    return settings


def _sft(spec: RunSpec) -> dict[str, JsonValue]:
    sft = _dump(spec.train.sft)
    sft["keptShare"] = spec.train.kept_share
    if spec.train.sft.targets == "question":  # keys are older than these settings
        del sft["targets"]
    if spec.train.sft.targets != "hindsight":
        del sft["hindsightWeight"]
    return {**_policy(spec), **_trained(spec), **_corruption(spec), "sft": sft}


def _corruption(spec: RunSpec) -> dict[str, JsonValue]:
    return {"corrupt": _dump(spec.dataset.corrupt)} if spec.dataset.corrupt.active else {}


def _method(spec: RunSpec) -> dict[str, JsonValue]:
    train = spec.train
    if train.method == "grpo":
        return {}
    return {"method": train.method, **({"dpo": _dump(train.dpo)} if train.method == "dpo" else {})}


def _threshold_sessions(spec: RunSpec) -> dict[str, JsonValue]:
    """Without GRPO, a threshold was once chosen on sessions that SFT had learned from; such results do not count."""
    chosen = spec.train.stop_threshold == "auto" and not spec.train.grpo.updates
    return {"stopThresholdFrom": "validation"} if chosen else {}


def _label(spec: RunSpec) -> dict[str, JsonValue]:
    """The settings of the label stage. Those of language models only count for method `llm`, and their API keys, limits
    and prices never do."""
    settings = _dump(spec.label, "llm", "parallelism", "unknown_items")
    if spec.label.method == "annotated" and spec.label.unknown_items != "error":
        settings["unknownItems"] = spec.label.unknown_items
    if spec.label.method != "llm" or spec.label.llm is None:
        return settings
    llm = _dump(spec.label.llm, "endpoint", "judges", "budget")
    models: list[JsonValue] = [endpoint.determining for endpoint in spec.label.llm.endpoints]
    return {**settings, "llm": {**llm, "models": models}}


def _calibrate(spec: RunSpec, part: Literal["draw", "revise"]) -> dict[str, JsonValue]:
    """The settings of which items are drawn, or of what is done with the answers. Both label and grade again."""
    if spec.calibrate is None:
        return {}
    judges: dict[str, JsonValue] = {"label": _label(spec), "grader": _grader(spec), **_corruption(spec)}
    return {**judges, part: spec.calibrate.determining(part)}


def _repeat(spec: RunSpec) -> dict[str, JsonValue]:
    """Whether the policy may repeat questions; nothing by default, since keys are older than the setting."""
    return {"repeat": spec.serve.repeat} if spec.serve.repeat != "avoid" else {}


def _grader(spec: RunSpec) -> dict[str, JsonValue]:
    """The settings of the graders, without those that change no result: where graders run, and timeouts."""
    grader = spec.grader
    settings: dict[str, JsonValue] = {
        "encoder": grader.encoder,
        "maxMissingShare": grader.max_missing_share,
    }
    if grader.method == "llm" and grader.llm is not None:
        judge = _dump(grader.llm, "endpoint", "server", "budget")
        endpoint = grader.llm.endpoint.determining
        if (
            grader.llm.server is not None
        ):  # the operator serves this model, at an address that does not matter
            endpoint = {**endpoint, "uri": grader.llm.server.model}
        settings["llm"] = {**judge, "endpoint": endpoint}
    return settings


STAGES: tuple[Stage, ...] = (
    Stage(
        name="fetch",
        version=1,
        files=("base",),
        settings=lambda spec: {"base": _dump(spec.train.base), "seed": spec.train.seed},
    ),
    Stage(
        name="prepare",
        version=2,
        files=("dataset", "test"),
        pack="logs",
        settings=lambda spec: _dump(spec.dataset, "uri", "test_uri", "corrupt"),
    ),
    Stage(
        name="label",
        version=2,
        inputs=("prepare",),
        pack=lambda spec: "labelling" if spec.label.method == "llm" else "logs",
        settings=_label,
    ),
    Stage(
        name="grader",
        version=5,
        inputs=("label",),
        pack=lambda spec: "judging" if spec.grader.method == "llm" else "grading",
        settings=_grader,
    ),
    Stage(
        name="draw",
        version=1,
        inputs=("prepare", "label", "grader"),
        only_with_calibrate=True,
        pack="whole",
        settings=lambda spec: _calibrate(spec, "draw"),
    ),
    Stage(
        name=REVIEW,
        version=1,
        inputs=("draw",),
        by_people=True,
        only_with_calibrate=True,
        settings=lambda spec: {},
    ),
    Stage(
        name=CALIBRATE,
        version=3,
        inputs=("prepare", "label", "grader", "draw", REVIEW),
        only_with_calibrate=True,
        pack="whole",
        settings=lambda spec: _calibrate(spec, "revise"),
    ),
    Stage(
        name="sft",
        version=3,
        inputs=("fetch", "label"),
        after=("grader",),  # it refuses packs that nothing can be learned with, before anything is trained
        reads_calibrated=True,
        pack="policy",
        settings=_sft,
    ),
    Stage(
        name="grpo",
        version=4,
        inputs=("label", "grader", "sft"),
        reads_calibrated=True,
        pack="policy",  # what its rewards need of the pack is in the graders' digest
        settings=lambda spec: {
            **_policy(spec),
            **_trained(spec),
            **_corruption(spec),
            "grpo": _dump(spec.train.grpo),
            "stopThreshold": spec.train.stop_threshold,
            **_threshold_sessions(spec),
            **({"earlyStopCost": spec.train.early_stop_cost} if spec.train.early_stop_cost else {}),
            **_method(spec),
            "reward": _reward(spec),
            "maxNewTokens": spec.train.max_new_tokens,
            "maxMissingShare": spec.grader.max_missing_share,
        },
    ),
    Stage(
        name="evaluate",
        version=7,
        inputs=("fetch", "prepare", "label", "grader", "sft", "grpo"),
        reads_calibrated=True,
        pack="whole",
        settings=lambda spec: {
            **_policy(spec),
            "evaluate": {
                **_dump(spec.evaluate, "base"),
                **({} if spec.evaluate.base else {"base": False}),
            },
            **_repeat(spec),
            "stopThreshold": spec.train.stop_threshold,
            "reward": _reward(spec),
            "maxNewTokens": spec.train.max_new_tokens,
            "maxMissingShare": spec.grader.max_missing_share,
            "grpo": spec.train.grpo.updates > 0,
            **({} if spec.train.sft.epochs else {"sft": False}),
        },
    ),
    Stage(name="gate", version=1, inputs=("evaluate",), settings=lambda spec: _dump(spec.gate)),
    Stage(
        name="serve",
        version=2,
        inputs=("gate", "grpo"),
        pack="whole",
        settings=lambda spec: {
            **_policy(spec),
            "stopThreshold": spec.train.stop_threshold,
            "serve": _dump(spec.serve, "endpoint", "host", "port", "repeat"),
            **_repeat(spec),
        },
    ),
)

STAGE_BY_NAME = {stage.name: stage for stage in STAGES}
_ALIASES = {"train": "sft"}  # for commands that rerun all of training: it begins with SFT


def stages_of(spec: RunSpec) -> tuple[Stage, ...]:
    """Return the stages of a run, upstream first."""
    return tuple(stage for stage in STAGES if spec.calibrate is not None or not stage.only_with_calibrate)


def publisher(stage: Stage, name: str, *, calibrated: bool) -> str:
    """Return the stage that publishes the input `name` of `stage`, in a run with or without `spec.calibrate`."""
    return final_publisher(name, calibrated=calibrated) if stage.reads_calibrated else name


def final_publisher(name: str, *, calibrated: bool) -> str:
    """Return the stage that publishes the labels or graders which a run trains and reports with."""
    return CALIBRATE if calibrated and name in _CALIBRATED else name


def stage_key(stage: Stage, *, spec: RunSpec, inputs: RunInputs, outputs: Mapping[str, str]) -> str:
    """Return the key of `stage` (64 hex digits). `outputs` maps each of its inputs to the digest of what is published
    for it."""
    pack = stage.pack(spec) if callable(stage.pack) else stage.pack
    return digest_of(
        {
            "stage": stage.name,
            "version": stage.version,
            "settings": stage.settings(spec),
            "pack": inputs.pack[pack] if pack else None,
            "files": {role: inputs.files[role] for role in stage.files if role in inputs.files},
            "inputs": {name: outputs[name] for name in stage.inputs},
            "rerun": inputs.reruns.get(stage.name, 0),
        }
    )


def resolve_stage(name: str) -> str:
    """Return the stage that a user means by `name`; `train` means `sft`. Raises InputError with all names."""
    resolved = _ALIASES.get(name, name)
    if resolved not in STAGE_BY_NAME:
        known = ", ".join(stage.name for stage in STAGES)
        raise InputError(f"there is no stage {name!r}; the stages are {known}")
    return resolved


def rewind_counters(reruns: Mapping[str, int], name: str, *, calibrated: bool) -> dict[str, int]:
    """Return the rerun counters after a rewind to stage `name`: it and all stages downstream of it run again.

    `calibrated` tells whether the run has `spec.calibrate`.
    """
    again = {resolve_stage(name)}
    for stage in STAGES:
        if again & {publisher(stage, read, calibrated=calibrated) for read in stage.inputs}:
            again.add(stage.name)
    return {**reruns, **{stage: reruns.get(stage, 0) + 1 for stage in again}}


def needed_for(name: str, *, calibrated: bool) -> frozenset[str]:
    """Return stage `name` and all stages that have to be published before it.

    `calibrated` tells whether the run has `spec.calibrate`.
    """
    needed = {resolve_stage(name)}
    for stage in reversed(STAGES):
        if stage.name in needed:
            needed |= {publisher(stage, read, calibrated=calibrated) for read in stage.inputs}
            needed.update(stage.after)
    return frozenset(needed)


def upstream_first(names: Iterable[str]) -> list[str]:
    """Return `names` in the order of the stages, without duplicates."""
    wanted = set(names)
    return [stage.name for stage in STAGES if stage.name in wanted]
