"""What people do on a visit: they come, look around, sign up or log in, buy, and leave."""

from __future__ import annotations

from base64 import b32encode
from random import Random
from typing import NamedTuple

from auditmw.cli.history.chance import pause, pick, popular
from auditmw.cli.history.failures import DECLINED, REFUSED, TIMED_OUT, Failure
from auditmw.cli.history.hour import Hour, Who
from auditmw.cli.history.lines import Trace, context, level
from auditmw.cli.history.shop import (
    APP,
    CAMPAIGNS,
    CATALOG_PRODUCT,
    CATALOG_SEARCH,
    CATEGORIES,
    CHARGE,
    ENTRY,
    FOUND_BY,
    NEXT,
    PRODUCTS,
    SEARCHES,
    WEB,
    WRONG_PATHS,
    Page,
)

_INFO, _WARNING = level("info"), level("warning")
_AT_ONCE_NS = 280_000_000  # how long a browser takes to follow a redirect
_READING_SECONDS = 13.0  # the median
_MOST_PAGES = 60
_FOR_USERS = frozenset({"account", "orders", "upload", "review"})

_SIGNED_UP = (b"user_signed_up", b'"action":"create","category":"iam"')
_LOGGED_IN = (b"user_logged_in", b'"action":"authenticate/login","category":"authentication"')
_IDENTIFIED = b'%b,"target":{"type":"user","id":"%b"},"outcome":{"result":"success"},"data":{"method":"password"}'
_REFUSED = (
    b'"action":"authenticate/login","category":"authentication","target":{"type":"user","id":"%b"},'
    b'"outcome":{"result":"failure","reason":"wrong_password"}'
)
_ORDER = (
    b'"action":"create","target":{"type":"order","id":"%b"},"outcome":{"result":"%b"},'
    b'"data":{"amount_cents":%d,"currency":"EUR"}'
)
_UPLOADED = (
    b'"category":"file","action":"create","target":{"type":"file","name":"photo-%d.jpg"},'
    b'"outcome":{"result":"success"},"data":{"file_size_bytes":%d,"content_type":"image/jpeg"}'
)


class Visitor(NamedTuple):
    """Somebody who comes: with what, from where, and who it is, if they have an account or make one.

    `is_known`: they are logged in when they come. `is_new`: they make their account on this visit.
    """

    agent: bytes
    address: bytes
    user: bytes | None = None
    has_app: bool = False
    is_known: bool = False
    is_new: bool = False


