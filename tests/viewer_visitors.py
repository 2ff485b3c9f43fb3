"""Who visited a small shop, and how: events of which every figure of the viewer's analyses is known.

Ten people come one a day, from 2 November 2026 (a Monday) on, each in a session of their own:

    all look at / and, a minute later, at /pricing; those of even days came from news.example
    six of them (0 to 5) sign up with a POST to /signup, another minute later: from then on they are users
    three of them (0 to 2) are recorded as signed up, a second later
    four of the users (0 to 3) come back a day later, in another session, and look at /account

A robot asks for /robots.txt, which is not there, once on each of five days.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

MONDAY = datetime(2026, 11, 2, 9, tzinfo=UTC)
PEOPLE, SIGNED, RECORDED, BACK, ROBOTS = 10, 6, 3, 4, 5
# Until here, every day that anything happened in is over.
END = "2026-11-20T00:00:00Z"
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
HOSTILE = "<img src=x onerror=alert(1)>\u202egpj.\u0000"

BROWSER = "Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0"
ROBOT = "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)"


def written(time: datetime) -> str:
    """The time as events have it."""
    return time.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def happened(time: datetime, path: str | None, **said: Any) -> dict[str, Any]:
    """A request for a path; without one, an event of the application.

    `said`: user, session, method, status, agent, referrer, event, service, host, ip, span, parent, trace, duration_ms.
    """
    number = int(time.timestamp() * 1_000_000)
    status = said.get("status", 200)
    made: dict[str, Any] = {
        "schema": "auditmw.event/1.0",
        "id": f"{number >> 26 & 0xFFFFFFFF:08x}-{number >> 10 & 0xFFFF:04x}-7000-8000-{number & 0xFFFFFFFFFFFF:012x}",
        "timestamp": written(time),
        "event": said.get("event", "http_request"),
        "level": "error" if status >= 500 else "warning" if status >= 400 else "info",
        "outcome": {"result": "success" if status < 400 else "failure"},
        "client": {"address": said.get("ip", "192.0.2.7")},
        "service": {"name": said.get("service", "shop")},
        "source": {"kind": "app" if path is None else "middleware"},
    }
    if said.get("host"):
        made["service"]["host"] = said["host"]
    made |= {name: {"id": said[key]} for name, key in (("session", "session"), ("actor", "user")) if said.get(key)}
    made |= _traced(said)
    if path is not None:
        made |= _requested(time, path, status, said)
    return made


def _traced(said: dict[str, Any]) -> dict[str, Any]:
    names = (("trace_id", "trace"), ("span_id", "span"), ("parent_id", "parent"))
    trace = {name: said[key] for name, key in names if said.get(key)}
    return {"trace": trace} if trace else {}


def _requested(time: datetime, path: str, status: int, said: dict[str, Any]) -> dict[str, Any]:
    milliseconds = said.get("duration_ms", 20)
    request = {"method": said.get("method", "GET"), "user_agent": said.get("agent", BROWSER)}
    if said.get("referrer"):
        request["referrer"] = said["referrer"]
    return {
        "start": written(time - timedelta(milliseconds=milliseconds)),
        "duration_ns": milliseconds * 1_000_000,
        "http": {"request": request, "response": {"status_code": status, "body_size": 1000}},
        "url": {"path": path, "host": "shop.example"},
    }


def visitors() -> list[dict[str, Any]]:
    """All events of the people and the robot, in the order of time."""
    found = [event for person in range(PEOPLE) for event in _visit(person)]
    for day in range(ROBOTS):
        time = MONDAY + timedelta(days=day, hours=3)
        found.append(happened(time, "/robots.txt", status=404, agent=ROBOT, ip="192.0.2.66"))
    return sorted(found, key=lambda event: str(event["timestamp"]))


def _visit(person: int) -> Iterator[dict[str, Any]]:
    start, session, user = MONDAY + timedelta(days=person), f"first-{person}", f"user-{person}"
    came_from = None if person % 2 else "https://news.example/today"
    yield happened(start, "/", session=session, referrer=came_from)
    yield happened(start + timedelta(minutes=1), "/pricing", session=session)
    if person < SIGNED:
        signed = start + timedelta(minutes=2)
        yield happened(signed, "/signup", session=session, user=user, method="POST", status=303)
        if person < RECORDED:
            yield happened(signed + timedelta(seconds=1), None, session=session, user=user, event="user_signed_up")
    if person < BACK:
        yield happened(start + timedelta(days=1), "/account", session=f"back-{person}", user=user)


def busy() -> list[dict[str, Any]]:
    """A user of 450 requests, one each two hours; hour 0 of each tenth is of a session of ten."""
    start = MONDAY - timedelta(days=60)
    return [
        happened(start + timedelta(hours=2 * number), f"/jobs/{number}", user="busy", session=f"run-{number // 10}")
        for number in range(450)
    ]


def trace() -> list[dict[str, Any]]:
    """A trace over four services: shop asks stock and payments, which records something; who asks ledger is unknown."""
    start = MONDAY + timedelta(days=12)

    def part(after: int, took: int, path: str | None, **said: Any) -> dict[str, Any]:
        said |= {"trace": TRACE, "duration_ms": took}
        return happened(start + timedelta(milliseconds=after + took), path, **said)

    return [
        part(0, 400, "/checkout", method="POST", span="a" * 16, service="shop", session="first-1", user="user-1"),
        part(20, 80, "/stock/17", span="b" * 16, parent="a" * 16, service="stock", host="stock1"),
        part(120, 250, "/charges", method="POST", span="c" * 16, parent="a" * 16, service="payments", status=502),
        part(300, 0, None, event="charge_refused", span="c" * 16, parent="a" * 16, service="payments"),
        part(350, 10, "/audit", span="d" * 16, parent="f" * 16, service="ledger"),
    ]


def hostile() -> list[dict[str, Any]]:
    """Two requests of somebody who means harm, in every place that a client writes."""
    start = MONDAY + timedelta(days=13)
    said = dict.fromkeys(("user", "session", "agent", "trace", "service", "referrer"), HOSTILE)
    return [happened(start + timedelta(seconds=number), f"/{HOSTILE}/{'x' * 50_000}", **said) for number in range(2)]


def night() -> list[dict[str, Any]]:
    """Six requests without a session, one every ten minutes, from half past eleven in the evening of 17 November on."""
    start = MONDAY.replace(day=17, hour=23, minute=30)
    return [happened(start + timedelta(minutes=10 * number), "/night", ip="192.0.2.99") for number in range(6)]


def expect(locator: Any) -> Any:
    """Playwright's assertions, which wait until they come true."""
    from playwright.sync_api import expect as expected

    return expected(locator)


def serious(page: Any) -> list[str]:
    """What axe finds on the page that is serious or critical, as sentences."""
    from axe_playwright_python.sync_playwright import Axe

    found = Axe().run(page).response["violations"]
    return [
        f"{one['id']}: {one['help']}: {[node['html'][:120] for node in one['nodes'][:3]]}"
        for one in found
        if one["impact"] in ("serious", "critical")
    ]
