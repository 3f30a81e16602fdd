"""Measure labelling by a language model whose server takes 100 ms: serially, and with 64 requests at once.

    python tests/bench/bench_llm_labelling.py [--sessions 1300] [--serial-sessions 12] [--rounds 3] [--latency 0.1]

First, a run that is not measured lets `LexiconModel` derive every answer from the log in the request. In the measured
runs a separate process only looks these answers up, so the figures do not include the server's computing time. A
failing call answers 500, 503 or 429, drops the connection, or sends an error with status 200; a repeated request fails
with the same probability. The labels must equal those of the lexicon, which reads the same patterns: the benchmark ends
if a label is lost, doubled or different. Rates are answers per second of wall time over the whole label stage. Goals:
50 times the serial rate, and 40 times with a tenth of the calls failing.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import multiprocessing
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import bench_prepare
from learntoask.core.pack import parse_pack
from worlds.llm.labelling import LabelRun, labels_by_turn
from worlds.llm.server import LexiconModel, LlmServer, Reply

CONCURRENT = 64
FAULTS: tuple[bytes | None, ...] = (
    b"HTTP/1.1 500 X\r\ncontent-length: 0\r\n\r\n",
    b"HTTP/1.1 503 X\r\ncontent-length: 0\r\n\r\n",
    b"HTTP/1.1 429 X\r\ncontent-length: 0\r\n\r\n",
    b'HTTP/1.1 200 X\r\ncontent-length: 31\r\n\r\n{"error":{"message":"no luck"}}',
    None,  # drop the connection
)


@dataclass(frozen=True)
class Measurement:
    """One run of the label stage. `cpu` is in seconds of this process; `doubled` counts repeated
    answers."""

    answers: int
    wall: float
    cpu: float
    retries: int
    doubled: int

    @property
    def rate(self) -> float:
        return self.answers / self.wall


def serve(answers: dict[str, bytes], latency: float, failing: float, channel: Connection) -> None:
    """Run the server's process, which looks answers up by the digest of the request.

    A message on `channel` stops it; it then sends how many answers were repeated.
    """
    seen: dict[str, int] = {}
    chance = random.Random(0)

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = next(
                    line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length")
                )
                body = await reader.readexactly(int(length.split(b":")[1]))
                await asyncio.sleep(latency)
                if chance.random() < failing:
                    fault = chance.choice(FAULTS)
                    if fault is None:
                        writer.transport.abort()
                        return
                    writer.write(fault)
                    continue
                asked = hashlib.sha256(body).hexdigest()[:32]
                seen[asked] = seen.get(asked, 0) + 1
                writer.write(answers[asked])
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    async def run() -> None:
        server = await asyncio.start_server(handle, "127.0.0.1", 0, backlog=512)
        channel.send(server.sockets[0].getsockname()[1])
        await asyncio.get_running_loop().run_in_executor(None, channel.recv)
        channel.send(sum(seen.values()) - len(seen))

    asyncio.run(run())


@contextmanager
def server(answers: dict[str, bytes], *, latency: float, failing: float) -> Iterator[tuple[str, Connection]]:
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.Process(target=serve, args=(answers, latency, failing, theirs), daemon=True)
    process.start()
    try:
        yield f"http://127.0.0.1:{ours.recv()}/v1", ours
    finally:
        process.kill()
        process.join()


def measure(
    run: LabelRun, answers: dict[str, bytes], *, concurrency: int, failing: float, latency: float
) -> Measurement:
    for path in (run.folder / "label-work").glob("*"):
        path.unlink()
    with server(answers, latency=latency, failing=failing) as (uri, channel):
        wall, cpu = time.perf_counter(), time.process_time()
        summary = run.llm(uri, endpoint={"concurrency": concurrency})
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        channel.send("stop")
        doubled = channel.recv()
    if labels_by_turn(run.labelled()) != labels_by_turn(run.labelled("lexicon")) or run.quarantine():
        raise SystemExit("labels differ from the lexicon's")
    counts: Any = summary["llm"]
    return Measurement(counts["answers"], wall, cpu, counts["retries"], doubled)


def prepare_run(folder: Path, sessions: int) -> LabelRun:
    folder.mkdir()
    bench_prepare.write_logs(folder / "logs.jsonl", sessions)
    pack = parse_pack(bench_prepare.pack_document(), where="bench")
    run = LabelRun(folder, logs=folder / "logs.jsonl", pack=pack, sessions=sessions).prepare()
    run.label("lexicon")
    return run


def answers_for(run: LabelRun) -> dict[str, bytes]:
    """Return the response to every request by the digest of its body, from the journal of a run with LexiconModel."""
    with LlmServer(LexiconModel(run.pack, task="ticket")) as model:
        run.llm(model.uri, endpoint={"concurrency": 32})
    responses = {}
    for line in (run.folder / "label-work" / "answers-0.jsonl").read_text().splitlines():
        entry = json.loads(line)
        body = json.dumps(Reply(entry["reply"]["content"]).body()).encode()
        responses[entry["asked"]] = b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(body) + body
    return responses


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sessions", type=int, default=1300)
    parser.add_argument("--serial-sessions", type=int, default=12)
    parser.add_argument("--rounds", type=int, default=3, help="serial and concurrent runs take turns")
    parser.add_argument("--latency", type=float, default=0.1)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        few = prepare_run(Path(folder) / "few", options.serial_sessions)
        many = prepare_run(Path(folder) / "many", options.sessions)
        few_answers, many_answers = answers_for(few), answers_for(many)
        rows: dict[str, list[Measurement]] = {"serial": [], "64 at once": [], "64, a tenth fails": []}
        for _ in range(options.rounds):
            for name, run, answers, concurrency, failing in (
                ("serial", few, few_answers, 1, 0.0),
                ("64 at once", many, many_answers, CONCURRENT, 0.0),
                ("64, a tenth fails", many, many_answers, CONCURRENT, 0.1),
            ):
                rows[name].append(
                    measure(run, answers, concurrency=concurrency, failing=failing, latency=options.latency)
                )
    serial = statistics.median(run.rate for run in rows["serial"])
    print(
        f"{'':18} {'answers':>8} {'answers/s':>10} {'× serial':>9} {'CPU ms/answer':>14} {'retries':>8} doubled"
    )
    for name, runs in rows.items():
        rate = statistics.median(run.rate for run in runs)
        cpu = statistics.median(1000 * run.cpu / run.answers for run in runs)
        ratios = ", ".join(f"{run.rate / serial:.1f}" for run in runs)
        print(
            f"{name:18} {runs[0].answers:8d} {rate:10.1f} {rate / serial:9.1f} {cpu:14.2f} "
            f"{runs[0].retries:8d} {max(run.doubled for run in runs):7d}   (each: {ratios})"
        )


if __name__ == "__main__":
    main()
