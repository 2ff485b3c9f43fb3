"""Take the pictures of the viewer that are in the README: `./x screenshots`.

The events are generated with a fixed seed, the browser's clock stands still, and nothing that differs from machine to
machine is in sight: the same sources and fonts give the same pictures.
"""

from __future__ import annotations

import shutil
import tempfile
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from playwright.sync_api import sync_playwright
from werkzeug.serving import WSGIRequestHandler, make_server

from auditmw.archive import archive
from auditmw.cli.history import History, write_journal
from auditmw.query import Engine, Scope, page
from auditmw.viewer import Viewer, ViewerApp

IMAGES = Path(__file__).resolve().parent.parent / "docs" / "images"
MOST_BYTES = 150_000
UNTIL = datetime(2026, 11, 20, tzinfo=UTC)
EVENTS, DAYS = 60_000, 30
RANGE = {"from": "2026-11-13T00:00:00Z", "to": "2026-11-20T00:00:00Z", "tz": "UTC"}
TROUBLE = "level:warning,error user:*"
STEPS = ("path:/products/*", "path:/cart", "path:/checkout", "event:order_paid")


def addresses(directory: Path) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Yield of each picture its name, its theme, and the parameters of the page."""
    with closing(Engine(directory)) as engine:
        failed = page(engine, Scope(TROUBLE, None, UNTIL), limit=1).entries[0]
    yield "events", "light", {**RANGE, "q": TROUBLE, "sel": failed.event["id"]}
    yield "overview", "dark", {**RANGE, "page": "overview"}
    yield "funnel", "light", {**RANGE, "page": "funnel", "step": STEPS, "unit": "session"}


@contextmanager
def serving(directory: Path) -> Iterator[str]:
    """Serve the viewer of a directory; gives its address."""

    class Quiet(WSGIRequestHandler):
        def log(self, type: str, message: str, *args: Any) -> None:
            """Nothing."""

    viewer = ViewerApp(directory, authorize=lambda request: Viewer("anna@example.com"))
    server = make_server("127.0.0.1", 0, viewer, threaded=True, request_handler=Quiet)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
        viewer.close()


def same_duration(route: Any) -> None:
    """Answer as the server does, but in a time that does not change."""
    answered = route.fetch()
    told = answered.json()
    if "elapsed_ms" in told:
        told["elapsed_ms"] = 12.0
    route.fulfill(response=answered, json=told)


def take(browser: Any, address: str, theme: str, file: Path) -> None:
    """Take one picture. Raises SystemExit when it is too large for a README."""
    context = browser.new_context(
        viewport={"width": 1160, "height": 700}, color_scheme=theme, reduced_motion="reduce", locale="en-GB"
    )
    shown = context.new_page()
    shown.clock.set_fixed_time(UNTIL)
    shown.route("**/api/*", same_duration)
    shown.goto(address)
    shown.wait_for_selector("body[data-busy='0'] main h1", state="attached")
    shown.wait_for_timeout(500)  # until nothing was asked again because of what was answered
    shown.wait_for_selector("body[data-busy='0']", state="attached")
    picture = shown.screenshot()
    context.close()
    if len(picture) > MOST_BYTES:
        raise SystemExit(f"expected {file.name} to have at most {MOST_BYTES:,} bytes, not {len(picture):,}")
    file.write_bytes(picture)
    print(f"{file.name} {len(picture):,} bytes")


def main() -> None:
    """Make the events, and take all pictures."""
    IMAGES.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="auditmw-screenshots-") as made:
        directory = Path(made)
        write_journal(History(EVENTS, DAYS, until=UNTIL), directory)
        archive(directory)
        with sync_playwright() as playwright, serving(directory) as base:
            arguments = ["--no-sandbox", "--disable-gpu", "--font-render-hinting=none"]
            browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=arguments)
            for name, theme, parameters in addresses(directory):
                address = f"{base}?{urlencode(parameters, doseq=True)}"
                take(browser, address, theme, IMAGES / f"viewer-{name}.png")
            browser.close()


if __name__ == "__main__":
    main()
