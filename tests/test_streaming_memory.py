"""One gigabyte streamed through each shell in a process of its own: nothing is buffered, whatever the protocol."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

import journal_files

GIGABYTE = 1 << 30
GROWTH_LIMIT_BYTES = 5_000_000

WSGI = """
def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "application/octet-stream")])
    for _ in range(CHUNKS):
        yield bytes(SIZE)

def serve(chunks):
    global CHUNKS
    CHUNKS = chunks
    body = auditmw.WSGIAudit(app, audit)({"REQUEST_METHOD": "GET", "PATH_INFO": "/"}, lambda *a: None)
    total = sum(map(len, body))
    body.close()
    return total
"""

WRITE = """
def app(environ, start_response):
    write = start_response("200 OK", [("Content-Type", "application/octet-stream")])
    for _ in range(CHUNKS):
        write(bytes(SIZE))
    return []

def serve(chunks):
    global CHUNKS
    CHUNKS, total = chunks, 0
    def write(data):
        nonlocal total
        total += len(data)
    auditmw.WSGIAudit(app, audit)({"REQUEST_METHOD": "GET", "PATH_INFO": "/"}, lambda *a: write)
    return total
"""

ASGI = """
import asyncio

async def app(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": []})
    for _ in range(CHUNKS):
        await send({"type": "http.response.body", "body": bytes(SIZE), "more_body": True})
    await send({"type": "http.response.body"})

def serve(chunks):
    global CHUNKS
    CHUNKS, total = chunks, 0
    async def receive():
        raise AssertionError("nobody asked for the request body")
    async def send(message):
        nonlocal total
        total += len(message.get("body", b""))
    scope = {"type": "http", "method": "GET", "path": "/", "headers": [], "query_string": b""}
    asyncio.run(auditmw.ASGIAudit(app, audit)(scope, receive, send))
    return total
"""

UPLOAD = """
import asyncio

async def app(scope, receive, send):
    while (await receive())["more_body"]:
        pass
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body"})

def serve(chunks):
    total = 0
    async def receive():
        nonlocal total
        total += SIZE
        return {"type": "http.request", "body": bytes(SIZE), "more_body": total < chunks * SIZE}
    async def send(message):
        pass
    scope = {"type": "http", "method": "POST", "path": "/", "headers": [], "query_string": b""}
    asyncio.run(auditmw.ASGIAudit(app, audit)(scope, receive, send))
    return total
"""

MEASURE = """
import json, resource, sys
import auditmw
SIZE = 64 * 1024
audit = auditmw.Audit(sys.argv[1], service="shop")
{app}
serve(16)
def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize()
before, peak = resident(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
total = serve({chunks})
print(json.dumps({{"streamed": total, "grown": resident() - before,
                   "peak_grown": (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - peak) * 1024}}))
audit.close()
"""


@pytest.mark.parametrize("app", [WSGI, WRITE, ASGI, UPLOAD], ids=["wsgi", "wsgi-write", "asgi", "asgi-upload"])
def test_a_gigabyte_passes_without_growing_the_process(app: str, tmp_path: Path):
    program = MEASURE.format(app=app, chunks=GIGABYTE // (64 * 1024))
    run = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "audit")],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    measured = json.loads(run.stdout)
    assert measured["streamed"] == GIGABYTE
    assert measured["grown"] < GROWTH_LIMIT_BYTES
    assert measured["peak_grown"] < GROWTH_LIMIT_BYTES
    http = journal_files.events(tmp_path / "audit")[-1]["http"]
    assert GIGABYTE in (http["response"]["body_size"], http["request"].get("body_size"))
