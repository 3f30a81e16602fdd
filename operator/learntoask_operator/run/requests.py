"""What people ask of a run by annotation: each value is acted on once, and remembered in the status."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from learntoask.core.errors import InputError
from learntoask.core.stages.graph import RESOLVE, rewind_counters

from learntoask_operator.run.labels import CANCEL, RERUN, RETRY


@dataclass(frozen=True, kw_only=True)
class Requests:
    """`refused` says why a value of the annotation makes no sense; `handled` replaces what the status remembers."""

    reruns: Mapping[str, int]
    handled: Mapping[str, str]
    rewound_to: str | None = None
    retry: bool = False
    cancelled: str | None = None
    refused: str | None = None

    @property
    def anew(self) -> bool:
        """Whether a run that is over goes on."""
        return self.rewound_to is not None or self.retry


def requests(
    annotations: Mapping[str, str], *, handled: Mapping[str, str], reruns: Mapping[str, int]
) -> Requests:
    """What `annotations` ask for beyond what is `handled` already."""
    asked = {name: annotations[name] for name in (RERUN, RETRY) if name in annotations}
    new = {name: value for name, value in asked.items() if handled.get(name) != value[:1024]}
    rewound_to, refused = None, None
    if RERUN in new:
        stage = new[RERUN].partition("=")[0].strip()
        try:
            reruns = (
                {**reruns, RESOLVE: reruns.get(RESOLVE, 0) + 1}
                if stage == RESOLVE
                else rewind_counters(reruns, stage)
            )
            rewound_to = stage
        except InputError as error:
            refused = f"annotation {RERUN}: {error}"
    cancelled = annotations.get(CANCEL)
    return Requests(
        reruns=reruns,
        handled={name: value[:1024] for name, value in asked.items()},
        rewound_to=rewound_to,
        retry=RETRY in new,
        cancelled=None if cancelled is None else cancelled or f"the run has the annotation {CANCEL}",
        refused=refused,
    )
