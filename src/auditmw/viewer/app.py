"""The viewer as a WSGI application: who may look, what is asked, and the answer as JSON."""

from __future__ import annotations

import inspect
import logging
import os
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from time import perf_counter
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from asgiref.sync import async_to_sync
from werkzeug.exceptions import HTTPException, MethodNotAllowed, NotFound, RequestEntityTooLarge
from werkzeug.routing import Map, Rule
from werkzeug.wrappers import Request, Response

import auditmw
from auditmw.places import Place
from auditmw.query.answers import answer_json
from auditmw.viewer import completion, events, files, journeys, overview, settings, tail
from auditmw.viewer.asking import Ask, Shared
from auditmw.viewer.export import export
from auditmw.viewer.headers import check_change, secured
from auditmw.viewer.parameters import Parameters
from auditmw.viewer.people import Authorize, Carrier, Seen, Viewer
from auditmw.viewer.recording import Recorder
from auditmw.viewer.recording import question as asked_for
from auditmw.viewer.refusals import Refusal
from auditmw.viewer.running import Engines, Handle, Running
from auditmw.viewer.saved import Saved
from auditmw.viewer.token import TokenAccess

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIEnvironment

MAX_URL = 16_384
MAX_BODY = 65_536

_EVERYBODY = Viewer("everybody")
_log = logging.getLogger("auditmw.viewer")

# What each path of the API answers, and as what it is written down when somebody looks.
_QUESTIONS: dict[str, tuple[Callable[..., Any], str]] = {
    "events": (events.events, "events"),
    "count": (overview.counted, "events"),
    "histogram": (overview.over_time, "events"),
    "facets": (overview.facets_of, "events"),
    "tail": (tail.came, "events"),
    "event": (events.one_event, "event"),
    "context": (events.around, "event"),
    "summary": (overview.at_a_glance, "summary"),
    "timeline/<of>": (events.life_of, "timeline"),
    "funnel": (journeys.came_through, "funnel"),
    "funnel/units": (journeys.who_came, "funnel"),
    "retention": (journeys.who_came_back, "retention"),
    "conversion": (journeys.converted, "conversion"),
    "paths": (journeys.ways, "paths"),
}
_OTHERS: dict[str, Callable[[Ask], Any]] = {
    "config": settings.settings,
    "parse": completion.parsed,
    "save": settings.save_view,
    "delete": settings.delete_view,
    "cancel": settings.cancel,
}
_RULES = Map(
    [
        Rule("/", endpoint="index", methods=["GET"]),
        Rule("/static/<name>", endpoint="static", methods=["GET"]),
        Rule("/api/config", endpoint="config", methods=["GET"]),
        Rule("/api/parse", endpoint="parse", methods=["GET"]),
        Rule("/api/export", endpoint="export", methods=["GET"]),
        Rule("/api/views", endpoint="save", methods=["POST"]),
        Rule("/api/views", endpoint="delete", methods=["DELETE"]),
        Rule("/api/cancel", endpoint="cancel", methods=["POST"]),
        *(Rule(f"/api/{path}", endpoint=path, methods=["GET"]) for path in _QUESTIONS),
    ],
    merge_slashes=False,
    strict_slashes=False,
)


