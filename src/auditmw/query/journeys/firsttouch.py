"""First touch: with what a unit first came, which is what its later successes are put down to.

1. Of a field of the request (``referrer``, ``agent``, ``query.utm_source``, ...): what the unit's first request in the
   scope has there, also when it has nothing: who typed the address came from nowhere.
2. Of any other field (``country``, ``data.plan``, ...): what the first of the unit's events that have the field says.
"""

from __future__ import annotations

from typing import NamedTuple

from auditmw.query.journeys.conditions import Sql, named
from auditmw.query.journeys.units import position
from auditmw.query.language.dialect import Dialect
from auditmw.query.language.fields import UnknownFieldError, find

_PARAMETER = "query."
_REFERRING_HOST = "referrer.host"


class _Value(NamedTuple):
    """A field's value as text, and whether it is the request that has it."""

    sql: Sql
    of_request: bool


def field_value(name: str, dialect: Dialect) -> Sql:
    """Return SQL for the value of a field as text, NULL where an event has none; of a list, its first element.

    Beside the fields of the query language there are ``query.NAME``, a parameter of the URL, and ``referrer.host``.
    Raises ValueError for an unknown field.
    """
    return _value(name, dialect).sql


def first_touch(unit: str, field: str, among: str, dialect: Dialect) -> Sql:
    """Return a common table expression `touches`: unit, value; of the units in the table `among`, where they have one.

    `unit`: a column. It stands behind `units.ranks`. Raises ValueError for an unknown field.
    """
    value = _value(field, dialect)
    kept = "event = 'http_request'" if value.of_request else f"{value.sql.text} IS NOT NULL"
    return Sql(
        f"""touches AS (
        SELECT unit, {dialect.first_by("value", position(dialect))} AS value
        FROM (SELECT {unit} AS unit, time, writer, seq, {value.sql.text} AS value FROM events
            WHERE {unit} IN (SELECT unit FROM {among}) AND time IS NOT NULL AND {kept})
        JOIN ranks USING (writer) GROUP BY unit)""",
        value.sql.bound,
    )


def _value(name: str, dialect: Dialect) -> _Value:
    if name.startswith(_PARAMETER):
        start = name.removeprefix(_PARAMETER) + "="
        return _Value(Sql(dialect.parameter("query", "$parameter"), {"parameter": start}), of_request=True)
    if name == _REFERRING_HOST:
        host = dialect.matched("referrer", "^[^:/?#]+://([^/?#]*)", 1)
        return _Value(Sql(f"nullif({host}, '')"), of_request=True)
    try:
        field = find(name)
    except UnknownFieldError as error:
        raise ValueError(str(error)) from error
    if field.kind == "group":
        raise ValueError(f"expected a field with values of its own, not {field.name!r}, which is a group of fields")
    of_request = bool(field.path) and field.path[0] in ("http", "url")
    if field.column is not None:
        return _Value(Sql(f'CAST("{field.column}" AS VARCHAR)'), of_request)
    return _Value(named(dialect.text_at((*field.path, *field.rest)), "touch"), of_request)
