"""What code inside a request says and sees, and that no request sees another's."""

from __future__ import annotations

import asyncio
import contextvars
import json
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from asgiref.sync import async_to_sync, sync_to_async
from werkzeug.test import create_environ, run_wsgi_app

import auditmw
from asgi_driver import answer, ask
from auditmw.testing import Recorder, assert_valid

USERS = [f"user-{n}" for n in range(40)]


@pytest.fixture
def recorder() -> Iterator[Recorder]:
    recorder = Recorder()
    yield recorder
    for event in recorder.events:
        assert_valid(event)


@pytest.fixture
def audit(recorder: Recorder) -> auditmw.Audit:
    return auditmw.Audit(recorder, service="shop")


@pytest.fixture
def serve(audit: auditmw.Audit) -> Callable[..., dict[str, str]]:
    """Serves one WSGI request by calling something in it; returns the response's headers."""

    def serve(call: Callable[[], Any], path: str = "/", **options: Any) -> dict[str, str]:
        def app(environ: Any, start_response: Any) -> list[bytes]:
            call()
            start_response("200 OK", [])
            return [b"done"]

        shell = auditmw.WSGIAudit(app, options.get("audit", audit))
        return dict(run_wsgi_app(shell, create_environ(path) | {"REMOTE_ADDR": "127.0.0.1"})[2])

    return serve


def own_context(recorder: Recorder) -> None:
    """Every event is wholly that of one user's request, and every request has both of its events."""
    traces = {}
    for event in recorder.events:
        name = event["actor"]["id"]
        assert event["url"]["path"] == f"/{name}"
        assert event["data"]["seen"] == name
        assert traces.setdefault(name, event["trace"]["trace_id"]) == event["trace"]["trace_id"]
    assert sorted(traces) == sorted(USERS)
    assert len(set(traces.values())) == len(USERS)
    assert len(recorder.events) == 2 * len(USERS)


def work(name: str) -> None:
    """What a part of the request that runs elsewhere says."""
    auditmw.identify(name)
    auditmw.record("worked", seen=auditmw.current().user_id)
    auditmw.annotate(seen=auditmw.current().user_id)


# ------------------------------------------------------------------------------------------------------------- no leaks


def test_threads_do_not_mix_their_requests(serve, recorder):
    barrier = threading.Barrier(len(USERS), timeout=30)

    def request(name: str) -> None:
        barrier.wait()
        barrier.wait()  # all are inside of their requests
        work(name)

    threads = [threading.Thread(target=serve, args=(lambda n=name: request(n), f"/{name}")) for name in USERS]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    own_context(recorder)


def test_thread_pools_see_the_request_whose_context_is_copied(serve, recorder):
    with ThreadPoolExecutor(4) as pool:
        for name in USERS:
            context: list[Any] = []
            serve(lambda n=name, c=context: pool.submit(contextvars.copy_context().run, work, n).result(), f"/{name}")
        assert pool.submit(auditmw.current).result() is None
    own_context(recorder)


def asgi_app(call: Callable[[str], Any]) -> Any:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await call(scope["path"][1:])
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"done"})

    return app


async def in_the_request(name: str) -> None:
    await asyncio.sleep(0)
    auditmw.identify(name)
    await asyncio.sleep(0)
    auditmw.record("worked", seen=auditmw.current().user_id)
    auditmw.annotate(seen=auditmw.current().user_id)


async def in_a_task(name: str) -> None:
    await asyncio.create_task(in_the_request(name))


async def in_a_thread(name: str) -> None:
    await asyncio.to_thread(work, name)


async def in_sync_to_async(name: str) -> None:
    await sync_to_async(work, thread_sensitive=False)(name)


async def there_and_back(name: str) -> None:
    await sync_to_async(lambda: async_to_sync(in_the_request)(name), thread_sensitive=False)()


@pytest.mark.parametrize("call", [in_the_request, in_a_task, in_a_thread, in_sync_to_async, there_and_back])
def test_tasks_and_their_threads_do_not_mix_their_requests(audit, recorder, call):
    app = auditmw.ASGIAudit(asgi_app(call), audit)

    async def visit() -> None:
        await asyncio.gather(*(answer(app, f"/{name}") for name in USERS))
        assert auditmw.current() is None

    asyncio.run(visit())
    own_context(recorder)


