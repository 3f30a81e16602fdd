"""Settings of the policy server, and the keys by which recorded sessions name their task."""

from __future__ import annotations

from pathlib import Path

import pytest
from learntoask.core.errors import InputError
from learntoask.core.manifest import RunSpec
from learntoask.core.manifest.quantity import byte_count
from learntoask.policy.stopping import Stopping
from learntoask.rpc.config import bearer_token
from learntoask.serving.config import config_of, read_config
from learntoask.serving.records.log import task_keys
from learntoask.serving.records.redaction import redaction

NEEDED = {"model": "m", "pack": "p.yaml"}


def test_flags_win_over_environment_over_the_manifest():
    config = read_config(
        {"LTA_SERVE_PORT": "6000", "LTA_SERVE_MAX_QUEUE": "7", "LTA_SERVE_REDACT": "a+\nb+", "HOME": "/root"},
        {**NEEDED, "port": 7000, "host": None},
        defaults={"port": 5000, "max_queue": 5, "max_concurrent": 3},
    )
    assert (config.port, config.max_queue, config.max_concurrent) == (7000, 7, 3)
    assert (config.model, config.host, config.redact) == (Path("m"), "127.0.0.1", ("a+", "b+"))


@pytest.mark.parametrize(
    ("environment", "flags", "finding"),
    [
        ({"LTA_SERVE_PROT": "1"}, NEEDED, "LTA_SERVE_PROT is not known"),
        ({"LTA_SERVE_PORT": "70000"}, NEEDED, "port: "),
        ({}, {**NEEDED, "deadline_seconds": 0}, "deadline_seconds: "),
        ({}, {"model": "m"}, "pack: "),
        ({}, {**NEEDED, "tls_key": "k"}, "tls_certificate and tls_key belong together"),
        ({}, {**NEEDED, "tls_client_ca": "c"}, "tls_client_ca needs"),
        ({}, {**NEEDED, "token": "t", "token_file": "f"}, "not both"),
        ({}, {**NEEDED, "redact": ("(",)}, "not a regular expression"),
    ],
)
def test_findings_name_the_field(environment, flags, finding):
    with pytest.raises(InputError, match=finding.replace("(", r"\(")):
        read_config(environment, flags)


def test_the_token_stays_out_of_what_is_printed(tmp_path: Path):
    config = read_config({"LTA_SERVE_TOKEN": "s3cret"}, NEEDED)
    assert "s3cret" not in repr(config)
    assert bearer_token(config) == "s3cret"
    (tmp_path / "empty").write_text(" \n")
    with pytest.raises(InputError, match="is empty"):
        bearer_token(read_config({}, {**NEEDED, "token_file": tmp_path / "empty"}))


def test_the_manifest_says_how_to_serve():
    spec = RunSpec.model_validate(
        {
            "dataset": {"uri": "x"},
            "pack": {"uri": "y"},
            "train": {"maxPromptTokens": 512, "reward": {"mode": "ask_only"}},
            "serve": {
                "precision": "float32",
                "maxConcurrent": 4,
                "deadline": "1m30s",
                "prefixCache": "64Mi",
                "redact": ["x+"],
            },
        }
    )
    config = config_of(spec, model=Path("m"), pack=Path("p"))
    assert (config.max_concurrent, config.deadline_seconds, config.prefix_cache_bytes) == (
        4,
        90.0,
        64 * 2**20,
    )
    assert (config.may_stop, config.max_prompt_tokens, config.redact) == (False, 512, ("x+",))
    assert config.precision == "float32"


def test_a_chosen_threshold_is_on_the_scale_of_the_calibrated_probability():
    spec = RunSpec.model_validate(
        {"dataset": {"uri": "x"}, "pack": {"uri": "y"}, "train": {"stopThreshold": "auto"}}
    )
    chosen = Stopping(threshold=0.2, temperature=2.0, sessions=9, points=30, stops=9)
    config = config_of(spec, model=Path("m"), pack=Path("p"), stopping=chosen)
    assert config.stop_threshold == pytest.approx(1 / 3)  # odds of 1/4 become odds of 1/2
    assert config.model_stop_threshold == pytest.approx(0.2)
    plain = config_of(spec, model=Path("m"), pack=Path("p"))
    assert (plain.stop_threshold, plain.model_stop_threshold, plain.stop_temperature) == (0.2, 0.2, 1.0)


@pytest.mark.parametrize(
    ("text", "expected"), [("0", 0), ("7k", 7000), ("2Gi", 2**31), ("1500000", 1_500_000)]
)
def test_quantities_are_written_as_kubernetes_does(text, expected):
    assert byte_count(text) == expected


@pytest.mark.parametrize("text", ["", "1.5Gi", "-1", "5 Mi", "3Pb"])
def test_other_quantities_are_refused(text):
    with pytest.raises(ValueError, match="not a quantity"):
        byte_count(text)


@pytest.mark.parametrize(
    ("task", "paths", "keys"),
    [
        ("flu", ("task",), {"task": "flu"}),
        ("Hotels_1/Reserve", ("annotations.service",), {"annotations": {"service": "Hotels_1/Reserve"}}),
        (
            "Hotels_1/Reserve",
            ("annotations.service", "annotations.intent"),
            {"annotations": {"service": "Hotels_1", "intent": "Reserve"}},
        ),
    ],
)
def test_a_record_names_its_task_where_the_pack_looks(task, paths, keys):
    assert task_keys(task, paths) == keys


@pytest.mark.parametrize("hook", ["nowhere.at.all:f", "json", "json:nothing", ":", "string:digits"])
def test_a_hook_that_cannot_be_called_is_said_at_start(hook):
    with pytest.raises(InputError, match="redact_hook"):
        redaction((), hook)
