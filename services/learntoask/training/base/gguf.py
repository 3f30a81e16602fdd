"""Read a Llama model from a GGUF file: header once, every tensor dequantised to float32.

`AutoModelForCausalLM.from_pretrained(gguf_file=…)` parses the header (with its 49,152 tokens) once for each of
configuration, tokenizer and weights, by numpy and value by value, which takes half a minute on two slow cores.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import torch
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedModel
from transformers.integrations.gguf.dequant import GGML_BLOCK, dequantize
from transformers.integrations.gguf.reader import GgufHeader, load_gguf_state_dict, read_gguf_metadata

from learntoask.core.errors import InputError

# llama.cpp's names of the modules -> those of transformers.
_MODULES = {
    "token_embd": "model.embed_tokens",
    "output_norm": "model.norm",
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
_NAME = re.compile(r"(?:blk\.(?P<layer>\d+)\.)?(?P<module>\w+)\.weight")


def read_llama(path: Path) -> PreTrainedModel:
    """Return the model of `path` in float32. Raises InputError where tensors are missing or unknown."""
    metadata, _ = read_gguf_metadata(str(path))
    config = _config(metadata)
    model, loading = LlamaForCausalLM.from_pretrained(
        None, config=config, state_dict=_weights(path, config), dtype=torch.float32, output_loading_info=True
    )
    if loading["missing_keys"] or loading["mismatched_keys"]:
        raise InputError(f"{path} is incomplete: {sorted(loading['missing_keys'])[:5]} are missing")
    return model


def _config(metadata: dict[str, Any]) -> LlamaConfig:
    return LlamaConfig(
        vocab_size=metadata["llama.vocab_size"],
        hidden_size=metadata["llama.embedding_length"],
        intermediate_size=metadata["llama.feed_forward_length"],
        num_hidden_layers=metadata["llama.block_count"],
        num_attention_heads=metadata["llama.attention.head_count"],
        num_key_value_heads=metadata["llama.attention.head_count_kv"],
        head_dim=metadata["llama.rope.dimension_count"],
        rms_norm_eps=metadata["llama.attention.layer_norm_rms_epsilon"],
        max_position_embeddings=metadata["llama.context_length"],
        rope_parameters={"rope_theta": metadata["llama.rope.freq_base"], "rope_type": "default"},
        bos_token_id=metadata["tokenizer.ggml.bos_token_id"],
        eos_token_id=metadata["tokenizer.ggml.eos_token_id"],
        pad_token_id=metadata["tokenizer.ggml.padding_token_id"],
        unk_token_id=metadata["tokenizer.ggml.unknown_token_id"],
        tie_word_embeddings=True,  # the file has no output.weight
        _model_name_or_path=metadata["general.name"],  # as transformers' own reader writes it to config.json
    )


def _weights(path: Path, config: LlamaConfig) -> dict[str, torch.Tensor]:
    """The tensors of the file under transformers' names, float32."""
    heads = {"attn_q": config.num_attention_heads, "attn_k": config.num_key_value_heads}
    header = GgufHeader.from_file(str(path))
    blocks, weights = load_gguf_state_dict(header), {}
    for info in header.tensors:
        name = _NAME.fullmatch(info.name)
        module = _MODULES.get(name["module"]) if name else None
        if name is None or module is None:
            raise InputError(f"{path} holds a tensor that no Llama model has: {info.name}")
        value = blocks[info.name][...]
        if info.ggml_type in GGML_BLOCK:
            value = dequantize(value, info.ggml_type).reshape(info.shape)
        if name["module"] in heads:
            value = _unpermuted(value, heads[name["module"]])
        prefix = f"model.layers.{name['layer']}." if name["layer"] else ""
        weights[f"{prefix}{module}.weight"] = value.float()
    return weights


def _unpermuted(weight: torch.Tensor, heads: int) -> torch.Tensor:
    """Undo llama.cpp's order of the rows of query and key projections (rotary pairs side by side in each head).

    `weight` has shape (heads · head size, hidden size).
    """
    pairs = weight.reshape(heads, weight.shape[0] // heads // 2, 2, -1)
    return pairs.transpose(1, 2).reshape(weight.shape)
