"""`lta stage --serve-review`: the pod with the page of a run's review. Every answer is in the store before it is shown.

The pod tells the operator how many answers are missing, and once the review has ended, under which digest the answers
are published.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

from learntoask.core.errors import InputError, StoreError
from learntoask.core.manifest import Calibrate
from learntoask.core.pod_contract import LTA_REVIEW_KEY, LTA_STAGE
from learntoask.core.stages.graph import REVIEW
from learntoask.core.stages.review import second_person
from learntoask.pod.environment import PodEnvironment, read_environment
from learntoask.pod.inputs import fetch_inputs
from learntoask.progress.client import ProgressPusher
from learntoask.progress.report import ProgressReport
from learntoask.review.page.access import Role, TrustedProxy, invited, read_key
from learntoask.review.page.app import ReviewPage
from learntoask.review.page.guideline import wording_of
from learntoask.review.page.server import bind, link_of, serve
from learntoask.rpc.channels import Tls
from learntoask.runner.review import RunReview, open_review
from learntoask.store.factory import open_store

logger = logging.getLogger(__name__)
_LOOK_SECONDS = 3.0  # between two looks at the answers


def serve_review(*, host: str, port: int, environment: Mapping[str, str] = os.environ) -> None:
    """Serve the page until SIGTERM, and publish the answers once the review has ended.

    Raises InputError naming the variable or field at fault, and StoreError if the items are not in the store.
    """
    pod = read_environment(environment)
    review = open_in_pod(pod)
    wording = wording_of(fetch_inputs(pod, roles=()).pack, title=pod.run.metadata.name)
    page = ReviewPage(review.queue, wording, _link_key(pod, environment), proxy=_proxy(review.settings))
    with _watched(pod, review):
        serve(page.app(), bind(host, port), ready=lambda address: logger.info("the page is at %s", address))


def _proxy(settings: Calibrate) -> TrustedProxy | None:
    proxy = settings.review.proxy
    if proxy is None:
        return None
    return TrustedProxy(
        header=proxy.header,
        peers=proxy.addresses,
        roles=dict.fromkeys(proxy.adjudicators, Role.ADJUDICATOR),
        default=Role.REVIEWER,
    )


def review_link(
    name: str,
    role: str,
    *,
    days: float,
    address: str | None = None,
    environment: Mapping[str, str] = os.environ,
) -> str:
    """Return a signed link for a person, made in the pod that serves the page.

    `address` is that of the page, if the manifest does not give it. Raises InputError without an address.
    """
    pod = read_environment(environment)
    settings = pod.run.spec.calibrate
    address = address or (settings.review.address if settings else None)
    if address is None:
        raise InputError(
            "--address, or spec.calibrate.review.address: give the address under which people reach the page"
        )
    person = invited(name, role=Role(role), queue=_queue_name(pod), days=days)
    return link_of(address, person, _link_key(pod, environment))


def open_in_pod(pod: PodEnvironment) -> RunReview:
    """Open the review that a pod serves. Raises InputError naming the variable at fault, and StoreError."""
    pin, settings = pod.order.inputs.get("draw"), pod.run.spec.calibrate
    if pin is None or settings is None:
        raise InputError(f"{LTA_STAGE}: inputs.draw: give key and output of the items that were drawn")
    store = open_store(pod.store)
    drawn = store.find(pin.key)
    if drawn is None or drawn.output != pin.output:
        raise StoreError(f"the items {pin.key[:12]} are not in {store.address}, or other ones are")
    return open_review(
        name=_queue_name(pod),
        at=pod.store,
        settings=settings,
        key=pod.order.key,
        drawn=drawn,
        store=store,
        folder=pod.home / "drawn",
    )


def _queue_name(pod: PodEnvironment) -> str:
    metadata = pod.run.metadata
    return f"{metadata.namespace or 'default'}.{metadata.name}"


def _link_key(pod: PodEnvironment, environment: Mapping[str, str]) -> bytes:
    given = environment.get(LTA_REVIEW_KEY)
    return read_key(Path(given)) if given else read_key(pod.home / "links.key", create=True)


@contextmanager
def _watched(pod: PodEnvironment, review: RunReview) -> Iterator[None]:
    """Watch the review from a thread, and tell the operator about it."""
    subject = ProgressReport(
        namespace=pod.run.metadata.namespace or "default",
        run=pod.run.metadata.name,
        stage=REVIEW,
        attempt=pod.order.attempt,
        key=review.key,
    )
    over = threading.Event()

    def watch(pusher: ProgressPusher | None) -> None:
        while not over.wait(_LOOK_SECONDS):
            try:
                report = _look(review, subject)
            except StoreError as error:
                logger.warning("the answers cannot be read now: %s", error)
                continue
            if pusher is not None:
                pusher.report(report)

    with ExitStack() as stack:
        pusher = None
        if pod.progress:
            tls = Tls(authority=pod.progress_ca) if pod.progress_ca else None
            pusher = stack.enter_context(
                ProgressPusher(pod.progress, token=pod.token, tls=tls, subject=subject)
            )
        thread = threading.Thread(target=watch, args=(pusher,), name="review", daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()


def _look(review: RunReview, subject: ProgressReport) -> ProgressReport:
    """Publish the answers if the review has ended, and return what the operator should know."""
    published = review.store.find(review.key)
    status = review.queue.status()
    now = time.time()
    if published is None and review.step(status, now=now) == "publish":
        published = review.publish(status, now=now)
        logger.info("%d answers are published as %s", status.given, published.output[:12])
    return replace(
        subject,
        done=float(status.given),
        total=float(status.needed),
        message=second_person(status.by_another),
        remaining_seconds=status.minutes_left * 60,
        output=published.output if published else "",
    )
