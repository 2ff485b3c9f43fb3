"""Every row of the scenario table, bare and wrapped: the server sees the same, and the journal has the right event."""

from __future__ import annotations

import contextlib
import gc
import re
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from wsgiref.validate import validator

import pytest

import auditmw
import journal_files
from players import Recording, play_asgi, play_wsgi
from scenarios import ABSENT, ANYTHING, OURS, PRESENT, SCENARIOS, Scenario

TOKEN = re.compile(r"\A[A-Za-z0-9._~:/+=@-]{1,128}\Z")
Check = Callable[[dict[str, Any]], dict[str, Any]]


def rows(protocol: str) -> list[Any]:
    return [pytest.param(row, id=row.id) for row in SCENARIOS if getattr(row, protocol)]


def asgi_rows() -> list[Any]:
    return [pytest.param(row, loop, id=f"{row.id}-{loop}") for row in SCENARIOS if row.asgi for loop in row.loops]


@pytest.fixture
def audit_for(tmp_path: Path) -> Iterator[Callable[[Scenario], auditmw.Audit]]:
    made: list[auditmw.Audit] = []

    def make(row: Scenario, name: str = "audit") -> auditmw.Audit:
        made.append(auditmw.Audit(tmp_path / name, service="shop", **row.options))
        return made[-1]

    yield make
    for audit in made:
        audit.close()


def wrapped(row: Scenario, shell: Any, audit: auditmw.Audit) -> Callable[[Any], Any]:
    def wrap(app: Any) -> Any:
        for _ in range(row.times_wrapped):
            app = shell(app, audit)
        return app

    return wrap


# ---------------------------------------------------------------------------------------------------- the two players


@pytest.mark.parametrize("row", rows("wsgi"))
def test_a_wsgi_server_sees_the_same_and_the_event_is_right(row, audit_for, tmp_path, check_event):
    bare = play_wsgi(row.wsgi, row.client)  # before there is an Audit, which would take what the app records
    audit = audit_for(row)
    recording = play_wsgi(
        row.wsgi, row.client, wrapped(row, auditmw.WSGIAudit, audit), lambda: written(tmp_path / "audit")
    )
    assert recording.view() == bare.view()
    raised_as_told(row, recording)
    if row.same_object:
        assert recording.result is recording.returned
    check_events(row, recording, journal_files.events(tmp_path / "audit"), "wsgi", check_event)
    check_health(row, audit)


@pytest.mark.parametrize(("row", "loop"), asgi_rows())
def test_an_asgi_server_sees_the_same_and_the_event_is_right(row, loop, audit_for, tmp_path, check_event):
    bare = play_asgi(row.asgi, row.client, loop=loop)
    audit = audit_for(row)
    wrap = wrapped(row, auditmw.ASGIAudit, audit)
    recording = play_asgi(row.asgi, row.client, wrap, lambda: written(tmp_path / "audit"), loop)
    assert recording.view() == bare.view()
    raised_as_told(row, recording)
    if row.client.scope_type not in {"http", "websocket"}:
        assert all(passed is given for passed, given in zip(recording.passed, recording.given, strict=True))
    check_events(row, recording, journal_files.events(tmp_path / "audit"), "asgi", check_event)
    check_health(row, audit)


@pytest.mark.parametrize("row", [param for param in rows("wsgi") if param.values[0].asgi])
def test_both_protocols_write_the_same_event(row, audit_for, tmp_path):
    audit = audit_for(row)  # one directory, so that both have one key for pseudonyms
    play_wsgi(row.wsgi, row.client, wrapped(row, auditmw.WSGIAudit, audit))
    count = written(tmp_path / "audit")
    play_asgi(row.asgi, row.client, wrapped(row, auditmw.ASGIAudit, audit))
    found = [comparable(event) for event in journal_files.events(tmp_path / "audit")]
    assert found[:count] == found[count:]


CONFORMING = [
    "list",
    "list of several chunks",
    "tuple",
    "generator",
    "generator of empty chunks",
    "not found",
    "HEAD",
    "exception before the head",
    "exception in the middle",
    "write",
    "write, then a body",
    "iterable with close",
    "its own iterator",
    "restarted before the head left",
    "identify",
    "record",
    "client leaves a stream",
]


