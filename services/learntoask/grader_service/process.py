"""Loads the graders of a run and serves them as the process of `lta grader serve`."""

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
from learntoask.grading.loader import load_grader
from learntoask.rpc.process import run

ROLES = ("rewarding", "reporting")


def load_served_graders(
    folder: Path, pack: Pack, *, judge: LlmJudge | None, journals: Path | None
) -> ServedGraders:
    """Load what the grader stage published in `folder`.

    `judge` replaces the published settings of a judge, unless it is None. `journals` is the folder for its answers.
    Raises InputError if `folder` holds no grader of this pack.
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
    """Load the graders in a thread and make their server. Raises InputError as `load_served_graders` does."""
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
    """Serve until SIGTERM. `ready` gets the address once the service takes calls. Raises InputError before that."""
    make = partial(make_server, config, folder, pack, judge)
    run(make, name="learntoask-grader", log_level=config.log_level, ready=ready)
