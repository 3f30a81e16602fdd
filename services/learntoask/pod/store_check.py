"""`resolve` tries the store out, so that a missing bucket or right is found before any stage has worked."""

from __future__ import annotations

from learntoask.core.digest import digest_of
from learntoask.pod.environment import PodEnvironment
from learntoask.store.factory import open_store
from learntoask.store.unfinished import Checkpoints, unfinished_address


def check_store(pod: PodEnvironment) -> None:
    """Read, write and remove something in the run's store. Raises StoreError with what is missing."""
    stage, key = pod.order.stage, digest_of({"store check of": pod.run.metadata.name})
    open_store(pod.store).find(key)
    pod.home.mkdir(parents=True, exist_ok=True)
    probe = pod.home / "probe"
    probe.write_text("resolve was here\n")
    unfinished = Checkpoints(open_store(unfinished_address(pod.store)), stage=stage, key=key, of=key)
    unfinished.save({probe.name: probe})
    unfinished.forget()
