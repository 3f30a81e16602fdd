"""Measures `AskService` over vLLM against vLLM's own OpenAI server, and turns with and without the prefix cache.

    python tests/bench/bench_vllm.py [--model FOLDER --pack FILE] [--clients 1 8 32] [--turns 4] [--rounds 3]

Both servers are separate processes, called alternately with the same model, settings and decisions. Every client goes
through another conversation, whose answers are fixed beforehand. The bare server gets token ids and returns the
answer; the service renders, decodes, validates, logs and scores the whole stop string in addition. Without --model it
is the packaged SmolLM2-135M-Instruct, its answers cut at --answer tokens.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
from learntoask.client import AsyncClient
from learntoask.core.pack import load_pack
from learntoask.core.prompt import Context
from learntoask.core.records import Message
from learntoask.policy.prompt import PromptRenderer
from learntoask.training.base.packaged import packaged_model, packaged_tokenizer

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "pharmacy" / "pack.yaml"
SAID = (
    "I have had a bad headache since yesterday evening, can I take something for it?",
    "Since yesterday evening, it started after work and did not get better overnight.",
    "About two tablets of ibuprofen so far, the last one this morning around eight.",
    "No, nothing else, and I am not allergic to anything that I know of.",
)
ANSWERED = ("Since when do you have it?", "Have you taken anything?", "Any allergies?", "How old are you?")
READY_SECONDS = 300
ENVIRONMENT = {
    "VLLM_CPU_KVCACHE_SPACE": "1",
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",
    "VLLM_LOGGING_LEVEL": "WARNING",
}

Ask = Callable[[Context], Awaitable[object]]


def contexts(task: str, *, name: str, turns: int) -> list[Context]:
    messages: list[Message] = []
    found = []
    for turn in range(turns):
        said = SAID[turn % len(SAID)]
        content = f"Hello, this is {name}. {said}" if turn == 0 else said
        messages.append(Message(role="user", content=content, author="user"))
        found.append(Context(task, None, tuple(messages)))
        messages.append(Message(role="assistant", content=ANSWERED[turn % len(ANSWERED)], author="policy"))
    return found


async def measure(ask: Ask, task: str, *, clients: int, turns: int, label: str) -> tuple[float, list[float]]:
    """Return decisions per second and the seconds of every decision."""
    seconds: list[float] = []

    async def client(number: int) -> None:
        for context in contexts(task, name=f"{label} {number}", turns=turns):
            begun = time.perf_counter()
            await ask(context)
            seconds.append(time.perf_counter() - begun)

    begun = time.perf_counter()
    await asyncio.gather(*(client(number) for number in range(clients)))
    return len(seconds) / (time.perf_counter() - begun), seconds


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@contextmanager
def running(command: list[str], environment: dict[str, str], ready: Callable[[], bool]) -> Iterator[None]:
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(command, env=os.environ | environment, stdout=log, stderr=log)
        try:
            deadline = time.monotonic() + READY_SECONDS
            while not ready():
                if process.poll() is not None or time.monotonic() > deadline:
                    log.seek(0)
                    sys.exit(f"{command[:4]} did not start:\n{log.read().decode()[-2000:]}")
                time.sleep(0.5)
            yield
        finally:
            process.terminate()
            process.wait(60)


@contextmanager
def bare_server(model: Path, prompting: PromptRenderer, answer: int, *, cache: bool) -> Iterator[Ask]:
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--model", str(model)]
    command += ["--host", "127.0.0.1", "--port", str(port), "--dtype", "float32", "--enforce-eager"]
    command += ["--max-model-len", "2200", "--block-size", "32", "--max-num-seqs", "64"]
    command += ["--enable-prefix-caching" if cache else "--no-enable-prefix-caching"]

    def ready() -> bool:
        try:
            return httpx.get(f"{url}/health", timeout=2).status_code == 200
        except httpx.TransportError:
            return False

    with running(command, ENVIRONMENT, ready):
        client = httpx.AsyncClient(timeout=120, limits=httpx.Limits(max_connections=64))

        async def ask(context: Context) -> None:
            answered = await client.post(
                f"{url}/v1/completions",
                json={
                    "model": str(model),
                    "prompt": list(prompting.context_tokens(context)),
                    "temperature": 0,
                    "max_tokens": answer,
                    "stop_token_ids": sorted(prompting.ends),
                },
            )
            answered.raise_for_status()

        yield ask


@contextmanager
def service(model: Path, pack: Path, answer: int) -> Iterator[Ask]:
    port = free_port()
    command = [
        sys.executable,
        "-m",
        "learntoask.cli.app",
        "serve",
        "--model",
        str(model),
        "--pack",
        str(pack),
    ]
    settings = {"ENGINE": "vllm", "PORT": str(port), "MAX_NEW_TOKENS": str(answer), "DEADLINE_SECONDS": "120"}

    def ready() -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0

    with running(command, ENVIRONMENT | {f"LTA_SERVE_{k}": v for k, v in settings.items()}, ready):
        clients: list[AsyncClient] = []

        async def ask(context: Context) -> None:
            if not clients:
                clients.append(AsyncClient(f"127.0.0.1:{port}", timeout=120))
            await clients[0].decide(context.messages, task=context.task)

        yield ask


def packaged(folder: Path) -> Path:
    packaged_model().save_pretrained(folder)
    packaged_tokenizer().save_pretrained(folder)
    return folder


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", type=Path)
    parser.add_argument("--pack", type=Path, default=EXAMPLE)
    parser.add_argument("--turns", type=int, default=4)
    parser.add_argument("--answer", type=int, default=14)
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 8, 32])
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    pack = load_pack(options.pack)
    task = pack.demo_task or pack.default_task or pack.tasks[0].name
    with tempfile.TemporaryDirectory() as scratch:
        model = options.model or packaged(Path(scratch))
        prompting = PromptRenderer.read(model, pack)

        async def rounds(bare: Ask, served: Ask) -> None:
            for ask in (bare, served):
                await measure(ask, task, clients=1, turns=1, label="Warm-up")
            print(
                f"{'clients':>8}{'vLLM /s':>9}{'p50 s':>7}{'service /s':>12}{'p50 s':>7}{'share':>7}   each round"
            )
            for clients in options.clients:
                found = []
                for number in range(options.rounds):
                    label = f"Client of {clients} in round {number}"  # no conversation repeats
                    order = (bare, served) if number % 2 == 0 else (served, bare)
                    of = {
                        ask: await measure(ask, task, clients=clients, turns=options.turns, label=label)
                        for ask in order
                    }
                    found.append((of[bare], of[served]))
                shares = [own / rate for (rate, _), (own, _) in found]
                rate, own = (statistics.median(pair[side][0] for pair in found) for side in (0, 1))
                waits = [statistics.median(s for pair in found for s in pair[side][1]) for side in (0, 1)]
                print(
                    f"{clients:>8}{rate:>9.2f}{waits[0]:>7.2f}{own:>12.2f}{waits[1]:>7.2f}"
                    f"{statistics.median(shares):>7.0%}   {', '.join(f'{share:.0%}' for share in shares)}",
                    flush=True,
                )

        with (
            bare_server(model, prompting, options.answer, cache=True) as bare,
            service(model, options.pack, options.answer) as served,
        ):
            asyncio.run(rounds(bare, served))

        async def eight_turns(ask: Ask) -> list[float]:
            await measure(ask, task, clients=1, turns=1, label="Warm-up")
            return (await measure(ask, task, clients=1, turns=8, label="Eight turns"))[1]

        by_turn = {}
        for cache in (True, False):
            with bare_server(model, prompting, options.answer, cache=cache) as ask:
                by_turn[cache] = asyncio.run(eight_turns(ask))
        print(f"\n{'turn':>5}{'cached s':>10}{'not s':>8}{'ratio':>7}")
        for turn, (cached, read) in enumerate(zip(by_turn[True], by_turn[False], strict=True), 1):
            print(f"{turn:>5}{cached:>10.2f}{read:>8.2f}{read / cached:>7.1f}×")


if __name__ == "__main__":
    main()
