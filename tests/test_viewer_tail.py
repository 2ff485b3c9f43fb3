"""The tail: everything that is written comes once, from any process, whatever the position says."""

import asyncio
import base64
import contextlib
import json
import os
import time
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from werkzeug.exceptions import Forbidden

import auditmw
from archive_events import write_file
from auditmw.journal.layout import JOURNAL
from auditmw.viewer import ASGIViewerApp, Viewer, ViewerApp
from auditmw.viewer import asgi as asgi_module
from auditmw.viewer import tail as tail_module
from auditmw.viewer.app import MAX_BODY, MAX_URL
from auditmw.viewer.refusals import Refusal
from auditmw.viewer.tail import Position, news, position
from query_table import event
from viewer_site import Site, write

NOW = 1_800_000_000.0
OLD_WRITER = f"{int((NOW - 86_400) * 1000):012x}00000000"
NEW_WRITER = f"{int((NOW + 5) * 1000):012x}00000000"


@pytest.fixture
def shop(tmp_path):
    """A directory, and an Audit that writes into it."""
    audit = auditmw.Audit(tmp_path / "audit", service="shop")
    auditmw.record("before_all", audit=audit)
    yield audit, tmp_path / "audit"
    audit.close()


def everything(event):
    return True


def names(found):
    return [json.loads(entry.body)["event"] for entry in found.entries]


def test_what_is_written_comes_once_in_order(shop):
    audit, directory = shop
    since = position(directory)
    assert names(news(directory, since, everything)) == []
    for name in ("one", "two"):
        auditmw.record(name, audit=audit)
    found = news(directory, since, everything)
    assert names(found) == ["one", "two"]
    auditmw.record("three", audit=audit)
    after = news(directory, Position.read(found.cursor), everything)
    assert names(after) == ["three"]
    assert names(news(directory, Position.read(after.cursor), everything)) == []


def test_an_event_that_is_nested_too_deep_comes_as_any_other(shop):
    _, directory = shop
    since = position(directory)
    body = b'{"event":"deep","timestamp":"2999-01-01T00:00:00Z","more":' + b"[" * 3000 + b"]" * 3000 + b"}"
    write_file(directory, "other", 1, [body])
    assert [entry.body for entry in news(directory, since, everything).entries] == [body]


def test_any_process_goes_on_from_a_position(shop):
    audit, directory = shop
    cursor = Site(directory).answer("tail")["cursor"]
    auditmw.record("one", audit=audit)
    for _ in range(2):
        shown = Site(directory).answer("tail", cursor=cursor)
        assert [entry["event"]["event"] for entry in shown["entries"]] == ["one"]
    assert (shown["behind"], shown["skipped"]) == (0, False)


def test_an_entry_of_the_tail_is_that_of_a_page(shop):
    audit, directory = shop
    site = Site(directory)
    cursor = site.answer("tail")["cursor"]
    auditmw.record("one", audit=audit)
    assert site.answer("tail", cursor=cursor)["entries"] == site.answer("events", limit=1)["entries"]


def test_a_query_chooses_what_comes(shop):
    audit, directory = shop
    site = Site(directory)
    cursor = site.answer("tail")["cursor"]
    for name in ("one", "two"):
        auditmw.record(name, audit=audit)
    assert [entry["event"]["event"] for entry in site.answer("tail", cursor=cursor, q="event:two")["entries"]] == [
        "two"
    ]


def test_of_more_than_fits_the_newest_come_and_the_rest_is_counted(shop, monkeypatch):
    monkeypatch.setattr(tail_module, "AT_MOST", 3)
    audit, directory = shop
    since = position(directory)
    for number in range(5):
        auditmw.record(f"n{number}", audit=audit)
    found = news(directory, since, everything)
    assert (names(found), found.behind, found.skipped) == (["n2", "n3", "n4"], 2, False)


def test_what_is_too_much_to_read_is_passed_over_and_told(shop, monkeypatch):
    audit, directory = shop
    since = position(directory)
    for number in range(50):
        auditmw.record(f"n{number}", audit=audit)
    monkeypatch.setattr(tail_module, "MAX_BYTES", 2_000)
    found = news(directory, since, everything)
    assert found.skipped
    assert names(found)[-1] == "n49"
    assert 1 < len(found.entries) < 10
    assert names(news(directory, Position.read(found.cursor), everything)) == []


def test_requests_under_way_are_left_out(shop):
    _audit, directory = shop
    since = position(directory)
    pending = {"outcome": {"result": "pending"}}
    write(directory, [{**event(0), "id": "a", **pending}, {**event(1), "id": "a"}], writer=NEW_WRITER)
    found = news(directory, since, everything)
    assert [json.loads(entry.body)["outcome"] for entry in found.entries if "outcome" in json.loads(entry.body)] == []
    assert len(found.entries) == 1


