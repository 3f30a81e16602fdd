"""The calibration of labels and graders by the answers of people (docs/calibration.md)."""

from __future__ import annotations

from ipaddress import ip_network
from typing import Annotated, Literal

from pydantic import Field, JsonValue, model_validator

from learntoask.core.manifest.duration import PositiveDuration
from learntoask.core.manifest.endpoint import Endpoint, HttpAddress
from learntoask.core.manifest.form import Form
from learntoask.core.manifest.model import ManifestModel, Name, Share

Revision = Literal["thresholds", "patterns", "prompts"]


class ReviewProxy(ManifestModel):
    """A proxy that signs people in and names them to the page."""

    header: Annotated[
        str,
        Field(max_length=100),
        Form("[A-Za-z][A-Za-z0-9-]*", "give the name of a header, such as X-Auth-Request-Email"),
    ]
    """Request header in which the proxy names the reviewer, such as `X-Auth-Request-Email`."""
    addresses: Annotated[tuple[Annotated[str, Field(max_length=50)], ...], Field(min_length=1, max_length=20)]
    """Networks from which the header is believed, such as `10.0.0.0/8`."""
    adjudicators: Annotated[tuple[Annotated[str, Field(max_length=64)], ...], Field(max_length=100)] = ()
    """Names of people who decide where reviewers disagree. All others are reviewers."""

    @model_validator(mode="after")
    def _networks(self) -> ReviewProxy:
        for address in self.addresses:
            try:
                ip_network(address)
            except ValueError:
                raise ValueError(
                    f"addresses: {address!r} is no network; write 10.0.0.0/8 or ::1/128"
                ) from None
        return self


class ReviewPage(ManifestModel):
    """The page on which people answer, in a cluster; a laptop ignores it."""

    address: HttpAddress | None = None
    """Address under which people reach the page, such as `https://review.example.org`; messages name it. If left out,
    they name the Service."""
    key_secret: Name | None = None
    """Secret of the namespace whose key `key` holds at least 32 bytes; it signs the links by which people come in. If
    left out, links end with the pod that made them."""
    proxy: ReviewProxy | None = None
    """The proxy that signs people in. If left out, people need a signed link (`lta review link`)."""


class Calibrate(ManifestModel):
    """How people's answers purge and correct the labels, revise the pack and the graders, and open the gate to the
    stages that train."""

    budget: Annotated[int, Field(ge=20, le=100_000)] = 120
    """Number of answers that people are asked for, repeated, known and double-labelled items included."""
    overlap_share: Share = 0.2
    """Share of the anchor's items that a second person also answers, for the agreement between people."""
    min_kappa: Share = 0.6
    """The gate GraderCalibrated opens when the one-sided 95 % lower bound of Cohen's κ between graders and people is at
    least this."""
    min_answers: Annotated[int, Field(ge=10, le=1_000_000)] = 100
    """Smallest number of answers (question and field) on the anchor that the gate decides on."""
    min_rarer: Annotated[int, Field(ge=1, le=1_000_000)] = 20
    """Smallest number of them in the rarer class: fields that people say are asked for, or that they say are not."""
    looks: Annotated[int, Field(ge=1, le=100)] = 5
    """Number of revisions that may be tested on the anchor with one set of answers. The level of the test is divided
    among them, and less of it is left for later sets that hold the same answers."""
    revise: tuple[Revision, ...] = ("thresholds", "patterns", "prompts")
    """What may be revised from the answers, cheapest first. `thresholds`: the bounds of the model-free graders.
    `patterns`: the patterns and example questions of the pack's fields, for `label.method: lexicon`. `prompts`: what a
    language model that labels or grades is told (`prompts.microGoal`, `prompts.judge` of the pack). With `[]` nothing
    is revised; labels are purged and measured all the same."""
    seed: Annotated[int, Field(ge=0, le=2**31 - 1)] = 0
    """Seed of the draw. Another seed draws fresh items, as is needed when all looks at the anchor are spent."""
    proposer: Endpoint | None = None
    """Language model that rewrites prompts, for `prompts`; without it, only bullets from a library are added. It must
    be another model than the judge and the labeller."""
    on_deadline: Literal["hold", "proceed", "fail"] = "hold"
    """What happens when answers are still missing at the deadline. `hold`: the run goes on waiting. `proceed`: it goes
    on with the answers there are, and the report says so. `fail`: it fails."""
    deadline: PositiveDuration | None = None
    """Time after which `onDeadline` applies, counted from the moment the items are drawn. Without it the run waits for
    ever, except with `onDeadline: proceed`, which then does not wait at all."""

    review: ReviewPage = ReviewPage()

    def determining(self, part: Literal["draw", "revise"]) -> dict[str, JsonValue]:
        """Return the settings that determine which items are drawn, or what is done with the answers. How long the
        answers are waited for determines neither."""
        drawing = {"budget", "overlap_share", "min_answers", "seed"}
        waiting = {"on_deadline", "deadline", "review"}
        if part == "draw":
            return self.model_dump(mode="json", by_alias=True, include=drawing)
        settings = self.model_dump(
            mode="json", by_alias=True, exclude={"budget", "overlap_share", *waiting, "proposer"}
        )
        # Whether the run goes on with too few answers is part of the result.
        settings["proceed"] = self.on_deadline == "proceed"
        return {**settings, "proposer": self.proposer.determining if self.proposer else None}

    @model_validator(mode="after")
    def _fails_some_time(self) -> Calibrate:
        if self.on_deadline == "fail" and self.deadline is None:
            raise ValueError("onDeadline fail needs a deadline")
        return self

    @model_validator(mode="after")
    def _each_revision_once(self) -> Calibrate:
        if len(set(self.revise)) < len(self.revise):
            raise ValueError("revise names the same revision twice")
        return self