GEVENT = """
from gevent import monkey
monkey.patch_all()
import io, json, sys
import gevent, auditmw
from auditmw.testing import Recorder

recorder = Recorder()
audit = auditmw.Audit(recorder, service="shop")

def app(environ, start_response):
    name = environ["PATH_INFO"][1:]
    gevent.sleep(0)
    auditmw.identify(name)
    gevent.sleep(0)
    auditmw.annotate(seen=auditmw.current().user_id)
    start_response("200 OK", [])
    gevent.sleep(0)
    yield b"some "
    gevent.sleep(0)
    auditmw.record("worked", seen=auditmw.current().user_id)
    yield b"bytes"

shell = auditmw.WSGIAudit(app, audit)

def request(name):
    body = shell({"REQUEST_METHOD": "GET", "PATH_INFO": "/" + name, "REMOTE_ADDR": "127.0.0.1"}, lambda *head: None)
    for chunk in body:
        gevent.sleep(0)
    body.close()

gevent.joinall([gevent.spawn(request, name) for name in sys.argv[1:]], raise_error=True)
assert auditmw.current() is None
print(json.dumps(recorder.events))
"""


@pytest.mark.needs("gevent")
def test_greenlets_do_not_mix_their_requests(recorder):
    done = subprocess.run([sys.executable, "-c", GEVENT, *USERS], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    recorder.events.extend(json.loads(done.stdout))
    own_context(recorder)


def test_after_a_request_nothing_of_it_is_left(serve):
    serve(lambda: auditmw.identify("alice"))
    assert auditmw.current() is None
    assert auditmw.outgoing_headers() == {}


def test_a_generator_that_stands_still_leaves_no_context_behind(audit):
    def app(environ: Any, start_response: Any) -> Iterator[bytes]:
        start_response("200 OK", [])
        auditmw.identify("alice")
        yield b"some"
        yield b"bytes"

    body = auditmw.WSGIAudit(app, audit)(create_environ("/"), lambda *head: None)
    next(iter(body))
    assert auditmw.current() is None
    body.close()


# ------------------------------------------------------------------------------------------------- current and outgoing


def test_current_has_the_ids_of_the_event(serve, recorder):
    seen = []

    def look() -> None:
        auditmw.identify("alice", session="s-1")
        seen.append(auditmw.current())

    serve(look)
    event = recorder.one()
    assert seen[0].trace_id == event["trace"]["trace_id"]
    assert seen[0].span_id == event["trace"]["span_id"]
    assert seen[0].request_id == event["request_id"]
    assert (seen[0].user_id, seen[0].session_id) == ("alice", event["session"]["id"])


def test_a_request_inside_of_a_request_has_a_context_of_its_own(serve, recorder):
    def outer() -> None:
        auditmw.identify("outer")
        serve(lambda: auditmw.identify("inner"), "/inner")
        auditmw.annotate(message=auditmw.current().user_id)

    serve(outer, "/outer")
    inner, outermost = recorder.events
    assert (inner["url"]["path"], inner["actor"]["id"]) == ("/inner", "inner")
    assert (outermost["url"]["path"], outermost["actor"]["id"], outermost["message"]) == ("/outer", "outer", "outer")


# ------------------------------------------------------------------------------------------------------------- identify


def test_identify_wins_over_the_resolver(recorder, serve):
    audit = auditmw.Audit(recorder, service="shop", resolver=lambda request: auditmw.Identity("carol", session="s-1"))
    headers = serve(lambda: auditmw.identify("alice"), audit=audit)
    assert recorder.one()["actor"]["id"] == headers["X-Userid"] == "alice"
    assert recorder.one()["session"]["id"]  # the resolver's, as identify said nothing of it


def test_identify_wins_over_a_resolver_that_was_asked_before(recorder, serve):
    audit = auditmw.Audit(recorder, service="shop", resolver=lambda request: auditmw.Identity("carol"))
    serve(lambda: (auditmw.record("looked"), auditmw.identify("alice")), audit=audit)
    assert [event["actor"]["id"] for event in recorder.events] == ["carol", "alice"]


def test_everything_that_identify_takes_is_in_the_event(serve, recorder):
    said = {"name": "Alice", "email": "a@shop.test", "provider": "oidc", "realm": "staff", "on_behalf_of": "bob"}
    serve(lambda: auditmw.identify("alice", type="service", authenticated=True, roles=["clerk"], **said))
    expected = {"id": "alice", "type": "service", "authenticated": True, "roles": ["clerk"], **said}
    assert recorder.one()["actor"] == expected


def test_after_a_login_the_event_has_both_sessions(serve, recorder):
    serve(lambda: auditmw.identify("alice", session="s-2", previous_session="s-1"))
    session = recorder.one()["session"]
    assert session["id"] != session["previous_id"]
    assert not {"s-1", "s-2"} & set(session.values())


# ------------------------------------------------------------------------------------------------------------- annotate


def test_later_annotations_win_and_others_stay(serve, recorder):
    serve(lambda: (auditmw.annotate(message="a", item=1, shelf=2), auditmw.annotate(message="b", item=3)))
    assert recorder.one()["message"] == "b"
    assert recorder.one()["data"] == {"item": 3, "shelf": 2}


def test_an_exception_that_the_view_answered_is_the_events_error(serve, recorder):
    serve(lambda: auditmw.annotate(error=LookupError("no such item")))
    assert recorder.one()["error"] == {"type": "builtins.LookupError", "message": "no such item", "handled": True} | {
        "stacktrace": recorder.one()["error"]["stacktrace"]
    }


def test_what_is_annotated_after_the_event_is_dropped_and_counted(audit, recorder):
    async def call(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"done"})
        auditmw.annotate(item=7)
        auditmw.identify("alice")

    ask(auditmw.ASGIAudit(call, audit))
    assert "data" not in recorder.one()
    assert "actor" not in recorder.one()
    assert audit.health()["counts"] == {"late": 2}
    assert audit.health()["status"] == "degraded"


