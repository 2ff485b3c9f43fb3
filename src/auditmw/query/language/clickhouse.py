"""The words of ClickHouse, as it speaks since version 26 (https://clickhouse.com/docs/sql-reference/functions).

Where it is silently another than DuckDB, and what is done about it:

1. Its functions for JSON parse it with simdjson and write it anew: `1.50` and `1.0` come back as `1.5` and `1`, and a
   whole number beyond 64 bits is a string to them.
2. `lower()` knows ASCII only; `lowerUTF8()` makes two characters of an I with a dot, and looks at what stands around a
   capital sigma: both are replaced before. What is left are letters that only one of the two knows yet.
3. The least item of an empty list is 0, and so is what stands behind a list's end: the former is asked of an aggregate
   function that gives NULL, the latter is not relied upon.
4. No quantile function has the nearest rank: quantileExact takes the item at `share * count`, counted from 0.
5. In a regular expression `.` also matches a line feed, unless it is told not to.
6. A list cannot be NULL: a list made of what is NULL is empty.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from types import MappingProxyType

from auditmw.query.language.dialect import ELEMENT, Dialect, Expression, Path
from auditmw.query.language.fields import EACH


class ClickHouse(Dialect):
    """The words of ClickHouse.

    `keeps_tables`: whether it has the setting `enable_materialized_cte`; without it, a table that is to be made once is
    made wherever it is named, with the same rows.
    """

    settings: Mapping[str, str] = MappingProxyType(
        {
            "enable_materialized_cte": "1",
            "join_use_nulls": "1",  # else the outer side of a join has zeros and empty texts
            "group_by_use_nulls": "1",  # else GROUPING SETS do
            "cast_keep_nullable": "1",
            "prefer_column_name_to_alias": "1",  # else WHERE takes an alias for the column of that name
            "joined_subquery_requires_alias": "0",
            # More than the longest query of the language needs.
            "max_query_size": "4194304",
            "max_ast_elements": "500000",
            "max_expanded_ast_elements": "1000000",
            "transform_null_in": "0",
            "aggregate_functions_null_for_empty": "0",  # else lists of nothing are NULL, which no list can be
        }
    )
    """What every statement is to be run with; some servers have others for all."""

    few_tables = True  # one is planned anew wherever it is named: an analysis of persons takes a second of it
    IN_PLACE = "AS"
    WIDE = "Int128"
    NO_TEXT = "CAST(NULL AS Nullable(String))"
    ALWAYS = "toDateTime64('1900-01-01 00:00:00', 6, 'UTC')"

    def __init__(self, *, keeps_tables: bool = True) -> None:
        if not keeps_tables:
            self.ONCE = "AS"
            self.settings = {name: value for name, value in self.settings.items() if "cte" not in name}

    # JSON: a value is the text of it, an empty one where there is none.

    def as_text(self, json: str) -> str:
        """A number is written anew, as JSON has it."""
        return f"JSONExtract({json}, 'Nullable(String)')"

    def as_double(self, json: str) -> str:
        """NULL for what is no number."""
        return f"toFloat64OrNull({json})"

    def as_integer(self, text: str) -> str:
        """NULL for what is none."""
        return f"toInt64OrNull({text})"

    def is_null(self, json: str) -> str:
        """What is not there is like null."""
        return f"JSONType({json}) = 'Null'"

    def is_string(self, json: str) -> str:
        """By its quote: of a number of many digits JSONType() says that it is a string."""
        return f"startsWith({json}, '\"')"

    def is_number(self, json: str) -> str:
        """By its digits, see above."""
        return f"{self.as_double(json)} IS NOT NULL"

    def is_fraction(self, json: str) -> str:
        """As it is written anew; 1.0 is none then."""
        return f"({self.is_number(json)} AND match({json}, '[.eE]'))"

    def is_whole_or_text(self, json: str) -> str:
        """True and false are flags, and null is nothing."""
        return f"match({json}, '^([0-9]+$|-[0-9]+$|\"|true|false)')"

    def text_at(self, path: Path) -> Expression:
        """Keys are arguments, and so is 1 for the first element of a list."""
        keys = ", ".join("1" if key == EACH else "?" for key in path)
        return Expression(f"JSONExtract(body, {keys}, 'Nullable(String)')", tuple(key for key in path if key != EACH))

    def texts_at(self, path: Path) -> Expression:
        """NULL stands for null; what is not there is left out."""
        if EACH not in path:
            sql, params = self.text_at(path)
            return Expression(f"[{sql}]", params)
        values = _values(path, "body")
        return Expression(f"arrayMap(item -> {self.as_text('item')}, {values.sql})", values.params)

    def values_at(self, path: Path) -> Expression:
        """An empty text stands for what is not there."""
        if path[0] == "data" and len(path) > 1:
            return self._elements(_values(path[1:], "ifNull(\"data\", '')"))
        return self._elements(_values(path, "body"))

    def members(self, items: Expression, key: str) -> Expression:
        """An empty text stands for what is not there."""
        found = f"arrayMap(item -> if(startsWith(item, '{{'), JSONExtractRaw(item, ?), ''), {items.sql})"
        return self._elements(Expression(found, (key, *items.params)))

    def _elements(self, items: Expression) -> Expression:
        spread = "if(startsWith(item, '['), JSONExtractArrayRaw(item), [item])"
        return Expression(f"arrayFlatten(arrayMap(item -> {spread}, {items.sql}))", items.params)

    # Texts

    def literal(self, text: str) -> str:
        """A backslash escapes here."""
        escaped = text.replace("\\", "\\\\").replace("'", "\\'")
        return f"'{escaped}'"

    def split_text(self, text: str) -> str:
        """No text has no values."""
        return f"splitByChar(char(31), ifNull({text}, ''))"

    def split(self, text: str, separator: str) -> str:
        """NULL has no parts."""
        return f"splitByChar('{separator}', ifNull({text}, ''))"

    def joined(self, texts: str, separator: str) -> str:
        """NULL is left out."""
        return f"arrayStringConcat({texts}, '{separator}')"

    def lowered(self, text: str) -> str:
        """Character by character, as DuckDB's lower()."""
        return f"lowerUTF8(translateUTF8({text}, 'İΣ', 'iσ'))"

    def contains(self, text: str, part: str = "?") -> str:
        """As bytes, which is the same in UTF-8."""
        return f"position({text}, {part}) > 0"

    def starts_with(self, text: str, start: str = "?") -> str:
        """As bytes."""
        return f"startsWith({text}, {start})"

    def ends_with(self, text: str) -> str:
        """As bytes."""
        return f"endsWith({text}, ?)"

    def is_like(self, text: str, shape: str = "?") -> str:
        """A backslash escapes without being told to."""
        return f"{text} LIKE {shape}"

    def has_match(self, text: str, expression: str) -> str:
        """By RE2, as in DuckDB."""
        return f"match({text}, {self._expression(expression)})"

    def is_match(self, text: str, expression: str | None = None) -> str:
        """match() looks for a part, unless it is anchored."""
        if expression is None:  # in what is bound every question mark stands for a value
            return f"match({text}, concat('^(', ?, ')$'))"
        return f"match({text}, {self._expression(f'^(?:{expression})$')})"

    def matched(self, text: str, expression: str, group: int) -> str:
        """An empty text where nothing is."""
        return f"regexpExtract({text}, {self._expression(expression)}, {group})"

    def without(self, text: str, expression: str) -> str:
        """Every match goes."""
        return f"replaceRegexpAll({text}, {self._expression(expression)}, '')"

    def _expression(self, expression: str) -> str:
        return self.literal(f"(?-s){expression}")

    def ipv6_digits(self, text: str) -> str:
        """NULL for what is no address."""
        return f"lower(hex(IPv6StringToNumOrNull({text})))"

    def parameter(self, query: str, start: str) -> str:
        """decodeURLComponent() leaves what it cannot decode; the one for forms then leaves a plus, too."""
        first = f"arrayFirstOrNull(part -> startsWith(part, {start}), splitByChar('&', ifNull({query}, '')))"
        raw = f"replaceAll(substring({first}, length({start}) + 1), '+', ' ')"
        decoded = f"decodeURLComponent({raw})"
        return f"if(isValidUTF8({decoded}), {decoded}, {raw})"

    # Lists

    def one_or_each(self, items: str) -> str:
        """arrayJoin() in a SELECT makes rows."""
        return f"arrayJoin(if(empty({items}), [NULL], {items}))"

    def unnested(self, source: str, lists: Mapping[str, str], kept: str = "") -> str:
        """By ARRAY JOIN, which takes several lists side by side."""
        named = ", ".join(f"{items} AS {name}" for name, items in lists.items())
        return f"(SELECT {kept}{', '.join(lists)} FROM {source or '(SELECT 1)'} ARRAY JOIN {named})"

    def any_element(self, items: Expression, condition: Expression) -> Expression:
        """A condition of a lambda must not be NULL."""
        sql = f"arrayExists({ELEMENT} -> ifNull({condition.sql}, FALSE), {items.sql})"
        return Expression(sql, (*condition.params, *items.params))

    def transformed(self, items: str, name: str, expression: str) -> str:
        """arrayMap()."""
        return f"arrayMap({name} -> {expression}, {items})"

    def transformed_both(self, items: str, others: str, expression: Callable[[str, str], str]) -> str:
        """arrayMap() of both."""
        return f"arrayMap((item, other) -> {expression('item', 'other')}, {items}, {others})"

    def known_before(self, items: str) -> str:
        """arrayFill() takes the last one that is known."""
        return self.befores(f"arrayFill(item -> item IS NOT NULL, {items})")

    def first_known(self, items: str, others: str) -> str:
        """NULL where there is none."""
        return f"arrayFirstOrNull((item, other) -> other IS NOT NULL, {items}, {others})"

    def least(self, items: str, name: str, condition: str) -> str:
        """arrayMin() of nothing would be 0."""
        return f"arrayReduce('minOrNull', arrayFilter({name} -> ifNull({condition}, FALSE), {items}))"

    def has(self, items: str, item: str) -> str:
        """Of a list that is no NULL."""
        return f"has({items}, {item})"

    def among(self, column: str, values: Sequence[object], name: str) -> tuple[str, dict[str, object]]:
        """One list, as the text of a statement has its limit; the primary key is used."""
        return f"{column} IN ${name}", {name: list(values)}

    def is_in(self, column: str, items: str) -> str:
        """The list makes a set."""
        return f"{column} IN {items}"

    def changes(self, items: str, before: str) -> str:
        """Each item beside the one before."""
        shifted = f"arrayPopBack(arrayPushFront({items}, {before}))"
        return f"arrayFilter((item, last) -> item IS DISTINCT FROM last, {items}, {shifted})"

    def ended(self, items: str, end: str, count: str) -> str:
        """arraySlice() counts from 1."""
        return f"arraySlice(arrayPushBack({items}, {end}), 1, {count})"

    def numbered(self, items: str) -> str:
        """arrayEnumerate() counts from 1."""
        return f"arrayEnumerate({items})"

    def befores(self, items: str) -> str:
        """The list of the same length, shifted."""
        return f"arrayPopBack(arrayPushFront({items}, NULL))"

    def runs(self, items: str, count: int) -> str:
        """What stands behind the end of a run is 0, which is no mark."""
        return f"arrayMap(place -> arraySlice({items}, place, {count}), arrayEnumerate({items}))"

    # Groups

    def listed(self, value: str, condition: str | None = None) -> str:
        """NULL is left out."""
        return f"groupArray({value})" if condition is None else f"groupArrayIf({value}, {condition})"

    def sorted_list(self, value: str) -> str:
        """NULL is left out."""
        return f"arraySort(groupArray({value}))"

    def listed_by(self, value: str, position: str, *, descending: bool) -> str:
        """Pairs are in order by their first member, then by the second."""
        way = "arrayReverseSort" if descending else "arraySort"
        return f"arrayMap(two -> two.2, {way}(groupArray(({position}, {value}))))"

    def first_by(self, value: str, position: str) -> str:
        """argMin() passes over NULL, but not over a tuple of it."""
        return f"argMin(tuple({value}), {position}).1"

    def known_first_by(self, value: str, position: str) -> str:
        """argMin()."""
        return f"argMin({value}, {position})"

    def row(self, *values: str) -> str:
        """A tuple."""
        return f"({', '.join(values)})"

    def part(self, row: str, number: int) -> str:
        """Members of tuples have numbers."""
        return f"{row}.{number}"

    def percentiles(self, value: str, percents: Sequence[int], condition: str) -> str:
        """The nearest rank is that of the least item with at least so many percent at or below it."""
        ordered = f"arraySort(groupArrayIf({value}, {condition}))"
        ranks = (f"intDiv(length({ordered}) * {percent} + 99, 100)" for percent in percents)
        return f"if(empty({ordered}), [], [{', '.join(f'{ordered}[{rank}]' for rank in ranks)}])"

    def median(self, value: str) -> str:
        """Exact, between the two in the middle; of nothing it is NULL for what can be NULL, else NaN."""
        return f"quantileExactInclusive(0.5)(toNullable({value}))"

    # Times and numbers

    def microseconds(self, time: str) -> str:
        """Of DateTime64(6)."""
        return f"toUnixTimestamp64Micro({time})"

    def time_text(self, time: str) -> str:
        """Without the zeros at the end."""
        return f"replaceRegexpOne(toString({time}), '[.]?0*$', '')"

    def quotient(self, number: str, by: str) -> str:
        """intDiv()."""
        return f"intDiv({number}, {by})"

    def bits(self, number: str, mask: int) -> str:
        """bitAnd(), also of 128 bits."""
        return f"bitAnd({number}, {mask})"

    def shifted(self, number: str, by: int) -> str:
        """bitShiftRight(), also of 128 bits."""
        return f"bitShiftRight({number}, {by})"

    def ranks(self, source: str) -> str:
        """One list of all writers, in order."""
        writers = f"SELECT arraySort(groupUniqArray(writer)) AS writers FROM {source}"
        return f"ranks AS {self.unnested(f'({writers})', {'writer': 'writers', 'rank': 'arrayEnumerate(writers)'})}"


CLICKHOUSE = ClickHouse()


def _values(path: Path, document: str) -> Expression:
    """Return the list of the JSON values at a path that are there; not through lists, of one value or an empty text."""
    first, *others = _between_lists(path)
    if not others:
        return Expression(f"[JSONExtractRaw({_placed(document, first)})]", first)
    sql, params = f"JSONExtractArrayRaw({_placed(document, first)})", first
    for keys in others[:-1]:
        sql = f"arrayFlatten(arrayMap(item -> JSONExtractArrayRaw({_placed('item', keys)}), {sql}))"
        params = (*keys, *params)
    if last := others[-1]:
        sql = f"arrayFilter(item -> item <> '', arrayMap(item -> JSONExtractRaw({_placed('item', last)}), {sql}))"
        params = (*last, *params)
    return Expression(sql, params)


def _between_lists(path: Path) -> Iterator[Path]:
    """Yield the keys up to each list on the path, and those behind the last one."""
    keys: list[str] = []
    for key in path:
        if key == EACH:
            yield tuple(keys)
            keys = []
        else:
            keys.append(key)
    yield tuple(keys)


def _placed(document: str, keys: Path) -> str:
    return ", ".join((document, *("?" * len(keys))))
