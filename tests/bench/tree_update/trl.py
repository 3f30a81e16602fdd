"""The update by TRL's own trainer, on one padded batch."""

from __future__ import annotations

import tempfile
from collections.abc import Callable

import torch
from transformers import PreTrainedModel

from tree_update.cases import LENGTH, Case
from tree_update.ways import BETA


def trl_step(model: PreTrainedModel) -> Callable[[Case], float]:
    """TRL's loss and backward on one case, through its own trainer."""
    from datasets import Dataset  # noqa: PLC0415  bench-only extra, slow to import
    from tokenizers import Tokenizer, models  # noqa: PLC0415
    from transformers import PreTrainedTokenizerFast  # noqa: PLC0415
    from trl import GRPOConfig, GRPOTrainer  # noqa: PLC0415

    words = {"<pad>": 0, "<eos>": 1, "<unk>": 2}
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer(models.WordLevel(words, unk_token="<unk>")),
        pad_token="<pad>",
        eos_token="<eos>",
    )
    with tempfile.TemporaryDirectory() as folder:
        trainer = GRPOTrainer(
            model=model,
            reward_funcs=lambda completions, **_: [0.0] * len(completions),
            args=GRPOConfig(
                output_dir=folder,
                loss_type="grpo",
                beta=0.0,  # no second model is made; the references are ours, beta is set below
                epsilon=0.2,
                use_bias_correction_kl=False,  # the k3 of the papers, as ours
                num_generations=2,
                per_device_train_batch_size=2,
                report_to=[],
                use_cpu=model.device.type == "cpu",
                bf16=False,
                gradient_checkpointing=False,
                disable_tqdm=True,
            ),
            train_dataset=Dataset.from_list([{"prompt": "x"}] * 2),
            processing_class=tokenizer,
        )
    trainer.beta = BETA
    trainer.current_gradient_accumulation_steps = 1
    trainer.model.train()

    def step(case: Case) -> float:
        completions = case.tree.completions
        width = max(completion.attach for completion in completions)
        pads = [width - completion.attach for completion in completions]
        prompts = [case.tree.trunk[: completion.attach] for completion in completions]
        padded = {
            "prompt_ids": [[0] * pad + list(p) for pad, p in zip(pads, prompts, strict=True)],
            "prompt_mask": [[0] * pad + [1] * (width - pad) for pad in pads],
            "completion_ids": [completion.tokens for completion in completions],
            "completion_mask": [[1] * LENGTH] * len(completions),
        }
        inputs = {name: torch.tensor(rows, device=case.device) for name, rows in padded.items()}
        inputs |= {"advantages": case.advantages, "ref_per_token_logps": case.references}
        loss = trainer._compute_loss(trainer.model, inputs)
        loss.backward()
        return float(loss.detach())

    return step
