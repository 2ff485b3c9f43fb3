"""The shop: its pages on the web and in the app, what is sold there, and where people go from where."""

from __future__ import annotations

from typing import NamedTuple

from auditmw.cli.history.chance import steps
from auditmw.cli.history.lines import API, CATALOG, PAYMENTS, SHOP, Service

HTML, JSON, TEXT = b"text/html; charset=utf-8", b"application/json", b"text/plain; charset=utf-8"
FORM = b"application/x-www-form-urlencoded"
MULTIPART = b"multipart/form-data; boundary=----WebKitFormBoundary7MA4YWxkTrZu0gW"
JPEG = b"image/jpeg"


class Page(NamedTuple):
    """One endpoint: how it is asked, and how it answers when all is well."""

    service: Service
    method: str
    route: bytes  # with one part in < > or { } where paths differ; empty where nothing is found
    milliseconds: float  # the median
    size: int  # of the response's body in bytes: the median; always the same where it is below 100
    content_type: bytes = HTML
    status: int = 200
    sends: bytes = b""  # the content type of the request's body
    sent_bytes: int = 0

    def path(self, value: bytes) -> bytes:
        """The path that has `value` in the place of the route's variable part."""
        before, opening, rest = self.route.replace(b"<", b"{").partition(b"{")
        return before + value + rest.replace(b">", b"}").partition(b"}")[2] if opening else before


WEB = {
    "home": Page(SHOP, "GET", b"/", 18, 21_000),
    "sale": Page(SHOP, "GET", b"/sale", 22, 26_000),
    "category": Page(SHOP, "GET", b"/category/<name>", 31, 24_000),
    "search": Page(SHOP, "GET", b"/search", 64, 19_000),
    "product": Page(SHOP, "GET", b"/products/<slug>", 26, 30_000),
    "review": Page(SHOP, "POST", b"/products/<slug>/reviews", 24, 0, HTML, 303, FORM, 412),
    "add": Page(SHOP, "POST", b"/cart/items", 15, 0, HTML, 303, FORM, 38),
    "cart": Page(SHOP, "GET", b"/cart", 17, 11_000),
    "signup_form": Page(SHOP, "GET", b"/signup", 8, 7_200),
    "signup": Page(SHOP, "POST", b"/signup", 160, 0, HTML, 303, FORM, 121),
    "login_form": Page(SHOP, "GET", b"/login", 7, 6_100),
    "login": Page(SHOP, "POST", b"/login", 140, 0, HTML, 303, FORM, 74),
    "checkout": Page(SHOP, "GET", b"/checkout", 28, 14_000),
    "pay": Page(SHOP, "POST", b"/checkout", 310, 0, HTML, 303, FORM, 356),
    "paid": Page(SHOP, "GET", b"/orders/<id>", 23, 12_000),
    "account": Page(SHOP, "GET", b"/account", 16, 9_800),
    "orders": Page(SHOP, "GET", b"/account/orders", 34, 13_000),
    "upload": Page(SHOP, "POST", b"/account/files", 52, 74, JSON, 201, MULTIPART, 184_000),
    "missing": Page(SHOP, "GET", b"", 5, 4_100, HTML, 404),
    "robots": Page(SHOP, "GET", b"/robots.txt", 2, 89, TEXT),
}
APP = {
    "home": Page(API, "GET", b"/v1/feed", 24, 8_400, JSON),
    "sale": Page(API, "GET", b"/v1/feed", 24, 8_400, JSON),
    "category": Page(API, "GET", b"/v1/categories/{name}/products", 29, 11_000, JSON),
    "search": Page(API, "GET", b"/v1/search", 48, 7_700, JSON),
    "product": Page(API, "GET", b"/v1/products/{slug}", 14, 3_100, JSON),
    "review": Page(API, "POST", b"/v1/products/{slug}/reviews", 21, 57, JSON, 201, JSON, 380),
    "add": Page(API, "POST", b"/v1/cart/items", 11, 96, JSON, 201, JSON, 44),
    "cart": Page(API, "GET", b"/v1/cart", 12, 1_900, JSON),
    "checkout": Page(API, "PUT", b"/v1/cart/address", 17, 1_200, JSON, 200, JSON, 168),
    "pay": Page(API, "POST", b"/v1/orders", 290, 88, JSON, 201, JSON, 97),
    "paid": Page(API, "GET", b"/v1/orders/{id}", 13, 1_700, JSON),
    "account": Page(API, "GET", b"/v1/me", 9, 640, JSON),
    "orders": Page(API, "GET", b"/v1/me/orders", 27, 5_200, JSON),
    "upload": Page(API, "PUT", b"/v1/me/picture", 47, 74, JSON, 200, JPEG, 96_000),
    "missing": Page(API, "GET", b"/v1/products/{slug}", 6, 22, JSON, 404),
    "stock": Page(API, "PATCH", b"/v1/stock/{sku}", 8, 31, JSON, 200, JSON, 28),
}
CATALOG_PRODUCT = Page(CATALOG, "GET", b"/products/{sku}", 5, 2_600, JSON)
CATALOG_SEARCH = Page(CATALOG, "GET", b"/search", 33, 6_900, JSON)
CHARGE = Page(PAYMENTS, "POST", b"/charges", 230, 91, JSON, 201, JSON, 143)