class ViewerApp:
    """The viewer of an audit directory: a WSGI application to mount anywhere. `ASGIViewerApp` is the same for ASGI.

    `place`: the directory, or the URL of a ClickHouse database that `auditmw ship` fills; there no views are saved.
    `authorize`: ``auditmw.Request -> Viewer | None``, plain or ``async``: who may look, and at what; asked for every
    request. `open_to_all`: everybody may look at everything, where something in front lets in only who may.
    `audit`: the `auditmw.Audit` into which it is written who looked at what, and who took events away.
    `trusted_proxies`: whose word on the client's address is believed, as `auditmw.Audit` has it; None: that of `audit`.
    `time_limit_seconds`: of one question. `at_most_queries`: how many run at once in one process.
    `export_cap`: how many events one export has at most. `threads`, `memory_bytes`: as `auditmw.query.Engine` has them.

    Construction does no I/O. Raises ValueError when nobody was said to be let in, and for a URL that is wrong.
    """

    def __init__(
        self,
        place: str | os.PathLike[str] | Place,
        *,
        authorize: Authorize | None = None,
        open_to_all: bool = False,
        audit: auditmw.Audit | None = None,
        trusted_proxies: Sequence[str] | auditmw.Proxies | None = None,
        time_limit_seconds: float = 10.0,
        at_most_queries: int = 4,
        export_cap: int = 1_000_000,
        threads: int = 2,
        memory_bytes: int = 512 * 1024 * 1024,
    ) -> None:
        _check_access(authorize, open_to_all)
        if at_most_queries < 1 or export_cap < 1 or time_limit_seconds <= 0:
            raise ValueError("expected at least one query, one event of an export, and some time for a question")
        self.place = place if isinstance(place, Place) else Place(place)
        self._authorize = authorize
        self._shared = Shared(
            self.place,
            time_limit_seconds,
            export_cap,
            Running(at_most_queries),
            Recorder(audit),
            Saved(self.place.directory),
        )
        self._engines = Engines(lambda: self.place.engine(threads=threads, memory_bytes=memory_bytes))
        self._proxies, self._tracer = _proxies(trusted_proxies, audit), auditmw.Tracer()

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer one request."""
        return self.respond(environ)(environ, start_response)

    def respond(
        self,
        environ: WSGIEnvironment,
        *,
        carrier: Carrier | None = None,
        handle: Handle | None = None,
        tail: str = "poll",
    ) -> Response:
        """Return the response to a request; never raises.

        `carrier`: what `authorize` finds as its request's carrier where that is not the environ. `handle`: what ends
        the request's questions early. `tail`: how the page is to hear of new events.
        """
        request = Request(environ)
        request.max_content_length = MAX_BODY
        try:
            return secured(self._answered(request, environ if carrier is None else carrier, handle or Handle(), tail))
        except Exception as error:
            return self.refused(request, error)

    def refused(self, request: Request, error: Exception) -> Response:
        """Return what is said to who makes a request of which an error came; what is no refusal is logged."""
        is_api = request.path.startswith("/api/")
        if isinstance(error, HTTPException):
            return secured(_of_http(error, is_api))
        if not isinstance(error, Refusal):
            _log.error("the viewer failed to answer %s %s", request.method, request.path, exc_info=error)
            error = Refusal(500, "the viewer failed; the server's log says why")
        return secured(error.as_json() if is_api else error.as_page())

    def viewer_of(self, carrier: Carrier) -> Viewer:
        """Return who makes a request. Raises Refusal for nobody."""
        if self._authorize is None:
            return _EVERYBODY
        found: Any = self._authorize(auditmw.Request(Seen(carrier, self._proxies, self._tracer)))
        if inspect.isawaitable(found):
            found = async_to_sync(_awaited)(found)
        if found is None:
            raise Refusal(401, "you are not signed in, or may not see the audit log")
        if not isinstance(found, Viewer):
            raise TypeError(f"expected authorize to return a Viewer or None, not {type(found).__name__}")
        return found

    def close(self) -> None:
        """Let go of memory and temporary files."""
        self._engines.close()

    def _answered(self, request: Request, carrier: Carrier, handle: Handle, tail: str) -> Response:
        check_length(request)
        if not request.environ.get("PATH_INFO") and request.environ.get("SCRIPT_NAME"):
            return _with_slash(request)
        if isinstance(self._authorize, TokenAccess) and (entered := self._authorize.exchange(request)):
            return entered
        viewer = self.viewer_of(carrier)
        endpoint, values = _RULES.bind_to_environ(request.environ).match()
        if endpoint == "index":
            self._shared.recorder.page_loaded(viewer)
            return files.index(request)
        if endpoint == "static":
            return files.static(request, **values)
        ask = self.ask(request, carrier, viewer, handle, tail)
        token = ask.parameters.text("token")
        with self._shared.running.named(None if token is None else (viewer.name, token), handle):
            return _api(ask, endpoint, values)

    def ask(self, request: Request, carrier: Carrier, viewer: Viewer, handle: Handle, tail: str) -> Ask:
        """Return what an endpoint works with, for a request of this viewer."""
        engine = self._engines.get()
        if viewer.restriction is not None:
            engine = engine.restricted_to(viewer.restriction)
        handle.attach(engine)
        read = Parameters(request.args, datetime.now(UTC))
        tail = tail if self.place.directory is not None else "poll"  # a look at a database costs more than one at files
        return Ask(request, carrier, viewer, read, engine, handle, tail, self._shared)


def check_length(request: Request) -> None:
    """Refuse a URL that is longer than any that the page makes."""
    if len(request.environ.get("PATH_INFO", "")) + len(request.query_string) > MAX_URL:
        raise Refusal(413, f"expected a URL of at most {MAX_URL:,} characters")


def _proxies(given: Sequence[str] | auditmw.Proxies | None, audit: auditmw.Audit | None) -> auditmw.Proxies:
    if given is None:
        return auditmw.Proxies() if audit is None else audit.policy.proxies
    return given if isinstance(given, auditmw.Proxies) else auditmw.Proxies(given)


def _api(ask: Ask, endpoint: str, values: Mapping[str, str]) -> Response:
    began = perf_counter()
    if endpoint == "export":
        return export(ask)
    if endpoint in _OTHERS:
        if ask.request.method not in ("GET", "HEAD"):
            check_change(ask.request)
        return _json({"answer": _OTHERS[endpoint](ask)})
    question, what = _QUESTIONS[endpoint]
    if question is not tail.came:
        ask.viewed(what, **values, **asked_for(ask.parameters))
    answer = question(ask, **values)
    scope = ask.scope
    query = scope.parsed()
    told = {"q": str(query), "from": scope.start, "to": scope.end}
    errors = [error._asdict() for error in query.errors]
    elapsed_ms = round((perf_counter() - began) * 1000, 1)
    return _json({"answer": answer, "scope": told, "errors": errors, "elapsed_ms": elapsed_ms})


def _json(answer: dict[str, Any]) -> Response:
    return Response(answer_json(answer), content_type="application/json")


def _with_slash(request: Request) -> Response:
    """Return the way from the mount point to what is below it, from which relative links are right."""
    query = request.query_string.decode("latin-1")
    last = quote(request.root_path.rstrip("/").rpartition("/")[2])
    return Response(status=308, headers={"Location": f"{last}/" + (f"?{query}" if query else "")})


def _of_http(error: HTTPException, is_api: bool) -> Response:
    """Return what werkzeug, or an `authorize` that aborts, says; to the API as JSON."""
    code = error.code or (401 if error.response is not None else 500)
    if isinstance(error, RequestEntityTooLarge):
        refusal = Refusal(code, f"expected a request body of at most {MAX_BODY:,} bytes")
    elif isinstance(error, MethodNotAllowed):
        allowed = ", ".join(sorted(error.valid_methods or ()))
        refusal = Refusal(code, f"expected one of the methods {allowed}", headers={"Allow": allowed})
    elif isinstance(error, NotFound):
        refusal = Refusal(code, "there is nothing at this address")
    elif not is_api:
        return error.get_response()  # such as the way to a page to sign in
    else:
        refusal = Refusal(code if code >= 400 else 401, error.description or "this was refused")
    return refusal.as_json() if is_api else refusal.as_page()


def _check_access(authorize: Authorize | None, open_to_all: bool) -> None:
    if authorize is None and not open_to_all:
        raise ValueError(
            "expected authorize=..., a function from auditmw.Request to a Viewer or None that says who may see the "
            "audit log; or open_to_all=True, where everybody who can reach it may"
        )
    if authorize is not None and open_to_all:
        raise ValueError("expected either authorize or open_to_all=True, not both")
    if authorize is not None and not callable(authorize):
        raise TypeError(f"expected authorize to be callable, not {authorize!r}")


async def _awaited(found: Awaitable[Viewer | None]) -> Viewer | None:
    return await found
