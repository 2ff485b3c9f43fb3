"""Paths as templates: `/users/42/orders` and `/users/57/orders` are the same page, `/users/{id}/orders`.

A segment of a path is replaced by `{id}` when it looks like an identifier:

1. decimal digits only;
2. a UUID, or eight or more hexadecimal digits with a decimal one among them;
3. sixteen or more letters, digits and underscores with a decimal digit among them: keys, tokens, ULIDs;
4. the same with hyphens as well, where there are letters of both cases: nanoids, but no titles of articles;
5. whatever has an @ in it, also as %40: an e-mail address.

An ending such as `.json` stays. The rule is here twice, for Python and for SQL, over the same regular expressions,
which mean the same to `re` and to RE2.
"""

from __future__ import annotations

import re
from functools import partial

from auditmw.query.language.dialect import Dialect

ID = "{id}"

_SUSPICIOUS = "[0-9@]"  # no identifier is without: most paths are done with this one look
_DIGIT, _UPPER, _LOWER = "[0-9]", "[A-Z]", "[a-z]"
_ID = "(?s)[0-9]+|[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}|.*(@|%40).*"
_ID_WITH_DIGIT = "[0-9a-fA-F]{8,}|[0-9A-Za-z_]{16,}"
_ID_WITH_DIGIT_AND_BOTH_CASES = "[0-9A-Za-z_-]{16,}"
_WITH_ENDING = r"(?s)(.*)(\.[A-Za-z][0-9A-Za-z]{0,4})"


def path_template(path: str) -> str:
    """Return the path with `{id}` for every segment that looks like an identifier."""
    if not re.search(_SUSPICIOUS, path):
        return path
    return "/".join(_segment(segment) for segment in path.split("/"))


def _segment(segment: str) -> str:
    if _is_id(segment):
        return ID
    parts = re.fullmatch(_WITH_ENDING, segment)
    return ID + parts[2] if parts and _is_id(parts[1]) else segment


def _is_id(text: str) -> bool:
    if re.fullmatch(_ID, text):
        return True
    if not re.search(_DIGIT, text):
        return False
    if re.fullmatch(_ID_WITH_DIGIT, text):
        return True
    return bool(
        re.fullmatch(_ID_WITH_DIGIT_AND_BOTH_CASES, text) and re.search(_UPPER, text) and re.search(_LOWER, text)
    )


def path_template_sql(path: str, dialect: Dialect) -> str:
    """Return SQL for the same, of a VARCHAR expression; NULL for NULL.

    It takes about a microsecond for a path with a digit: where there are many rows, group by the path before.
    """
    stem, ending = (dialect.matched("segment", f"^{_WITH_ENDING}$", group) for group in (1, 2))
    segment = f"""CASE WHEN {_is_id_sql("segment", dialect)} THEN '{ID}'
        WHEN {_is_id_sql(stem, dialect)} THEN '{ID}' || {ending} ELSE segment END"""
    segments = dialect.joined(dialect.transformed(dialect.split(path, "/"), "segment", segment), "/")
    return f"CASE WHEN {dialect.has_match(path, _SUSPICIOUS)} THEN {segments} ELSE {path} END"


def _is_id_sql(text: str, dialect: Dialect) -> str:
    has, whole = partial(dialect.has_match, text), partial(dialect.is_match, text)
    return f"""({whole(_ID)} OR {has(_DIGIT)} AND (
        {whole(_ID_WITH_DIGIT)} OR {whole(_ID_WITH_DIGIT_AND_BOTH_CASES)} AND {has(_UPPER)} AND {has(_LOWER)}))"""


def page_sql(dialect: Dialect) -> str:
    """Return SQL for the page that an event is about: its route, else the template of its path; NULL for no request."""
    return f"coalesce(route, {path_template_sql('path', dialect)})"
