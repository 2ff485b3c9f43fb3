"""An access log in the combined format, of the requests that the generated history has from outside."""

from __future__ import annotations

import datetime
import multiprocessing
import os

import orjson

from auditmw.cli.history import History

DAYS = 30
UNTIL = datetime.datetime(2026, 11, 20, tzinfo=datetime.UTC)
_EVENTS_PER_LINE = 1.3
_FROM_OUTSIDE = frozenset({"shop", "api"})  # the services that are behind the proxy that writes the log

_history: History


def write(file: str | os.PathLike[str], lines: int) -> int:
    """Write this many lines, in time order but for some at midnight, and return how many bytes they are.

    The format is nginx's ``combined``: http://nginx.org/en/docs/http/ngx_http_log_module.html#log_format
    """
    global _history
    _history = History(int(lines * _EVENTS_PER_LINE) + 100, DAYS, until=UNTIL)
    size = rest = 0
    with open(file, "wb") as log, multiprocessing.get_context("fork").Pool(len(os.sched_getaffinity(0))) as pool:
        rest = lines
        for day in pool.imap(_day, range(DAYS)):
            wanted = day[:rest]
            rest -= len(wanted)
            size += log.write(b"".join(wanted))
    if rest:
        raise AssertionError(f"the history has {rest} lines too few; raise _EVENTS_PER_LINE")
    return size


def _day(number: int) -> list[bytes]:
    found = []
    for _, body in _history.part(number, number + 1):
        event = orjson.loads(body)
        if event["event"] == "http_request" and event["service"]["name"] in _FROM_OUTSIDE:
            found.append(_line(event))
    return found


def _line(event: dict) -> bytes:
    http, url = event["http"], event["url"]
    request, response = http["request"], http["response"]
    time = datetime.datetime.fromisoformat(event["timestamp"]).strftime("%d/%b/%Y:%H:%M:%S +0000")
    target = f"{url['path']}?{url['query']}" if "query" in url else url["path"]
    return (
        f"{event['client']['address']} - {event['actor'].get('id', '-')} [{time}] "
        f'"{request["method"]} {target} HTTP/{http["version"]}" {response["status_code"]} {response["body_size"]} '
        f'"{request.get("referrer", "-")}" "{request["user_agent"]}"\n'
    ).encode()
