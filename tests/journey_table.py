"""An engine over a table in memory, filled with `Happening`s: so that analyses can be asked by the thousand."""

from datetime import UTC, datetime, timedelta
from functools import reduce

import duckdb
import orjson
from hypothesis import strategies as st
from journeys_reference import Happening

from auditmw.archive.columns import COLUMNS, EXTRA, SQL_TYPES
from auditmw.query.conditions import named
from auditmw.query.language import parse
from auditmw.query.predicate import predicate
from auditmw.query.scope import EVERYTHING
from auditmw.query.stitching import spans_sql

BEGINNING = datetime(2026, 3, 28, 21, 59, tzinfo=UTC)  # a night in which Europe sets its clocks forward
PATHS = ("/", "/pricing", "/signup", "/users/1", "/users/2")


class TableEngine:
    """Answers like an engine whose archive has exactly these happenings."""

    def __init__(self, happenings=()):
        self.connection = duckdb.connect(config={"threads": 1})
        columns = ", ".join(f'"{name}" {kind}' for name, kind in TYPES.items())
        self.connection.execute(f"CREATE TABLE archived ({columns})")
        self.hold(happenings)

    def hold(self, happenings):
        """Have these happenings, and no others."""
        self.connection.execute("DELETE FROM archived")
        values = [row(one) for one in happenings]
        names = [name for name in TYPES if any(value[name] is not None for value in values)]
        if names:
            columns = ", ".join(f'"{name}"' for name in names)
            lists = ", ".join(f"unnest(${number}::{TYPES[name]}[])" for number, name in enumerate(names, start=1))
            bound = [[value[name] for value in values] for name in names]
            self.connection.execute(f"INSERT INTO archived ({columns}) SELECT {lists}", bound)
        return self

    def ask(self, answer, scope=EVERYTHING, *, stitched=False, time_limit_seconds=None, token=None):
        return answer(TableQuestion(self.connection, scope, stitched))


class TableQuestion:
    def __init__(self, connection, scope, stitched):
        self.connection = connection
        self.scope = scope
        self.partial = None
        query = scope.parsed()
        self.since, self.until = scope.bounds(query)
        self.condition = named(predicate(query), "_scope")
        self.person = '"user"'
        self.spans = ""
        if stitched:
            self.spans = f"{spans_sql(f'(SELECT * FROM archived WHERE {self._in_range(self.since, None)})')},"

    def whole(self, sql, parameters=None):
        kept = f"{self._in_range(self.since, self.until)} AND {self.condition.text}"
        person = '"user"'
        if self.spans:
            person = """coalesce("user", (SELECT any_value(person) FROM _spans WHERE _spans.session = archived.session
                AND time > since AND time <= until))"""
        events = f"WITH {self.spans} events AS NOT MATERIALIZED (SELECT *, {person} AS person FROM archived WHERE {kept})"
        text = f"{events}, {sql.removeprefix('WITH ')}" if sql.startswith("WITH ") else f"{events} {sql}"
        return self.connection.execute(text, {**self.condition.bound, **(parameters or {})}).fetchall()

    def span(self):
        first, last = self.connection.execute("SELECT min(time), max(time) FROM archived").fetchone()
        if first is None and (self.since is None or self.until is None):
            return None
        since, until = self.since or first, self.until or last + timedelta(microseconds=1)
        return since.replace(tzinfo=UTC), until.replace(tzinfo=UTC)

    @staticmethod
    def _in_range(since, until):
        bounds = [f"time >= TIMESTAMP '{since}'"] if since else []
        bounds += [f"time < TIMESTAMP '{until}'"] if until else []
        return " AND ".join(bounds or ["TRUE"])


TYPES = {column.name: SQL_TYPES[column.kind] for column in COLUMNS} | EXTRA | {"body": "VARCHAR"}


def row(happening):
    """The archive's row of a happening; the SQL that makes it of a journal line takes a hundred times as long."""
    event = happening.event
    values = {column.name: reduce(lambda value, key: (value or {}).get(key), column.path, event) for column in COLUMNS}
    data = None if values["data"] is None else orjson.dumps(values["data"]).decode()
    time = happening.time.replace(tzinfo=None)
    known = {"time": time, "data": data, "bot": False, "writer": happening.writer, "seq": happening.seq, "state": "final"}
    return dict.fromkeys(TYPES) | values | known | {"body": orjson.dumps(event).decode()}


def happening(minutes, path="/", *, session="s", user=None, writer="a", seq=0, event="http_request", **fields):
    """A happening some minutes after BEGINNING; a request, unless it has no path."""
    time = BEGINNING + timedelta(minutes=minutes)
    event = {"timestamp": time.isoformat(timespec="microseconds").replace("+00:00", "Z"), "event": event, **fields}
    if path is not None:
        event["url"] = {"path": path, **fields.get("url", {})}
    if session is not None:
        event["session"] = {"id": session}
    if user is not None:
        event["actor"] = {"id": user}
    return Happening(time, writer, seq, event)


def in_order(*happenings):
    """The happenings with numbers in the order in which they are given."""
    return [one._replace(seq=number) for number, one in enumerate(happenings)]


@st.composite
def random_happenings(draw, *, most=40, minutes=60):
    """Happenings of few units at few moments, so that there is much at the same time, by several writers."""
    chosen = draw(
        st.lists(
            st.tuples(
                st.integers(0, minutes),
                st.sampled_from(PATHS),
                st.sampled_from(["s", "t", "u", None]),
                st.sampled_from(["ada", "bob", None]),
                st.sampled_from(["b", "a", "c"]),
                st.sampled_from(["free", "paid", None]),
            ),
            max_size=most,
        )
    )
    return [
        happening(
            minute, path, session=session, user=user, writer=writer, seq=seq, data={"plan": plan} if plan else {}
        )
        for seq, (minute, path, session, user, writer, plan) in enumerate(draw(st.permutations(chosen)))
    ]


def of_session(happening):
    return happening.event.get("session", {}).get("id")


def of_user(happening):
    return happening.event.get("actor", {}).get("id")


def matching(text):
    """A query as a function of a happening."""
    query = parse(text)
    assert not query.errors
    return lambda happening: query.matches(happening.event)