# Where somebody goes from where, and how often; the rest of 1 leaves.
_MOVES = {
    "home": {"category": 0.3, "search": 0.21, "product": 0.25, "account": 0.06, "missing": 0.004},
    "sale": {"product": 0.55, "category": 0.12, "home": 0.05},
    "category": {"product": 0.55, "category": 0.14, "search": 0.08, "home": 0.05},
    "search": {"product": 0.5, "search": 0.15, "category": 0.07, "missing": 0.003},
    "product": {"product": 0.25, "category": 0.12, "search": 0.08, "add": 0.13, "home": 0.04, "missing": 0.012},
    "review": {"product": 0.5},
    "add": {"cart": 0.5, "product": 0.3, "search": 0.06},
    "cart": {"checkout": 0.45, "product": 0.2, "home": 0.05},
    "signup": {"home": 0.3, "category": 0.25, "product": 0.3},
    "login": {"home": 0.35, "product": 0.25, "account": 0.2, "category": 0.1},
    "checkout": {"pay": 0.66, "cart": 0.1},
    "pay": {"home": 0.14, "orders": 0.1, "checkout": 0.03},
    "account": {"orders": 0.4, "home": 0.25, "upload": 0.07},
    "orders": {"product": 0.25, "home": 0.2, "review": 0.04},
    "upload": {"account": 0.5},
    "missing": {"home": 0.4, "search": 0.2},
}
NEXT = {page: steps(moves) for page, moves in _MOVES.items()}
ENTRY = steps({"home": 0.36, "product": 0.38, "category": 0.14, "sale": 0.12})
FOUND_BY = steps(
    {
        b"https://www.google.com/": 0.46,
        b"": 0.3,  # typed, or a bookmark
        b"https://www.bing.com/": 0.05,
        b"https://duckduckgo.com/": 0.05,
        b"https://www.reddit.com/": 0.03,
        b"https://l.instagram.com/": 0.05,
        b"https://news.example/best-tables": 0.03,
        b"https://blog.example/autumn": 0.03,
    }
)
CAMPAIGNS = (
    b"utm_source=newsletter&utm_medium=email&utm_campaign=autumn",
    b"utm_source=newsletter&utm_medium=email&utm_campaign=weekly",
    b"utm_source=google&utm_medium=cpc&utm_campaign=brand",
    b"utm_source=google&utm_medium=cpc&utm_campaign=tables&utm_term=oak+table",
    b"utm_source=instagram&utm_medium=social&utm_campaign=autumn",
)

_LOOKS = tuple(b"oak walnut linen steel round small tall folding garden vintage".split())
_THINGS = tuple(b"table chair lamp shelf sofa desk rug mirror bench vase bed stool".split())
CATEGORIES = tuple(thing + b"s" for thing in _THINGS)
PRODUCTS = tuple(
    b"%b-%b-%d" % (_LOOKS[number % len(_LOOKS)], _THINGS[number // len(_LOOKS) % len(_THINGS)], 100 + number)
    for number in range(2_400)
)
SEARCHES = tuple(b"%b+%b" % (look, thing) for look in _LOOKS for thing in _THINGS) + _THINGS + (b"caf%C3%A9+table",)
WRONG_PATHS = (b"/products/oak-table-99999", b"/spring-sale", b"/favicon.ico", b"/category/tabels", b"/help/returns")
