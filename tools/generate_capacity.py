"""Write the tables of docs/capacity.md: traffic, runs and logs by arithmetic from the figures below.

python tools/generate_capacity.py            rewrites the page
python tools/generate_capacity.py --check    exits with 1 when the page is not current
"""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass
from pathlib import Path

PAGE = Path(__file__).resolve().parent.parent / "docs" / "capacity.md"
BEGIN, END = "<!-- tables: tools/generate_capacity.py -->", "<!-- end of tables -->"
DAY = 86_400


@dataclass(frozen=True, kw_only=True)
class Figure:
    """A value in a unit; `source` says how it was measured, or that it is assumed."""

    value: float
    unit: str
    source: str


ASKS = Figure(value=6.8, unit="asks per conversation", source="users' turns in the example logs")
SESSION = Figure(value=1152, unit="bytes per conversation", source="the example logs, as recorded")
SERVER = Figure(
    value=0.403,
    unit="ms of CPU per ask in a policy server, without decoding",
    source="bench_gateway, 32 clients",
)
GATEWAY = Figure(value=0.669, unit="ms of CPU per ask in a gateway", source="bench_gateway, 32 clients")
PREPARED = Figure(
    value=3567, unit="conversations per second, prepare, one thread", source="bench_prepare, 100,000 sessions"
)
LABELLED = Figure(
    value=3224,
    unit="conversations per second, lexicon labels, one thread",
    source="bench_prepare, 100,000 sessions",
)
WRITES = Figure(value=3.3, unit="API writes per run until its first Job", source="bench_operator, 1,000 runs")
PASSES = Figure(
    value=24, unit="ms of the operator's CPU per run until its first Job", source="bench_operator, 1,000 runs"
)
PROGRESS = Figure(value=10, unit="s between two writes of a run's progress", source="the code")
PEAK = Figure(value=3, unit="times the mean rate at peak", source="assumed")
USE = Figure(value=0.6, unit="share of a core that may be used", source="assumed")
MEASURED = (ASKS, SESSION, SERVER, GATEWAY, PREPARED, LABELLED, WRITES, PASSES, PROGRESS, PEAK, USE)

CONVERSATIONS = (1e6, 1e7, 1e8)  # a day
DECISIONS = (50, 200, 800)  # a second and GPU: measure it with your model
RUNNING = (100, 1_000, 10_000)  # active at the same time


def asks_at_peak(conversations: float) -> float:
    """Return the asks per second at peak for so many conversations a day."""
    return conversations * ASKS.value / DAY * PEAK.value


def cores(rate: float, milliseconds: float) -> int:
    """Return the cores for `rate` calls per second that take `milliseconds` of CPU each."""
    return math.ceil(rate * milliseconds / 1000 / USE.value)


def traffic() -> str:
    rows = [
        "| conversations a day | asks/s, mean | asks/s, peak | gateway cores | server cores without decoding "
        f"| {' | '.join(f'GPUs at {one} decisions/s' for one in DECISIONS)} | records a day |\n",
        "|---|---|---|---|---|---|---|---|---|\n",
    ]
    for conversations in CONVERSATIONS:
        rate = asks_at_peak(conversations)
        gpus = " | ".join(f"{math.ceil(rate / USE.value / one):,}" for one in DECISIONS)
        rows.append(
            f"| {conversations:,.0f} | {rate / PEAK.value:,.0f} | {rate:,.0f} | {cores(rate, GATEWAY.value)} "
            f"| {cores(rate, SERVER.value)} | {gpus} | {conversations * SESSION.value / 1e9:,.1f} GB |\n"
        )
    return "".join(rows)


def runs() -> str:
    rows = [
        "| active runs | progress writes/s | reports/s | operator cores | releases of 1,000 |\n",
        "|---|---|---|---|---|\n",
    ]
    for running in RUNNING:
        writes = running / PROGRESS.value
        # A later pass that writes costs about as much as one of the first passes.
        load = writes * PASSES.value / WRITES.value / 1000
        rows.append(
            f"| {running:,} | {writes:,.0f} | {running / 2:,.0f} | {load:.1f} | {math.ceil(running / 1000)} |\n"
        )
    return "".join(rows)


def learning() -> str:
    rows = [
        "| conversations in one run | prepare, one pod | label, 1 pod | label, 16 pods |\n|---|---|---|---|\n"
    ]
    for sessions in (1e5, 1e6, 1e7, 1e8):
        hours = [sessions / PREPARED.value, sessions / LABELLED.value, sessions / LABELLED.value / 16]
        rows.append(f"| {sessions:,.0f} | {' | '.join(_time(one) for one in hours)} |\n")
    return "".join(rows)


def figures() -> str:
    rows = "".join(f"| {one.value:,g} | {one.unit} | {one.source} |\n" for one in MEASURED)
    return f"| figure | what | source |\n|---|---|---|\n{rows}"


def tables() -> str:
    parts = {"Figures used": figures, "Traffic": traffic, "Runs": runs, "Logs": learning}
    return "".join(f"\n### {title}\n{make()}" for title, make in parts.items())


def main() -> int:
    text = PAGE.read_text(encoding="utf-8")
    head, rest = text.split(BEGIN)
    _, tail = rest.split(END)
    current = f"{head}{BEGIN}\n{tables()}{END}{tail}"
    if "--check" in sys.argv:
        return int(current != text)
    PAGE.write_text(current, encoding="utf-8")
    return 0


def _time(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


if __name__ == "__main__":
    sys.exit(main())
