"""Traffic at a glance: how much, by whom, how fast, how well; the robots apart, and shown."""

from __future__ import annotations

from collections.abc import Collection, Hashable, Mapping
from functools import partial as bound_to
from typing import NamedTuple

from auditmw.query.engine import Engine
from auditmw.query.language.dialect import Dialect
from auditmw.query.partial import Partial
from auditmw.query.question import Question, Row
from auditmw.query.scope import EVERYTHING, Scope
from auditmw.query.templates import page_sql


class Traffic(NamedTuple):
    """What people, or robots, did.

    `visitors` are told apart by their user, else their session, else their address with their user agent. `errors`:
    events of level error or critical, and responses of 500 and above; `client_errors`: responses of 400 to 499.
    `size_bytes`: bodies sent. The percentiles are of the durations of requests (nearest rank), None without any.
    """

    requests: int = 0
    events: int = 0
    users: int = 0
    sessions: int = 0
    visitors: int = 0
    errors: int = 0
    client_errors: int = 0
    size_bytes: int = 0
    p50_ns: int | None = None
    p95_ns: int | None = None
    p99_ns: int | None = None


class Share(NamedTuple):
    """One value, and how many requests of people and of robots have it."""

    value: str
    people: int
    bots: int


class Top(NamedTuple):
    """The values that most requests of people have; of equally frequent ones, those of more robots, then in order."""

    shares: tuple[Share, ...]
    partial: Partial | None


class Summary(NamedTuple):
    """Traffic of people and of robots, and the top of each list; `partial` speaks of the traffic.

    `pages`: routes, and templates of paths where there is no route. `referrers`: the hosts that people came from, own
    ones left out. `not_found`: the paths of requests with status 404.
    """

    people: Traffic
    bots: Traffic
    partial: Partial | None
    pages: Top
    referrers: Top
    agents: Top
    ips: Top
    not_found: Top


def summary(
    engine: Engine,
    scope: Scope = EVERYTHING,
    *,
    limit: int = 10,
    own_hosts: Collection[str] = (),
    stitched: bool = False,
    time_limit_seconds: float | None = None,
    token: Hashable = None,
) -> Summary:
    """Return the traffic of the scope. The parts share the time limit, and each says when it is not whole.

    A referrer on the host that was asked for, or on one of `own_hosts`, is the site itself. `stitched`: what somebody
    did before logging in counts as that user's.
    """
    if limit < 1:
        raise ValueError(f"expected a limit of at least 1, not {limit!r}")
    hosts = sorted({host.lower() for host in own_hosts})
    answers = [bound_to(_answer, sql=_traffic(engine.dialect), parameters={})]
    for of in _lists(engine.dialect):
        parameters = {"limit": limit, **({"own_hosts": hosts} if of.with_hosts else {})}
        answers.append(bound_to(_answer, sql=of.sql(), parameters=parameters))
    (traffic, partial), *tops = engine.ask_each(
        answers, scope, stitched=stitched, time_limit_seconds=time_limit_seconds, token=token
    )
    who = {is_bot: Traffic(*numbers, *(percentiles or ())) for is_bot, *numbers, percentiles in traffic}
    lists = [Top(tuple(Share(*row) for row in rows), of_list) for rows, of_list in tops]
    return Summary(who.get(False, Traffic()), who.get(True, Traffic()), partial, *lists)


def _answer(question: Question, *, sql: str, parameters: Mapping[str, object]) -> tuple[list[Row], Partial | None]:
    return question.whole(sql, parameters), question.partial


_IS_BOT = "coalesce(bot, false)"  # without a user agent nobody can say
_IS_REQUEST = "event = 'http_request'"


def _traffic(dialect: Dialect) -> str:
    return f"""SELECT {_IS_BOT}, count(*) FILTER (WHERE {_IS_REQUEST}), count(*), count(DISTINCT person),
        count(DISTINCT session), count(DISTINCT coalesce(person, session, ip || '\n' || coalesce(agent, ''))),
        count(*) FILTER (WHERE status >= 500 OR level IN ('error', 'critical')),
        count(*) FILTER (WHERE status BETWEEN 400 AND 499), CAST(coalesce(sum(size), 0) AS BIGINT),
        {dialect.percentiles("dur", (50, 95, 99), _IS_REQUEST)}
        FROM events GROUP BY 1"""


class _List(NamedTuple):
    """One list: of which columns a value is made, how, and of which requests and values it is."""

    columns: str
    value: str
    requests: str = "TRUE"
    values: str = "value IS NOT NULL"
    with_hosts: bool = False

    def sql(self) -> str:
        """Return the query. It groups by what is in the files first: of that there is less than there are events."""
        return f"""WITH counted AS (
                SELECT {self.columns}, {_IS_BOT} AS is_bot, count(*) AS number FROM events
                WHERE {_IS_REQUEST} AND {self.requests} GROUP BY ALL),
            valued AS (SELECT {self.value} AS value, {self.columns}, is_bot, number FROM counted)
            SELECT value, CAST(coalesce(sum(number) FILTER (WHERE NOT is_bot), 0) AS BIGINT) AS people,
                CAST(coalesce(sum(number) FILTER (WHERE is_bot), 0) AS BIGINT) AS bots
            FROM valued WHERE {self.values} GROUP BY value ORDER BY people DESC, bots DESC, value LIMIT $limit"""


def _host(authority: str, dialect: Dialect) -> str:
    """Return SQL for the host in the authority of a URL (RFC 3986 §3.2), without user and port."""
    return dialect.lowered(dialect.without(authority, "^.*@|:[0-9]*$"))


def _lists(dialect: Dialect) -> tuple[_List, ...]:
    """Return the lists in the order of the fields of `Summary`."""
    site = _host(dialect.matched("referrer", "^[A-Za-z][A-Za-z0-9+.-]*://([^/?#]*)", 1), dialect)
    own = f"value IS NOT DISTINCT FROM {_host('host', dialect)} OR {dialect.has('$own_hosts', 'value')}"
    return (
        _List("route, path", page_sql(dialect)),
        _List("referrer, host", site, "referrer IS NOT NULL", f"value <> '' AND NOT ({own})", with_hosts=True),
        _List("agent", "agent"),
        _List("ip", "ip"),
        _List("path", "path", "status = 404"),
    )
