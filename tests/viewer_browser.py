"""A shop's audit directory, a viewer of it on a real server, and a browser as a person uses it: for tests of the page.

A `Visit` is one tab; when it ends it tells everything that must not happen: what the policy of content refused, errors
in the console, exceptions, and requests to any other host.
"""

from __future__ import annotations

import json
import re
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from auditmw.cli.history import write_journal
from auditmw.cli.history.generator import Entry

ARTIFACTS = Path(__file__).parent.parent / "artifacts" / "viewer"
BEGINNING = datetime(2026, 11, 20, 8, tzinfo=UTC)
EVENTS = 700
STEP = timedelta(seconds=20)
USERS = ("alice", "bob", "carol", None)

# Without a sandbox, because containers run as root; nothing that talks to the browser's maker.
ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
)


def moment(number: int) -> datetime:
    """When event `number` happened."""
    return BEGINNING + number * STEP


def event_id(number: int) -> str:
    """A UUID of version 7 (RFC 9562 §5.7) with the event's time in it."""
    milliseconds = int(moment(number).timestamp() * 1000)
    return f"{milliseconds >> 16:08x}-{milliseconds & 0xFFFF:04x}-7000-8000-{number:012x}"


def status_of(number: int) -> int:
    """One of 50 fails, one of ten is not found, one of ten is sent elsewhere."""
    return 500 if number % 50 == 49 else 404 if number % 10 == 9 else 303 if number % 10 == 5 else 200


def request(number: int, **members: Any) -> dict[str, Any]:
    """An event of the shop: a request; with members of its own."""
    status = status_of(number)
    user = USERS[number % 4]
    made: dict[str, Any] = {
        "schema": "auditmw.event/1.0",
        "id": event_id(number),
        "timestamp": moment(number).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        "duration_ns": 1_000_000 * (1 + number % 300),
        "event": "http_request",
        "level": "error" if status >= 500 else "warning" if status >= 400 else "info",
        "severity": 9,
        "outcome": {"result": "success" if status < 400 else "failure"},
        "trace": {"trace_id": f"{number // 3 + 1:032x}", "span_id": f"{number + 1:016x}"},
        "session": {"id": f"session-{number // 5}"},
        "client": {"address": f"192.0.2.{number % 9}"},
        "http": {
            "request": {
                "method": "POST" if number % 5 == 0 else "GET",
                "user_agent": "Mozilla/5.0 (X11; Linux x86_64)",
            },
            "response": {"status_code": status, "body_size": 100 * number},
        },
        "url": {"path": f"/products/{number % 20}", "host": "shop.example"},
        "service": {"name": "shop"},
        "source": {"kind": "middleware", "format": "wsgi"},
        "data": {"order": {"id": number}},
    }
    if user:
        made["actor"] = {"id": user, "type": "user"}
    return made | members


def paid(number: int) -> dict[str, Any]:
    """An event that the application itself records."""
    made = request(number, event="order_paid", message=f"order {number} is paid", level="info")
    del made["http"], made["url"], made["duration_ns"]
    return made


def shop() -> list[dict[str, Any]]:
    """700 events within four hours; one of seven is no request."""
    return [paid(number) if number % 7 == 3 else request(number) for number in range(EVENTS)]


def write(directory: Path, events: list[dict[str, Any]], writer: str = "019a1b2c3d4e5f607182") -> Path:
    """Write the events into a journal file of the directory."""
    lines = (json.dumps(made, separators=(",", ":"), ensure_ascii=True).encode() for made in events)
    write_journal((Entry(writer, line) for line in lines), directory)
    return directory


@contextmanager
def serving_asgi(application: Any) -> Iterator[str]:
    """Serve an ASGI application on a free port; yields its address."""
    import uvicorn

    server = uvicorn.Server(
        uvicorn.Config(application, port=0, log_level="error", lifespan="off", timeout_graceful_shutdown=1)
    )
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    started = threading.Event()
    while not server.started:
        started.wait(0.01)
        assert thread.is_alive(), "the server could not start"
    try:
        port = server.servers[0].sockets[0].getsockname()[1]
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join(timeout=10)


