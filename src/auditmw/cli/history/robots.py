"""Who is no person: crawlers, scanners and guessers, a service account, and jobs that run by themselves."""

from __future__ import annotations

from auditmw.cli.history.hour import Hour, Who
from auditmw.cli.history.lines import SHOP, context, level
from auditmw.cli.history.people import CRAWLERS, SCANNERS, user_id
from auditmw.cli.history.rhythm import HOUR_NS
from auditmw.cli.history.shop import APP, CATEGORIES, PRODUCTS, WEB, WRONG_PATHS, Page
from auditmw.cli.history.visits import refuse_login

_PROBES = tuple(
    b"""
    /.env /.git/config /wp-login.php /wp-admin/setup-config.php /xmlrpc.php /phpmyadmin/index.php /.aws/credentials
    /server-status /actuator/env /cgi-bin/luci /boaform/admin/formLogin /vendor/phpunit/phpunit/phpunit.xml
    /config.json /backup.zip /api/.env /admin/login /owa/auth/logon.aspx /HNAP1 /solr/admin/info/system /.DS_Store
    """.split()
)
_PROBE = Page(SHOP, "GET", b"", 4, 4_100, WEB["missing"].content_type, 404)
_CRAWL, _SCAN = (4, 40), (20, 180)  # requests
MEAN_CRAWL, MEAN_SCAN = sum(_CRAWL) / 2, sum(_SCAN) / 2
_SERVICE = Who(b"stock-sync/2.3", context(b"10.20.0.7", b"svc-stock-sync", kind=b"service"))


def crawl(hour: Hour, now_ns: int) -> None:
    """A search engine's robot reads a few pages."""
    rng = hour.rng
    number = rng.randrange(len(CRAWLERS))
    who = Who(CRAWLERS[number], context(b"192.0.2.%d" % (64 * number + rng.randrange(1, 64))))
    page = WEB["robots"]
    now_ns = hour.request(page, now_ns, who, page.route)
    for _ in range(rng.randrange(*_CRAWL)):
        now_ns += rng.randrange(800, 9_000) * 1_000_000 + rng.getrandbits(20)
        chance, query = rng.random(), b""
        if chance < 0.7:
            page = WEB["product"]
            path = page.path(PRODUCTS[rng.randrange(len(PRODUCTS))])
        elif chance < 0.95:
            page = WEB["category"]
            path, query = page.path(CATEGORIES[rng.randrange(len(CATEGORIES))]), b"page=%d" % rng.randrange(1, 20)
        else:
            page, path = WEB["missing"], WRONG_PATHS[rng.randrange(len(WRONG_PATHS))]
        now_ns = hour.request(page, now_ns, who, path, query)


def scan(hour: Hour, now_ns: int) -> None:
    """Somebody looks for holes: one path after the other that is not there, or one password after the other."""
    rng = hour.rng
    agent = SCANNERS[rng.randrange(len(SCANNERS))]
    who = Who(agent, context(b"203.0.113.%d" % rng.randrange(1, 255)))
    guesses = rng.random() < 0.3
    for number in range(rng.randrange(*_SCAN)):
        now_ns += rng.randrange(40, 420) * 1_000_000 + rng.getrandbits(20)
        if guesses:
            now_ns = refuse_login(hour, now_ns, who, user_id(rng.randrange(400)))
        else:
            now_ns = hour.request(_PROBE, now_ns, who, _PROBES[number % len(_PROBES)])


def synchronise(hour: Hour, begin_ns: int, count: int) -> None:
    """The service account tells the stock of `count` articles: every quarter of an hour a part of them."""
    rng, page = hour.rng, APP["stock"]
    for number in range(count):
        quarter_ns = begin_ns + number * 4 // count * (HOUR_NS // 4)
        at_ns = quarter_ns + rng.randrange(90_000) * 1_000_000 + rng.getrandbits(20)
        hour.request(page, at_ns, _SERVICE, page.path(b"%d" % rng.randrange(100, 2_500)))


def run_job(hour: Hour, now_ns: int) -> None:
    """A job says what it did."""
    count = hour.rng.randrange(1, 400)
    if hour.rng.random() < 0.9:
        said = (
            b'"message":"%d reminders sent","category":"email","action":"send",'
            b'"outcome":{"result":"success"},"data":{"count":%d}'
        )
        hour.record_alone(SHOP, now_ns, b"reminders_sent", level("info"), said % (count, count))
    else:
        said = (
            b'"message":"export stopped: the file server did not answer","action":"backup",'
            b'"outcome":{"result":"failure","reason":"timeout"},"data":{"count":%d}'
        )
        hour.record_alone(SHOP, now_ns, b"export_stopped", level("warning"), said % count)
