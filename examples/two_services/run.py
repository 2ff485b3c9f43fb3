"""Starts both services on loopback, buys a teapot and a cup, and prints both journals, trace by trace.

``python run.py [DIRECTORY]``: the journals go to ``DIRECTORY/shop`` and ``DIRECTORY/stock``, else to a temporary place.
"""

import contextlib
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import httpx

import auditmw

HERE = Path(__file__).parent


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def serving(command: list[str], url: str, environ: dict[str, str]) -> Iterator[None]:
    """Run a server until the end of the block; enters the block when it answers."""
    server = subprocess.Popen([sys.executable, "-m", *command], cwd=HERE, env=os.environ | environ)
    try:
        wait_for(f"{url}/ready", server)
        yield
    finally:
        server.terminate()
        server.wait(timeout=20)


def wait_for(url: str, server: subprocess.Popen[bytes], patience_seconds: float = 30) -> None:
    deadline = time.monotonic() + patience_seconds
    while True:
        with contextlib.suppress(httpx.TransportError):
            httpx.get(url)
            return
        if server.poll() is not None or time.monotonic() > deadline:
            raise SystemExit(f"{url} does not answer")
        time.sleep(0.05)


def buy(shop: str) -> None:
    for item in ("teapot", "cup"):
        answer = httpx.post(f"{shop}/buy/{item}", auth=("alice", "her password"))
        print(f"alice buys a {item}: {answer.status_code}")


def show(directory: Path) -> None:
    traces: dict[str, list[str]] = {}
    for name in ("shop", "stock"):
        for event in auditmw.read(directory / name):
            http, who = event.get("http", {}), event.get("actor", {}).get("id", "-")
            status = http.get("response", {}).get("status_code", "")
            line = f"  {name:6}{event['event']:14}{who:7}{status} {event['url']['path']}"
            traces.setdefault(event["trace"]["trace_id"], []).append(line)
    for trace_id, lines in traces.items():
        print(f"trace {trace_id}", *lines, sep="\n")


def main(directory: Path) -> None:
    shop_port, stock_port = free_port(), free_port()
    shop, stock = f"http://127.0.0.1:{shop_port}", f"http://127.0.0.1:{stock_port}"
    environ = {
        "SHOP_AUDIT_DIRECTORY": str(directory / "shop"),
        "STOCK_AUDIT_DIRECTORY": str(directory / "stock"),
        "STOCK_URL": stock,
    }
    run_stock = ["uvicorn", "--port", str(stock_port), "--log-level", "warning", "stock:app"]
    run_shop = ["gunicorn", "--bind", f"127.0.0.1:{shop_port}", "--log-level", "warning", "shop:application"]
    with serving(run_stock, stock, environ), serving(run_shop, shop, environ):
        buy(shop)
    show(directory)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        main(Path(sys.argv[1]).absolute())
    else:
        with tempfile.TemporaryDirectory() as directory:
            main(Path(directory))