@contextmanager
def serving_wsgi(application: Any) -> Iterator[str]:
    """Serve a WSGI application on a free port, in threads; yields its address."""
    from werkzeug.serving import WSGIRequestHandler, make_server

    class Quiet(WSGIRequestHandler):
        def log(self, type: str, message: str, *args: Any) -> None:
            """Nothing: what goes wrong is seen in the browser."""

    server = make_server("127.0.0.1", 0, application, threaded=True, request_handler=Quiet)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join(timeout=10)
        server.server_close()


@contextmanager
def browsing() -> Iterator[Any]:
    """A browser for several tests."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=list(ARGUMENTS))
        try:
            yield browser
        finally:
            browser.close()


class Visit:
    """One tab of a browser on the viewer at `base` (with its slash at the end)."""

    def __init__(
        self, browser: Any, base: str, *, width: int = 1280, height: int = 800, theme: str = "light", **context: Any
    ) -> None:
        self.base = base
        self.wrong: list[str] = []
        options = {
            "viewport": {"width": width, "height": height},
            "color_scheme": theme,
            "timezone_id": "Europe/Amsterdam",
        }
        self.context = browser.new_context(**options | {"locale": "en-GB", "reduced_motion": "reduce"} | context)
        self.context.grant_permissions(["clipboard-read", "clipboard-write"])
        self.context.expose_binding("refused", lambda _, told: self.wrong.append(f"refused by the policy: {told}"))
        self.context.add_init_script(
            "document.addEventListener('securitypolicyviolation', (event) =>"
            " window.refused(`${event.violatedDirective} ${event.blockedURI} ${event.sample}`));"
        )
        self.page = self.context.new_page()
        self.page.set_default_timeout(15_000)
        self.page.on("console", self._said)
        self.page.on("pageerror", lambda error: self.wrong.append(f"exception: {error}"))
        self.page.on("request", self._asked)
        self.requests: list[str] = []

    def _said(self, message: Any) -> None:
        if message.type in ("error", "warning"):
            self.wrong.append(f"console: {message.text}")

    def _asked(self, asked: Any) -> None:
        self.requests.append(asked.url)
        if not asked.url.startswith((self.base.rstrip("/"), "data:", "blob:")):
            self.wrong.append(f"a request to {asked.url}")

    def open(self, search: str = "") -> Visit:
        """Load the page, and wait until nothing is under way."""
        self.page.goto(self.base + search)
        return self.settle()

    def settle(self) -> Visit:
        """Wait until the last change is drawn and no question is under way."""
        for _ in range(2):  # what was answered may have asked something again
            self.page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
            self.page.wait_for_selector("body[data-busy='0']", state="attached")
        return self

    def parameter(self, name: str) -> str | None:
        """What the address says by a name."""
        found: str | None = self.page.evaluate("(name) => new URLSearchParams(location.search).get(name)", name)
        return found

    def until(self, condition: Callable[[], object], told: str, seconds: float = 15) -> None:
        """Wait for a condition that is asked again and again."""
        for _ in range(int(seconds * 20)):
            if condition():
                return
            self.page.wait_for_timeout(50)
        raise AssertionError(f"{told} did not come true; the address is {self.page.url}")

    def rows(self) -> list[int]:
        """The numbers of the rows that are drawn."""
        found: list[int] = self.page.eval_on_selector_all(
            "tr[data-index]", "(rows) => rows.map((row) => Number(row.dataset.index))"
        )
        return found

    def total(self) -> int:
        """How many events the chart counts."""
        return int(re.sub(r"\D", "", self.page.locator(".total strong").inner_text()))

    def clipboard(self) -> str:
        """What was copied last."""
        text: str = self.page.evaluate("() => navigator.clipboard.readText()")
        return text

    def shot(self, name: str) -> Path:
        """Keep a picture of what is seen, for people to look at."""
        ARTIFACTS.mkdir(parents=True, exist_ok=True)
        path = ARTIFACTS / f"{name}.png"
        self.page.screenshot(path=path)
        return path

    def close(self) -> None:
        """End the visit. Raises AssertionError when anything was wrong on the way."""
        self.context.close()
        assert self.wrong == []
