"""Identity stitching: what somebody did before logging in belongs to the user who then logged in.

The rule, applied when the archive is read; nothing that is stored says it, and nothing changes it afterwards:

1. The `person` of an event with a user is that user.
2. The `person` of an event without a user is the user of the next event in the same session that has one: the event
   with the smallest time that is not before its own. Of several at that time, the one that sorts first by writer and
   number counts.
3. Where no such event comes, `person` is NULL: who went on after logging out, or never logged in, is nobody.
   So is an event without a session or without a time.

So in a session that A and then B used, what nobody did before A's last event is A's, and what comes after it, up to
B's last, is B's. The next event counts wherever it is: also after the end of a question's range, and when it does not
match the query.
"""

from __future__ import annotations

from auditmw.query.language.dialect import Dialect


def spans_sql(source: str, dialect: Dialect) -> str:
    """Return common table expressions, the last of them `_spans`: session, since, until, person.

    An event without a user belongs to `person` when it is of that session and since < time <= until. The spans of a
    session do not overlap. `source`: SQL of all events from the beginning of the range on.
    """
    known = f"""_known AS (SELECT session, time, "user", writer, seq FROM {source}
        WHERE session IS NOT NULL AND "user" IS NOT NULL AND time IS NOT NULL)"""
    person = dialect.known_first_by('"user"', "(writer, seq)")
    # Where somebody else is next, the span ends.
    ends = """_ends AS (
        SELECT session, time AS until, person FROM _moments
        QUALIFY person IS DISTINCT FROM lead(person) OVER (PARTITION BY session ORDER BY time))"""
    spans = f"""SELECT session, lag(until, 1, {dialect.ALWAYS}) OVER (PARTITION BY session ORDER BY until) AS since,
        until, person FROM _ends"""
    if dialect.few_tables:
        return f"""{known},
    _moments AS (SELECT session, time, {person} AS person FROM _known GROUP BY session, time),
    {ends},
    _spans {dialect.ONCE} ({spans})"""
    # Most sessions are of one person, and need no look at their moments.
    return f"""{known},
    _sessions AS MATERIALIZED (
        SELECT session, min("user") AS one, max("user") AS other, max(time) AS until FROM _known GROUP BY session),
    _moments AS (
        SELECT session, time, {person} AS person FROM _known
        WHERE session IN (SELECT session FROM _sessions WHERE one <> other) GROUP BY session, time),
    {ends},
    _spans AS MATERIALIZED (
        SELECT session, {dialect.ALWAYS} AS since, until, one AS person FROM _sessions WHERE one = other
        UNION ALL {spans})"""
