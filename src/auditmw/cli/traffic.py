"""The visitors of the demo: real HTTP requests of a few users, with the mistakes that users make."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import count

import httpx

Step = Callable[[], httpx.Response]
TIMEOUT_SECONDS = 10.0
TRACEPARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


@dataclass(frozen=True)
class Visitor:
    """Someone with a browser: a name, a password, a user agent, and the cookies between requests."""

    user: str
    password: str
    client: httpx.Client

    def login(self, password: str | None = None) -> httpx.Response:
        """Sign in, with the right password unless another is given."""
        return self.client.post("/login", data={"user": self.user, "password": password or self.password})

    def upload(self, name: str, content: bytes, content_type: str) -> httpx.Response:
        """Upload one file."""
        return self.client.post("/files", files={"file": (name, content, content_type)})


def visitor(base_url: str, user_agent: str, user: str = "", password: str = "") -> Visitor:
    """Return a visitor of the server at `base_url`; without a user they stay anonymous."""
    # trust_env=False: a proxy of the environment has nothing to do with a server on the loopback interface.
    client = httpx.Client(
        base_url=base_url, headers={"user-agent": user_agent}, timeout=TIMEOUT_SECONDS, trust_env=False
    )
    return Visitor(user, password, client)


def visits(url: str, users: tuple[str, str], password: str) -> Iterator[list[Step]]:
    """Yield round after round of requests to the server at `url`, without end."""
    alice = visitor(url, "Mozilla/5.0 (X11; Linux x86_64)", users[0], password)
    bob = visitor(url, "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X)", users[1], password)
    anyone = visitor(url, "curl/8.10.1")
    with alice.client, bob.client, anyone.client:
        # New file names also in a directory that an earlier demo left.
        for number in count(int(time.time())):
            yield list(one_round(number, alice, bob, anyone))


def one_round(number: int, alice: Visitor, bob: Visitor, anyone: Visitor) -> Iterator[Step]:
    """Yield the requests of one round; `number` makes its file names new."""
    report, photo = f"report-{number}.txt", f"photo-{number}.png"
    text = f"Round {number}\n".encode() * (number % 40 + 1)
    yield lambda: anyone.client.get("/")
    yield lambda: anyone.client.get("/static/style.css")  # exempt: no event
    yield lambda: anyone.client.get("/files")  # 401
    yield lambda: alice.login()
    yield lambda: alice.client.get("/files", params={"sort": "name", "token": "never-written"})
    yield lambda: alice.upload(report, text, "text/plain")
    yield lambda: bob.login(password="guess")  # noqa: S106 - 401, and the guess is written nowhere
    yield lambda: bob.login()
    yield lambda: bob.upload(photo, b"\x89PNG\r\n\x1a\n" + bytes(16), "image/png")
    yield lambda: bob.upload(report, b"mine", "text/plain")  # 409
    yield lambda: bob.client.get(f"/files/{report}")
    yield lambda: bob.client.get(f"/thumbnail/{report}")  # 422, with an exception that was handled
    yield lambda: alice.client.get("/quota")  # 500, with one that was not
    yield lambda: anyone.client.get("/static/missing.css")  # exempt, but errors are recorded
    yield lambda: alice.client.delete(f"/files/{report}")
    yield lambda: alice.client.delete(f"/files/{report}")  # 404
    yield lambda: alice.client.get("/files", headers={"traceparent": TRACEPARENT})
