"""Loads a policy and serves it: as the process of `lta serve`, or in a thread for the demo and `lta chat`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial

from learntoask.core.errors import InputError, LearnToAskError
from learntoask.core.pack import Pack, load_pack
from learntoask.policy.model import Policy, best_device
from learntoask.policy.precision import resolve_precision
from learntoask.policy.prompt import PromptLimits, PromptRenderer
from learntoask.rpc.logs import LOGGER
from learntoask.rpc.process import in_thread, run
from learntoask.serving.config import ServeConfig
from learntoask.serving.engines.protocol import Engine
from learntoask.serving.engines.transformers import TransformersEngine
from learntoask.serving.engines.vllm import start_vllm
from learntoask.serving.engines.weights import weights_shape
from learntoask.serving.server import PolicyServer, ServedPolicy, policy_revision


def load_served_policy(config: ServeConfig) -> ServedPolicy:
    """Load pack and policy, and start the engine. Raises InputError if pack or model cannot be read."""
    pack = load_pack(config.pack)
    if not config.model.is_dir():
        raise InputError(f"model folder {config.model} does not exist; give the folder of a trained policy")
    try:
        engine = _engine(config, pack)
    except LearnToAskError:
        raise
    except Exception as error:  # transformers has no common type for a faulty folder
        raise InputError(
            f"model folder {config.model} cannot be loaded ({type(error).__name__}: {error}); "
            "it must hold config, tokenizer and safetensors as the training stages publish them"
        ) from error
    return ServedPolicy(
        engine=engine,
        pack=pack,
        revision=policy_revision(config.model),
        shape=weights_shape(config.model),
    )


def _engine(config: ServeConfig, pack: Pack) -> Engine:
    limits = PromptLimits(
        max_prompt_tokens=config.max_prompt_tokens,
        may_stop=config.may_stop,
        stop_threshold=config.model_stop_threshold,
        assess=config.assessment == "fields",
    )
    if config.engine == "vllm":
        return start_vllm(
            config.model,
            PromptRenderer.read(config.model, pack, limits=limits),
            max_concurrent=config.max_concurrent,
            max_new_tokens=config.max_new_tokens,
            cache_bytes=config.prefix_cache_bytes,
            precision=config.precision,
        )
    dtype = resolve_precision(config.precision, best_device())
    return TransformersEngine(
        Policy.load(config.model, pack, dtype=dtype, limits=limits),
        max_concurrent=config.max_concurrent,
        max_new_tokens=config.max_new_tokens,
        cache_bytes=config.prefix_cache_bytes,
        threads=config.threads,
    )


async def make_server(config: ServeConfig) -> PolicyServer:
    """Load the policy in a thread and make its server. Raises InputError as `load_served_policy` does."""
    return PolicyServer(config, await asyncio.to_thread(load_served_policy, config))


def local_server(config: ServeConfig) -> AbstractContextManager[PolicyServer]:
    """Start a policy server in a thread of this process and drain it when the block ends.

    Raises InputError as `load_served_policy` does.
    """
    return in_thread(partial(make_server, config), name="policy-server")


def run_server(
    config: ServeConfig,
    *,
    configure: Callable[[], ServeConfig],
    ready: Callable[[str], None] | None = None,
) -> None:
    """Serve until SIGTERM; `lta serve` calls this. `ready` gets the address once the server takes calls.

    SIGHUP calls `configure` and loads the weights that its result names. Raises InputError before `ready`.
    """

    async def reload(server: PolicyServer) -> None:
        try:
            await server.reload(await asyncio.to_thread(configure))
        except InputError as error:
            LOGGER.error("not reloaded", extra={"fields": {"error": str(error)}})

    run(
        partial(make_server, config),
        name="learntoask-policy-server",
        log_level=config.log_level,
        ready=ready,
        reload=reload,
    )
