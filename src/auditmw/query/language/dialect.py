"""How DuckDB says what plain SQL has no words for: JSON, lists, and texts without regard to case.

Every function returns SQL with a ``?`` for each value that it binds, in the order of its arguments.
"""

from __future__ import annotations

from auditmw.archive.projection import SEPARATOR

ELEMENT = "element"
"""What an element of a list is called in the condition of `any_element`."""


class Dialect:
    """The words of DuckDB; those of another store are a subclass."""

    # The types that DuckDB names the values of JSON by.
    STRING = ("VARCHAR",)
    OBJECT = ("OBJECT",)
    LIST = ("ARRAY",)
    FRACTION = ("DOUBLE",)
    NUMBERS = ("BIGINT", "UBIGINT", "DOUBLE")
    WHOLE_OR_TEXT = ("VARCHAR", "BIGINT", "UBIGINT", "BOOLEAN")
    EMPTY = ("NULL",)

    def as_text(self, json: str) -> str:
        """Return the text of a JSON value: a string without quotes, a number or flag as it is written."""
        return f"({json} ->> '$')"

    def as_double(self, json: str) -> str:
        """Return a JSON number as DOUBLE; does not fail for others, which AND may reach before their type is known."""
        return f"TRY_CAST({json} AS DOUBLE)"

    def as_integer(self, text: str) -> str:
        """Return the whole number that a text is, NULL when it is none."""
        return f"TRY_CAST({text} AS BIGINT)"

    def is_json(self, json: str, *types: str) -> str:
        """Return whether a JSON value is of one of these types."""
        return f"json_type({json}) IN ({', '.join(repr(name) for name in types)})"

    def value_at(self, document: str) -> str:
        """Return the JSON value at a path, bound as JSON pointer (RFC 6901); at a JSONPath with [*], a list of them."""
        return f"json_extract({document}, ?)"

    def text_at(self, document: str) -> str:
        """Return the text of the JSON value at a path, bound; at a JSONPath with [*], the list of texts."""
        return f"json_extract_string({document}, ?)"

    def elements(self, items: str) -> str:
        """Return a list of JSON values with the elements of its lists in their places."""
        spread = f"CASE WHEN {self.is_json('item', *self.LIST)} THEN json_extract(item, '$[*]') ELSE [item] END"
        return f"flatten(list_transform({items}, lambda item: {spread}))"

    def members(self, items: str) -> str:
        """Return the members of a name, bound as JSON pointer, of the objects in a list of JSON values."""
        member = f"CASE WHEN {self.is_json('item', *self.OBJECT)} THEN {self.value_at('item')} END"
        return f"list_transform({items}, lambda item: {member})"

    def any_element(self, items: str, condition: str) -> str:
        """Return whether the condition holds for an `ELEMENT` of the list."""
        return f"len(list_filter({items}, lambda {ELEMENT}: {condition})) > 0"

    def split_text(self, text: str) -> str:
        """Return the values that the column `text` holds, as a list."""
        return f"string_split({text}, {SEPARATOR})"

    def one(self, item: str) -> str:
        """Return a list of one item."""
        return f"[{item}]"

    def lowered(self, text: str) -> str:
        """Return the text in lower case, character by character."""
        return f"lower({text})"

    def contains(self, text: str, part: str = "?") -> str:
        """Return whether a text has this in it."""
        return f"contains({text}, {part})"

    def starts_with(self, text: str) -> str:
        """Return whether a text begins with this."""
        return f"starts_with({text}, ?)"

    def ends_with(self, text: str) -> str:
        """Return whether a text ends in this."""
        return f"ends_with({text}, ?)"

    def is_like(self, text: str, shape: str = "?") -> str:
        """Return whether a text has the shape of an operand of LIKE, in which a backslash escapes."""
        return f"{text} LIKE {shape} ESCAPE '\\'"

    def matches_expression(self, text: str) -> str:
        """Return whether all of a text matches a regular expression."""
        return f"regexp_full_match({text}, ?)"

    def ipv6_digits(self, text: str) -> str:
        """Return the 32 hexadecimal digits of an IPv6 address in its canonical text (RFC 5952)."""
        groups = f"len(list_filter(string_split({text}, ':'), lambda item: item <> ''))"
        full = f"trim(replace({text}, '::', ':' || repeat('0:', 8 - {groups})), ':')"
        padded = f"list_transform(string_split({full}, ':'), lambda item: lpad(item, 4, '0'))"
        return f"array_to_string({padded}, '')"


DUCKDB = Dialect()
