"""How requests fail: the status that is answered, and the exception behind it as the event tells it."""

from __future__ import annotations

from typing import NamedTuple


class Failure(NamedTuple):
    """A status, and the event's `error` as a JSON member with a comma before it; empty when nothing was raised."""

    status: int
    error: bytes = b""


_FRAME = r"  File \"/srv/shop/app/%s.py\", line %d, in %s\n    %s\n"


def _raised(status: int, kind: str, message: str, *frames: tuple[str, int, str, str]) -> Failure:
    stack = "".join(_FRAME % frame for frame in frames)
    trace = rf"Traceback (most recent call last):\n{stack}{kind.removeprefix('builtins.')}: {message}\n"
    error = f',"error":{{"type":"{kind}","handled":true,"message":"{message}","stacktrace":"{trace}"}}'
    return Failure(status, error.encode())


_PAY = ("views", 214, "pay", "charge = payments.charge(order)")
_CHARGE = ("payments", 88, "charge", "answer = client.post(CHARGES, json=charge, timeout=10)")

DECLINED = Failure(402)
UNAVAILABLE = Failure(503)
TIMED_OUT = _raised(504, "httpx.ReadTimeout", "the payment provider did not answer within 10 s", _PAY, _CHARGE)
REFUSED = _raised(502, "httpx.ConnectError", "[Errno 111] Connection refused", _PAY, _CHARGE)
NO_DATABASE = _raised(
    503,
    "psycopg.OperationalError",
    "server closed the connection unexpectedly",
    ("views", 57, "page", "items = store.fetch(WANTED, values)"),
    ("store", 41, "fetch", "return connection.execute(statement, values).all()"),
)
BUG = _raised(
    500,
    "builtins.KeyError",
    "'discount'",
    ("views", 132, "prices", "return [price(item) for item in items]"),
    ("prices", 19, "price", "return item['net'] - item['discount']"),
)
