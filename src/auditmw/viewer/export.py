"""All matching events as a file: streamed, up to a cap, and never cut off without a sign."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain, islice
from typing import Any

from werkzeug.wrappers import Response

from auditmw.formats.csv import csv_row
from auditmw.parsing import parse_event
from auditmw.query import Count, Entry, Page, count, pages
from auditmw.query.answers import COLUMNS, cell
from auditmw.query.language.fields import find
from auditmw.query.page import Order
from auditmw.viewer.asking import Ask
from auditmw.viewer.headers import check_origin
from auditmw.viewer.recording import question
from auditmw.viewer.refusals import Refusal, asked

_TYPES = {"ndjson": "application/x-ndjson", "csv": "text/csv; charset=utf-8"}
_ORDERS: tuple[Order, ...] = ("oldest", "newest")
_PATIENCE_SECONDS = 30.0  # between two pages: who has begun is not sent away


def export(ask: Ask) -> Response:
    """Return the events of the scope as an attachment, oldest first unless `order` says otherwise.

    Where there are more events than the cap, X-Auditmw-Capped has the cap; where not all
    could be looked at, X-Auditmw-Partial has the reasons. What goes wrong on the way breaks the connection, so that no
    part of a file passes for the whole.
    """
    check_origin(ask.request)
    if not ask.viewer.may_export:
        raise Refusal(403, "this viewer may not export events")
    read = ask.parameters
    form = read.one_of("format", tuple(_TYPES), "ndjson")
    columns = read.fields("columns", COLUMNS)
    order, cap = read.one_of("order", _ORDERS, "oldest"), ask.shared.export_cap
    number: Count = ask.answer(count, ask.scope, cap=cap)
    found = pages(ask.engine, ask.scope, order=order, token=ask.handle)
    first = _next(ask, found)
    told = {**question(read), "format": form, **({"columns": columns} if form == "csv" else {})}
    ask.shared.recorder.exported(ask.carrier, ask.viewer, told, results={"count": number.value})
    entries = islice(
        chain.from_iterable(page.entries for page in chain([first] if first else [], _rest(ask, found))), cap
    )
    response = Response(_rows(entries, columns) if form == "csv" else _lines(entries), content_type=_TYPES[form])
    name = f"events-{read.now:%Y%m%d-%H%M%S}.{form}"
    response.headers["Content-Disposition"] = f'attachment; filename="{name}"'
    if number.capped:
        response.headers["X-Auditmw-Capped"] = str(cap)
    if number.partial is not None:
        response.headers["X-Auditmw-Partial"] = ", ".join(number.partial.reasons)
    return response


def _rest(ask: Ask, found: Iterator[Page]) -> Iterator[Page]:
    while (page := _next(ask, found)) is not None:
        yield page


def _next(ask: Ask, found: Iterator[Page]) -> Page | None:
    with ask.slot(_PATIENCE_SECONDS):
        page = asked(lambda: next(found, None))
    if page is not None and page.partial is not None and "cancelled" in page.partial.reasons:
        raise Refusal(409, "the export was cancelled")
    return page


def _lines(entries: Iterator[Entry]) -> Iterator[bytes]:
    while lines := b"".join(entry.body + b"\n" for entry in islice(entries, 500)):
        yield lines


def _rows(entries: Iterator[Entry], columns: Sequence[str]) -> Iterator[bytes]:
    fields = [find(name) for name in columns]
    yield csv_row(columns)
    while rows := b"".join(csv_row(_cells(entry, fields)) for entry in islice(entries, 500)):
        yield rows


def _cells(entry: Entry, fields: Sequence[Any]) -> list[Any]:
    event = parse_event(entry.body)
    return [cell(event, field) for field in fields]
