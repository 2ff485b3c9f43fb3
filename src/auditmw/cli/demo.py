"""`auditmw demo`: a real app, a real server, real requests; the events as they come, and the viewer of them all."""

from __future__ import annotations

import logging
import os
import secrets
import sys
import tempfile
import threading
import time
import webbrowser
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, nullcontext
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import click

from auditmw.cli.events import WrittenEvent
from auditmw.cli.output import ExampleCommand, Output, Unreadable, output_options
from auditmw.journal import Follower

NEEDS = ("flask", "waitress", "httpx", "uvicorn")
USERS = ("alice", "bob")
PAUSE_SECONDS = 0.4  # between requests: a speed at which a person can read along
POLL_SECONDS = 0.1
HISTORY_EVENTS = 50_000


@click.command(
    cls=ExampleCommand,
    short_help="Run a small app with visitors, and the viewer.",
    examples="""
    auditmw demo --open
    auditmw demo --once -o json | jq '.[].event'
    auditmw demo --directory /tmp/demo --port 8000 --seconds 60
    """,
)
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="Port of the file server; 0 takes a free one.")
@click.option("--seconds", type=click.FloatRange(min=0.1), help="End after this time; without it, with Ctrl-C.")
@click.option("--directory", type=click.Path(path_type=Path, file_okay=False), help="For files and journal.")
@click.option("--once", is_flag=True, help="One round of requests, without pauses and viewer, then end.")
@click.option("--open", "open_", is_flag=True, help="Open the viewer in the browser.")
@click.option("--viewer-port", type=click.IntRange(0, 65535), default=0, help="Port of the viewer; 0 takes a free one.")
@click.option(
    "--history-events",
    type=click.IntRange(0, 10_000_000),
    default=HISTORY_EVENTS,
    show_default=True,
    help="How many events of a made-up shop's last month a new directory gets for the viewer.",
)
@output_options
def demo(
    port: int,
    seconds: float | None,
    directory: Path | None,
    once: bool,
    open_: bool,
    viewer_port: int,
    history_events: int,
    **output: Any,
) -> None:
    """Run a small file server with a few visitors, and show what is recorded of them, here and in a browser.

    The viewer, whose address is printed, also has a month of a small shop's history to look around in.
    """
    missing = [name for name in NEEDS if find_spec(name) is None]
    if missing:
        raise click.UsageError(f"the demo needs {', '.join(missing)}; install with: pip install {' '.join(missing)}")
    shown = Output(**output)
    home = directory or Path(tempfile.mkdtemp(prefix="auditmw-demo-"))
    password = secrets.token_urlsafe(9)
    stop = threading.Event()
    with _serving(home, port, password) as url:
        shown.note(f"A file server is at {url} (users {' and '.join(USERS)}, password {password}); Ctrl-C ends it.")
        shown.note(f"Its audit journal is in {home / 'audit'}.")
        visitors = _Visitors(url, password, stop, once=once)
        try:
            with nullcontext() if once else _viewer(shown, home / "audit", viewer_port, history_events, open_=open_):
                _show(shown, home / "audit", visitors, None if seconds is None else time.monotonic() + seconds)
        except KeyboardInterrupt:
            pass
        finally:
            stop.set()
            if visitors.ident is not None:
                visitors.join()
    shown.close()
    _farewell(shown, home / "audit")
    if visitors.error is not None:
        raise Unreadable(f"the demo's own visitors failed: {visitors.error!r}")


@contextmanager
def _serving(home: Path, port: int, password: str) -> Iterator[str]:
    """Serve the demo's app on a loopback port; yields its address."""
    from waitress.server import create_server
    from werkzeug.security import generate_password_hash

    from auditmw.cli.fileserver import create_app

    try:
        app = create_app(home, dict.fromkeys(USERS, generate_password_hash(password)))
        server = create_server(app, host="127.0.0.1", port=port, threads=4)
    except OSError as error:
        raise Unreadable(f"cannot start the file server: {error}") from error
    app.logger.setLevel(logging.CRITICAL)  # its tracebacks would stand between the events, which tell the same
    thread = threading.Thread(target=server.run, name="server", daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.effective_port}"
    finally:
        server.trigger.pull_trigger(server.close)  # in the server's own thread, which may be waiting for this socket
        thread.join(timeout=1)  # longer only while a browser keeps its connection
        app.extensions["auditmw"].close()


@contextmanager
def _viewer(shown: Output, directory: Path, port: int, history_events: int, *, open_: bool) -> Iterator[None]:
    """Serve the viewer, over a history when the directory has none of its own."""
    from auditmw.cli.demo_viewer import DAYS, is_new, viewing, write_history

    if history_events and is_new(directory):
        shown.note(f"To look around in, it gets the last {DAYS} days of a made-up shop: {history_events:,} events ...")
        write_history(directory, history_events)
    with viewing(directory, port) as url:
        shown.note("All events, those that come now too, are in the viewer at")
        shown.note(f"    {url}", "bold")
        if open_:
            webbrowser.open(url)
        yield


class _Visitors(threading.Thread):
    """Visit the server until they are told to stop, or for one round."""

    def __init__(self, url: str, password: str, stop: threading.Event, *, once: bool) -> None:
        super().__init__(name="visitors", daemon=True)
        self.error: Exception | None = None
        self._url = url
        self._password = password
        self._told_to_stop = stop
        self._once = once

    def run(self) -> None:
        """Make the requests, one after the other."""
        from auditmw.cli.traffic import visits

        try:
            for steps in visits(self._url, USERS, self._password):
                if not self._make(steps) or self._once:
                    return
        except Exception as error:
            if not self._told_to_stop.is_set():
                self.error = error

    def _make(self, steps: Iterable[Callable[[], object]]) -> bool:
        """Make the requests of one round; False when told to stop."""
        for step in steps:
            step()
            if self._told_to_stop.wait(0 if self._once else PAUSE_SECONDS):
                return False
        return True


def _show(shown: Output, directory: Path, visitors: threading.Thread, deadline: float | None) -> None:
    """Show events until the visitors are done, or the deadline (of `time.monotonic`) has passed."""
    directory.mkdir(mode=0o750, parents=True, exist_ok=True)
    follower = Follower(directory, loads=WrittenEvent.parse)
    visitors.start()
    while True:
        done = not visitors.is_alive() or (deadline is not None and time.monotonic() >= deadline)
        for event in follower.poll():
            shown.event(event)
        shown.flush()
        if done:
            return
        shown.wait(POLL_SECONDS)


def _farewell(shown: Output, directory: Path) -> None:
    shown.note(f"{shown.events} events. The journal stays in {directory}; look at it with")
    program = os.path.relpath(sys.argv[0])  # as it can be typed here: .venv/bin/auditmw after ./x demo
    auditmw = program if program.startswith(".venv") else "auditmw"
    for line in (
        f"{auditmw} serve {directory}",
        f"{auditmw} tail {directory}",
        f"{auditmw} check {directory}",
        f"jq . {directory / 'journal'}/*.jsonl",
    ):
        shown.note(f"    {line}", "bold")