# ------------------------------------------------------------------------------- files that a position has nothing of


def touched(directory, writer, events, modified):
    """A journal file that was last written to at a time."""
    write(directory, events, writer=writer)
    file = max((directory / JOURNAL).glob(f"{writer}.*.jsonl"))
    os.utime(file, (modified, modified))
    return file


def made_at(seconds, name):
    moment = time.gmtime(seconds)
    return {**event(0), "event": name, "timestamp": time.strftime("%Y-%m-%dT%H:%M:%S.000000Z", moment)}


def test_a_file_that_was_not_written_to_has_nothing_new(tmp_path):
    touched(tmp_path, OLD_WRITER, [made_at(NOW - 3600, "old")], NOW - 3600)
    since = position(tmp_path, lambda: NOW)
    assert since.offsets == {}
    assert names(news(tmp_path, since, everything, lambda: NOW + 2)) == []


def test_a_new_writers_file_is_new_as_a_whole_also_when_its_events_are_old(tmp_path):
    touched(tmp_path, OLD_WRITER, [made_at(NOW - 3600, "old")], NOW - 3600)
    since = position(tmp_path, lambda: NOW)
    touched(tmp_path, NEW_WRITER, [made_at(NOW - 86_400, "imported")], NOW + 6)
    assert names(news(tmp_path, since, everything, lambda: NOW + 7)) == ["imported"]


def test_a_writers_next_file_is_new_as_a_whole(tmp_path):
    first = touched(tmp_path, OLD_WRITER, [made_at(NOW - 30, "first")], NOW - 30)
    since = position(tmp_path, lambda: NOW)
    assert list(since.offsets) == [first.name]
    first.rename(tmp_path / "aside")
    second = touched(tmp_path, OLD_WRITER, [made_at(NOW - 86_400, "second")], NOW + 1)
    second.rename(second.with_name(f"{OLD_WRITER}.000002.jsonl"))
    (tmp_path / "aside").rename(first)
    assert names(news(tmp_path, since, everything, lambda: NOW + 2)) == ["second"]


def test_of_a_writer_that_was_silent_for_long_what_is_new_is_told_by_its_time(tmp_path):
    file = touched(tmp_path, OLD_WRITER, [made_at(NOW - 3600, "old"), made_at(NOW + 1, "new")], NOW + 1)
    before = Position(NOW, {})
    assert names(news(tmp_path, before, everything, lambda: NOW + 2)) == ["new"]
    found = news(tmp_path, before, everything, lambda: NOW + 2)
    assert Position.read(found.cursor).offsets == {file.name: file.stat().st_size}


def test_files_that_are_gone_or_shorter_are_no_error(shop):
    _audit, directory = shop
    since = position(directory)._replace(
        offsets={"nowhere.000001.jsonl": 5, **{k: v + 10_000 for k, v in position(directory).offsets.items()}}
    )
    assert names(news(directory, since, everything)) == []


def test_a_position_in_the_middle_of_a_line_costs_that_line_and_nothing_is_put_aside(shop):
    audit, directory = shop
    auditmw.record("one", audit=audit)
    auditmw.record("two", audit=audit)
    since = position(directory)
    start = dict.fromkeys(since.offsets, 10)
    assert names(news(directory, since._replace(offsets=start), everything)) == ["one", "two"]
    assert not (directory / "quarantine").exists()


# ---------------------------------------------------------------------------------------------------------- positions


@given(st.dictionaries(st.text(max_size=30), st.integers(0, 2**62), max_size=10), st.floats(0, 4e9))
def test_a_position_is_read_as_it_was_told(offsets, taken):
    assert Position.read(str(Position(taken, offsets))) == (taken, offsets)


def packed(value):
    return base64.urlsafe_b64encode(zlib.compress(json.dumps(value).encode())).decode()


@pytest.mark.parametrize(
    "text",
    [
        "x",
        "ä",
        "A" * 5000,
        base64.urlsafe_b64encode(zlib.compress(b"\0" * 10**7)).decode(),
        packed(7),
        packed([]),
        packed([1.0, []]),
        packed([1.0, {"a": "b"}]),
        packed([1.0, {"a": -1}]),
        packed([1.0, {"a": True}]),
        packed(["now", {}]),
        packed([1.0, {}, 3]),
        packed([1, {}]),
    ],
    ids=lambda text: text[:20],
)
def test_a_text_that_is_no_position_is_refused(text):
    with pytest.raises(Refusal, match="expected a cursor that a tail gave"):
        Position.read(text)


