"""httpx and httpx2: the trace goes on to the services that are called, with hooks and with transports."""

from __future__ import annotations

import asyncio
import importlib
import importlib.util
from collections.abc import Callable
from typing import Any

import pytest
from werkzeug.test import create_environ

import auditmw
from auditmw.contrib.httpx import AsyncAuditTransport, AuditTransport, async_hook, hook
from auditmw.testing import Recorder

CLIENTS = [name for name in ("httpx", "httpx2") if importlib.util.find_spec(name)]
if not CLIENTS:
    pytest.skip("httpx is not installed: pip install httpx", allow_module_level=True)

TRACE = {"traceparent", "x-request-id"}
STOCK = "http://stock.internal/items/7"


@pytest.fixture(params=CLIENTS)
def httpx(request: pytest.FixtureRequest) -> Any:
    return importlib.import_module(request.param)


@pytest.fixture
def sent() -> list[Any]:
    """The requests that reached the network."""
    return []


@pytest.fixture
def network(httpx: Any, sent: list[Any]) -> Any:
    """A transport that keeps what it is given; ``/moved`` redirects to another host."""

    def answer(request: Any) -> Any:
        sent.append(request)
        if request.url.path == "/moved":
            return httpx.Response(302, headers={"Location": "http://elsewhere.example/"})
        return httpx.Response(200, text="hello")

    return httpx.MockTransport(answer)


@pytest.fixture(params=["hook", "async_hook", "AuditTransport", "AsyncAuditTransport"])
def get(request: pytest.FixtureRequest, httpx: Any, network: Any) -> Callable[..., Any]:
    """Sends a GET, in each of the four ways that the trace can be added."""

    async def get_async(url: str, client: Any, **options: Any) -> Any:
        async with client:
            return await client.get(url, **options)

    def get(url: str = STOCK, **options: Any) -> Any:
        if request.param == "hook":
            with httpx.Client(transport=network, event_hooks={"request": [hook]}) as client:
                return client.get(url, **options)
        if request.param == "AuditTransport":
            with httpx.Client(transport=AuditTransport(network)) as client:
                return client.get(url, **options)
        if request.param == "async_hook":
            client = httpx.AsyncClient(transport=network, event_hooks={"request": [async_hook]})
        else:
            client = httpx.AsyncClient(transport=AsyncAuditTransport(network))
        return asyncio.run(get_async(url, client, **options))

    return get


def in_a_request(call: Callable[[], Any], **headers: str) -> dict[str, Any]:
    """Call inside of a request that is being served; returns that request's event."""

    def app(environ: Any, start_response: Any) -> list[bytes]:
        call()
        start_response("200 OK", [])
        return []

    recorder = Recorder()
    environ = create_environ("/", headers=headers) | {"REMOTE_ADDR": "127.0.0.1"}
    auditmw.WSGIAudit(app, auditmw.Audit(recorder, service="shop"))(environ, lambda *head: None)
    return recorder.one()


def test_a_call_carries_the_trace_of_the_request_that_makes_it(get, sent):
    event = in_a_request(get)
    version, trace_id, span_id, _ = sent[0].headers["traceparent"].split("-")
    assert (version, trace_id, span_id) == ("00", event["trace"]["trace_id"], event["trace"]["span_id"])
    assert sent[0].headers["x-request-id"] == event["request_id"]


def test_a_trace_that_came_goes_on_with_its_state(get, sent):
    came = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    in_a_request(get, traceparent=came, tracestate="vendor=1")
    assert sent[0].headers["traceparent"].split("-")[1] == came.split("-")[1]
    assert sent[0].headers["traceparent"] != came
    assert sent[0].headers["tracestate"] == "vendor=1"


def test_what_the_caller_set_stays(get, sent):
    came = {"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "tracestate": "vendor=1"}
    own = {"traceparent": "00-11111111111111111111111111111111-2222222222222222-00", "X-Request-ID": "mine"}
    in_a_request(lambda: get(headers=own), **came)
    assert {name: sent[0].headers[name] for name in own} == own
    assert "tracestate" not in sent[0].headers  # it belongs to the other trace


def test_outside_of_a_request_nothing_is_added(get, sent):
    get()
    assert TRACE & set(sent[0].headers) == set()


def test_a_body_is_sent_once_and_whole(httpx, network, sent):
    with httpx.Client(transport=AuditTransport(network)) as client:
        in_a_request(lambda: client.post(STOCK, content=iter([b"some ", b"bytes"])))
        in_a_request(lambda: client.post(STOCK, data={"a": "b"}))
    assert [request.read() for request in sent] == [b"some bytes", b"a=b"]
    assert all(set(request.headers) > TRACE for request in sent)


def test_only_the_named_hosts_get_the_trace(httpx, network, sent):
    with httpx.Client(transport=AuditTransport(network, only=["Stock.internal"])) as client:
        in_a_request(lambda: (client.get(STOCK), client.get("http://elsewhere.example/")))
    assert [set(request.headers) > TRACE for request in sent] == [True, False]


def test_a_redirect_does_not_carry_the_trace_to_a_host_that_is_not_named(httpx, network, sent):
    with httpx.Client(transport=AuditTransport(network, only=["stock.internal"]), follow_redirects=True) as client:
        in_a_request(lambda: client.get("http://stock.internal/moved"))
    assert [request.url.host for request in sent] == ["stock.internal", "elsewhere.example"]
    assert [set(request.headers) > TRACE for request in sent] == [True, False]


def test_one_host_name_instead_of_a_list_is_refused(network):
    with pytest.raises(TypeError, match="put it in a list"):
        AuditTransport(network, only="stock.internal")


def test_closing_the_client_closes_the_inner_transport(httpx):
    ended = []

    class Inner(httpx.BaseTransport):
        def close(self) -> None:
            ended.append("close")

        def __exit__(self, *error: Any) -> None:
            ended.append("exit")

    with httpx.Client(transport=AuditTransport(Inner())):
        pass
    httpx.Client(transport=AuditTransport(Inner())).close()
    assert ended == ["exit", "close"]
