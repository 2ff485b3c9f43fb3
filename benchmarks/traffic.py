"""Requests that differ the way real ones do, made fresh for every round.

One pool of request heads, the bytes that a server reads from its socket, is made once with a fixed seed. A request is
one of them with a number of its own in its path and in some of its queries, so that no two requests of a run are for
the same thing and nothing can be remembered that could not be remembered in a server; what repeats in real traffic
(user agents, addresses, some queries) repeats here. It is parsed into an ASGI scope or a WSGI environ shortly before it
is served, so that every header name and value is a new object whose hash nobody has computed yet. That is not timed.

The picture is an application behind a proxy on the same machine: the peer is 127.0.0.1, the client's address is in
X-Forwarded-For, and half of the requests bring a traceparent.
"""

from __future__ import annotations

import io
import random
import sys
from typing import Any
from urllib.parse import unquote

POOL_SIZE = 4096
PORTS = range(32_768, 61_000)  # what Linux gives to connections by default
SERVER = ("127.0.0.1", 8000)

USER_AGENTS = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Safari/537.36",
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) "
    "Version/18.1 Safari/605.1.15",
    "Mozilla/5.0 (X11; Linux x86_64; rv:132.0) Gecko/20100101 Firefox/132.0",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:132.0) Gecko/20100101 Firefox/132.0",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) "
    "Version/18.1 Mobile/15E148 Safari/604.1",
    "Mozilla/5.0 (Linux; Android 14; SM-S921B) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 "
    "Mobile Safari/537.36",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 "
    "Safari/537.36 Edg/131.0.0.0",
    "Mozilla/5.0 (compatible; bingbot/2.0; +http://www.bing.com/bingbot.htm)",
    "python-requests/2.32.3",
    "python-httpx/0.28.1",
    "okhttp/4.12.0",
    "curl/8.5.0",
    "kube-probe/1.30",
    "Go-http-client/2.0",
)
NOUNS = ("orders", "customers", "invoices", "files", "sessions", "products")
METHODS = ("GET",) * 16 + ("POST", "POST", "PUT", "DELETE")
WORDS = ("blue", "chair", "amsterdam", "invoice+2024", "caf%C3%A9", "a%26b", "report", "%E2%82%AC5")


def heads(count: int = POOL_SIZE, seed: int = 20241) -> list[bytes]:
    """Return ``count`` request heads, the same ones for the same seed; ``{n}`` in them stands for a number."""
    rng = random.Random(seed)
    clients = [_address(rng) for _ in range(1000)]
    return [_head(rng, rng.choice(clients)) for _ in range(count)]


def scope(pool: list[bytes], number: int) -> dict[str, Any]:
    """Return a fresh ASGI HTTP connection scope for request ``number``, as uvicorn makes it (ASGI 3.0, HTTP 2.3)."""
    method, target, headers = _parse(pool, number)
    raw_path, _, query = target.partition(b"?")
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "server": SERVER,
        "client": ("127.0.0.1", PORTS[number % len(PORTS)]),
        "scheme": "http",
        "method": method.decode("ascii"),
        "root_path": "",
        "path": unquote(raw_path.decode("ascii")),
        "raw_path": raw_path,
        "query_string": query,
        "headers": [(name.lower(), value) for name, value in headers],
        "state": {},
    }


def environ(pool: list[bytes], number: int) -> dict[str, Any]:
    """Return a fresh WSGI environ for request ``number``, as a PEP 3333 server makes it."""
    method, target, headers = _parse(pool, number)
    raw_path, _, query = target.partition(b"?")
    made = {
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(),
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": False,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
        "SERVER_SOFTWARE": "benchmark",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "SERVER_NAME": SERVER[0],
        "SERVER_PORT": str(SERVER[1]),
        "REMOTE_ADDR": "127.0.0.1",
        "REMOTE_PORT": str(PORTS[number % len(PORTS)]),
        "REQUEST_METHOD": method.decode("ascii"),
        "SCRIPT_NAME": "",
        "PATH_INFO": unquote(raw_path.decode("ascii"), "latin-1"),
        "QUERY_STRING": query.decode("ascii"),
        "RAW_URI": target.decode("ascii"),
    }
    for name, value in headers:
        key = name.decode("ascii").upper().replace("-", "_")
        made[key if key in {"CONTENT_LENGTH", "CONTENT_TYPE"} else "HTTP_" + key] = value.decode("latin-1")
    return made


def _parse(pool: list[bytes], number: int) -> tuple[bytes, bytes, list[tuple[bytes, bytes]]]:
    head = pool[number % len(pool)].replace(b"{n}", b"%d" % (100_000 + number))
    first, *lines = head.split(b"\r\n")
    method, target, _ = first.split(b" ")
    headers = []
    for line in lines:
        name, _, value = line.partition(b": ")
        headers.append((name, value))
    return method, target, headers


def _head(rng: random.Random, client: str) -> bytes:
    method = rng.choice(METHODS)
    lines = [
        f"{method} /api/{rng.choice(NOUNS)}/{{n}}{_query(rng)} HTTP/1.1",
        "Host: shop.example.com",
        f"X-Forwarded-For: {client}",
        "X-Forwarded-Proto: https",
        "Connection: close",
        f"User-Agent: {rng.choice(USER_AGENTS)}",
        "Accept: application/json, text/plain, */*",
        "Accept-Language: nl-NL,nl;q=0.9,en;q=0.7",
        "Accept-Encoding: gzip, deflate, br",
    ]
    if rng.random() < 0.5:
        lines.append(f"Referer: https://shop.example.com/{rng.choice(NOUNS)}?page={rng.randrange(90)}")
    if rng.random() < 0.7:
        lines.append(f"Cookie: sid={rng.getrandbits(128):032x}; theme=dark")
    if method in {"POST", "PUT"}:
        lines += ["Content-Type: application/json", "Content-Length: 0"]
    if rng.random() < 0.5:
        lines.append(f"traceparent: 00-{rng.getrandbits(128) or 1:032x}-{rng.getrandbits(64) or 1:016x}-01")
        if rng.random() < 0.2:
            lines.append(f"tracestate: vendor={rng.getrandbits(48):012x}")
    return "\r\n".join(lines).encode("ascii")


def _query(rng: random.Random) -> str:
    kind = rng.random()
    if kind < 0.4:
        return ""
    if kind < 0.7:
        return f"?page={rng.randrange(500)}&sort=-created&limit=50"
    if kind < 0.97:
        return f"?q={rng.choice(WORDS)}&from=2024-{rng.randrange(1, 13):02d}-01&after={{n}}"
    return f"?download=1&token={rng.getrandbits(40):010x}{{n}}"


def _address(rng: random.Random) -> str:
    if rng.random() < 0.15:
        return f"2001:db8:{rng.getrandbits(16):x}::{rng.getrandbits(16):x}"
    return f"{rng.choice((198, 203))}.{rng.choice((51, 0))}.{rng.randrange(256)}.{rng.randrange(1, 255)}"
