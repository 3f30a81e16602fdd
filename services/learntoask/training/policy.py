"""The policy: a model with the tokenizer, domain pack and prompt bounds that make conversations its input."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel

from learntoask.core.errors import InputError
from learntoask.core.pack import Pack
from learntoask.training.architecture import check_architecture
from learntoask.training.prompting import Prompting


@dataclass(frozen=True, eq=False, kw_only=True)
class Policy(Prompting):
    model: PreTrainedModel

    @classmethod
    def load(
        cls, folder: Path, pack: Pack, *, max_prompt_tokens: int = 2048, may_stop: bool = True
    ) -> Policy:
        """The policy of a published `model/` folder, in float32, on the GPU if there is one.

        Raises InputError when the model cannot hold the prompt or has an architecture that trees cannot compute.
        """
        tokenizer = AutoTokenizer.from_pretrained(folder)
        model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
        check_architecture(model)
        longest = getattr(model.config, "max_position_embeddings", max_prompt_tokens)
        if max_prompt_tokens > longest:
            raise InputError(
                f"train.maxPromptTokens is {max_prompt_tokens}, but the base model reads at most {longest} tokens"
            )
        device = "cuda" if torch.cuda.is_available() else "cpu"
        return cls(
            model=model.to(device).eval(),
            tokenizer=tokenizer,
            pack=pack,
            max_prompt_tokens=max_prompt_tokens,
            may_stop=may_stop,
        )

    @cached_property
    def ends(self) -> frozenset[int]:
        """Tokens that end an answer: the end of turn, and what else the base was made to end with."""
        others = self.model.generation_config.eos_token_id if self.model.generation_config else None
        return frozenset((self.end_of_turn, *([others] if isinstance(others, int) else others or ())))

    def text(self, tokens: Sequence[int]) -> str:
        """The answer `tokens` say, without the token that ends it; stray special tokens stay visible."""
        said = tokens[:-1] if tokens and tokens[-1] in self.ends else tokens
        return str(self.tokenizer.decode(list(said), skip_special_tokens=False))
