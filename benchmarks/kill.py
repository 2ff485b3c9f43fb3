"""Kill workers with SIGKILL under load, and look for the event of every response that a client received whole.

A server (gunicorn with sync workers that are forked from a preloaded application, or uvicorn with several workers that
load it themselves) serves an audited application on loopback.
Clients send requests all the time and note the X-Request-ID of each response that they received to its last byte.
Meanwhile a random worker is killed, again and again. Then everything is stopped and the journal is read: every noted
request must have its event, exactly once. With --intent so must every request that the application had begun,
whatever became of it.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import http.client
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
if __package__ in {None, ""}:
    sys.path.insert(0, str(ROOT))

from benchmarks import environment  # noqa: E402

Event = dict[str, Any]

SERVERS = ("gunicorn", "uvicorn")
COLUMNS = (
    *("server", "intent", "kills", "seconds", "received whole", "broken"),
    *("begun", "events", "died", "damaged", "lost", "twice"),
)
WORKERS = 3
CLIENTS = 6
REQUESTS_PER_CLIENT = 100_000
REQUEST_TIMEOUT_SECONDS = 10
PROGRESS_TIMEOUT_SECONDS = 30
PAUSE_SECONDS = (0.05, 0.35)
"""Between a kill and the next one, which also waits for a response."""


@dataclass(frozen=True)
class Report:
    """What one run saw.

    Attributes:
        server: the server that was run.
        intent: whether intent records were on.
        kills: workers killed.
        broken: requests that ended without a whole response.
        responses: responses received whole.
        begun: requests that the application began.
        events: http_request events in the journal.
        died: of these, the ones that say that their process died.
        damaged: damaged journal lines reported.
        lost: request ids of whole responses without an event.
        twice: request ids with more than one event.
        unaccounted: paths that were begun and have no event; looked at only with intent records.
        seconds: how long the load ran.
    """

    server: str
    intent: bool
    kills: int
    broken: int
    responses: int
    begun: int
    events: int
    died: int
    damaged: int
    lost: tuple[str, ...]
    twice: tuple[str, ...]
    unaccounted: tuple[str, ...]
    seconds: float

    @property
    def good(self) -> bool:
        """Whether nothing is missing and nothing is there twice."""
        return not (self.lost or self.twice or self.unaccounted)


@dataclass
class Ledger:
    """What the clients of one run received, written by their threads."""

    request_ids: list[str] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)
    workers: dict[int, int] = field(default_factory=dict)
    """The worker's process id, and how many responses had been received when it was last heard of."""

    def note(self, request_id: str, worker: int) -> None:
        """Note a response that was received whole."""
        self.request_ids.append(request_id)
        self.workers[worker] = len(self.request_ids)


def run(server: str, kills: int, directory: Path, *, intent: bool = False, seed: int = 1) -> Report:
    """Serve, load and kill ``kills`` times; stop everything, and compare ledger and journal.

    Args:
        server: one of ``SERVERS``.
        kills: how many workers to kill.
        directory: an empty directory, for the journal and the server's log.
        intent: whether to write intent records, and to look for every request that began.
        seed: of the choice of victims and pauses.

    Raises:
        RuntimeError: the server did not come up, or no response came for 30 seconds.
    """
    ledger, stop = Ledger(), threading.Event()
    started = time.monotonic()
    with _served(server, directory, intent) as (process, port):
        clients = [threading.Thread(target=_load, args=(number, port, ledger, stop)) for number in range(CLIENTS)]
        for client in clients:
            client.start()
        try:
            _kill_workers(process, kills, ledger, directory, random.Random(seed))
        finally:
            stop.set()
            for client in clients:
                client.join()
    return _report(server, intent, kills, ledger, directory, time.monotonic() - started)


def compare(ledger: Iterable[str], begun: Iterable[str], events: Iterable[Event]) -> dict[str, tuple[str, ...]]:
    """Return the request ids that are ``lost`` and there ``twice``, and the paths that are ``unaccounted`` for."""
    ids: Counter[str] = Counter()
    paths: Counter[str] = Counter()
    for event in events:
        ids[event["request_id"]] += 1
        paths[event["url"]["path"]] += 1
    return {
        "lost": tuple(sorted(set(ledger) - set(ids))),
        "twice": tuple(sorted(id_ for id_, times in ids.items() if times > 1))
        + tuple(sorted(path for path, times in paths.items() if times > 1)),
        "unaccounted": tuple(sorted(set(begun) - set(paths))),
    }


def _report(server: str, intent: bool, kills: int, ledger: Ledger, directory: Path, seconds: float) -> Report:
    import auditmw

    damages: list[Any] = []
    events = [
        event
        for event in auditmw.read(directory / "audit", on_damage=damages.append)
        if event["event"] == "http_request"
    ]
    begun = [path for file in directory.glob("begun.*.log") for path in file.read_text().split()]
    found = compare(ledger.request_ids, begun, events)
    return Report(
        server=server,
        intent=intent,
        kills=kills,
        broken=len(ledger.broken),
        responses=len(ledger.request_ids),
        begun=len(begun),
        events=len(events),
        died=sum(event["outcome"].get("reason") == "process_died" for event in events),
        damaged=len(damages),
        lost=found["lost"],
        twice=found["twice"],
        unaccounted=found["unaccounted"] if intent else (),
        seconds=seconds,
    )


