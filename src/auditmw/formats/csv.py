"""CSV rows that a spreadsheet opens without running them.

RFC 4180: fields that hold a comma, a quote or a line break stand in quotes, quotes are doubled, lines end in CR LF. A
text that a spreadsheet could take for a formula gets an apostrophe in front (OWASP, CSV Injection): it begins with
`=`, `+`, `-`, `@`, their full-width forms, a tab, CR, LF or NUL. Numbers stay numbers: only text is changed.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from datetime import datetime
from typing import Any

import orjson

_FORMULA = tuple("=+-@\t\r\n\0\uff1d\uff0b\uff0d\uff20")


def csv_row(values: Iterable[Any]) -> bytes:
    """Return one row, with its line end, its text harmless.

    None is an empty field, times are ISO 8601, lists and objects JSON.
    """
    text = io.StringIO()
    csv.writer(text).writerow([_field(value) for value in values])
    return text.getvalue().encode("utf-8", "backslashreplace")


def _field(value: Any) -> Any:
    if isinstance(value, bool):
        return "true" if value else "false"
    if value is None or isinstance(value, int | float):
        return value
    if isinstance(value, datetime):
        return value.isoformat()
    text = value if isinstance(value, str) else orjson.dumps(value, default=str).decode()
    return "'" + text if text.startswith(_FORMULA) else text