@pytest.mark.parametrize("name", CONFORMING)
def test_the_reference_validator_accepts_the_shell_as_server_and_as_app(name, audit_for, tmp_path):
    """wsgiref.validate inside checks how auditmw treats an app; outside it checks what a server gets."""
    row = next(row for row in SCENARIOS if row.id == name)
    bare = play_wsgi(row.wsgi, row.client)
    wrap = wrapped(row, auditmw.WSGIAudit, audit_for(row))
    recording = play_wsgi(row.wsgi, row.client, lambda app: validator(wrap(validator(app))))
    assert type(recording.raised) is type(bare.raised), recording.raised
    assert recording.errors.getvalue() == ""  # where the validator complains about an iterator that was not closed
    assert [s for s in recording.steps if s[0] in {"chunk", "write"}] == [
        s for s in bare.steps if s[0] in {"chunk", "write"}
    ]
    assert len(journal_files.events(tmp_path / "audit")) == 1 + len(row.more)


class Witness:
    """Something in the environ or the scope whose end can be seen."""


@pytest.fixture
def no_collector() -> Iterator[None]:
    gc.disable()
    yield
    gc.enable()


def serving_wsgi(wrap: Callable[[Any], Any], path: str, witness: Witness) -> None:
    def app(environ: dict[str, Any], start_response: Any) -> Any:
        if environ["PATH_INFO"] == "/raise":
            raise ValueError("no")
        start_response("200 OK", [])
        return (chunk for chunk in [b"hel", b"lo"])

    with contextlib.suppress(ValueError):
        list(wrap(app)({"REQUEST_METHOD": "GET", "PATH_INFO": path, "witness": witness}, lambda *head: None))


def serving_asgi(wrap: Callable[[Any], Any], path: str, witness: Witness) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["path"] == "/raise":
            raise ValueError("no")
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"hello"})

    scope = {"type": "http", "method": "GET", "path": path, "headers": [], "witness": witness}
    with contextlib.suppress(StopIteration, ValueError):
        wrap(app)(scope, never_called, taken).send(None)


@pytest.mark.usefixtures("no_collector")
@pytest.mark.parametrize("path", ["/", "/raise"])
@pytest.mark.parametrize("shell", ["WSGIAudit", "ASGIAudit", "neither, WSGI", "neither, ASGI"])
def test_a_served_request_is_freed_without_the_collector(shell, path, tmp_path):
    """Bare, environ and scope go when the server lets go of them: uploads and connections in them must not wait."""
    audit = auditmw.Audit(tmp_path / "audit", service="shop")
    wrap = (lambda app: app) if "neither" in shell else (lambda app: getattr(auditmw, shell)(app, audit))
    serve = serving_wsgi if "WSGI" in shell else serving_asgi
    serve(wrap, "/", Witness())  # opens the journal's file, which happens once
    witness = Witness()
    freed = weakref.ref(witness)
    serve(wrap, path, witness)
    del witness
    assert freed() is None
    audit.close()


async def never_called() -> Any:
    raise AssertionError("the app did not ask for the request body")


async def taken(message: Any) -> None:
    """A server that takes everything and keeps nothing."""


# ------------------------------------------------------------------------------------------------------------- checks


def written(directory: Path) -> int:
    return len(journal_files.lines(directory))


def raised_as_told(row: Scenario, recording: Recording) -> None:
    """The row does what it says; without this a broken scenario could pass by failing early in both runs."""
    if row.raises is None:
        assert recording.raised is None
    else:
        assert isinstance(recording.raised, row.raises)


def check_events(row: Scenario, recording: Recording, found: list[dict[str, Any]], shell: str, check: Check) -> None:
    expected = [*row.more, *([] if row.event is None else [row.event]), *row.after]
    assert len(found) == len(expected), found
    for event, subset in zip(found, expected, strict=True):
        check(event)
        expect(event, subset)
        if subset is row.event:
            assert event["source"] == {"kind": "middleware", "format": shell}
    if row.event is not None:
        check_headers(row, recording, found[len(row.more)])
        if not row.late:
            check_moment(recording, len(row.more) + 1)


def expect(event: dict[str, Any], subset: Any) -> None:
    wrong = {path: at(event, path) for path, value in subset.items() if not agrees(at(event, path), value)}
    assert wrong == {}, f"expected { ({path: subset[path] for path in wrong}) } in {event}"


