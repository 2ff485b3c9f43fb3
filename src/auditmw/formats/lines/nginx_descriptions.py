"""Descriptions of nginx's log formats: the texts of `log_format`, and the one that probably wrote a line.

Source: nginx's ngx_http_log_module, its documentation and what nginx 1.22.1 wrote.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from auditmw.formats.lines.escapes import DEFAULT
from auditmw.formats.lines.json_object import Number, as_field
from auditmw.formats.lines.nginx_variables import slot_of, variable_called, variable_like
from auditmw.formats.lines.template import Part, compiled, literals_merged, pieces, slots

COMBINED = (
    '$remote_addr - $remote_user [$time_local] "$request" $status $body_bytes_sent "$http_referer" "$http_user_agent"'
)
MAIN = f'{COMBINED} "$http_x_forwarded_for"'  # of the nginx.conf that nginx's own packages install
EXTENDED = f'{COMBINED} userid="$upstream_http_x_userid" sessionid="$upstream_http_x_sessionid"'
# The keys are the names of the variables: what `variable_called` understands as well in any other order.
_JSON_KEYS = (
    *("time_iso8601", "msec", "remote_addr", "remote_user", "request", "status", "body_bytes_sent", "http_referer"),
    *("http_user_agent", "request_time", "request_id", "upstream_http_x_userid", "upstream_http_x_sessionid"),
)
JSON = "{" + ",".join(f'"{name}":"${name}"' for name in _JSON_KEYS) + "}"

VARIABLE = re.compile(r'\$(?:\{([^{}$"\\]+)\}|([A-Za-z0-9_]+))')  # in braces also what is no variable of nginx's
_LABEL = re.compile(r"""([A-Za-z_@][\w.-]*)["']?\s*[=:]\s*["']?\Z""", re.ASCII)
_LABELLED = re.compile(r' ([A-Za-z_]\w*)=(?:"([^"]*)"|([^ "]*+))(?= |\Z)', re.ASCII)
_ABSENT_NUMBER = re.compile(r'("(?:[^"\\]|\\.)*+"?+)|:(?=\s*+[,}])')
_NOT_A_NAME = re.compile(r'[{}$"\\]')
_ADDRESSES = re.compile(r' "(?:-|[0-9A-Fa-f.:]+(?:, ?[0-9A-Fa-f.:]+)*)"', re.ASCII)  # at the end of `main`
_MOST_LABELS = 200  # of one line; a log that has more is not described


def parts_of(log_format: str, *, decode_userid: bool = False) -> list[Part]:
    """Return the literal texts and slots of a `log_format` string."""
    parts: list[Part] = []
    end = 0
    for match in VARIABLE.finditer(log_format):
        before = log_format[end : match.start()]
        parts += [before, slot_of(match[1] or match[2], label_in(before), decode_userid=decode_userid)]
        end = match.end()
    return [*parts, log_format[end:]]


def label_in(before: str) -> str:
    """Return what a value is called in the text before it: `userid` in `userid="`; "" when it is called nothing."""
    match = _LABEL.search(before)
    return match[1].lower() if match else ""


HEAD = tuple(literals_merged(parts_of(COMBINED)))
"""The parts of the combined format, with which most others begin."""

HEAD_VARIABLES = [slot.variable for slot in slots(HEAD)]
match_head = compiled(pieces(HEAD, DEFAULT)).match
"""Match the combined part of a line."""


def template_of(text: str, called: Mapping[str, str] | None = None) -> str | None:
    """Return the `log_format` that probably wrote this line of JSON, None when it is none or has too many keys.

    With the variables that are `called` by their keys, the keys alone tell; else the values do so as well.
    """
    members = json_members(text)
    if not members or len(members) > _MOST_LABELS:
        return None
    described = []
    for key, value in members.items():
        if not _NOT_A_NAME.search(key):
            quote = '"' if re.search(f'"{re.escape(key)}"\\s*:\\s*"', text) else ""
            described.append(f'"{key}":{quote}{_reference(_name(key, value, called))}{quote}')
    return "{" + ",".join(described) + "}" if described else None


def description_of(text: str, called: Mapping[str, str] | None = None) -> str | None:
    """Return the `log_format` that probably wrote this line of text, None when it does not begin as combined does.

    What is at its right is described as far as it has labels: `userid="..."`. With the variables that are `called` by
    their labels, the labels alone tell; else the values do so as well.
    """
    match = match_head(text)
    if match is None:
        return None
    described, end = [COMBINED], match.end()
    while (found := _LABELLED.match(text, end)) and len(described) <= _MOST_LABELS:
        label, quoted, plain = found.groups()
        name = _name(label, quoted if plain is None else plain, called)
        described.append(f' {label}="{_reference(name)}"' if plain is None else f" {label}={_reference(name)}")
        end = found.end()
        if called is not None and plain is not None and (end == len(text) or slot_of(name).spaced):
            return None  # a format takes more for a value that has no quotes than a label does
    if _ADDRESSES.fullmatch(text[end:]):
        described.append(' "$http_x_forwarded_for"')
    return "".join(described)


def _name(label: str, value: str, called: Mapping[str, str] | None) -> str:
    return variable_like(label, value) if called is None else called.get(label) or variable_called(label)


def _reference(name: str) -> str:
    return f"${name}" if re.fullmatch(r"\w+", name, re.ASCII) else f"${{{name}}}"


def json_members(text: str) -> dict[str, str] | None:
    """Return the members of one JSON object as texts, None when it is none; a number that is missing is no error.

    nginx writes nothing at all for a variable without a value, also where a number should be.
    """
    try:
        found = _json(text) or _json(_ABSENT_NUMBER.sub(lambda match: match[1] or ":null", text))
        return {key: _plain(value) for key, value in found.items()} if isinstance(found, dict) else None
    except RecursionError:
        return None


def _json(text: str) -> Any:
    try:
        return json.loads(text, parse_float=Number, parse_int=Number, parse_constant=str, strict=False)
    except ValueError:
        return None


def _plain(value: Any) -> str:
    if isinstance(value, str):
        return value
    try:
        return "" if value is None else as_field(value)
    except TypeError:  # bytes that are not UTF-8
        return json.dumps(value)


def labels_in(tail: str) -> list[tuple[str, str]] | None:
    """Return labels and values at the end of a line, what has no label as `anything_else`; None for no whole tail."""
    if not tail.startswith(" "):
        return None if tail else []
    found: list[tuple[str, str]] = []
    end = 0
    while match := _LABELLED.match(tail, end):
        label, quoted, plain = match.groups()
        found.append((label, quoted if plain is None else plain))
        end = match.end()
    rest = tail[end:]
    if rest.count('"') % 2:  # it ends within a value
        return None
    if _ADDRESSES.fullmatch(rest):
        found.append(("http_x_forwarded_for", rest[2:-1]))
    elif rest.strip():
        found.append(("anything_else", rest))
    return found
