"""Reads what users request with annotations of a run. Each value is acted on once and recorded in the status."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from learntoask.core.errors import InputError
from learntoask.core.pod_contract import CANCEL_ANNOTATION, RERUN_ANNOTATION, RETRY_ANNOTATION
from learntoask.core.stages.graph import RESOLVE, rewind_counters

_LONGEST_VALUE = 1024  # characters that the status remembers


@dataclass(frozen=True, kw_only=True)
class Requests:
    """`handled` is what the status has to remember from now on; `refused` says why a value makes no sense."""

    reruns: Mapping[str, int]
    handled: Mapping[str, str]
    rewound_to: str | None = None
    retry: bool = False
    cancelled: str | None = None
    refused: str | None = None

    @property
    def resume(self) -> bool:
        """Whether they make a finished run go on."""
        return self.rewound_to is not None or self.retry


def read_requests(
    annotations: Mapping[str, str], *, handled: Mapping[str, str], reruns: Mapping[str, int], calibrated: bool
) -> Requests:
    """What `annotations` ask for that is not `handled` yet. `calibrated`: the run has `spec.calibrate`."""
    asked = {name: annotations[name] for name in (RERUN_ANNOTATION, RETRY_ANNOTATION) if name in annotations}
    new = {name: value for name, value in asked.items() if handled.get(name) != value[:_LONGEST_VALUE]}
    rewound_to, refused = None, None
    if RERUN_ANNOTATION in new:
        stage = new[RERUN_ANNOTATION].partition("=")[0].strip()
        try:
            reruns = _rewind(reruns, stage, calibrated=calibrated)
            rewound_to = stage
        except InputError as error:
            refused = f"annotation {RERUN_ANNOTATION}: {error}"
    cancelled = annotations.get(CANCEL_ANNOTATION)
    return Requests(
        reruns=reruns,
        handled={name: value[:_LONGEST_VALUE] for name, value in asked.items()},
        rewound_to=rewound_to,
        retry=RETRY_ANNOTATION in new,
        cancelled=None
        if cancelled is None
        else cancelled or f"the run has the annotation {CANCEL_ANNOTATION}",
        refused=refused,
    )


def _rewind(reruns: Mapping[str, int], stage: str, *, calibrated: bool) -> Mapping[str, int]:
    if stage == RESOLVE:
        return {**reruns, RESOLVE: reruns.get(RESOLVE, 0) + 1}
    return rewind_counters(reruns, stage, calibrated=calibrated)