def agrees(actual: Any, value: Any) -> bool:
    if value is PRESENT:
        return actual is not ABSENT
    return value is ANYTHING or (actual is value if value is ABSENT else bool(actual == value))


def at(event: Any, path: str) -> Any:
    for key in path.split("."):
        if not isinstance(event, dict) or key not in event:
            return ABSENT
        event = event[key]
    return event


def check_headers(row: Scenario, recording: Recording, event: dict[str, Any]) -> None:
    """Our headers: at most one of each, one request id that is the event's, and what the row says."""
    if not any(step[0] == "head" for step in recording.steps):
        return
    sent = recording.headers()
    ours = {name: [value for key, value in sent if key == name] for name in OURS}
    if "x-request-id" not in row.sends:
        assert ours["x-request-id"] == [event["request_id"]]
    assert all(len(values) <= 1 for values in ours.values()), ours
    assert all(TOKEN.match(value.replace("%", "")) for name in OURS[1:] for value in ours[name]), ours
    for name, values in {"x-userid": [], "x-sessionid": [], "x-user": [], **row.sends}.items():
        if values is PRESENT:
            assert len(ours[name]) == 1
        elif values is not ANYTHING:
            assert ours[name] == values
    if ours["x-sessionid"] and row.sends.get("x-sessionid") is not ANYTHING:
        assert ours["x-sessionid"] == [event["session"]["id"]]


def check_moment(recording: Recording, count: int) -> None:
    """The event was there when the last byte left, and not before."""
    moment = moment_of_the_last_byte(recording)
    assert all(seen < count for seen in recording.written[:moment]), (moment, recording.steps, recording.written)
    assert all(seen >= count for seen in recording.written[moment:]), (moment, recording.steps, recording.written)


def moment_of_the_last_byte(recording: Recording) -> int:
    """The number of the step with which the last byte may leave the server.

    A WSGI list is with the server as soon as it is returned. A stream is over when it says so, and an ASGI response
    with its final message. A Content-Length tells the client earlier, and so does an ASGI head without a body.
    """
    kinds = [step[0] for step in recording.steps]
    if "sendfile" in kinds or (recording.returned is not None and recording.result is recording.returned):
        over = kinds.index("returned")
    elif recording.final is not None:
        over = recording.final
    elif hasattr(type(recording.result), "__len__") and "chunk" in kinds:  # the server knows how many there are
        over = len(kinds) - 1 - kinds[::-1].index("chunk")
    else:
        over = next((kinds.index(last) for last in ("end", "closed") if last in kinds), None)
        over = len(kinds) - (kinds[-1:] == ["returned"]) if over is None else over
    return min(over, told_by_length(recording))


def told_by_length(recording: Recording) -> int:
    """The number of the step with which a client has all that the head promised; beyond all steps if there is none."""
    declared = [value for name, value in recording.headers() if name == "content-length"]
    length = int(declared[0]) if declared and declared[0].isdecimal() else -1
    if recording.bodiless or length == 0:  # a WSGI server sends the head with the first chunk that is not empty
        length = 0 if recording.given else -1
    sent = 0
    for index, step in enumerate(recording.steps):
        sent += len(step_data(step))
        if (step[0] == "head" and length == 0) or 0 < length <= sent:
            return index
    return len(recording.steps)


def step_data(step: tuple[Any, ...]) -> bytes:
    if step[0] in {"chunk", "write"}:
        return step[1]
    return step[1].get("body", b"") if step[0] == "http.response.body" else b""


def check_health(row: Scenario, audit: auditmw.Audit) -> None:
    if row.counted is ANYTHING:
        assert "lost" not in audit.health()["counts"]
        return
    counts = {kind: count for kind, count in audit.health()["counts"].items() if kind != "exempted"}
    assert counts.keys() == row.counted.keys(), audit.health()
    assert all(agrees(counts[kind], count) for kind, count in row.counted.items()), audit.health()


def comparable(event: dict[str, Any]) -> dict[str, Any]:
    """An event without what must differ: ids, times, ports, the format, the trace, and lines of source code."""
    event = {
        key: value
        for key, value in event.items()
        if key not in {"id", "timestamp", "start", "duration_ns", "trace", "request_id", "source"}
    }
    event.get("error", {}).pop("stacktrace", None)
    for part in ("client", "server", "url"):
        for key in ("port", "peer_port"):
            event.get(part, {}).pop(key, None)
    return event
