"""How a store says what plain SQL has no words for: JSON, lists, texts without regard to case, moments, wide integers.

A question is written once, in standard SQL and in these words; `DUCKDB` says them as DuckDB does, clickhouse.py as
ClickHouse does. Every word returns SQL for its arguments, which are SQL themselves, and is NULL for NULL where nothing
else is said. Where a word binds values there is a ``?`` for each, and no other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from auditmw.archive.projection import SEPARATOR
from auditmw.query.language.fields import EACH

ELEMENT = "element"
"""What an element of a list is called in the condition of `any_element`."""

Path = tuple[str, ...]
"""Where a value stands in an event: through members of objects, and `EACH` through all elements of a list."""


class Expression(NamedTuple):
    """SQL, and the values for each ``?`` in it."""

    sql: str
    params: tuple[Any, ...] = ()


class Dialect:
    """The words of DuckDB; those of another store are a subclass."""

    few_tables = False
    """Whether each mention of a common table expression costs, so that few of them are better than fast ones."""

    ONCE = "AS MATERIALIZED"
    IN_PLACE = "AS NOT MATERIALIZED"
    WIDE = "HUGEINT"  # an integer of 128 bits
    NO_TEXT = "NULL::VARCHAR"
    ALWAYS = "TIMESTAMP '-infinity'"  # before any event

    # JSON

    def as_text(self, json: str) -> str:
        """Return the text of a JSON value: a string without quotes, a number or flag as it is written."""
        return f"({json} ->> '$')"

    def as_double(self, json: str) -> str:
        """Return a JSON number as DOUBLE; does not fail for others, which AND may reach before their type is known."""
        return f"TRY_CAST({json} AS DOUBLE)"

    def as_integer(self, text: str) -> str:
        """Return the whole number that a text is, NULL when it is none."""
        return f"TRY_CAST({text} AS BIGINT)"

    def is_null(self, json: str) -> str:
        """Return whether a JSON value is null."""
        return f"json_type({json}) IN ('NULL')"

    def is_string(self, json: str) -> str:
        """Return whether a JSON value is a string."""
        return f"json_type({json}) IN ('VARCHAR')"

    def is_number(self, json: str) -> str:
        """Return whether a JSON value is a number."""
        return f"json_type({json}) IN ('BIGINT', 'UBIGINT', 'DOUBLE')"

    def is_fraction(self, json: str) -> str:
        """Return whether a JSON value is a number with a fraction or an exponent."""
        return f"json_type({json}) IN ('DOUBLE')"

    def is_whole_or_text(self, json: str) -> str:
        """Return whether a JSON value is a whole number, a string or a flag: what reads in one way."""
        return f"json_type({json}) IN ('VARCHAR', 'BIGINT', 'UBIGINT', 'BOOLEAN')"

    def text_at(self, path: Path) -> Expression:
        """Return the text of what stands there in an event; of a list on the way, in its first element."""
        pointer = _pointer("0" if key == EACH else key for key in path)
        return Expression("json_extract_string(body, ?)", (pointer,))

    def texts_at(self, path: Path) -> Expression:
        """Return the list of the texts of what stands there in an event, which may have NULL in it."""
        if EACH in path:
            return Expression("json_extract_string(body, ?)", (_json_path(path),))
        return Expression("[json_extract_string(body, ?)]", (_pointer(path),))

    def values_at(self, path: Path) -> Expression:
        """Return the list of the JSON values that stand there in an event, elements of lists in place of lists."""
        document = "body"
        if path[0] == "data" and len(path) > 1:
            path, document = path[1:], '"data"'
        if EACH in path:
            return self._elements(Expression(f"json_extract({document}, ?)", (_json_path(path),)))
        return self._elements(Expression(f"[json_extract({document}, ?)]", (_pointer(path),)))

    def members(self, items: Expression, key: str) -> Expression:
        """Return the values under a key in the objects of a list of JSON values, elements in place of lists."""
        member = "CASE WHEN json_type(item) IN ('OBJECT') THEN json_extract(item, ?) END"
        found = f"list_transform({items.sql}, lambda item: {member})"
        return self._elements(Expression(found, (*items.params, _pointer((key,)))))

    def _elements(self, items: Expression) -> Expression:
        spread = "CASE WHEN json_type(item) IN ('ARRAY') THEN json_extract(item, '$[*]') ELSE [item] END"
        return Expression(f"flatten(list_transform({items.sql}, lambda item: {spread}))", items.params)

    # Texts

    def literal(self, text: str) -> str:
        """Return a text of our own as it stands in SQL."""
        return "'" + text.replace("'", "''") + "'"

    def split_text(self, text: str) -> str:
        """Return the values that the column `text` holds, as a list."""
        return f"string_split({text}, {SEPARATOR})"

    def split(self, text: str, separator: str) -> str:
        """Return what stands between the separators, one character, as a list."""
        return f"string_split({text}, '{separator}')"

    def joined(self, texts: str, separator: str) -> str:
        """Return the texts of a list as one, with the separator between them."""
        return f"array_to_string({texts}, '{separator}')"

    def lowered(self, text: str) -> str:
        """Return the text in lower case, character by character."""
        return f"lower({text})"

    def contains(self, text: str, part: str = "?") -> str:
        """Return whether a text has this in it."""
        return f"contains({text}, {part})"

    def starts_with(self, text: str, start: str = "?") -> str:
        """Return whether a text begins with this."""
        return f"starts_with({text}, {start})"

    def ends_with(self, text: str) -> str:
        """Return whether a text ends in this."""
        return f"ends_with({text}, ?)"

    def is_like(self, text: str, shape: str = "?") -> str:
        """Return whether a text has the shape of an operand of LIKE, in which a backslash escapes."""
        return f"{text} LIKE {shape} ESCAPE '\\'"

    def has_match(self, text: str, expression: str) -> str:
        """Return whether a regular expression, of our own, matches something in the text."""
        return f"regexp_matches({text}, {self.literal(expression)})"

    def is_match(self, text: str, expression: str | None = None) -> str:
        """Return whether all of a text matches a regular expression; None: one that is bound."""
        return f"regexp_full_match({text}, {'?' if expression is None else self.literal(expression)})"

    def matched(self, text: str, expression: str, group: int) -> str:
        """Return what a group of a regular expression matches first; an empty text when there is no match."""
        return f"regexp_extract({text}, {self.literal(expression)}, {group})"

    def without(self, text: str, expression: str) -> str:
        """Return a text without all that a regular expression matches."""
        return f"regexp_replace({text}, {self.literal(expression)}, '', 'g')"

    def ipv6_digits(self, text: str) -> str:
        """Return the 32 hexadecimal digits of an IPv6 address in its canonical text (RFC 5952)."""
        groups = f"len(list_filter(string_split({text}, ':'), lambda item: item <> ''))"
        full = f"trim(replace({text}, '::', ':' || repeat('0:', 8 - {groups})), ':')"
        padded = f"list_transform(string_split({full}, ':'), lambda item: lpad(item, 4, '0'))"
        return f"array_to_string({padded}, '')"

    def parameter(self, query: str, start: str) -> str:
        """Return the first parameter in a URL's query that begins with this (`name=`), without it and decoded.

        As a form is decoded (https://url.spec.whatwg.org/#urlencoded-parsing); as it stands where that gives no UTF-8.
        """
        first = f"list_filter(string_split({query}, '&'), lambda part: starts_with(part, {start}))[1]"
        raw = f"replace(substr({first}, len({start}) + 1), '+', ' ')"
        return f"coalesce(try(url_decode({raw})), {raw})"

    # Lists

    def one_or_each(self, items: str) -> str:
        """Return, in a SELECT, a row for each item of a list, and one with NULL where it is empty or NULL."""
        return f"unnest(CASE WHEN len({items}) > 0 THEN {items} ELSE [NULL] END)"

    def unnested(self, source: str, lists: Mapping[str, str], kept: str = "") -> str:
        """Return a relation with a row for each place in lists of one length, each by its name.

        `kept`: columns of the source to stay beside, with a comma. Lists that are bound have no `source`, "".
        """
        columns = ", ".join(f"unnest({items}) AS {name}" for name, items in lists.items())
        return f"(SELECT {kept}{columns}{f' FROM {source}' if source else ''})"

    def any_element(self, items: Expression, condition: Expression) -> Expression:
        """Return whether the condition holds for an `ELEMENT` of the list."""
        found = f"list_filter({items.sql}, lambda {ELEMENT}: {condition.sql})"
        return Expression(f"len({found}) > 0", (*items.params, *condition.params))

    def transformed(self, items: str, name: str, expression: str) -> str:
        """Return the list of what the expression gives for each item, which it calls by the name."""
        return f"list_transform({items}, lambda {name}: {expression})"

    def least(self, items: str, name: str, condition: str) -> str:
        """Return the least item of a list for which the condition holds; NULL when there is none."""
        return f"list_min(list_filter({items}, lambda {name}: {condition}))"

    def has(self, items: str, item: str) -> str:
        """Return whether a list has this in it."""
        return f"list_contains({items}, {item})"

    def among(self, column: str, values: Sequence[object], name: str) -> tuple[str, dict[str, object]]:
        """Return whether a column has one of these values, and what that binds, under names that begin with this.

        Constants in IN tell DuckDB which row groups to read, and that before bodies are put together; a join does not.
        """
        bound = {f"{name}_{number}": value for number, value in enumerate(values)}
        return f"{column} IN ({', '.join(f'${each}' for each in bound)})", bound

    def is_in(self, column: str, items: str) -> str:
        """Return whether a column is in a list of any length, which is bound."""
        return f"{column} IN (SELECT unnest({items}))"

    def changes(self, items: str, before: str) -> str:
        """Return the items that are not the one before; before the first one is `before`."""
        pairs = f"list_zip({items}, list_prepend({before}, {items}), true)"
        different = f"list_filter({pairs}, lambda two: two[1] IS DISTINCT FROM two[2])"
        return f"list_transform({different}, lambda two: two[1])"

    def ended(self, items: str, end: str, count: str) -> str:
        """Return a list with one more item at the end, and of that so many items at most."""
        return f"list_append({items}, {end})[:{count}]"

    def numbered(self, items: str) -> str:
        """Return 1, 2, ... for the items of a list."""
        return f"range(1, len({items}) + 1)"

    def befores(self, items: str) -> str:
        """Return the list of what is before each item; before the first one NULL."""
        return f"list_prepend(NULL, {items})[:len({items})]"

    def runs(self, items: str, count: int) -> str:
        """Return the list of the runs that begin at each item: it and those behind it, so many; less at the end."""
        shifted = ", ".join(items if step == 0 else f"{items}[{step + 1}:]" for step in range(count))
        return f"list_zip({shifted})"

    def transformed_both(self, items: str, others: str, expression: Callable[[str, str], str]) -> str:
        """Return the list of what the expression gives for the items of two lists side by side."""
        return f"list_transform(list_zip({items}, {others}), lambda two: {expression('two[1]', 'two[2]')})"

    def known_before(self, items: str) -> str:
        """Return, for each item of a list that never falls and has NULL in it, the last one before it that is not."""
        return f"list_transform({items}, lambda item, place: list_max({items}[:place - 1]))"

    def first_known(self, items: str, others: str) -> str:
        """Return the first item beside which another list has no NULL."""
        return f"list_filter(list_zip({items}, {others}), lambda two: two[2] IS NOT NULL)[1][1]"

    # Groups

    def listed(self, value: str, condition: str | None = None) -> str:
        """Return the list of a group's values, of those rows where a condition holds."""
        return f"list({value})" if condition is None else f"list({value}) FILTER (WHERE {condition})"

    def sorted_list(self, value: str) -> str:
        """Return the list of a group's values, in order."""
        return f"list_sort(list({value}))"

    def listed_by(self, value: str, position: str, *, descending: bool) -> str:
        """Return the list of a group's values in the order of their positions."""
        return f"list({value} ORDER BY {position} {'DESC' if descending else 'ASC'})"

    def first_by(self, value: str, position: str) -> str:
        """Return what the value is at the least position of a group, also when it is NULL."""
        return f"arg_min_null({value}, {position})"

    def known_first_by(self, value: str, position: str) -> str:
        """Return the value, which is not NULL, at the least position of a group."""
        return f"arg_min({value}, {position})"

    def row(self, *values: str) -> str:
        """Return several values as one, which is ordered by the first of them that differ."""
        return f"row({', '.join(values)})"

    def part(self, row: str, number: int) -> str:
        """Return one of the values of a `row`, the first is 1."""
        return f"{row}[{number}]"

    def percentiles(self, value: str, percents: Sequence[int], condition: str) -> str:
        """Return the list of the percentiles, by nearest rank, of values where a condition holds; else NULL."""
        shares = ", ".join(str(percent / 100) for percent in percents)
        return f"quantile_disc({value}, [{shares}]) FILTER (WHERE {condition})"

    def median(self, value: str) -> str:
        """Return the median of a group's values, the middle between the two nearest ones."""
        return f"median({value})"

    # Times and numbers

    def microseconds(self, time: str) -> str:
        """Return the microseconds since 1970."""
        return f"epoch_us({time})"

    def time_text(self, time: str) -> str:
        """Return a time as YYYY-MM-DD HH:MM:SS with as much of a fraction as there is."""
        return f"CAST({time} AS VARCHAR)"

    def quotient(self, number: str, by: str) -> str:
        """Return how often one integer is in another, both positive."""
        return f"{number} // {by}"

    def bits(self, number: str, mask: int) -> str:
        """Return the bits of an integer that are in the mask."""
        return f"{number} & {mask}"

    def shifted(self, number: str, by: int) -> str:
        """Return an integer without so many of its last bits."""
        return f"({number} >> {by})"

    def ranks(self, source: str) -> str:
        """Return common table expression `ranks`: `writer`, and `rank`, its number in the order of those in the source.

        By way of a list, so that the planner takes it to be small and makes the hash table of a join of it: of a mere
        DISTINCT it expects more rows than of the events behind a condition.
        """
        return f"""ranks AS MATERIALIZED (
        SELECT unnest(writers) AS writer, generate_subscripts(writers, 1) AS rank
        FROM (SELECT list(writer ORDER BY writer) AS writers FROM (SELECT DISTINCT writer FROM {source})))"""


DUCKDB = Dialect()


def _json_path(path: Path) -> str:
    return "$" + "".join("[*]" if key == EACH else f".{key}" for key in path)


def _pointer(path: Iterable[str]) -> str:
    """Return a JSON pointer (RFC 6901), which takes any key for what it is."""
    return "".join("/" + key.replace("~", "~0").replace("/", "~1") for key in path)
