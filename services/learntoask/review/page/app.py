"""The routes of the page. A request that accepts JSON gets the parts that changed; others get a page or a redirect.

Addresses are relative, so the page works below any path of a proxy.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from markupsafe import escape
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from learntoask.core.errors import InputError, StoreError
from learntoask.review.page.access import (
    LinkRefused,
    Person,
    Role,
    TrustedProxy,
    form_token_holds,
    person_of,
)
from learntoask.review.page.cards import Card
from learntoask.review.page.desk import Desk, Outcome
from learntoask.review.page.forms import Form, read_form
from learntoask.review.page.guideline import Wording
from learntoask.review.page.metrics import PageMetrics
from learntoask.review.page.pages import Pages, visitor
from learntoask.review.page.security_headers import SecurityHeaders
from learntoask.review.progress import Progress
from learntoask.review.queue import ReviewQueue

_ASSETS = Path(__file__).with_name("assets")
_NOTES = {
    "undone": "What you did last is undone.",
    "skipped": "Skipped. The question comes back later.",
    "commented": "Your comment is saved.",
}
_GONE = frozenset(("UnknownItem", "ItemRetired"))
_GONE_TEXT = "This question is no longer asked, so nothing was recorded. Go on with the next one."
_AGAIN = "Your answer could not be recorded, because the storage is away. Please send it again in a moment."


class ReviewPage:
    """The page of one queue. `key` signs links and forms; `proxy` is set where a proxy knows its users."""

    def __init__(
        self,
        queue: ReviewQueue,
        wording: Wording,
        key: bytes,
        *,
        proxy: TrustedProxy | None = None,
        metrics: PageMetrics | None = None,
    ) -> None:
        self._desk = Desk(queue)
        self._queue = queue
        self._pages = Pages(wording)
        self._key = key
        self._proxy = proxy
        self._metrics = metrics or PageMetrics()
        # Cookies do not tell ports apart, so two reviews on one machine need two names.
        self._cookie = f"lta-review-{hashlib.sha256(queue.name.encode()).hexdigest()[:8]}"

    def app(self) -> Starlette:
        """Return the ASGI application."""
        posts = {"answer": self._answer, "undo": self._undo, "skip": self._skip, "comment": self._comment}
        return Starlette(
            routes=[
                Route("/", self._handled(self._show)),
                Route("/enter", self._handled(self._enter)),
                Route("/overview", self._handled(self._overview)),
                Route("/guideline", self._handled(self._guideline)),
                *(
                    Route(f"/{name}", self._handled(self._posted(act)), methods=["POST"])
                    for name, act in posts.items()
                ),
                Route("/alive", self._handled(self._posted(self._alive)), methods=["POST"]),
                Route("/healthz", _healthy),
                Route("/readyz", self._ready),
                Mount("/assets", StaticFiles(directory=_ASSETS)),
            ],
            middleware=[Middleware(SecurityHeaders)],
            exception_handlers={404: self._missing, 405: self._missing},
        )

    # who asks

    def _person(self, request: Request) -> Person:
        now = time.time()
        if self._proxy is not None:
            peer = request.client.host if request.client else None
            return self._proxy.person(request.headers.get(self._proxy.header), peer, queue=self._queue.name)
        token = request.cookies.get(self._cookie)
        if token is None:
            raise LinkRefused("Open the link that you were given for this review.", reason="NoLink")
        return person_of(token, self._key, queue=self._queue.name, now=now)

    async def _enter(self, request: Request) -> Response:
        token = request.query_params.get("link", "")
        person = person_of(token, self._key, queue=self._queue.name, now=time.time())
        response = RedirectResponse("./", status_code=303)
        secure = "https" in (request.url.scheme, request.headers.get("x-forwarded-proto", ""))
        response.set_cookie(
            self._cookie,
            token,
            max_age=max(1, int(min(person.expires - time.time(), 400 * 86_400))),
            path=None,  # the folder of this address, whatever a proxy calls it
            secure=secure,
            httponly=True,
            samesite="lax",
        )
        return response

    # what is asked

    async def _show(self, request: Request) -> Response:
        person = self._person(request)
        if person.role is Role.VIEWER:
            return await self._overview(request)
        shown = await self._asked_for(request, person)
        if shown is None:
            shown = await run_in_threadpool(self._desk.next, person)
        ahead = None
        if shown is not None:
            ahead = await run_in_threadpool(self._desk.next, person, besides=(shown.item,))
        progress = await run_in_threadpool(self._queue.progress, person.name)
        return HTMLResponse(
            self._pages.whole(
                "review",
                person=visitor(person, self._key),
                card=shown,
                ahead=ahead,
                progress=progress,
                warnings=await run_in_threadpool(self._queue.warnings, person.name),
                notice=await self._notice(request),
            )
        )

    async def _asked_for(self, request: Request, person: Person) -> Card | None:
        """Return the card that an address names after a form was sent, if that question is still there."""
        after, again = (request.query_params.get(name, "") for name in ("after", "item"))
        try:
            if after:
                return await run_in_threadpool(self._desk.answered, person, after)
            return await run_in_threadpool(self._desk.unanswered, person, again) if again else None
        except InputError:
            return None

    async def _notice(self, request: Request) -> str:
        """Return what an address says that a form did. An answer that was taken back has an empty key for "none"."""
        parameters = request.query_params
        if "undone" not in parameters:
            return _NOTES.get(parameters.get("note", ""), "")
        answer = tuple(key for key in parameters.getlist("undone") if key)
        try:
            return await run_in_threadpool(self._desk.undone, parameters.get("item", ""), answer)
        except InputError:
            return ""

    async def _overview(self, request: Request) -> Response:
        person = self._person(request)
        if person.role is Role.REVIEWER:
            raise LinkRefused(
                "Reviewers do not see each other's figures before the review is done.", reason="NoRole"
            )
        status = await run_in_threadpool(self._queue.status)
        progress = Progress(
            what="answers",
            answered=status.given,
            total=status.needed,
            done=status.missing == 0,
            seconds_left=60 * status.minutes_left,
            decides=self._queue.settings.decides,
        )
        return HTMLResponse(
            self._pages.whole("overview", person=visitor(person, self._key), progress=progress, status=status)
        )

    async def _guideline(self, request: Request) -> Response:
        self._person(request)
        task = request.query_params.get("task", "")
        guide = self._pages.guide(task)
        if _wants_json(request):
            return JSONResponse({"html": guide})
        return HTMLResponse(self._pages.whole("guideline", task=task, guide=guide))

    # what is done

    async def _answer(self, request: Request, person: Person, form: Form) -> Response:
        digest, id, seconds = form.item, form.id, form.seconds(time.time())

        def work() -> Outcome:
            answer = form.answer(self._desk.item(digest))
            return self._desk.answer(person, digest, answer, seconds=seconds, id=id, revealed=form.revealed)

        outcome = await run_in_threadpool(work)
        self._metrics.count("answer", person.role)
        if not _wants_json(request):
            return _redirect(after=digest)
        found = await self._news(person, besides=(digest, *form.ahead))
        assert outcome.card.reveal is not None
        found |= {
            "card": self._pages.article(outcome.card, visitor(person, self._key)),
            "agreed": outcome.card.reveal.agreed and not outcome.notice and not form.revealed,
            "said": self._pages.said(outcome.card),
            "notice": escape(outcome.notice),
        }
        return JSONResponse(found)

    async def _undo(self, request: Request, person: Person, form: Form) -> Response:
        digest, id = form.item_or_none, form.id
        undone = await run_in_threadpool(lambda: self._desk.undo(person, digest, id=id))
        self._metrics.count("undo", person.role)
        shown, answer = undone
        if not _wants_json(request):
            said = {"note": "undone"} if answer is None else {"undone": answer or ("",)}
            return _redirect(item=shown.item, **said)
        found = await run_in_threadpool(lambda: self._figures(person))
        article = self._pages.article(shown, visitor(person, self._key))
        notice = _NOTES["undone"]
        if answer is not None:
            notice = await run_in_threadpool(self._desk.undone, shown.item, answer)
        return JSONResponse({**found, "card": article, "agreed": False, "notice": escape(notice)})

    async def _skip(self, request: Request, person: Person, form: Form) -> Response:
        digest, id, seconds = form.item, form.id, form.seconds(time.time())
        await run_in_threadpool(lambda: self._queue.skip(digest, person.name, seconds=seconds, id=id))
        self._metrics.count("skip", person.role)
        if not _wants_json(request):
            return _redirect(note="skipped")
        found = await self._news(person, besides=(digest, *form.ahead))
        return JSONResponse({**found, "gone": True, "notice": _NOTES["skipped"]})

    async def _comment(self, request: Request, person: Person, form: Form) -> Response:
        digest, id, comment = form.item, form.id, form.comment
        await run_in_threadpool(lambda: self._queue.comment(digest, person.name, comment, id=id))
        self._metrics.count("comment", person.role)
        if not _wants_json(request):
            return _redirect(after=digest, note="commented")
        return JSONResponse({})

    async def _alive(self, request: Request, person: Person, form: Form) -> Response:
        await run_in_threadpool(self._queue.renew, form.items, person.name)
        return Response(status_code=204)

    async def _news(self, person: Person, *, besides: tuple[str, ...]) -> dict[str, Any]:
        """Return the next card besides those that the page holds, the progress and the warnings, as HTML."""

        card, found = await run_in_threadpool(
            lambda: (self._desk.next(person, besides=besides), self._figures(person))
        )
        if card is not None:
            found["next"] = self._pages.article(card, visitor(person, self._key))
        return found

    def _figures(self, person: Person) -> dict[str, Any]:
        """Return the progress and the warnings, as HTML. May block."""
        return {
            "progress": self._pages.progress(self._queue.progress(person.name)),
            "warnings": self._pages.warnings(self._queue.warnings(person.name)),
        }

    # how it is answered

    def _posted(
        self, act: Callable[[Request, Person, Form], Awaitable[Response]]
    ) -> Callable[[Request], Awaitable[Response]]:
        """Return the route of an action: only for people who may answer, and only from a form of this page."""

        async def route(request: Request) -> Response:
            person = self._person(request)
            form = await read_form(request)
            if not form_token_holds(form.one("form"), person, self._key):
                raise LinkRefused(
                    "This form is not from this page, or from before you opened another link. Load the page again.",
                    reason="ForeignForm",
                )
            if person.role is Role.VIEWER:
                raise LinkRefused(
                    "A viewer cannot answer. Ask for a reviewer's link.", reason="ViewerAnswers"
                )
            return await act(request, person, form)

        return route

    def _handled(
        self, route: Callable[[Request], Awaitable[Response]]
    ) -> Callable[[Request], Awaitable[Response]]:
        """Return `route` with errors answered as a page or as JSON."""

        async def safe(request: Request) -> Response:
            with self._metrics.timed(request.url.path):
                try:
                    return await route(request)
                except LinkRefused as error:
                    self._metrics.refused(error.reason)
                    return self._failed(request, 403, "This page is not open to you", str(error), back=False)
                except InputError as error:
                    if error.reason in _GONE:
                        return self._failed(request, 410, "The question is gone", _GONE_TEXT)
                    if error.reason == "UnknownReviewer":
                        self._metrics.refused(error.reason)
                        return self._failed(
                            request, 403, "This page is not open to you", str(error), back=False
                        )
                    return self._failed(request, 400, "That did not work", str(error))
                except StoreError as error:
                    self._metrics.refused(error.reason)
                    return self._failed(request, 503, "The storage is away", _AGAIN)

        return safe

    def _failed(self, request: Request, status: int, title: str, text: str, *, back: bool = True) -> Response:
        if _wants_json(request):
            found: dict[str, Any] = {
                "error": f"{title}." if status == 503 else text
            }  # the script sends it again
            if status == 410:
                found["gone"] = True
            return JSONResponse(found, status_code=200 if status == 410 else status)
        return HTMLResponse(
            self._pages.whole("message", title=title, text=text, back=back), status_code=status
        )

    async def _missing(self, request: Request, _: Exception) -> Response:
        return self._failed(request, 404, "There is nothing here", "This address is not part of the review.")

    async def _ready(self, _: Request) -> Response:
        try:
            await run_in_threadpool(self._queue.item, "")
        except StoreError as error:
            return PlainTextResponse(f"the storage is away: {error.reason}\n", status_code=503)
        return PlainTextResponse("ready\n")


async def _healthy(_: Request) -> Response:
    return PlainTextResponse("ok\n")


def _redirect(**query: str | Sequence[str]) -> Response:
    return RedirectResponse(f"./?{urlencode(query, doseq=True)}", status_code=303)


def _wants_json(request: Request) -> bool:
    return "application/json" in request.headers.get("accept", "")
