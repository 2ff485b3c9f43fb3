"""nginx's access logs: the combined format, the extended one with user and session, and any other `log_format`.

Source: nginx's ngx_http_log_module, its documentation and what nginx 1.22.1 wrote.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from itertools import pairwise
from typing import Any

from auditmw.formats import escapes
from auditmw.formats.assembly import Variable, with_homes_once
from auditmw.formats.json_object import Number, as_field
from auditmw.formats.line import Event, FormatError
from auditmw.formats.nginx_variables import slot_of, variable_called
from auditmw.formats.template import Part, Slot, compiled, literals_merged, pieces, slots
from auditmw.formats.text import Family, TextFormat

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

_VARIABLE = re.compile(r'\$(?:\{([^{}$"\\]+)\}|([A-Za-z0-9_]+))')  # in braces also what is no variable of nginx's
_LABEL = re.compile(r"""([A-Za-z_@][\w.-]*)["']?\s*[=:]\s*["']?\Z""", re.ASCII)
_LABELLED = re.compile(r' ([A-Za-z_]\w*)=(?:"([^"]*)"|([^ "]*+))(?= |\Z)', re.ASCII)
_ADDRESSES = re.compile(r' "(?:-|[0-9A-Fa-f.:]+(?:, ?[0-9A-Fa-f.:]+)*)"', re.ASCII)  # at the end of `main`
_NOT_A_NAME = re.compile(r'[{}$"\\]')
_FROM_JSON = escapes.NONE._replace(absent="")  # values that JSON's own escapes were taken off
_ABSENT_NUMBER = re.compile(r'("(?:[^"\\]|\\.)*+"?+)|:(?=\s*+[,}])')
_DIALECTS = {"default": escapes.DEFAULT, "json": escapes.JSON, "none": escapes.NONE}


def parts_of(log_format: str, *, decode_userid: bool = False) -> list[Part]:
    """Return the literal texts and slots of a `log_format` string."""
    parts: list[Part] = []
    end = 0
    for match in _VARIABLE.finditer(log_format):
        before = log_format[end : match.start()]
        parts += [before, slot_of(match[1] or match[2], _label(before), decode_userid=decode_userid)]
        end = match.end()
    return [*parts, log_format[end:]]


def with_keys(keys: Mapping[str, str], *, decode_userid: bool = False) -> NginxFormat:
    """Return the format of JSON in which each variable of nginx has the key that `keys` gives for it."""
    members = ",".join(f'"{key}":"${{{variable}}}"' for variable, key in keys.items())
    return NginxFormat("{" + members + "}", "nginx:json", "json", decode_userid)


def _label(before: str) -> str:
    """Return what a value is called in the text before it: `userid` in `userid="`; "" when it is called nothing."""
    match = _LABEL.search(before)
    return match[1].lower() if match else ""


def _family(escape: str) -> Family:
    return Family(
        dialect=_DIALECTS[escape],
        basis="end",
        combined=tuple(literals_merged(parts_of(COMBINED))) if escape == "default" else (),
        size=r"0|[1-9]\d{0,14}",
        time="time_local",
    )


_FAMILIES = {escape: _family(escape) for escape in _DIALECTS}
_HEAD = _FAMILIES["default"].combined
HEAD_VARIABLES = [slot.variable for slot in slots(_HEAD)]
_match_head = compiled(pieces(_HEAD, escapes.DEFAULT)).match


class NginxFormat(TextFormat):
    """One `log_format`: its text as nginx sees it (its strings joined), and its `escape`.

    `name` is what events call it; without one it is told by the text. `decode_userid`: user and session come from the
    middleware, which percent-encodes them. A line that has more after the combined part than the text says, or JSON
    with other keys, is read by its labels. Raises FormatError for a text of which a line could not be read.
    """

    def __init__(self, log_format: str, name: str = "", escape: str = "default", decode_userid: bool = False) -> None:
        if escape not in _DIALECTS:
            raise FormatError(f"expected escape to be default, json or none, not {escape!r}")
        if not _VARIABLE.search(log_format):
            raise FormatError(f"expected a log_format with variables such as $remote_addr, not {log_format[:80]!r}")
        self.log_format, self.escape, self.decode_userid = log_format, escape, decode_userid
        parts = parts_of(log_format, decode_userid=decode_userid)
        super().__init__(name or f"nginx:{_kind(log_format, escape)}", parts, _FAMILIES[escape])
        befores = pairwise(literals_merged(parts))
        self._called = {_label(a): b.variable.name for a, b in befores if isinstance(a, str) and isinstance(b, Slot)}

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickled as what it was made of: regular expressions are compiled anew."""
        return type(self), (self.log_format, self.name, self.escape, self.decode_userid)

    def parse_other(self, text: str, length: int) -> Event:
        """Return the event of a line that has other labels than the description. Raises LineError."""
        if self.escape == "json" and text.startswith("{"):
            members = json_members(text)
            if members is not None:
                return self.labelled({}, members, length, _FROM_JSON)
        if self._combined is not None:
            match = _match_head(text)
            tail = None if match is None else _labels(text[match.end() :])
            if match is not None and tail is not None:
                head = dict(zip(HEAD_VARIABLES, match.groups(), strict=True))
                return self.labelled(head, tail, length)
        return self.refuse(text)

    def labelled(
        self,
        head: dict[Variable, str | None],
        tail: dict[str, str],
        length: int,
        dialect: escapes.Dialect | None = None,
    ) -> Event:
        """Return the event of the values of known variables, and of those that only their labels tell."""
        named: dict[Variable, str | None] = dict(head)
        for label, value in tail.items():
            name = self._called.get(label) or variable_called(label, value)
            named[slot_of(name, label, decode_userid=self.decode_userid).variable] = value
        return self.event(zip(with_homes_once(list(named)), named.values(), strict=True), length, dialect)


def template_of(line: bytes) -> str | None:
    """Return the `log_format` that probably wrote this line of JSON, None when it is no JSON object."""
    text = line.decode("utf-8", "surrogateescape")
    members = json_members(text)
    if not members:
        return None
    strings = {key for key in members if re.search(f'"{re.escape(key)}"\\s*:\\s*"', text)}
    names = {key: variable_called(key, value) for key, value in members.items()}
    described = (
        f'"{key}":"${{{name}}}"' if key in strings else f'"{key}":${{{name}}}'
        for key, name in names.items()
        if not _NOT_A_NAME.search(key)
    )
    return "{" + ",".join(described) + "}"


def description_of(line: bytes) -> str | None:
    """Return the `log_format` that probably wrote this line of text, None when it does not begin as combined does.

    What is at its right is described as far as it has labels: `userid="..."`.
    """
    text = line.decode("utf-8", "surrogateescape").removesuffix("\r")
    match = _match_head(text)
    if match is None:
        return None
    described, end = COMBINED, match.end()
    while found := _LABELLED.match(text, end):
        label, quoted, plain = found.groups()
        name = variable_called(label, quoted if plain is None else plain)
        described += f' {label}="${name}"' if plain is None else f" {label}=${name}"
        end = found.end()
    return f'{described} "$http_x_forwarded_for"' if _ADDRESSES.fullmatch(text[end:]) else described


def json_members(text: str) -> dict[str, str] | None:
    """Return the members of one JSON object as texts, None when it is none; a number that is missing is no error.

    nginx writes nothing at all for a variable without a value, also where a number should be.
    """
    try:
        found = _json(text)
    except ValueError:
        try:
            found = _json(_ABSENT_NUMBER.sub(lambda match: match[1] or ":null", text))
        except (ValueError, RecursionError):
            return None
    except RecursionError:
        return None
    if not isinstance(found, dict):
        return None
    return {key: _plain(value) for key, value in found.items()}


def _json(text: str) -> Any:
    return json.loads(text, parse_float=Number, parse_int=Number, parse_constant=str, strict=False)


def _plain(value: Any) -> str:
    if isinstance(value, str):
        return value
    try:
        return "" if value is None else as_field(value)
    except TypeError:  # bytes that are not UTF-8
        return json.dumps(value)


def _labels(tail: str) -> dict[str, str] | None:
    """Return labels and values at the end of a line, what has no label as `anything_else`; None for no whole tail."""
    if not tail.startswith(" "):
        return None if tail else {}
    found: dict[str, str] = {}
    end = 0
    while match := _LABELLED.match(tail, end):
        found[match[1]] = match[2] if match[2] is not None else match[3]
        end = match.end()
    if tail.count('"', end) % 2:  # it ends within a value
        return None
    if tail[end:].strip():
        found["anything_else"] = tail[end:]
    return found


def _kind(log_format: str, escape: str) -> str:
    """Return what to call a format that nobody gave a name."""
    if escape == "json":
        return "json"
    if log_format == COMBINED:
        return "combined"
    if log_format.startswith(COMBINED):
        return "extended" if re.search(r"\b(?:userid|sess(?:ion)?id)=", log_format) else "main"
    return "custom"
