"""`resolve` tries the store out, so that a missing bucket or right is found before any stage has worked."""

from __future__ import annotations

from learntoask.core.digest import digest_of
from learntoask.pod.environment import PodEnvironment
from learntoask.store.address import StoreAddress, bucket_and_key
from learntoask.store.factory import open_bucket, open_store
from learntoask.store.unfinished import Checkpoints, unfinished_address


def check_store(pod: PodEnvironment) -> None:
    """Do in the run's store all that stages do there. Raises StoreError with what is missing."""
    stage, key = pod.order.stage, digest_of({"store check of": pod.run.metadata.name})
    open_store(pod.store).find(key)
    pod.home.mkdir(parents=True, exist_ok=True)
    probe = pod.home / "probe"
    probe.write_text("resolve was here\n")
    address = unfinished_address(pod.store)
    unfinished = Checkpoints(open_store(address), stage=stage, key=key, of=key)
    unfinished.save({probe.name: probe})
    unfinished.forget()
    if pod.store.is_s3:
        _check_bucket(address, key)


def _check_bucket(address: StoreAddress, key: str) -> None:
    """List, and begin an upload in parts and end it: the rights for that are separate ones, and only the cleanup and a
    trained model would need them."""
    name, prefix = bucket_and_key(address.uri, field="the store's address")
    bucket, place = open_bucket(name, address), f"{prefix}/probe-{key[:16]}"
    next(bucket.entries(place), None)
    upload = bucket.begin(place)
    bucket.send(place, upload, number=1, content=b"resolve was here\n")
    bucket.parts(place, upload)
    bucket.uploads(place)
    bucket.abort(place, upload)