def test_outside_of_a_request_annotations_and_identities_are_nobodys(audit, recorder):
    auditmw.annotate(item=7)
    auditmw.identify("alice")
    assert recorder.events == []
    assert audit.health()["counts"] == {}


# --------------------------------------------------------------------------------------------------------------- record


def test_a_record_outside_of_a_request_goes_to_the_named_audit(audit, recorder):
    auditmw.record("cleaned_up", audit=audit, files=3)
    event = recorder.one()
    assert event["data"] == {"files": 3}
    assert {"request_id", "client", "actor", "http"} & set(event) == set()


def test_a_record_outside_of_a_request_goes_to_the_processs_only_audit():
    """In a process of its own: here there are many."""
    code = (
        "import auditmw; from auditmw.testing import Recorder; recorder = Recorder();"
        "audit = auditmw.Audit(recorder, service='shop'); auditmw.record('cleaned_up');"
        "other = auditmw.Audit(recorder, service='other'); auditmw.record('lost');"
        "print([event['event'] for event in recorder.events])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "['cleaned_up']", done.stderr
    assert "'lost' was recorded outside of a request" in done.stderr


def test_a_record_for_another_audit_has_nothing_of_this_request(serve, recorder):
    other = Recorder()
    elsewhere = auditmw.Audit(other, service="billing")
    serve(lambda: auditmw.record("invoice_sent", audit=elsewhere, item=7))
    assert other.one()["service"] == {"name": "billing"}
    assert "request_id" not in other.one()
    assert [event["event"] for event in recorder.events] == ["http_request"]


def test_a_record_after_the_event_still_has_the_requests_context(audit, recorder):
    async def call(scope: Any, receive: Any, send: Any) -> None:
        auditmw.identify("alice")
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"done"})
        auditmw.record("mail_sent")

    ask(auditmw.ASGIAudit(call, audit))
    request, mail = recorder.events
    assert (mail["event"], mail["trace"], mail["actor"]) == ("mail_sent", request["trace"], request["actor"])
