"""Measure the parts of a GRPO update, with answers sampled by the trainer itself and by vLLM.

    python tests/bench/bench_grpo_step.py [RUN or MANIFEST] [--updates 4] [--home FOLDER]

Runs the GRPO stage of a run that has published its SFT policy and grader (by default the pharmacy example: `make run`),
again in a scratch folder, for a few updates with each engine on the same batches. Seconds are those of the stage's own
journal, without the first update, which warms caches up. Validation and the start of vLLM happen once a stage and are
printed separately.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path

from learntoask.core.stages.contract import StageContext
from learntoask.core.stages.graph import STAGE_BY_NAME
from learntoask.local.view import RunView, view
from learntoask.runner.home import home_folder
from learntoask.training.grpo import stage as grpo_stage

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "pharmacy" / "run.yaml"
PARTS = ("sampling", "grading", "updating")


class Silent:
    def update(self, done: float, total: float, message: str = "", **metrics: float) -> None:
        pass


def seconds(run: RunView, rollouts: str, *, updates: int, scratch: Path) -> tuple[dict[str, float], float]:
    """Return (mean seconds of an update by part and `off_policy`, seconds of the whole stage)."""
    spec = run.sources.spec
    grpo = spec.train.grpo.model_copy(
        update={"updates": updates, "rollouts": rollouts, "validate_every": updates}
    )
    for folder in ("out", "work"):
        (scratch / rollouts / folder).mkdir(parents=True)
    begun = time.perf_counter()
    grpo_stage.run(
        StageContext(
            stage="grpo",
            key=rollouts,
            spec=spec.model_copy(update={"train": spec.train.model_copy(update={"grpo": grpo})}),
            pack=run.sources.pack,
            inputs={name: run.output(name) for name in STAGE_BY_NAME["grpo"].inputs},
            files={},
            out=scratch / rollouts / "out",
            work=scratch / rollouts / "work",
            progress=Silent(),
        )
    )
    whole = time.perf_counter() - begun
    rows = [
        json.loads(line) for line in (scratch / rollouts / "out" / "metrics.jsonl").read_text().splitlines()
    ]
    rows = [row for row in rows if row["kind"] == "grpo"][1:]
    names = (*(f"{part}_seconds" for part in PARTS), "off_policy")
    return {name: sum(row[name] for row in rows) / len(rows) for name in names}, whole


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("run", nargs="?", default=str(EXAMPLE))
    parser.add_argument("--updates", type=int, default=4)
    parser.add_argument("--home", type=Path)
    options = parser.parse_args()
    run = view(options.run, home=options.home or home_folder())
    shares = "".join(f"{part:>12}{'':>6}" for part in PARTS)
    print(f"{'rollouts':<14}{'s/update':>10}{shares}{'off-policy':>12}{'once s':>9}", flush=True)
    with tempfile.TemporaryDirectory() as scratch:
        for rollouts in ("transformers", "vllm"):
            mean, whole = seconds(run, rollouts, updates=options.updates, scratch=Path(scratch))
            update = sum(mean[f"{part}_seconds"] for part in PARTS)
            cells = "".join(
                f"{mean[f'{part}_seconds']:>11.2f}s{mean[f'{part}_seconds'] / update:>6.0%}" for part in PARTS
            )
            once = whole - options.updates * update
            print(f"{rollouts:<14}{update:>10.2f}{cells}{mean['off_policy']:>12.4f}{once:>9.1f}", flush=True)


if __name__ == "__main__":
    main()
