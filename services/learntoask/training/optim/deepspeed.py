"""A learner on DeepSpeed's ZeRO, which divides optimiser state, gradients and weights among the workers.

Checkpoints hold what `Learner` writes, gathered from all workers, so that a run may change between the two.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from learntoask.core.deepspeed import deepspeed_config
from learntoask.core.errors import InputError
from learntoask.core.manifest import Distributed
from learntoask.policy.precision import autocast
from learntoask.training.distributed.process_group import Workers
from learntoask.training.optim import checkpoint
from learntoask.training.optim.learner import MAX_GRADIENT_NORM, Learner, Share
from learntoask.training.optim.optimizer import adamw, check_finite
from learntoask.training.tree.layout import MicroBatch
from learntoask.training.tree.scoring import Scores, score

_MOMENTS = ("exp_avg", "exp_avg_sq")


class _Scorer(nn.Module):
    """The forward pass as a module, because DeepSpeed attaches its hooks to modules."""

    def __init__(self, model: PreTrainedModel, precision: torch.dtype) -> None:
        super().__init__()
        self.model = model
        self._precision = precision

    def forward(self, micro_batch: MicroBatch, temperature: float) -> tuple[Tensor, Tensor]:
        with autocast(self._precision, self.model.device):
            scores = score(self.model, micro_batch, temperature=temperature)
        return scores.logprobs, scores.entropies


class DeepSpeedLearner(Learner):
    """A `Learner` whose state DeepSpeed divides. All workers must make the same number of passes."""

    can_retry = False  # gradients are reduced during the backward passes: a failed update leaves some behind

    def __init__(
        self,
        model: PreTrainedModel,
        *,
        weight_decay: float,
        precision: torch.dtype,
        workers: Workers,
        settings: Distributed,
    ) -> None:
        try:
            import deepspeed  # noqa: PLC0415 - an optional extra that takes seconds to import
        except ImportError as error:
            raise InputError(
                "spec.train.distributed.zero needs DeepSpeed: pip install 'learntoask[scale]'"
            ) from error
        self._zero = deepspeed
        self.model, self.workers, self._precision = model, workers, precision
        self._stage = settings.zero
        self._optimiser = adamw(model, weight_decay=weight_decay)
        # The groups as a plain AdamW saves them, before DeepSpeed replaces their parameters by its flat tensors.
        self._groups = self._optimiser.state_dict()["param_groups"]
        names = {id(parameter): name for name, parameter in model.named_parameters()}
        self._order = [
            names[id(parameter)] for group in self._optimiser.param_groups for parameter in group["params"]
        ]
        self._steps = 0
        self._stack = ExitStack()
        # DeepSpeed would compile its shared-memory kernels here, which hang on a CPU without AVX-512; gloo needs none.
        deepspeed.ops.__compatible_ops__["deepspeed_shm_comm"] = False
        config = deepspeed_config(
            zero=settings.zero,  # type: ignore[arg-type]
            max_norm=MAX_GRADIENT_NORM,
            override=settings.deepspeed,
        )
        scorer = _Scorer(model, precision)
        if settings.zero == 3:
            deepspeed.zero.Init(module=scorer, config_dict_or_path=config, dtype=torch.float32)
        self._engine, *_ = deepspeed.initialize(
            model=scorer, optimizer=self._optimiser, config=config, dist_init_required=False
        )

    def share(self, micro_batches: Sequence[Share]) -> Iterator[tuple[Share, float, bool]]:
        """Yield the same number of micro-batches on every worker, because ZeRO exchanges within each pass.

        A worker that has run out of micro-batches passes `micro_batches[0]` again with weight 0.
        """
        mine = self.workers.share(micro_batches)
        passes = math.ceil(len(micro_batches) / self.workers.size)
        for index in range(passes):
            is_mine = index < len(mine)
            yield (mine[index] if is_mine else micro_batches[0]), float(is_mine), index == passes - 1

    def forward(self, micro_batch: MicroBatch, *, temperature: float = 1.0) -> Scores:
        return Scores(*self._engine(micro_batch, temperature))

    def backward(self, loss: Tensor, *, is_last: bool) -> None:
        self._engine.set_gradient_accumulation_boundary(is_last)
        # DeepSpeed takes the mean over the workers; the loss is normalised for their sum.
        self._engine.backward(loss * self.workers.size)

    def step(self, *, rate: float, loss: float, update: int) -> float:
        for group in self._engine.optimizer.param_groups:
            group["lr"] = rate
        if math.isfinite(loss):
            self._engine.step()
            self._steps += 1
        norm = float(self._engine.get_global_grad_norm() or 0.0) if math.isfinite(loss) else math.nan
        check_finite(loss, norm, update=update)
        return norm

    @contextmanager
    def full_model(self) -> Iterator[None]:
        if self._stage < 3:
            yield
            return
        # DeepSpeed's hooks would gather and release each layer separately.
        offload = self._engine.optimizer.parameter_offload
        with self._zero.zero.GatheredParameters(list(self.model.parameters())):
            for hook in (*offload.forward_hooks, *offload.backward_hooks):
                hook.remove()
            offload.forward_hooks, offload.backward_hooks = [], []
            for parameter in self.model.parameters():
                parameter.ds_active_sub_modules.clear()
            try:
                yield
            finally:
                offload._register_deepspeed_module(offload.module)

    def finish(self) -> None:
        self._stack.enter_context(self.full_model())

    def weights(self) -> checkpoint.State:
        return {
            name: self._zero.utils.safe_get_full_fp32_param(parameter).detach()
            for name, parameter in self._trained()
        }

    def load_weights(self, weights: checkpoint.State) -> None:
        for name, parameter in self._trained():
            value = weights[name].to(self.model.device, torch.float32)
            self._zero.utils.safe_set_full_fp32_param(parameter, value)
            if self._stage < 3:
                parameter.data.copy_(value)
        if self._stage == 3:
            with self._zero.zero.GatheredParameters(
                [parameter for _, parameter in self._trained()], modifier_rank=0
            ):
                for name, parameter in self._trained():
                    parameter.data.copy_(weights[name])

    def optimiser_state(self) -> checkpoint.State:
        held: dict[int, Any] = {}
        self._link()
        parameters = dict(self._trained())
        for index, name in enumerate(self._order if self._steps else []):
            held[index] = {"step": torch.tensor(float(self._steps))} | {
                moment: self._zero.utils.safe_get_full_optimizer_state(parameters[name], moment).cpu()
                for moment in _MOMENTS
            }
        return {"state": held, "param_groups": self._groups}

    def load_optimiser_state(self, state: checkpoint.State) -> None:
        if not state["state"]:
            return
        self._steps = int(state["state"][0]["step"])
        inner = self._engine.optimizer.optimizer
        flat = (
            self._engine.optimizer.fp32_partitioned_groups_flat
            if self._stage == 3
            else self._engine.optimizer.single_partition_of_fp32_groups
        )
        for partition in flat:
            inner.state[partition] = {
                "step": torch.tensor(float(self._steps), device=partition.device),
                **{moment: torch.zeros_like(partition) for moment in _MOMENTS},
            }
        self._link()
        parameters = dict(self._trained())
        for index, name in enumerate(self._order):
            for moment in _MOMENTS:
                value = state["state"][index][moment].to(self.model.device)
                self._zero.utils.safe_set_full_optimizer_state(parameters[name], value, moment)

    def _link(self) -> None:
        """Make ZeRO 1 and 2 map each weight to its moments again.

        DeepSpeed maps them after the step of the first parameter group, when the second has no moments yet.
        """
        if self._stage < 3:
            self._engine.optimizer._hp_optimizer_states_linked = False
            self._engine.optimizer._lazy_init_hp_params_optimizer_state()

    def _trained(self) -> list[tuple[str, nn.Parameter]]:
        return [
            (name, parameter) for name, parameter in self.model.named_parameters() if parameter.requires_grad
        ]


def make_learner(
    model: PreTrainedModel,
    *,
    weight_decay: float,
    precision: torch.dtype,
    workers: Workers,
    settings: Distributed,
) -> Learner:
    """Return the kind of learner that `settings` ask for. Raises InputError if DeepSpeed is needed but missing."""
    if settings.zero:
        return DeepSpeedLearner(
            model, weight_decay=weight_decay, precision=precision, workers=workers, settings=settings
        )
    return Learner(model, weight_decay=weight_decay, precision=precision, workers=workers)
