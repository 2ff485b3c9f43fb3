"""The shell of frameworks with request and response objects, used as an adapter uses it."""

from __future__ import annotations

import asyncio
import gc
import threading
import weakref
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest
from werkzeug.test import create_environ

import auditmw
from asgi_driver import scope
from auditmw.context import current_exchange
from auditmw.testing import Recorder, assert_valid


@pytest.fixture
def recorder() -> Iterator[Recorder]:
    recorder = Recorder()
    yield recorder
    for event in recorder.events:
        assert_valid(event)


@pytest.fixture
def audit(recorder: Recorder) -> auditmw.Audit:
    return auditmw.Audit(recorder, service="shop")


CARRIERS: list[Any] = [
    pytest.param(lambda: create_environ("/items?a=b") | {"REMOTE_ADDR": "127.0.0.1"}, id="wsgi"),
    pytest.param(lambda: scope("/items?a=b", "http"), id="asgi"),
]


def begin(audit: auditmw.Audit, carrier: Any = None, *, blocking: bool = True, **options: Any) -> auditmw.Served:
    served = auditmw.Shell(audit, **options).begin(carrier or scope("/items", "http"), blocking=blocking)
    assert served is not None
    return served


# ------------------------------------------------------------------------------------------------------- one response


@pytest.mark.parametrize("carrier", CARRIERS)
def test_a_whole_response_is_one_event_when_its_end_is_told(audit, recorder, carrier):
    served = begin(audit, carrier())
    with served:
        auditmw.identify("alice")
        sent = served.start("200 OK", [("Content-Type", "text/plain"), ("X-Userid", "mallory")])
        assert recorder.events == []
        served.end(5)
        event = recorder.one()
    assert event["http"]["response"] == {"status_code": 200, "body_size": 5, "content_type": "text/plain"}
    assert (event["url"]["path"], event["url"]["query"]) == ("/items", "a=b")
    assert sent == [("Content-Type", "text/plain"), ("X-Request-ID", event["request_id"]), ("X-Userid", "alice")]
    assert current_exchange.get() is None


def test_a_response_without_a_told_length_has_the_one_of_its_head(audit, recorder):
    for headers in ([("Content-Length", "7")], []):
        served = begin(audit)
        with served:
            served.start("200 OK", headers)
            served.end()
    assert [event["http"]["response"].get("body_size") for event in recorder.events] == [7, None]


def test_an_exception_of_the_handler_is_an_event_and_goes_on(audit, recorder):
    served = begin(audit)
    with pytest.raises(ValueError, match="kaboom"), served:
        raise ValueError("kaboom")
    assert recorder.one()["error"]["message"] == "kaboom"
    assert current_exchange.get() is None


def test_headers_that_make_no_sense_are_left_to_the_framework(audit, recorder):
    served = begin(audit)
    with served:
        assert served.start("200 OK", [()]) == [()]
        served.end(0)
    assert audit.health()["counts"] == {"internal_errors": 1}
    assert len(recorder.events) == 1


@pytest.mark.parametrize("carrier", CARRIERS)
def test_inside_of_another_shell_of_the_audit_nothing_begins(audit, carrier):
    shell, asked = auditmw.Shell(audit), carrier()
    assert shell.begin(asked, blocking=True) is not None
    assert shell.begin(asked, blocking=True) is None
    assert auditmw.Shell(auditmw.Audit(Recorder(), service="another")).begin(asked, blocking=True) is not None


def test_a_request_that_cannot_be_recorded_is_refused_where_the_audit_says_so(tmp_path):
    (tmp_path / "audit").write_text("not a directory")
    refusing = auditmw.Audit(tmp_path / "audit", service="shop", on_failure="refuse")
    assert begin(refusing).refused is True
    serving = auditmw.Audit(tmp_path / "audit", service="shop")
    assert begin(serving).refused is False


def test_a_plain_handler_may_have_an_async_resolver_and_an_async_one_too(audit, recorder):
    async def who(request: auditmw.Request) -> auditmw.Identity:
        await asyncio.sleep(0)
        return auditmw.Identity("alice")

    served = begin(audit, resolver=who)
    with served:
        served.start("200 OK", [])
        served.end(0)

    async def handle() -> None:
        served = begin(audit, blocking=False, resolver=who)
        async with served:
            await served.resolve()
            served.start("200 OK", [])
            served.end(0)

    asyncio.run(handle())
    assert [event["actor"]["id"] for event in recorder.events] == ["alice", "alice"]


# ------------------------------------------------------------------------------------------------------------ streams


def iterate(body: Any) -> Callable[[], bytes]:
    """Gives the next chunk of a body of either kind; the asynchronous ones here wait for nothing, so need no loop."""

    def step() -> bytes:
        try:
            body.__anext__().send(None)
        except StopIteration as returned:
            return returned.value
        raise AssertionError("it waits")

    return body.__next__ if hasattr(body, "__next__") else step


