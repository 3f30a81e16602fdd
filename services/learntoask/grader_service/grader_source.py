"""Opens a stage's grader: in the stage's own process, or behind the address that the manifest names."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from learntoask.core.manifest import GraderSettings, seconds
from learntoask.core.pack import Pack
from learntoask.grader_service.client import RemoteGrader
from learntoask.grader_service.retry import Timing
from learntoask.grading.grades import Grader
from learntoask.grading.loader import open_published_grader, published_digest
from learntoask.rpc.channels import Tls
from learntoask.rpc.config import token_in

_TLS = ("ca", "certificate", "key", "server_name")
Role = Literal["rewarding", "reporting"]


@contextmanager
def open_grader(
    role: Role,
    graders: Path,
    *,
    settings: GraderSettings,
    pack: Pack,
    work: Path,
    environment: Mapping[str, str] = os.environ,
) -> Iterator[Grader]:
    """Open the grader of `role` that the grader stage published in `graders`. `work` keeps a judge's answers.

    A grader behind an address must have the same digest, so a result does not depend on where its grades come from.
    Token and TLS files of the connection come from the environment: LTA_GRADER_TOKEN or LTA_GRADER_TOKEN_FILE,
    LTA_GRADER_TLS_CA, LTA_GRADER_TLS_CERTIFICATE, LTA_GRADER_TLS_KEY, LTA_GRADER_TLS_SERVER_NAME.
    """
    address = settings.address
    if role == "reporting" and settings.reporting_address is not None:
        address = settings.reporting_address
    if address is None:
        journal = work / f"judge-{role}.jsonl"
        with open_published_grader(graders / role, pack, judge=settings.llm, journal=journal) as grader:
            yield grader
        return
    hedge = settings.hedge_after
    with RemoteGrader(
        address,
        grader=role,
        digest=published_digest(graders / role),
        token=_token(environment),
        tls=_tls(environment),
        timing=Timing(
            timeout=seconds(settings.timeout),
            retry_for=seconds(settings.retry_for),
            hedge_after=None if hedge is None else seconds(hedge),
        ),
    ) as remote:
        yield remote


def _token(environment: Mapping[str, str]) -> str | None:
    file = environment.get("LTA_GRADER_TOKEN_FILE")
    return token_in(Path(file)) if file else environment.get("LTA_GRADER_TOKEN") or None


def _tls(environment: Mapping[str, str]) -> Tls | None:
    """Return the TLS files that the environment names, None (plain text) if it names none."""
    given = {name: environment.get(f"LTA_GRADER_TLS_{name.upper()}") for name in _TLS}
    if not any(given.values()):
        return None
    authority, certificate, key = (Path(path) if (path := given[name]) else None for name in _TLS[:3])
    return Tls(authority=authority, certificate=certificate, key=key, server_name=given["server_name"])
