"""Check that session trees compute a model exactly. Other models are refused, because they would be silently wrong."""

from __future__ import annotations

from transformers import PreTrainedModel

from learntoask.core.errors import InputError


def check_architecture(model: PreTrainedModel) -> None:
    """Raise InputError unless every layer is plain causal attention over all earlier tokens."""
    config = model.config
    layer_types = set(getattr(config, "layer_types", None) or ["full_attention"])
    sliding = getattr(config, "sliding_window", None) and getattr(config, "use_sliding_window", True)
    rope = (getattr(config, "rope_parameters", None) or {}).get("rope_type", "default")
    findings = {
        f"layers of type {', '.join(sorted(layer_types))}": layer_types != {"full_attention"},
        "sliding-window attention": "sliding_attention" not in layer_types
        and "layer_types" not in vars(config)
        and bool(sliding),
        "soft-capped attention scores": bool(getattr(config, "attn_logit_softcapping", None)),
        # The angles of these depend on the longest position in the batch, so on the other sequences in it.
        f"{rope} position scaling": rope in ("dynamic", "longrope"),
        "an encoder": bool(getattr(config, "is_encoder_decoder", False)),
        "attention that cannot be replaced": not getattr(model, "_supports_attention_backend", False),
    }
    for finding, present in findings.items():
        if present:
            raise InputError(
                f"base model of type {config.model_type} has {finding}, which session trees cannot compute; use one "
                "with full causal attention in every layer (Llama, SmolLM2, Qwen2.5, Qwen3 …)"
            )