class Visit:
    """One visit, written into `hour`."""

    def __init__(self, hour: Hour, visitor: Visitor) -> None:
        self._hour, self._rng, self._visitor = hour, hour.rng, visitor
        self._pages, self._prefix = (APP, b"/v1") if visitor.has_app else (WEB, b"")
        self._is_known = visitor.is_known
        self._session = _new_session(self._rng)
        self._referrer = b""
        self._product = PRODUCTS[0]
        self._basket_cents = 0
        self._meet(visitor.user if visitor.is_known else None)

    def walk(self, now_ns: int) -> None:
        """Go from page to page, from `now_ns` on, until they leave."""
        rng, visitor = self._rng, self._visitor
        name, query = self._arrive()
        identify_after = rng.randrange(1, 7) if visitor.user and not self._is_known else 0
        for number in range(1, _MOST_PAGES):
            now_ns = self._open(name, now_ns, query) + self._pause_ns()
            if number == identify_after and not self._is_known:
                now_ns, name = self._identify(now_ns)
            name, query = self._next(name), b""
            if name == "checkout" and visitor.user and not self._is_known:
                now_ns, _ = self._identify(now_ns)
            if not name or (name == "checkout" and not self._is_known):
                break
        if visitor.is_new and not self._is_known:
            self._identify(now_ns)

    def _arrive(self) -> tuple[str, bytes]:
        """The first page and its query, such as that of a campaign."""
        rng = self._rng
        name = pick(ENTRY, rng.random()) or "home"
        if self._visitor.has_app:
            return name, b""
        self._referrer = pick(FOUND_BY, rng.random()) or b""
        from_campaign = name == "sale" or rng.random() < 0.08
        return name, CAMPAIGNS[rng.randrange(len(CAMPAIGNS))] if from_campaign else b""

    def _next(self, name: str) -> str:
        """The page that they go to from this one; empty when they leave."""
        step = pick(NEXT[name], self._rng.random()) or ""
        return "" if step in _FOR_USERS and not self._is_known else step

    def _pause_ns(self) -> int:
        bits = self._rng.getrandbits(36)
        return int(_READING_SECONDS * pause(bits) * 1e9) + (bits >> 12)

    def _meet(self, user: bytes | None, previous: bytes | None = None) -> None:
        """From now on they are this user, or nobody that is known."""
        agent, address, *_ = self._visitor
        self._who = Who(agent, context(address, user, self._session, previous=previous))

    def _open(self, name: str, now_ns: int, query: bytes = b"") -> int:
        """Ask for one page, with all that comes of it; return when it was there."""
        if name == "pay":
            return self._pay(now_ns)
        if name == "upload":
            return self._upload(now_ns)
        page = self._pages[name]
        path, asked = self._place(name, page)
        trace = self._hour.new_trace()
        return self._ask(page, now_ns, trace, path, query or asked, self._wait(name, page, trace, now_ns))

    def _ask(
        self,
        page: Page,
        now_ns: int,
        trace: Trace,
        path: bytes = b"",
        query: bytes = b"",
        inner_ns: int = 0,
        failure: Failure | None = None,
    ) -> int:
        path = path or page.route
        end_ns = self._hour.request(
            page, now_ns, self._who, path, query,
            referrer=self._referrer, trace=trace, inner_ns=inner_ns, failure=failure,
        )  # fmt: skip
        if page.method == "GET" and not self._visitor.has_app:
            self._referrer = b"https://shop.example" + path
        return end_ns

    def _place(self, name: str, page: Page) -> tuple[bytes, bytes]:
        """The path and the query of a page."""
        chance = self._rng.random()
        if name == "product":
            self._product = PRODUCTS[popular(chance, len(PRODUCTS))]
        if name in {"product", "review"}:
            return page.path(self._product), b""
        if name == "category":
            number = int(chance * 100) % 7
            path = page.path(CATEGORIES[popular(chance, len(CATEGORIES))])
            return path, b"page=%d" % number if number else b""
        if name == "search":
            return page.route, b"q=" + SEARCHES[popular(chance, len(SEARCHES))]
        if name == "missing":
            return self._prefix + WRONG_PATHS[int(chance * len(WRONG_PATHS))], b""
        if name == "add":
            self._basket_cents += 900 + self._rng.getrandbits(14)
        return page.route, b""

    def _wait(self, name: str, page: Page, trace: Trace, now_ns: int) -> int:
        """The call to the catalog that some pages need, when it is not cached; how long it takes, in ns."""
        if name == "search":
            return self._hour.inner(page.service, trace, CATALOG_SEARCH, now_ns, CATALOG_SEARCH.route)
        if name == "product" and self._rng.random() < 0.4:
            sku = self._product.rpartition(b"-")[2]
            return self._hour.inner(page.service, trace, CATALOG_PRODUCT, now_ns, CATALOG_PRODUCT.path(sku))
        return 0

    def _identify(self, now_ns: int) -> tuple[int, str]:
        """Sign up or log in; return when that was done, and the name of its page."""
        rng, is_new, user = self._rng, self._visitor.is_new, self._visitor.user or b""
        name = "signup" if is_new else "login"
        now_ns = self._ask(WEB[name + "_form"], now_ns, self._hour.new_trace()) + self._pause_ns()
        if not is_new and rng.random() < 0.08:
            now_ns = refuse_login(self._hour, now_ns, self._who, user, self._referrer) + self._pause_ns()
        previous = None
        if rng.random() < 0.25:  # as frameworks do that give a new session to who logs in
            previous, self._session = self._session, _new_session(rng)
        self._meet(user, previous)
        page, trace = WEB[name], self._hour.new_trace()
        end_ns = self._ask(page, now_ns, trace)
        event, members = _SIGNED_UP if is_new else _LOGGED_IN
        self._hour.record(page, end_ns, self._who, trace, event, _INFO, _IDENTIFIED % (members, user))
        self._meet(user)
        self._is_known = True
        return end_ns + _AT_ONCE_NS, name

    def _pay(self, now_ns: int) -> int:
        """Order what is in the basket; most of the time that works."""
        page, hour = self._pages["pay"], self._hour
        trace, failure = hour.new_trace(), self._payment_failure(now_ns)
        inner_ns = hour.inner(page.service, trace, CHARGE, now_ns, CHARGE.route, failure)
        end_ns = self._ask(page, now_ns, trace, inner_ns=inner_ns, failure=failure)
        order, cents = b"o-%07d" % self._rng.randrange(10_000_000), self._basket_cents or 4_900
        if failure is not None:
            reason = b"card declined" if failure is DECLINED else b"no answer from the provider"
            said = b'"message":"payment refused: %b",' % reason + _ORDER % (order, b"failure", cents)
            hour.record(page, end_ns, self._who, trace, b"payment_refused", _WARNING, said)
            return end_ns
        said = _ORDER % (order, b"success", cents)
        hour.record(page, end_ns, self._who, trace, b"order_paid", _INFO, said)
        self._basket_cents = 0
        shown = self._pages["paid"]
        return self._ask(shown, end_ns + _AT_ONCE_NS, hour.new_trace(), shown.path(order))

    def _payment_failure(self, now_ns: int) -> Failure | None:
        chance = self._rng.random()
        if self._hour.is_troubled("payments", now_ns) and chance < 0.7:
            return TIMED_OUT if chance < 0.35 else REFUSED
        return DECLINED if chance < 0.06 else None

    def _upload(self, now_ns: int) -> int:
        """Upload a file to their account."""
        page, trace, number = self._pages["upload"], self._hour.new_trace(), self._rng.getrandbits(20)
        end_ns = self._ask(page, now_ns, trace)
        said = _UPLOADED % (number, 20_000 + number)
        self._hour.record(page, end_ns, self._who, trace, b"file_uploaded", _INFO, said)
        return end_ns


def refuse_login(hour: Hour, now_ns: int, who: Who, user: bytes, referrer: bytes = b"") -> int:
    """Write a log-in with a wrong password; return when it was refused."""
    page, trace = WEB["login"], hour.new_trace()
    end_ns = hour.request(page, now_ns, who, page.route, referrer=referrer, status=401, trace=trace)
    hour.record(page, end_ns, who, trace, b"login_refused", _WARNING, _REFUSED % user)
    return end_ns


def _new_session(rng: Random) -> bytes:
    """A session id as it is written: the keyed hash of one that nobody else knows."""
    return b"s1.k1." + b32encode(rng.randbytes(16))[:26].lower()
