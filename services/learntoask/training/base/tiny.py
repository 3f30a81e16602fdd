"""A base of a few million random parameters, for tests and for runs that take two minutes.

Its tokenizer is that of the packaged base, cut to its first tokens. Byte-pair merges are ordered by frequency, so the
first few thousand tokens are a good small vocabulary without training one. Ids, special tokens and chat template are
those of the packaged base.
"""

from __future__ import annotations

import json

import torch
from tokenizers import Tokenizer
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedModel, PreTrainedTokenizerBase

VOCABULARY = 4096


def tiny_tokenizer(
    packaged: PreTrainedTokenizerBase, *, vocabulary: int = VOCABULARY
) -> PreTrainedTokenizerBase:
    """Return `packaged` cut to its first `vocabulary` tokens (special tokens, bytes, then merges by rank)."""
    state = json.loads(packaged.backend_tokenizer.to_str())
    tokens = {token: index for token, index in state["model"]["vocab"].items() if index < vocabulary}
    state["model"]["vocab"] = tokens
    state["model"]["merges"] = [
        [left, right]
        for left, right in state["model"]["merges"]
        if left in tokens and right in tokens and left + right in tokens
    ]
    return type(packaged)(
        tokenizer_object=Tokenizer.from_str(json.dumps(state)),
        chat_template=packaged.chat_template,
        **packaged.special_tokens_map,
    )


def tiny_model(tokenizer: PreTrainedTokenizerBase, *, seed: int) -> PreTrainedModel:
    """Return a Llama of 3.9 million float32 parameters that follow from `seed` alone."""
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=256,
        intermediate_size=688,
        num_hidden_layers=4,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=8192,
        tie_word_embeddings=True,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return LlamaForCausalLM(config).eval()