@given(st.text(alphabet="eJyLNjS3NDWyMDOzMNA_-=", max_size=60))
def test_no_text_breaks_it(text):
    with contextlib.suppress(Refusal):
        Position.read(text)


@pytest.mark.parametrize("taken", [0.0, -1.0, 1e18, 1e300, -1e300])
def test_a_moment_that_never_was_breaks_nothing(shop, taken):
    _, directory = shop
    news(directory, Position(taken, {}), everything)


# ------------------------------------------------------------------------------------------------ server-sent events


class Browser:
    """One request to an ASGI app in the running loop."""

    def __init__(self, app, path, query=b"", headers=(), method="GET", body=b""):
        self.body = body
        self.parts = asyncio.Queue()
        self.gone = asyncio.Event()
        self.status, self.headers = None, {}
        self._begun = False
        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": method,
            "scheme": "http",
            "root_path": "",
            "path": path,
            "query_string": query,
            "headers": list(headers),
            "client": ("127.0.0.1", 5),
        }
        self.task = asyncio.create_task(app(scope, self._receive, self._send))

    async def _receive(self):
        if not self._begun:
            self._begun = True
            return {"type": "http.request", "body": self.body, "more_body": False}
        await self.gone.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message):
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self.headers = {name.decode(): value.decode() for name, value in message["headers"]}
        elif message["body"]:
            await self.parts.put(message["body"])

    async def next(self):
        return await asyncio.wait_for(self.parts.get(), 20)

    async def event(self):
        """The fields of the next event."""
        lines = (await self.next()).decode().splitlines()
        return dict(line.partition(": ")[::2] for line in lines if line)

    async def leave(self):
        self.gone.set()
        await asyncio.wait_for(self.task, 20)


def asgi(directory, **options):
    return ASGIViewerApp(ViewerApp(directory, **({"open_to_all": True} | options)))


def test_a_stream_tells_what_comes_as_it_comes(shop, monkeypatch):
    monkeypatch.setattr(asgi_module, "LOOK_SECONDS", 0.01)
    audit, directory = shop

    async def follow():
        browser = Browser(asgi(directory), "/api/tail/stream", b"q=event:o*")
        first = await browser.event()
        assert (browser.status, browser.headers["content-type"]) == (200, "text/event-stream")
        assert browser.headers["x-accel-buffering"] == "no"
        assert "content-security-policy" in browser.headers
        assert json.loads(first["data"])["entries"] == []
        for name in ("one", "two"):
            auditmw.record(name, audit=audit)
        second = await browser.event()
        assert second["event"] == "entries"
        data = json.loads(second["data"])
        assert [entry["event"]["event"] for entry in data["entries"]] == ["one"]
        assert second["id"] == data["cursor"]
        await browser.leave()
        auditmw.record("other", audit=audit)
        again = Browser(asgi(directory), "/api/tail/stream", b"q=event:o*", [(b"last-event-id", second["id"].encode())])
        assert [entry["event"]["event"] for entry in json.loads((await again.event())["data"])["entries"]] == ["other"]
        await again.leave()

    asyncio.run(follow())


def test_a_quiet_stream_says_that_it_is_still_there_and_ends_in_time(shop, monkeypatch):
    monkeypatch.setattr(asgi_module, "LOOK_SECONDS", 0.01)
    monkeypatch.setattr(asgi_module, "QUIET_SECONDS", 0.02)
    monkeypatch.setattr(asgi_module, "STREAM_SECONDS", 0.2)

    async def follow():
        browser = Browser(asgi(shop[1]), "/api/tail/stream")
        await browser.event()
        assert (await browser.next()).startswith(b":")
        await asyncio.wait_for(browser.task, 20)

    asyncio.run(follow())


def test_a_stream_is_for_who_may_look(shop):
    async def follow():
        browser = Browser(asgi(shop[1], open_to_all=False, authorize=lambda request: None), "/api/tail/stream")
        told = await browser.next()
        assert (browser.status, json.loads(told)["error"]["parameter"]) == (401, None)
        wrong = Browser(asgi(shop[1]), "/api/tail/stream", b"cursor=x")
        await wrong.next()
        assert wrong.status == 400
        await browser.leave()
        await wrong.leave()

    asyncio.run(follow())


def test_a_stream_that_cannot_begin_says_so_as_everything_else_does(shop, caplog):
    def aborting(request):
        raise Forbidden("not you")

    def failing(request):
        raise RuntimeError("no database")

    async def told(query=b"", **options):
        browser = Browser(asgi(shop[1], **options), "/api/tail/stream", query)
        said = json.loads(await browser.next())["error"]["message"]
        await browser.leave()
        assert "content-security-policy" in browser.headers
        return browser.status, said

    async def ask():
        assert await told(open_to_all=False, authorize=aborting) == (403, "not you")
        failed = await told(open_to_all=False, authorize=failing)
        assert failed == (500, "the viewer failed; the server's log says why")
        assert await told(b"q=" + b"x" * MAX_URL) == (413, "expected a URL of at most 16,384 characters")

    asyncio.run(ask())
    assert "no database" in caplog.text


