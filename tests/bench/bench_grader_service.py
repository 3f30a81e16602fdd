"""Measures grades per second of the fitted grader: in process, and through the service in batches and single calls.

    python tests/bench/bench_grader_service.py [--encoder minilm] [--questions 200] [--threads 1]

The grader is fitted on the pharmacy example; the service is a separate process. `new` questions have to be encoded,
`again` are the same questions from the grader's memory, which leaves only the cost of calling a service. Rates are
grades per second of processor time of both processes together, so that other work on the machine does not count;
rates by elapsed time are in brackets.
"""

from __future__ import annotations

import argparse
import asyncio
import multiprocessing
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from types import SimpleNamespace

import grpc
import torch
from learntoask.core.manifest import Dataset, GraderSettings, Label
from learntoask.core.pack import Pack, load_pack
from learntoask.core.stages.contract import StageContext
from learntoask.grader_service.client import RemoteGrader
from learntoask.grader_service.config import GraderConfig
from learntoask.grader_service.process import make_server
from learntoask.grader_service.wire import case_to_wire
from learntoask.grading import stage as grading
from learntoask.grading.grades import Grade, GradeCase
from learntoask.grading.loader import load_grader, published_digest
from learntoask.grading.questions import read_questions
from learntoask.labeling import stage as label
from learntoask.labeling.logs import stage as prepare
from learntoask.rpc.logs import structured_logs
from learntoask.wire import grader_pb2 as wire
from learntoask.wire.grader_pb2_grpc import GraderServiceStub

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "pharmacy"
CLIENTS = 32


class Quiet:
    def update(self, done: float, total: float, message: str = "", **metrics: float) -> None:
        pass


def fitted(folder: Path, pack: Pack, encoder: str) -> list[GradeCase]:
    """Run the stages up to the graders in `folder`, and return the experts' questions as cases."""
    spec = SimpleNamespace(
        dataset=Dataset(uri="logs.jsonl", max_sessions=300),
        label=Label(method="lexicon"),
        grader=GraderSettings(encoder=encoder, max_missing_share=1),
    )
    inputs: dict[str, Path] = {}
    for name, run in (("prepare", prepare.run), ("label", label.run), ("grader", grading.run)):
        out, work = folder / name, folder / f"{name}-work"
        out.mkdir()
        work.mkdir()
        run(
            StageContext(
                stage=name,
                key=name,
                spec=spec,
                pack=pack,
                inputs=inputs,
                files={"dataset": EXAMPLE / "logs.jsonl"},
                out=out,
                work=work,
                progress=Quiet(),
            )
        )
        inputs = {**inputs, name: out}
    questions = read_questions(inputs["label"] / "labelled.jsonl", pack)
    return [example.case() for session in questions.sessions for example in session.asked]


def new_cases(cases: Sequence[GradeCase], count: int, part: str) -> list[GradeCase]:
    """Prefix the questions with a text that is new in each part, so that the grader remembers none."""
    return [
        GradeCase(
            session_id=one.session_id,
            task=one.task,
            response=f"Number {part}{number}: {one.response}",
            target=one.target,
        )
        for number, one in zip(range(count), cases * (count // len(cases) + 1), strict=False)
    ]


def serve(pipe: Connection, folder: Path, threads: int) -> None:
    torch.set_num_threads(threads)

    async def main() -> None:
        server = await make_server(GraderConfig(port=0), folder, load_pack(EXAMPLE / "pack.yaml"))
        await server.start()
        pipe.send(server.address)
        while await asyncio.to_thread(pipe.recv) != "end":
            pipe.send(time.process_time())
        await server.drain()

    with open("/dev/null", "w") as sink, structured_logs(stream=sink):
        asyncio.run(main())


async def single_calls(address: str, cases: Sequence[GradeCase], clients: int) -> int:
    """Grade each case in a separate call, `clients` at a time, and return the number of grades."""
    async with grpc.aio.insecure_channel(address) as channel:
        stub = GraderServiceStub(channel)
        waiting = iter([wire.GradeRequest(grader="rewarding", case=case_to_wire(case)) for case in cases])

        async def client() -> int:
            return sum([(await stub.Grade(request)).result.HasField("grade") for request in waiting])

        return sum(await asyncio.gather(*(client() for _ in range(clients))))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--encoder", default="minilm", choices=["minilm", "hashing"])
    parser.add_argument("--questions", type=int, default=200)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    pack = load_pack(EXAMPLE / "pack.yaml")
    with tempfile.TemporaryDirectory() as name:
        cases = fitted(Path(name), pack, options.encoder)
        folder = Path(name) / "grader"
        here, there = multiprocessing.get_context("spawn").Pipe()
        process = multiprocessing.get_context("spawn").Process(
            target=serve, args=(there, folder, options.threads), daemon=True
        )
        process.start()
        local = load_grader(folder / "rewarding", pack)
        address = here.recv()
        remote = RemoteGrader(address, grader="rewarding", digest=published_digest(folder / "rewarding"))

        def graded(grades: Sequence[object]) -> int:
            return sum(isinstance(grade, Grade) for grade in grades)

        ways: dict[str, Callable[[list[GradeCase]], int]] = {
            "in process, one call": lambda part: graded(local.grade(part)),
            "in process, a call each": lambda part: graded([local.grade([one])[0] for one in part]),
            "service, GradeBatch": lambda part: graded(remote.grade(part)),
            "service, Grade, 1 client": lambda part: asyncio.run(single_calls(address, part, 1)),
            f"service, Grade, {CLIENTS} clients": lambda part: asyncio.run(
                single_calls(address, part, CLIENTS)
            ),
        }
        remote.grade(new_cases(cases, 2, "w"))  # the first call also asks for the grader's information
        first: dict[str, float] = {}

        def processor_time() -> float:
            here.send("processor time")
            return time.process_time() + here.recv()

        print(f"{'':30}" + "".join(f"{kind + '/s':>18}{'ratio':>8}" for kind in ("new", "again")))
        for number, (way, grade) in enumerate(ways.items()):
            part, found = new_cases(cases, options.questions, f"{number}-"), set()
            print(f"{way:30}", end="")
            for kind in ("new", "again"):
                busy, start = processor_time(), time.perf_counter()
                found.add(grade(part))
                elapsed, busy = time.perf_counter() - start, processor_time() - busy
                rate = len(part) / busy
                shown = f"{rate:.0f} [{len(part) / elapsed:.0f}]"
                print(f"{shown:>18}{rate / first.setdefault(kind, rate):>8.2f}", end="", flush=True)
            print()
            assert len(found) == 1, "the same questions got other grades"
        remote.close()
        here.send("end")
        process.join(20)
    return 0


if __name__ == "__main__":
    sys.exit(main())