@pytest.fixture(params=["plain", "async"])
def stream(request: pytest.FixtureRequest, audit: auditmw.Audit) -> Callable[..., Any]:
    """Starts a response whose body is these chunks; an exception among them is raised."""

    def make(chunks: Any, headers: Any = (), resolver: Any = None) -> Any:
        def plain() -> Iterator[bytes]:
            for chunk in chunks:
                if isinstance(chunk, BaseException):
                    raise chunk
                auditmw.annotate(message="in the middle")
                yield chunk

        async def asynchronous() -> AsyncIterator[bytes]:
            for chunk in plain():
                yield chunk

        served = begin(audit, resolver=resolver)
        with served:
            served.start("200 OK", list(headers))
            return served.stream(plain()) if request.param == "plain" else served.stream_async(asynchronous())

    return make


END = (StopIteration, StopAsyncIteration)


def test_a_stream_is_an_event_at_its_end(stream, recorder):
    step = iterate(stream([b"some", b"bytes"]))
    assert (step(), step()) == (b"some", b"bytes")
    assert recorder.events == []
    with pytest.raises(END):
        step()
    event = recorder.one()
    assert (event["http"]["response"]["body_size"], event["outcome"]["result"]) == (9, "success")
    assert event["message"] == "in the middle"
    assert current_exchange.get() is None


def test_the_chunk_that_completes_the_promised_length_comes_after_the_event(stream, recorder):
    step = iterate(stream([b"some", b"bytes"], [("Content-Length", "9")]))
    assert (step(), len(recorder.events)) == (b"some", 0)
    assert (step(), len(recorder.events)) == (b"bytes", 1)


def test_a_stream_that_fails_is_an_event_with_its_error(stream, recorder):
    step = iterate(stream([b"some", ValueError("kaboom")]))
    step()
    with pytest.raises(ValueError, match="kaboom"):
        step()
    assert recorder.one()["error"]["message"] == "kaboom"
    assert recorder.one()["http"]["response"]["body_size"] == 4


def test_a_stream_that_is_closed_before_its_end_was_left_by_its_client(stream, recorder):
    body = stream([b"some", b"bytes"])
    iterate(body)()
    body.close()
    assert recorder.one()["outcome"] == {"result": "unknown", "reason": "client_disconnected"}
    body.close()
    assert len(recorder.events) == 1
    with pytest.raises(END):
        iterate(body)()


def test_a_resolver_that_knew_nobody_is_asked_again_at_the_end(stream, recorder):
    known: list[auditmw.Identity] = []
    step = iterate(stream([b"some"], resolver=lambda request: known[0] if known else None))
    step()
    known.append(auditmw.Identity("alice"))
    with pytest.raises(END):
        step()
    assert recorder.one()["actor"]["id"] == "alice"


def test_an_async_resolver_that_knew_nobody_is_asked_again_at_the_end(audit, recorder):
    known: list[auditmw.Identity] = []

    async def who(request: auditmw.Request) -> auditmw.Identity | None:
        return known[0] if known else None

    async def chunks() -> AsyncIterator[bytes]:
        yield b"some"
        known.append(auditmw.Identity("alice"))

    async def handle() -> None:
        served = begin(audit, blocking=False, resolver=who)
        async with served:
            await served.resolve()
            served.start("200 OK", [])
            body = served.stream_async(chunks())
        assert [chunk async for chunk in body] == [b"some"]

    asyncio.run(handle())
    assert recorder.one()["actor"]["id"] == "alice"


def test_a_closed_stream_lets_go_of_what_it_was_made_of(stream):
    """Django's response holds the stream, and what is streamed holds the response."""

    class Response:
        body: Any

    response = Response()
    response.body = stream([b"some", response])  # a cycle, through the generator
    iterate(response.body)()
    gone = weakref.ref(response)
    gc.collect()
    gc.disable()
    try:
        response.body.close()
        del response
        assert gone() is None
    finally:
        gc.enable()


@pytest.mark.parametrize("length", [[], [("Content-Length", "4")]], ids=["no length", "length"])
def test_on_disk_durability_every_end_waits_for_the_disk(tmp_path, monkeypatch, length):
    audit = auditmw.Audit(tmp_path / "audit", service="shop", durability="disk")
    synced: list[bool] = []
    policy_of = auditmw.Audit.policy_with

    def noting(self: auditmw.Audit, resolver: Any, *, blocking: bool) -> Any:
        policy = policy_of(self, resolver, blocking=blocking)
        noted = lambda: synced.append(threading.current_thread() is threading.main_thread())  # noqa: E731
        object.__setattr__(policy, "commit", noted)
        return policy

    monkeypatch.setattr(auditmw.Audit, "policy_with", noting)

    async def handle() -> None:
        served = begin(audit, blocking=False)
        async with served:
            served.start("200 OK", [])
            served.end(0)
        served = begin(audit, blocking=False)
        async with served:
            served.start("200 OK", length)
            body = served.stream_async(chunks())
        assert [chunk async for chunk in body] == [b"some"]

    async def chunks() -> AsyncIterator[bytes]:
        yield b"some"

    served = begin(audit)
    with served:
        served.start("200 OK", [])
        served.end(0)
    assert synced == [True]
    asyncio.run(handle())
    assert synced == [True, False, False]  # in a thread, so that the loop goes on
