"""The grader service as a process: what `lta grader serve` calls."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from functools import partial
from pathlib import Path

from learntoask.core.errors import InputError
from learntoask.core.manifest import LlmJudge
from learntoask.core.pack import Pack
from learntoask.grader_service.config import GraderConfig
from learntoask.grader_service.server import GraderServer, ServedGraders
from learntoask.grading.loading import load_grader
from learntoask.rpc.process import run

ROLES = ("rewarding", "reporting")


def load_served_graders(folder: Path, pack: Pack, *, judge: LlmJudge | None, journals: Path | None) -> ServedGraders:
    """What the grader stage published in `folder`. Raises InputError where it holds no grader of this pack.

    `judge` are present settings of a judge, None takes the published ones; `journals` is where its answers are kept.
    """
    names = [name for name in ROLES if (folder / name).is_dir()]
    if not names:
        raise InputError(
            f"{folder} holds no graders ({' and '.join(ROLES)}); give the output of a grader stage"
        )
    try:
        agreement = json.loads((folder / "agreement.json").read_bytes())
    except (OSError, ValueError) as error:
        raise InputError(f"{folder / 'agreement.json'} cannot be read: {error}") from error
    return ServedGraders(
        pack=pack,
        graders={
            name: load_grader(
                folder / name,
                pack,
                judge=judge,
                journal=journals / f"judge-{name}.jsonl" if journals else None,
            )
            for name in names
        },
        calibration={name: agreement.get(name, {}) for name in names},
    )


async def make_server(
    config: GraderConfig, folder: Path, pack: Pack, judge: LlmJudge | None = None
) -> GraderServer:
    """Raises InputError as `load_served_graders` does."""
    load = partial(load_served_graders, folder, pack, judge=judge, journals=config.journals)
    return GraderServer(config, await asyncio.to_thread(load))


def run_service(
    config: GraderConfig,
    folder: Path,
    pack: Pack,
    *,
    judge: LlmJudge | None = None,
    ready: Callable[[str], None] | None = None,
) -> None:
    """Serve until told to end. `ready` is told the address. Raises InputError before that."""
    make = partial(make_server, config, folder, pack, judge)
    run(make, log_level=config.log_level, ready=ready)
