"""`lta stage --serve-graders`: serve the published graders of a run to the stages in its other pods."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping

from learntoask.core.errors import InputError, StoreError
from learntoask.core.pod_contract import LTA_STAGE
from learntoask.pod.environment import read_environment
from learntoask.pod.inputs import fetch_inputs
from learntoask.runner.materialise import materialise
from learntoask.store.factory import open_store

logger = logging.getLogger(__name__)
_STAGE = "grader"


def serve_graders(*, host: str, port: int, environment: Mapping[str, str] = os.environ) -> None:
    """Serve the publication that LTA_STAGE names until SIGTERM.

    Raises InputError naming the variable or field at fault, and StoreError if the graders are not in the store.
    """
    from learntoask.grader_service.config import read_config  # noqa: PLC0415 - grpc
    from learntoask.grader_service.process import run_service  # noqa: PLC0415

    pod = read_environment(environment)
    pin = pod.order.inputs.get(_STAGE)
    if pin is None:
        raise InputError(f"{LTA_STAGE}: inputs.{_STAGE}: give key and output of the published graders")
    config = read_config(environment, {"host": host, "port": port, "journals": pod.home / "journals"})
    store = open_store(pod.store)
    published = store.find(pin.key)
    if published is None or published.output != pin.output:
        raise StoreError(f"the graders {pin.key[:12]} are not in {store.address}, or other ones are")
    folder = materialise(store, published, pod.home / "graders")
    (pod.home / "journals").mkdir(parents=True, exist_ok=True)
    judge = pod.run.spec.grader.llm if pod.run.spec.grader.method == "llm" else None
    run_service(
        config,
        folder,
        fetch_inputs(pod, roles=()).pack,
        judge=judge,
        ready=lambda address: logger.info("grading on %s", address),
    )
