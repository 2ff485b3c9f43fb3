"""First touch: with what a unit first came, which is what its later successes are put down to.

1. Of a field of the request (``referrer``, ``agent``, ``query.utm_source``, ...): what the unit's first request in the
   scope has there, also when it has nothing: who typed the address came from nowhere.
2. Of any other field (``country``, ``data.plan``, ...): what the first of the unit's events that have the field says.
"""

from __future__ import annotations

from typing import NamedTuple

from auditmw.query.journeys.conditions import Sql
from auditmw.query.journeys.units import POSITION
from auditmw.query.language.fields import EACH, UnknownFieldError, find

_PARAMETER = "query."
_REFERRING_HOST = "referrer.host"


class _Value(NamedTuple):
    """A field's value as text, and whether it is the request that has it."""

    sql: Sql
    of_request: bool


def field_value(name: str) -> Sql:
    """Return SQL for the value of a field as text, NULL where an event has none; of a list, its first element.

    Beside the fields of the query language there are ``query.NAME``, a parameter of the URL, and ``referrer.host``.
    Raises ValueError for an unknown field.
    """
    return _value(name).sql


def first_touch(unit: str, field: str, among: str) -> Sql:
    """Return a common table expression `touches`: unit, value; of the units in the table `among`, where they have one.

    `unit`: a column. It stands behind `units.RANKS`. Raises ValueError for an unknown field.
    """
    value = _value(field)
    kept = "event = 'http_request'" if value.of_request else f"{value.sql.text} IS NOT NULL"
    return Sql(
        f"""touches AS (
        SELECT unit, arg_min_null(value, {POSITION}) AS value
        FROM (SELECT {unit} AS unit, time, writer, seq, {value.sql.text} AS value FROM events
            WHERE {unit} IN (SELECT unit FROM {among}) AND time IS NOT NULL AND {kept})
        JOIN ranks USING (writer) GROUP BY unit)""",
        value.sql.bound,
    )


def _value(name: str) -> _Value:
    if name.startswith(_PARAMETER):
        return _Value(Sql(_PARAMETER_VALUE, {"parameter": name.removeprefix(_PARAMETER) + "="}), of_request=True)
    if name == _REFERRING_HOST:
        return _Value(Sql("nullif(regexp_extract(referrer, '^[^:/?#]+://([^/?#]*)', 1), '')"), of_request=True)
    try:
        field = find(name)
    except UnknownFieldError as error:
        raise ValueError(str(error)) from error
    if field.kind == "group":
        raise ValueError(f"expected a field with values of its own, not {field.name!r}, which is a group of fields")
    of_request = bool(field.path) and field.path[0] in ("http", "url")
    if field.column is not None:
        return _Value(Sql(f'CAST("{field.column}" AS VARCHAR)'), of_request)
    keys = ["0" if key == EACH else key for key in (*field.path, *field.rest)]
    pointer = "".join("/" + key.replace("~", "~0").replace("/", "~1") for key in keys)
    return _Value(Sql("json_extract_string(body, $pointer)", {"pointer": pointer}), of_request)


# The first parameter of that name, decoded as a form is (https://url.spec.whatwg.org/#urlencoded-parsing); as it stands
# where that gives no UTF-8.
_RAW_PARAMETER = """replace(substr(
    list_filter(string_split(query, '&'), lambda part: starts_with(part, $parameter))[1], len($parameter) + 1
    ), '+', ' ')"""
_PARAMETER_VALUE = f"coalesce(try(url_decode({_RAW_PARAMETER})), {_RAW_PARAMETER})"
