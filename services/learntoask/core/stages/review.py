"""When a review ends, and what a run says while it waits for one. The functions are pure."""

from __future__ import annotations

from typing import Literal

from learntoask.core.manifest import Calibrate, seconds

ReviewStep = Literal["wait", "publish", "fail"]


def review_end(settings: Calibrate, *, drawn: float) -> float | None:
    """Return when a review ends although answers are missing, in seconds since the epoch; None if it waits for ever.

    `drawn` is when its items were drawn. `onDeadline: proceed` without a deadline does not wait at all.
    """
    if settings.on_deadline == "hold":
        return None
    return drawn + (seconds(settings.deadline) if settings.deadline else 0)


def next_step(settings: Calibrate, *, drawn: float, missing: int, now: float) -> ReviewStep:
    """Decide whether a review of which `missing` answers are not there yet goes on."""
    if not missing:
        return "publish"
    end = review_end(settings, drawn=drawn)
    if end is None or now < end:
        return "wait"
    return "publish" if settings.on_deadline == "proceed" else "fail"


def second_person(missing: int) -> str:
    """Return what a run says of missing answers that one person alone cannot give; empty without any."""
    return f"{missing} of them from a second person" if missing else ""


def waiting_message(
    *, missing: int, needed: int, remaining_seconds: float | None, where: str, note: str = ""
) -> str:
    """Return what a run says while people answer.

    `missing` answers of `needed` are not there yet, and `where` is the address or command that opens the page. `note`
    is what else there is to say of them.
    """
    about = f" (about {max(1, round(remaining_seconds / 60))} minutes)" if remaining_seconds else ""
    verb = "is" if missing == 1 else "are"
    more = f", {note}" if note else ""
    return f"{missing} of {needed} answers {verb} needed before anything is trained{more}: {where}{about}"