def test_a_stream_that_cannot_go_on_ends_so_that_the_browser_asks_again(shop, monkeypatch):
    monkeypatch.setattr(asgi_module, "LOOK_SECONDS", 0.01)

    async def follow():
        browser = Browser(asgi(shop[1]), "/api/tail/stream")
        await browser.event()

        def gone(*_):
            raise Refusal(503, "the audit directory cannot be read")

        monkeypatch.setattr(asgi_module.tail, "look", gone)
        await asyncio.wait_for(browser.task, 20)
        assert browser.status == 200

    asyncio.run(follow())


def test_a_body_in_chunks_is_read_like_any_other(shop):
    headers = [(b"x-auditmw", b"1"), (b"transfer-encoding", b"chunked"), (b"content-type", b"application/json")]

    async def change(body):
        browser = Browser(asgi(shop[1]), "/api/cancel", headers=headers, method="POST", body=body)
        told = json.loads(await browser.next())
        await browser.leave()
        return browser.status, told

    assert asyncio.run(change(b'{"token": "x"}'))[1]["answer"] == {"cancelled": False}
    status, told = asyncio.run(change(b" " * (MAX_BODY + 1)))
    assert (status, told["error"]["message"]) == (413, "expected a request body of at most 65,536 bytes")


def test_a_stream_shows_what_the_viewer_may_see(shop, monkeypatch):
    monkeypatch.setattr(asgi_module, "LOOK_SECONDS", 0.01)
    audit, directory = shop

    async def follow():
        anna = Viewer("anna", restriction="data.tenant:acme")
        browser = Browser(asgi(directory, open_to_all=False, authorize=lambda request: anna), "/api/tail/stream")
        await browser.event()
        for tenant in ("umbra", "acme"):
            auditmw.record("thing_done", audit=audit, tenant=tenant)
        data = json.loads((await browser.event())["data"])
        assert [entry["event"]["data"]["tenant"] for entry in data["entries"]] == ["acme"]
        await browser.leave()

    asyncio.run(follow())


def test_streams_have_a_number(shop, monkeypatch):
    monkeypatch.setattr(asgi_module, "AT_MOST_STREAMS", 1)

    async def follow():
        app = asgi(shop[1])
        first = Browser(app, "/api/tail/stream")
        await first.event()
        second = Browser(app, "/api/tail/stream")
        await second.next()
        assert second.status == 503
        await first.leave()
        third = Browser(app, "/api/tail/stream")
        await third.event()
        assert third.status == 200
        await third.leave()
        await second.leave()

    asyncio.run(follow())


def test_who_goes_away_ends_the_question(shop, monkeypatch):
    seen = []

    def slow(ask):
        seen.append(ask.handle)
        ask.parameters.texts("q")
        while not ask.handle.cancelled:
            time.sleep(0.001)  # in a thread of its own: until the client has gone
        ask.handle.check()

    async def follow():
        app = asgi(shop[1])
        monkeypatch.setitem(type(app.viewer).respond.__globals__["_QUESTIONS"], "count", (slow, "events"))
        browser = Browser(app, "/api/count")
        while not seen:
            await asyncio.sleep(0)
        await browser.leave()
        assert seen[0].cancelled

    asyncio.run(follow())


def test_the_page_hears_that_there_is_a_stream(shop):
    async def ask():
        browser = Browser(asgi(shop[1]), "/api/config")
        body = await browser.next()
        await browser.leave()
        return json.loads(body)["answer"]["tail"]

    assert asyncio.run(ask()) == "sse"


def test_lifespan_is_answered(shop):
    async def live():
        messages, sent = [{"type": "lifespan.shutdown"}, {"type": "lifespan.startup"}], []

        async def receive():
            return messages.pop()

        async def send(message):
            sent.append(message["type"])

        await asgi(shop[1])({"type": "lifespan"}, receive, send)
        return sent

    assert asyncio.run(live()) == ["lifespan.startup.complete", "lifespan.shutdown.complete"]


def test_a_web_socket_is_closed(shop):
    async def knock():
        sent = []

        async def receive():
            return {"type": "websocket.connect"}

        async def send(message):
            sent.append(message)

        await asgi(shop[1])({"type": "websocket"}, receive, send)
        return sent

    assert asyncio.run(knock()) == [{"type": "websocket.close", "code": 1008}]
