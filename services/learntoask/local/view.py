"""The present state of a run: the plan that follows from the store and the remembered attempts. Starts nothing."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from learntoask.core.errors import InputError
from learntoask.core.stages.graph import RunInputs, final_publisher, pack_digests
from learntoask.core.stages.planner import Observed, Plan, plan
from learntoask.core.stages.publication import Publication
from learntoask.local.reviews import LocalReviews
from learntoask.runner.home import run_names
from learntoask.runner.inputs import Sources, read_sources
from learntoask.runner.materialise import materialise
from learntoask.runner.run_folder import RunFolder, RunState
from learntoask.store.factory import open_store
from learntoask.store.protocol import Publications, Store


@dataclass(frozen=True, kw_only=True)
class RunView:
    """`publications` holds the published stages by name."""

    folder: RunFolder
    store: Store
    sources: Sources
    state: RunState
    plan: Plan
    publications: dict[str, Publication]

    @property
    def outcome(self) -> str:
        """The plan's outcome, or `Stopped` when no process works on an unfinished run."""
        return "Stopped" if self.plan.outcome == "Running" and not self.folder.active else self.plan.outcome

    def trained_with(self, stage: Literal["label", "grader"]) -> Path:
        """Return the folder with the labels or graders that the run trains and reports with: those of `stage`, or what
        people made of them. Raises InputError as `output` does."""
        return self.output(final_publisher(stage, calibrated=self.sources.spec.calibrate is not None))

    def output(self, stage: str) -> Path:
        """Return the folder with the published files of `stage`. Raises InputError when it has published nothing."""
        publication = self.publications.get(stage)
        if publication is None:
            raise InputError(
                f"run {self.folder.name!r} has not published stage {stage} yet; see `lta status`"
            )
        return materialise(self.store, publication, self.folder.inputs(publication.output))


def view_of(sources: Sources, folder: RunFolder) -> RunView:
    state = folder.read() or RunState(manifest=str(sources.path))
    if (
        not folder.active
    ):  # a killed `lta run` left its running stage in the state, but the stage ended with it
        state = state.without_running()
    store = open_store(sources.store)
    published = Publications(store)
    reviews = LocalReviews(sources, folder, store)
    current = plan_of(sources, state, published, reviews, digests=sources.digests(), now=time.time())
    found = {status.name: published[status.key] for status in current.stages if status.output and status.key}
    return RunView(folder=folder, store=store, sources=sources, state=state, plan=current, publications=found)


def view(name_or_manifest: str, *, home: Path) -> RunView:
    """Return the run of that name, or of that manifest file. Raises InputError when there is none."""
    path = Path(name_or_manifest)
    if path.suffix in (".yaml", ".yml"):
        sources = read_sources(path, home=home)
        return view_of(sources, RunFolder(home, sources.manifest.metadata.name))
    folder = RunFolder(home, name_or_manifest)
    state = folder.read()
    if state is None:
        known = ", ".join(run_names(home)) or "none yet"
        raise InputError(f"there is no run {name_or_manifest!r} in {home} (runs: {known})")
    return view_of(read_sources(Path(state.manifest), home=home), folder)


def plan_of(
    sources: Sources,
    state: RunState,
    published: Publications,
    reviews: LocalReviews,
    *,
    digests: dict[str, str],
    now: float,
    publish: bool = False,
) -> Plan:
    """Return the plan of a run on this machine. With `publish`, the answers of a review that has ended are published
    first."""
    observed = {
        name: Observed(**attempt.model_dump())
        for name, attempt in state.stages.items()
        if attempt.state != "published"
    }
    inputs = RunInputs(pack=pack_digests(sources.pack), files=digests, reruns=state.reruns)

    def current() -> Plan:
        return plan(
            spec=sources.spec,
            inputs=inputs,
            published=published,
            observed=observed,
            now=now,
            reviews=reviews.by_key,
        )

    found = current()
    return current() if reviews.update(found, published, now=now, publish=publish) else found
