"""Values on their way to ClickHouse's HTTP interface and back: bound by type, and read by the types of the answer.

1. A statement names its values as `$name`; ClickHouse wants `{name:Type}`, and the value as text, escaped as in
   TabSeparated (https://clickhouse.com/docs/interfaces/http#cli-queries-with-parameters).
2. Answers come as JSONCompactEachRowWithNamesAndTypes: integers of 64 bits and more, and floats that JSON does not
   have, in quotes; `FORMAT_SETTINGS` sees to that.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime
from typing import Any

import orjson

Row = tuple[Any, ...]
Convert = Callable[[Any], Any]

FORMAT = "JSONCompactEachRowWithNamesAndTypes"
FORMAT_SETTINGS = {
    "output_format_json_quote_64bit_integers": "1",
    "output_format_json_quote_denormals": "1",
    "output_format_json_named_tuples_as_objects": "0",
}

EARLIEST, LATEST = datetime(1900, 1, 1), datetime(2299, 12, 31, 23, 59, 59, 999_999)
"""What DateTime64 has room for (https://clickhouse.com/docs/sql-reference/data-types/datetime64); others become one."""

_TIME = "DateTime64(6, 'UTC')"
_NAME = re.compile(r"\$([A-Za-z_][A-Za-z0-9_]*)")
_ESCAPED = str.maketrans({"\\": r"\\", "\t": r"\t", "\n": r"\n", "\r": r"\r", "\0": r"\0", "\b": r"\b", "\f": r"\f"})
_QUOTED = {**_ESCAPED, ord("'"): r"\'"}


def typed(sql: str, parameters: Mapping[str, object]) -> tuple[str, dict[str, str]]:
    """Return the statement with `{name:Type}` for each `$name` of a parameter, and the texts of their values by name.

    Values that are the same have one name, as free text is looked for in thirty columns. Values are str, bool, int,
    float, datetime (naive ones are in UTC), None, and lists or tuples of one of them. Raises TypeError for another.
    """
    values = {name: (_type(value), _text(value)) for name, value in parameters.items()}
    first: dict[tuple[str, str], str] = {}
    places = {name: f"{{{first.setdefault(value, name)}:{value[0]}}}" for name, value in values.items()}
    sql = _NAME.sub(lambda match: places.get(match[1], match[0]), sql)
    return sql, {name: text for (_, text), name in first.items()}


def rows(content: bytes) -> list[Row]:
    """Return the rows of an answer in `FORMAT`. Raises ValueError where it is not such an answer.

    Times are naive, in UTC; integers are int however long; arrays are lists, and tuples too.
    """
    lines = content.split(b"\n")
    if len(lines) < 2:
        raise ValueError("expected two lines, of names and of types")
    types = _json(lines[1])
    found = _json(b"[" + b",".join(line for line in lines[2:] if line) + b"]")
    if not isinstance(types, list) or any(len(row) != len(types) for row in found):
        raise ValueError("expected rows with as many values as there are types")
    converts = [(number, convert) for number, kind in enumerate(types) if (convert := _conversion(kind)) is not None]
    for row in found if converts else ():
        for number, convert in converts:
            if row[number] is not None:
                row[number] = convert(row[number])
    return [tuple(row) for row in found]


def _type(value: object) -> str:
    match value:
        case None:
            return "Nullable(String)"
        case bool():
            return "Bool"
        case int():
            return "Int64" if -(2**63) <= value < 2**63 else "Int256"
        case float():
            return "Float64"
        case str():
            return "String"
        case datetime():
            return _TIME
        case list() | tuple():
            return f"Array({_type_of_all(value)})"
        case _:
            raise TypeError(f"expected a text, number, flag or time to bind, or a list of them, not {value!r}")


def _type_of_all(values: Sequence[object]) -> str:
    types = {_type(value): None for value in values if value is not None} or {"String": None}
    if types.keys() <= {"Int64", "Int256", "Float64"} and len(types) > 1:
        types = {"Float64" if "Float64" in types else "Int256": None}
    if len(types) > 1:
        raise TypeError(f"expected values of one type in a list, not of {' and '.join(types)}")
    (kind,) = types
    return f"Nullable({kind})" if None in values else kind


def _text(value: object) -> str:
    match value:
        case None:
            return r"\N"
        case str():
            return value.translate(_ESCAPED)
        case list() | tuple():
            return f"[{','.join(map(_literal, value))}]"
        case _:
            return _plain(value)


def _literal(value: object) -> str:
    """Return a value as it stands in the text of an array."""
    if value is None:
        return "NULL"
    if isinstance(value, list | tuple):
        return _text(value)
    if isinstance(value, str):
        return f"'{value.translate(_QUOTED)}'"
    return f"'{_plain(value)}'" if isinstance(value, datetime) else _plain(value)


def _plain(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return time_text(value) if isinstance(value, datetime) else str(value)


def time_text(moment: datetime) -> str:
    """Return a time as ClickHouse reads it, in UTC; one that it has no room for becomes the next one that it has."""
    if moment.tzinfo is not None:
        moment = moment.astimezone(UTC).replace(tzinfo=None)
    return min(max(moment, EARLIEST), LATEST).isoformat(sep=" ", timespec="microseconds")


def _json(text: bytes) -> Any:
    try:
        return orjson.loads(text)
    except ValueError:  # half of a surrogate pair, which a body may have
        return json.loads(text.decode("utf-8", "surrogatepass"))


def _conversion(kind: str) -> Convert | None:
    """Return what makes a value of this type of what JSON has for it; None where that is the value."""
    name, inside = _split(kind)
    if name in {"Nullable", "LowCardinality"}:
        return _conversion(inside[0])
    if name == "Array":
        return _of_each(_conversion(inside[0]))
    if name == "Tuple":
        return _of_members([_conversion(member) for member in inside])
    if re.fullmatch(r"U?Int(64|128|256)", name):
        return int
    if name.startswith("Float"):
        return float
    if name.startswith("DateTime"):
        return datetime.fromisoformat
    return date.fromisoformat if name.startswith("Date") else None


def _of_each(convert: Convert | None) -> Convert | None:
    if convert is None:
        return None
    return lambda items: [item if item is None else convert(item) for item in items]


def _of_members(converts: Sequence[Convert | None]) -> Convert | None:
    def converted(items: Sequence[Any]) -> list[Any]:
        pairs = zip(items, converts, strict=True)
        return [item if item is None or convert is None else convert(item) for item, convert in pairs]

    return converted if any(converts) else None


def _split(kind: str) -> tuple[str, list[str]]:
    """Return a type's name and its arguments: of `Tuple(a Int64, String)` the types of the members."""
    name, bracket, rest = kind.partition("(")
    if not bracket:
        return name, []
    inside, depth, begin = [], 0, 0
    for position, character in enumerate(rest):
        depth += (character == "(") - (character == ")")
        if (character == "," and depth == 0) or depth < 0:
            inside.append(rest[begin:position].strip())
            begin = position + 1
    return name, [_without_name(each) for each in inside] if name == "Tuple" else inside


def _without_name(member: str) -> str:
    return re.sub(r"^(?:`(?:[^`\\]|\\.)*`|[A-Za-z_]\w*) +(?=[A-Z])", "", member)
