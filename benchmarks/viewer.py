"""The viewer in a browser: until its first page of many events can be used, and until the tail shows a new event.

A history is generated and archived, or an audit directory is named that is there already: it is looked at through hard
links, and nothing is written to it. Each load is that of a new browser profile, which has nothing cached, from a server
that has answered before. The tail is followed from `auditmw serve` (server-sent events) and from WSGI (polling).
"""

from __future__ import annotations

import argparse
import contextlib
import datetime
import json
import multiprocessing
import os
import random
import re
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
if __package__ in {None, ""}:
    sys.path.insert(0, str(ROOT))

from benchmarks import environment, history  # noqa: E402

EVENTS, DAYS, LOADS, NEWS = 1_000_000, 30, 10, 10
TOKEN = "a-token-of-this-benchmark"
USABLE_MS, SHOWN_MS = 1000, 3000

# What is on the page when a part of it can be used. `usable`: events, and a query field that takes what is typed.
PARTS = {
    "usable": ".events-page:has(form.query textarea) tr[data-index]",
    "chart": ".timeline .chart path",
    "first facet": ".facet li",
    "everything": "body[data-busy='0'] .facet li",
}
# Of each part the first frame that it is drawn in, in ms since the navigation; of each new event, since 1970.
WATCH = """(() => {
  const parts = PARTS, marks = (window.marks = {}), seen = (window.seen = {});
  const drawn = (then) => requestAnimationFrame(() => setTimeout(then));
  const look = () => {
    for (const [name, selector] of Object.entries(parts))
      if (!(name in marks) && document.querySelector(selector)) {
        marks[name] = null;
        drawn(() => (marks[name] = performance.now()));
      }
    const found = /news (\\d+)\\b/.exec(document.querySelector("tr[data-index='0']")?.textContent);
    if (found && !(found[1] in seen)) {
      seen[found[1]] = null;
      drawn(() => (seen[found[1]] = Date.now()));
    }
  };
  const all = { childList: true, subtree: true, attributes: true, characterData: true };
  new MutationObserver(look).observe(document, all);
})()""".replace("PARTS", json.dumps(PARTS))
ASKED = """() => performance.getEntriesByType("resource").filter(({ name }) => name.includes("/api/"))
  .map(({ name, startTime, duration }) => [new URL(name).pathname.split("/api/")[1], startTime, duration])"""


@contextlib.contextmanager
def looked_at(events: int, ready: Path | None) -> Iterator[Path]:
    """Give an audit directory to look at: a history of so many events, or one that is there, by hard links to it."""
    if ready is None:
        with environment.directory_on_disk() as made:
            until = datetime.datetime.now(datetime.UTC)
            history.write(made, events, DAYS, until=until, on_progress=history.show_progress(events))
            _archive(made)
            yield made
        return
    made = Path(tempfile.mkdtemp(prefix="auditmw-bench-", dir=ready.resolve().parent))  # links do not leave a disk
    try:
        # An archive replaces files, and changes none. A journal's last file is written on: only the archive is linked.
        shutil.copytree(ready / "archive", made / "archive", copy_function=os.link)
        (made / "journal").mkdir()
        yield made
    finally:
        shutil.rmtree(made, ignore_errors=True)


def _count(directory: Path) -> int:
    from auditmw.query import Engine, count

    with contextlib.closing(Engine(directory)) as engine:
        return count(engine).value


def _archive(directory: Path) -> None:
    from auditmw.archive import archive

    archive(directory)


@contextlib.contextmanager
def served(directory: Path) -> Iterator[str]:
    """Run `auditmw serve` on the directory; gives its link."""
    command = [sys.executable, "-m", "auditmw", "serve", str(directory), "--no-audit", "--port", "0", "--token", TOKEN]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, cwd=ROOT) as process:
        try:
            assert process.stderr is not None
            said = ""
            while not (found := re.search(r"http://\S+", said)):
                line = process.stderr.readline()
                if not line:
                    raise SystemExit(f"auditmw serve ended: {said}")
                said += line
            yield found[0]
        finally:
            process.terminate()


@contextlib.contextmanager
def served_by_wsgi(directory: Path) -> Iterator[str]:
    """Run the viewer in waitress; gives its address."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        process = multiprocessing.get_context("fork").Process(target=_wsgi, args=(directory, listening), daemon=True)
        process.start()
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}/"
        finally:
            process.terminate()
            process.join()


def _wsgi(directory: Path, listening: socket.socket) -> None:
    import waitress

    from auditmw.viewer import ViewerApp

    waitress.serve(ViewerApp(directory, open_to_all=True), sockets=[listening], threads=8, _quiet=True)


@contextlib.contextmanager
def browser() -> Iterator[Any]:
    """Give a headless Chromium."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        found = shutil.which("chromium")
        made = playwright.chromium.launch(executable_path=found, args=["--no-sandbox", "--disable-gpu"])
        try:
            yield made
        finally:
            made.close()


