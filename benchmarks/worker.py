"""One variant in a process of its own: it serves a round of requests whenever the coordinator says so.

Orders come on standard input, one JSON object a line; each is answered with one line on standard output:
``{"round": N, "first": I}`` serves N requests from the I-th of the pool and answers with the CPU nanoseconds that the
whole process used meanwhile (threads of exporters included), and the lines and bytes that it wrote.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import os
import sys
import time
import traceback
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TextIO

if __package__ in {None, ""}:
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks import apps, traffic, variants

Round = Callable[[list[dict[str, Any]]], Awaitable[int]]

WARM_UP_REQUESTS = 200
BATCH = 32
"""Requests that are made ahead of the clock: few, so that they are still in the processor's caches when they are
served, as those of a server are."""


async def asgi_round(app: Any, scopes: list[dict[str, Any]]) -> int:
    """Serve every scope in turn; return the CPU nanoseconds used."""

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: dict[str, Any]) -> None:
        pass

    clock = time.process_time_ns
    started = clock()
    for scope in scopes:
        await app(scope, receive, send)
    return clock() - started


async def wsgi_round(app: Any, environs: list[dict[str, Any]]) -> int:
    """Serve every environ in turn, iterating and closing each body as a server does; return the CPU nanoseconds."""

    def write(data: bytes) -> None:
        raise NotImplementedError

    def start_response(status: str, headers: Any, exc_info: Any = None) -> Any:
        return write

    clock = time.process_time_ns
    started = clock()
    for environ in environs:
        body = app(environ, start_response)
        for _ in body:
            pass
        if hasattr(body, "close"):
            body.close()
    return clock() - started


async def check_asgi(app: Any, scopes: list[dict[str, Any]]) -> None:
    """Serve every scope and compare the response with what the bare application answers."""
    for scope in scopes:
        sent: list[dict[str, Any]] = []

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": b"", "more_body": False}

        async def send(message: dict[str, Any], sent: list[dict[str, Any]] = sent) -> None:
            sent.append(message)

        await app(scope, receive, send)
        _check(sent[0]["status"], b"".join(message.get("body", b"") for message in sent[1:]), scope["path"])


async def check_wsgi(app: Any, environs: list[dict[str, Any]]) -> None:
    """Serve every environ and compare the response with what the bare application answers."""
    for environ in environs:
        seen: list[str] = []

        def start_response(status: str, headers: Any, exc_info: Any = None, seen: list[str] = seen) -> Any:
            seen.append(status)
            return seen.append

        body = app(environ, start_response)
        content = b"".join(body)
        if hasattr(body, "close"):
            body.close()
        _check(int(seen[0][:3]), content, environ["PATH_INFO"])


def _check(status: int, body: bytes, path: str) -> None:
    if (status, body) != (200, apps.BODY):
        raise SystemExit(f"expected 200 and {apps.BODY!r} for {path}, got {status} and {body!r}")


def emptied(directory: Path) -> dict[str, int]:
    """Return lines and bytes of all logs under ``directory``, and empty them.

    Every variant opens its files for appending, so it goes on at the new end. Emptying them keeps the memory that
    caches them small and warm: on a virtual machine the first touch of a page costs a fault in the host, some 10 µs
    for each 4 KiB, which is more than writing an event and no cost of the variant.
    """
    lines = size = 0
    for file in directory.rglob("*"):
        if file.suffix in {".jsonl", ".log"}:
            content = file.read_bytes()
            lines += content.count(b"\n")
            size += len(content)
            os.truncate(file, 0)
    return {"lines": lines, "bytes": size}


async def obey(kind: str, app: Any, directory: Path, answers: TextIO) -> None:
    """Answer orders until standard input ends."""
    pool = traffic.heads()
    asgi = kind in apps.ASGI_KINDS
    fresh = traffic.scope if asgi else traffic.environ
    serve, check = (asgi_round, check_asgi) if asgi else (wsgi_round, check_wsgi)

    def requests(first: int, count: int) -> list[dict[str, Any]]:
        return [fresh(pool, number) for number in range(first, first + count)]

    def answer(what: dict[str, Any]) -> None:
        answers.write(json.dumps(what) + "\n")
        answers.flush()

    await check(app, requests(-WARM_UP_REQUESTS, WARM_UP_REQUESTS))
    answer({"requests": WARM_UP_REQUESTS, **emptied(directory)})
    for line in sys.stdin:
        order = json.loads(line)
        gc.collect()
        used = 0
        for first in range(order["first"], order["first"] + order["round"], BATCH):
            gc.disable()
            batch = requests(first, min(BATCH, order["first"] + order["round"] - first))
            gc.freeze()  # the waiting requests must not cost the variant anything in the collector
            gc.enable()
            used += await serve(app, batch)
            gc.unfreeze()
        answer({"cpu_ns": used, **emptied(directory)})


def main(kind: str, name: str, directory: str, core: str) -> None:
    """Build the variant, pin the process (``core`` is a CPU number, or - for any), and obey."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what a variant prints is not an answer
    if core != "-":
        os.sched_setaffinity(0, {int(core)})
    try:
        app = variants.VARIANTS[name].build(kind, Path(directory))
    except ModuleNotFoundError as error:
        answers.write(json.dumps({"missing": error.name or str(error)}) + "\n")
        return
    except Exception as error:
        traceback.print_exc()
        answers.write(json.dumps({"error": f"{type(error).__name__}: {error}"}) + "\n")
        return
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(obey(kind, app, Path(directory), answers))


if __name__ == "__main__":
    main(*sys.argv[1:])
