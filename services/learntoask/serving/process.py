"""The policy server as a process: `lta serve`, and what the serve stage starts."""

from __future__ import annotations

import asyncio
import gc
import signal
from collections.abc import Callable

from learntoask.core.errors import InputError, LearnToAskError
from learntoask.core.pack import Pack, load_pack
from learntoask.serving.config import ServeConfig
from learntoask.serving.logs import structured_logs
from learntoask.serving.parts import Parts
from learntoask.serving.revision import model_revision
from learntoask.serving.server import PolicyServer
from learntoask.serving.transformers_engine import TransformersEngine
from learntoask.training.policy import Policy


def load_parts(config: ServeConfig) -> Parts:
    """The trained policy behind its engine. Raises InputError for an unreadable pack or model."""
    pack = load_pack(config.pack)
    engine = TransformersEngine(
        load_policy(config, pack),
        max_concurrent=config.max_concurrent,
        max_new_tokens=config.max_new_tokens,
        cache_bytes=config.prefix_cache_bytes,
        threads=config.threads,
    )
    return Parts(engine=engine, pack=pack, revision=model_revision(config.model))


def load_policy(config: ServeConfig, pack: Pack) -> Policy:
    if not config.model.is_dir():
        raise InputError(f"model folder {config.model} does not exist; give the folder of a trained policy")
    try:
        return Policy.load(
            config.model, pack, max_prompt_tokens=config.max_prompt_tokens, may_stop=config.may_stop
        )
    except LearnToAskError:
        raise
    except Exception as error:  # transformers has no common type for what may be wrong with a folder
        raise InputError(
            f"model folder {config.model} cannot be loaded ({type(error).__name__}: {error}); "
            "it must hold config, tokenizer and safetensors as the training stages publish them"
        ) from error


async def serve(config: ServeConfig, *, ready: Callable[[str], None] | None = None) -> None:
    """Serve until SIGTERM or SIGINT, then drain. `ready` is told the address. Raises InputError before that."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    server = PolicyServer(config, await asyncio.to_thread(load_parts, config))
    await server.start()
    gc.freeze()  # model and libraries stay: the collector need not walk them while calls wait
    if ready:
        ready(server.address)
    await stop.wait()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.remove_signal_handler(number)  # a second one ends the process at once
    await server.drain()


def run_server(config: ServeConfig, *, ready: Callable[[str], None] | None = None) -> None:
    """The whole process: what `lta serve` calls."""
    with structured_logs(level=config.log_level):
        asyncio.run(serve(config, ready=ready))