def _load(number: int, port: int, ledger: Ledger, stop: threading.Event) -> None:
    """Send requests, each for a path of its own and none twice, until told to stop."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=REQUEST_TIMEOUT_SECONDS)
    for count in range(REQUESTS_PER_CLIENT):
        if stop.is_set():
            break
        path = f"/item/{number}/{count}"
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            response.read()  # raises IncompleteRead where the body ends too early
        except (OSError, http.client.HTTPException):
            ledger.broken.append(path)
            connection.close()
            stop.wait(0.01)
            continue
        if response.status == 200:
            ledger.note(response.headers["X-Request-ID"], int(response.headers["X-Worker"]))
    connection.close()


def _kill_workers(
    process: subprocess.Popen[bytes], kills: int, ledger: Ledger, directory: Path, rng: random.Random
) -> None:
    for _ in range(kills):
        before = len(ledger.request_ids)
        deadline = time.monotonic() + PROGRESS_TIMEOUT_SECONDS
        time.sleep(rng.uniform(*PAUSE_SECONDS))
        while not (alive := _alive(process, ledger, before)):
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"no response for {PROGRESS_TIMEOUT_SECONDS} s; the server said:\n{_log(directory)}")
            time.sleep(0.002)
        victim = rng.choice(alive)
        os.kill(victim, signal.SIGKILL)
        del ledger.workers[victim]


def _alive(process: subprocess.Popen[bytes], ledger: Ledger, before: int) -> list[int]:
    """Return the workers that answered since ``before`` responses had come: children of the server, nobody else."""
    heard = [pid for pid, last in list(ledger.workers.items()) if last > before]
    return sorted(pid for pid in heard if _parent(pid) == process.pid)


def _parent(pid: int) -> int | None:
    with contextlib.suppress(OSError):
        stat = Path(f"/proc/{pid}/stat").read_text()
        return int(stat.rpartition(")")[2].split()[1])
    return None


@contextlib.contextmanager
def _served(server: str, directory: Path, intent: bool) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """Run the server in a session of its own until the block ends."""
    port = _free_port()
    environ = {
        **os.environ,
        "AUDITMW_KILL_DIRECTORY": str(directory),
        "AUDITMW_KILL_INTENT": "1" if intent else "0",
        "HOME": str(directory),  # gunicorn 24 and later open a control socket below it
    }
    with open(directory / "server.log", "wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", *_arguments(server, port)],
            cwd=ROOT,
            env=environ,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            preexec_fn=_end_with_parent,
        )
    try:
        _wait_until_it_listens(process, port, directory)
        yield process, port
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _wait_until_it_listens(process: subprocess.Popen[bytes], port: int, directory: Path) -> None:
    deadline = time.monotonic() + PROGRESS_TIMEOUT_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.02)
    raise RuntimeError(f"expected a server on port {port}; it said:\n{_log(directory)}")


def _arguments(server: str, port: int) -> list[str]:
    if server == "gunicorn":
        bind = f"127.0.0.1:{port}"
        return ["gunicorn", "--preload", "--workers", str(WORKERS), "--bind", bind, "benchmarks.kill_app:wsgi"]
    workers = ["--workers", str(WORKERS), "--port", str(port)]
    return ["uvicorn", *workers, "--no-access-log", "--log-level", "warning", "benchmarks.kill_app:asgi"]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _end_with_parent() -> None:
    """Have the kernel end the server when this process dies (prctl PR_SET_PDEATHSIG), so that none is left behind."""
    ctypes.CDLL(None).prctl(1, signal.SIGTERM)


def _log(directory: Path) -> str:
    return (directory / "server.log").read_text(errors="replace")[-4000:]


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.kill", description=__doc__)
    parser.add_argument("--servers", default=",".join(SERVERS), help="comma-separated (default: %(default)s)")
    parser.add_argument("--kills", type=int, default=100, help="workers to kill per server (default: %(default)s)")
    parser.add_argument("--intent", action="store_true", help="write intent records; account for all requests begun")
    parser.add_argument("--seed", type=int, default=1, help="of the victims and pauses (default: %(default)s)")
    parser.add_argument("--dir", help="where to write; must be on a disk (default: the temporary directory)")
    given = parser.parse_args()
    servers = given.servers.split(",")
    if unknown := set(servers) - set(SERVERS):
        parser.error(f"unknown servers: {', '.join(sorted(unknown))}; there are {', '.join(SERVERS)}")
    good = True
    print("| " + " | ".join(COLUMNS) + " |\n|---|---" + "|---:" * (len(COLUMNS) - 2) + "|")
    with environment.directory_on_disk(given.dir) as directory:
        for server in servers:
            (directory / server).mkdir()
            report = run(server, given.kills, directory / server, intent=given.intent, seed=given.seed)
            lost = len(report.lost) + len(report.unaccounted)
            print(
                f"| {server} | {'yes' if report.intent else 'no'} | {report.kills} | {report.seconds:.0f} "
                f"| {report.responses} | {report.broken} | {report.begun} | {report.events} | {report.died} "
                f"| {report.damaged} | {lost} | {len(report.twice)} |",
                flush=True,
            )
            for kind in ("lost", "twice", "unaccounted"):
                if named := getattr(report, kind):
                    print(f"{kind}: {' '.join(named[:10])}")
            good = good and report.good
        described = environment.describe(("auditmw", *SERVERS), directory)
    print("\n" + "\n".join(described))
    return 0 if good else 1


if __name__ == "__main__":
    raise SystemExit(main())