@contextlib.contextmanager
def visit(chromium: Any, address: str) -> Iterator[Any]:
    """Open an address as somebody does who was never there before."""
    context = chromium.new_context(viewport={"width": 1280, "height": 800})
    context.set_default_timeout(60_000)
    context.add_init_script(WATCH)
    page = context.new_page()
    page.goto(address)
    try:
        yield page
    finally:
        context.close()


def load(chromium: Any, link: str) -> dict[str, Any]:
    """Load the first page, and return when each part was drawn, and what was asked: both in ms."""
    with visit(chromium, link) as page:
        for selector in PARTS.values():
            page.wait_for_selector(selector, state="attached")
        marks = _until(page, "all of the page", lambda: _complete(page.evaluate("() => window.marks")))
        return {"marks": marks, "asked": page.evaluate(ASKED)}


def _complete(marks: dict[str, Any]) -> dict[str, Any] | None:
    return marks if len(marks) == len(PARTS) and None not in marks.values() else None


def _until(page: Any, told: str, found: Any, tries: int = 600) -> Any:
    for _ in range(tries):
        if value := found():
            return value
        page.wait_for_timeout(50)
    raise SystemExit(f"{told} was not there after {tries * 0.05:.0f} seconds")


def follow(chromium: Any, link: str, directory: Path, number: int) -> list[float]:
    """Follow the tail while events are written, at moments that nobody foresees; return ms for each."""
    import auditmw

    taken, chance = [], random.Random()
    audit = auditmw.Audit(directory, service="benchmark")
    with visit(chromium, f"{link}{'&' if '?' in link else '?'}live=1") as page, contextlib.closing(audit):
        page.wait_for_selector("tr[data-index]")  # rows are asked for when the place of now is known
        for _ in range(number):
            page.wait_for_timeout(chance.uniform(500, 3500))
            name = str(chance.randrange(1_000_000))  # longer ones may look like card numbers, which are not shown
            auditmw.record("news", audit=audit, message=f"news {name}")
            written = datetime.datetime.now().timestamp() * 1000
            shown = _until(page, "the new event", lambda name=name: page.evaluate("(name) => window.seen[name]", name))
            taken.append(shown - written)
    return taken


def table(title: str, rows: dict[str, list[float]], targets: dict[str, float]) -> Iterator[str]:
    """Yield the lines of a table of milliseconds: one row for each name."""
    yield f"| {title:44} | p50 ms | p90 ms | most ms | target |"
    yield f"|{'-' * 46}|-------:|-------:|--------:|-------:|"
    for name, taken in rows.items():
        p90 = statistics.quantiles(taken, n=10, method="inclusive")[-1] if len(taken) > 1 else taken[0]
        target = f"{targets[name]:,.0f}" if name in targets else ""
        yield f"| {name:44} | {statistics.median(taken):6,.0f} | {p90:6,.0f} | {max(taken):7,.0f} | {target:>6} |"


def run(directory: Path, loads: int, news: int) -> tuple[dict[str, dict[str, list[float]]], float]:
    """Measure; return the figures of the parts, of the questions and of the tail; and the machine's load before."""
    parts, asked, tail = (defaultdict[str, list[float]](list) for _ in range(3))
    with served(directory) as link, served_by_wsgi(directory) as wsgi, browser() as chromium:
        load(chromium, link)  # the server is warm; its engine is made
        before = os.getloadavg()[0]
        for _ in range(loads):
            found = load(chromium, link)
            for name, milliseconds in found["marks"].items():
                parts[name].append(milliseconds)
            for path, begun, milliseconds in found["asked"]:
                asked[path].append(milliseconds)
                asked[f"{path}, until it is asked"].append(begun)
        for way, address in (("server-sent events", link), ("polling", wsgi)):
            if news:
                tail[way] = follow(chromium, address, directory, news)
    return {"parts": parts, "asked": dict(sorted(asked.items())), "tail": tail}, before


def main(arguments: list[str] | None = None) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="viewer", description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--events", type=int, default=EVENTS, help="how many there are (default: %(default)s)")
    parser.add_argument(
        "--directory", type=Path, metavar="DIR", help="an audit directory with an archive, in their place"
    )
    parser.add_argument("--loads", type=int, default=LOADS, help="of the first page (default: %(default)s)")
    parser.add_argument(
        "--news", type=int, default=NEWS, help="new events to wait for, each way (default: %(default)s)"
    )
    options = parser.parse_args(arguments)
    with looked_at(options.events, options.directory) as directory:
        count = _count(directory)
        figures, before = run(directory, options.loads, options.news)
    lines = [
        *table(f"first page of {count:,} events, drawn", figures["parts"], {"usable": USABLE_MS}),
        "",
        *table("question of the page, in the browser", figures["asked"], {}),
    ]
    if figures["tail"]:
        lines += [
            "",
            *table("tail, until a new event is drawn", figures["tail"], dict.fromkeys(figures["tail"], SHOWN_MS)),
        ]
    versions = environment.describe(["auditmw", "duckdb", "playwright", "uvicorn", "waitress"])
    print("\n".join([*lines, "", f"load before the loads: {before:.2f}", *versions]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
