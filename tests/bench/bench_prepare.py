"""Measure prepare and lexicon labelling: sessions per second and peak memory for growing sizes of the log.

    python tests/bench/bench_prepare.py [--sizes 1000 10000 100000] [--rounds 3]

Each size runs in a separate process, because peak memory is a value of a process. Seconds are CPU seconds of that
process (one thread), so other processes on the machine have less influence. The ratio compares sessions per second with
the first size; linear time has a ratio near 1. Memory is flat if it grows by at most 200 bytes per session over the
first size.
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from learntoask.core.manifest import RunSpec
from learntoask.core.pack import parse_pack
from learntoask.core.stages.contract import StageContext, StageFunction, StageSummary
from learntoask.labeling import stage as label
from learntoask.labeling.logs import stage as prepare

FIELDS = {
    "origin": (
        "where do you (start|leave)",
        "from (\\w+)",
        ("Where do you start?", "Which city do you leave from?"),
    ),
    "destination": ("where .*\\b(to|go)\\b", "to (\\w+)", ("Where would you like to go?", "Where to?")),
    "date": (
        "(when|what day|which date)",
        "on (\\w+ \\d+)",
        ("When do you want to leave?", "Which date suits you?"),
    ),
    "people": (
        "how many (people|tickets)",
        "(\\d+) of us",
        ("How many tickets?", "How many people are coming?"),
    ),
    "class": ("(first|second) class|which class", "(first|second) class", ("Which class would you like?",)),
    "discount": (
        "discount|railcard",
        "(no card|a railcard)",
        ("Do you have a discount card?", "Any railcard?"),
    ),
    "seat": ("window or aisle|seat", "(window|aisle)", ("Window or aisle?", "Any wish for the seat?")),
    "luggage": (
        "luggage|suitcase",
        "(\\d+) bags?",
        ("How much luggage do you bring?", "Any large suitcase?"),
    ),
}
GIVES = {
    "origin": "from {city}, the main station",
    "destination": "to {city} please",
    "date": "on {month} {number}",
    "people": "there are {number} of us",
    "class": "{rank} class, as always",
    "discount": "{card}, sorry",
    "seat": "{side} if there is one left",
    "luggage": "{number} bags and a bicycle maybe",
}
CITIES = (
    "Rome",
    "Oslo",
    "Bergen",
    "Ghent",
    "Porto",
    "Turin",
    "Basel",
    "Graz",
    "Lyon",
    "Malmo",
    "Krakow",
    "Vilnius",
)
SMALL_TALK = (
    "Lovely weather today, isn't it?",
    "Thank you, got it.",
    "One moment please.",
    "Busy morning here!",
)


def pack_document() -> str:
    fields = [
        {"name": name, "patterns": [asks], "answerPatterns": [gives], "questions": list(questions)}
        for name, (asks, gives, questions) in FIELDS.items()
    ]
    return json.dumps(
        {"name": "trains", "requireEndMarker": True, "tasks": [{"name": "ticket", "fields": fields}]}
    )


def write_logs(path: Path, sessions: int) -> None:
    chance = random.Random(sessions)
    with path.open("w", encoding="utf-8") as file:
        for number in range(sessions):
            file.write(json.dumps({"session_id": f"t-{number}", "messages": messages(chance)}) + "\n")


def messages(chance: random.Random) -> list[dict[str, str]]:
    log = [{"role": "user", "content": f"Hello, I need a ticket for trip {chance.randrange(10**6)}."}]
    for name in chance.sample(sorted(FIELDS), chance.randint(3, 7)):
        question = chance.choice(FIELDS[name][2])
        if chance.random() < 0.3:
            question = f"{chance.choice(SMALL_TALK)} {question}"
        answer = GIVES[name].format(
            city=chance.choice(CITIES),
            month=chance.choice(("March", "April", "May")),
            number=chance.randint(1, 30),
            rank=chance.choice(("first", "second")),
            card=chance.choice(("no card", "a railcard")),
            side=chance.choice(("window", "aisle")),
        )
        if chance.random() < 0.1:
            answer = "I don't know"
        log += [{"role": "assistant", "content": question}, {"role": "user", "content": answer}]
    return [
        *log,
        {"role": "assistant", "content": f"I have booked it, reference {chance.randrange(10**6)}. <stop>"},
    ]


class Silent:
    def update(self, done: float, total: float, message: str = "", **metrics: float) -> None:
        """Ignore progress, because a benchmark shows only its table."""


def run_stage(run: StageFunction, name: str, folder: Path, spec: RunSpec) -> tuple[float, StageSummary]:
    out, work = folder / name, folder / f"{name}-work"
    out.mkdir(exist_ok=True)
    work.mkdir(exist_ok=True)
    context = StageContext(
        stage=name,
        key="bench",
        spec=spec,
        pack=parse_pack(pack_document(), where="bench"),
        inputs={"prepare": folder / "prepare"},
        files={"dataset": folder / "logs.jsonl"},
        out=out,
        work=work,
        progress=Silent(),
    )
    start = time.process_time()
    summary = run(context)
    return time.process_time() - start, summary


def measure(sessions: int) -> dict[str, float]:
    """Measure one run in this process; `before` is the memory of Python and the imports."""
    spec = RunSpec.model_validate({"dataset": {"uri": "logs"}, "pack": {"uri": "pack"}})
    with tempfile.TemporaryDirectory() as folder:
        write_logs(Path(folder) / "logs.jsonl", sessions)
        size = (Path(folder) / "logs.jsonl").stat().st_size
        before = peak_mib()
        prepared, _ = run_stage(prepare.run, "prepare", Path(folder), spec)
        labelled, summary = run_stage(label.run, "label", Path(folder), spec)
    points = summary["decision_points"]
    assert isinstance(points, int)
    return {
        "sessions": sessions,
        "mib": size / 2**20,
        "prepare": prepared,
        "label": labelled,
        "points": points,
        "before": before,
        "peak": peak_mib(),
    }


def peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sizes", type=int, nargs="+", default=[1000, 10_000, 100_000])
    parser.add_argument(
        "--rounds", type=int, default=3, help="number of runs per size, of which the fastest counts"
    )
    parser.add_argument("--single-size", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.single_size:
        print(json.dumps(measure(options.single_size)))
        return
    print(
        "sessions   log MiB   prepare/s   label/s   both/s   ratio   points/s   peak MiB   more than first, B/session"
    )
    first: dict[str, float] = {}
    for size in options.sizes:
        command = [sys.executable, __file__, "--single-size", str(size)]
        runs = [
            json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
            for _ in range(options.rounds)
        ]
        best = min(runs, key=lambda run: run["prepare"] + run["label"])
        first = first or best
        both = best["prepare"] + best["label"]
        ratio = (size / both) / (first["sessions"] / (first["prepare"] + first["label"]))
        more = (best["peak"] - first["peak"]) * 2**20 / size if best is not first else 0.0
        print(
            f"{size:8d} {best['mib']:9.1f} {size / best['prepare']:11,.0f} {size / best['label']:9,.0f} "
            f"{size / both:8,.0f} {ratio:7.2f} {best['points'] / both:10,.0f} {best['peak']:10.1f} {more:14.0f}"
        )


if __name__ == "__main__":
    main()
