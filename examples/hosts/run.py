"""Starts three hosts, NATS, the shippers and collectors on loopback; buys a few things, and shows each trace.

``python run.py --help`` tells the options; README.md what happens.
"""

import argparse
import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import httpx

import auditmw

HERE = Path(__file__).parent
AUDITMW = [sys.executable, "-m", "auditmw"]
HOSTS = {"web1": "shop", "orders1": "orders", "stock1": "stock"}  # each calls the next one
NATS = """
server_name: {name}
listen: "127.0.0.1:{port}"
http: "127.0.0.1:{monitor}"
jetstream {{ store_dir: "{folder}/jetstream", max_mem: 64MB, max_file: 1GB }}
cluster {{ name: audit, listen: "127.0.0.1:{route}", no_advertise: true, routes: [{routes}] }}
"""

Started = subprocess.Popen[bytes]


def free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        probes = [stack.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in probes]


def wait_for(what: str, done: Callable[[], bool], patience_seconds: float = 60) -> None:
    deadline = time.monotonic() + patience_seconds
    while not done():
        if time.monotonic() > deadline:
            raise SystemExit(f"waited {patience_seconds:g} seconds in vain for {what}")
        time.sleep(0.1)


def answers(url: str) -> bool:
    with contextlib.suppress(httpx.TransportError):
        return httpx.get(url).status_code == 200
    return False


class Fleet:
    """Everything that runs; it ends with the ``with`` block."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._started: list[Started] = []

    def __enter__(self) -> "Fleet":
        return self

    def __exit__(self, *error: object) -> None:
        for each in reversed(self._started):
            each.terminate()
            each.wait(timeout=30)

    def start(self, command: Sequence[str], **environ: str) -> None:
        """Start a program; Ctrl-C is for run.py alone."""
        self._started.append(subprocess.Popen(command, cwd=HERE, env=os.environ | environ, start_new_session=True))

    def start_nats(self) -> str:
        """Start three nodes of one cluster, and return where they are."""
        program = shutil.which("nats-server", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
        if program is None:
            raise SystemExit("nats-server is not installed: apt-get install nats-server, or name yours with --nats")
        found = free_ports(9)
        ports, monitors, routes = found[:3], found[3:6], found[6:]
        for at in range(3):
            folder = self.directory / f"nats{at + 1}"
            folder.mkdir(parents=True, exist_ok=True)
            others = ", ".join(f'"nats://127.0.0.1:{route}"' for route in routes if route != routes[at])
            places = {"port": ports[at], "monitor": monitors[at], "route": routes[at], "routes": others}
            (folder / "nats.conf").write_text(NATS.format(name=folder.name, folder=folder, **places))
            self.start([program, "-c", str(folder / "nats.conf"), "-l", str(folder / "nats.log")])
        for monitor in monitors:
            wait_for("NATS", lambda monitor=monitor: answers(f"http://127.0.0.1:{monitor}/healthz"))
        return ",".join(f"127.0.0.1:{port}" for port in ports)

    def start_hosts(self, stream: str) -> str:
        """Start each host's service and its shipper, the last one first; return the URL of the first."""
        url = ""
        for (host, service), port in reversed(list(zip(HOSTS.items(), free_ports(len(HOSTS)), strict=True))):
            journal = str(self.directory / host)
            serve = ["uvicorn", "--port", str(port), "--log-level", "warning", f"{service}:app"]
            if service == "shop":
                serve = ["gunicorn", "--bind", f"127.0.0.1:{port}", "--log-level", "warning", "shop:application"]
            self.start([sys.executable, "-m", *serve], HOST_NAME=host, AUDIT_DIRECTORY=journal, NEXT_URL=url)
            url = f"http://127.0.0.1:{port}"
            wait_for(service, lambda url=url: answers(f"{url}/ready"))
            Path(journal).mkdir(exist_ok=True)
            self.start([*AUDITMW, "ship", journal, "--to", stream, "--quiet"])
        return url

    def start_collectors(self, stream: str, clickhouse: str | None) -> None:
        """Start what collects into the archive, and into ClickHouse where that is asked for."""
        archive, state = str(self.directory / "archive"), str(self.directory / "collector")
        self.start([*AUDITMW, "collect", stream, "--into", archive, "--every", "0.5", "--quiet"])
        if clickhouse:
            self.start([*AUDITMW, "collect", stream, "--to", clickhouse, "--state", state, "--every", "0.5", "--quiet"])


def buy(shop: str) -> None:
    for item in ("teapot", "cup", "teapot"):
        answer = httpx.post(f"{shop}/buy/{item}", auth=("alice", "her password"), timeout=30)
        print(f"alice buys a {item}: {answer.status_code}")


def collected(where: Sequence[str]) -> int:
    """How many events a collector has, as it says itself."""
    told = subprocess.run([*AUDITMW, "collect", "--status", *where, "-o", "ndjson"], capture_output=True, text=True)
    counts = json.loads(told.stdout.splitlines()[0])["counts"] if told.stdout else {}
    return int(counts.get("collected", 0) + counts.get("shipped", 0))


def show(archive: Path) -> list[str]:
    """Print the archive trace by trace; return the traces."""
    traces: dict[str, list[str]] = {}
    for event in sorted(auditmw.read(archive), key=lambda event: event.get("start", event["timestamp"])):
        http, service = event.get("http", {}), event["service"]
        status = http.get("response", {}).get("status_code", "")
        line = f"  {service['host']:8} {service['name']:7} {event['event']:13} {status} {event['url']['path']}"
        traces.setdefault(event["trace"]["trace_id"], []).append(line)
    for trace_id, lines in traces.items():
        print(f"trace {trace_id}", *lines, sep="\n")
    return list(traces)


def run(directory: Path, nats: str | None, clickhouse: str | None, once: bool) -> None:
    archive = directory / "archive"
    with Fleet(directory) as fleet:
        stream = f"nats://{nats or fleet.start_nats()}/HOSTS"
        shop = fleet.start_hosts(stream)
        fleet.start_collectors(stream, clickhouse)
        buy(shop)
        events = sum(1 for host in HOSTS for _ in auditmw.read(directory / host))
        wait_for("the archive", lambda: collected(["--into", str(archive)]) >= events)
        if clickhouse:
            wait_for("ClickHouse", lambda: collected(["--state", str(directory / "collector")]) >= events)
        traces = show(archive)
        if not once:
            fleet.start([*AUDITMW, "serve", str(archive), "--open"])
            print(f"The viewer shows {archive}; a trace is at ?page=trace&id={traces[0]}. Ctrl-C ends everything.")
            with contextlib.suppress(KeyboardInterrupt):
                while True:
                    time.sleep(3600)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("directory", nargs="?", type=Path, help="where everything goes (default: a temporary one)")
    parser.add_argument("--nats", metavar="HOSTS", help="host:port,host:port of servers that run already")
    parser.add_argument("--clickhouse", metavar="URL", help="collect into ClickHouse, too")
    parser.add_argument("--once", action="store_true", help="end when the traces are printed")
    options = parser.parse_args()
    with contextlib.ExitStack() as stack:
        directory = options.directory or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        run(directory.absolute(), options.nats, options.clickhouse, options.once)


if __name__ == "__main__":
    main()
