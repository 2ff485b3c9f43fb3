"""nginx's access logs: the combined format, the extended one with user and session, and any other `log_format`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from itertools import pairwise
from typing import Any

from auditmw.formats.line import Event, FormatError
from auditmw.formats.lines import escapes
from auditmw.formats.lines.assembly import Variable, with_homes_once
from auditmw.formats.lines.nginx_descriptions import (
    COMBINED,
    HEAD,
    HEAD_VARIABLES,
    VARIABLE,
    description_of,
    json_members,
    label_in,
    labels_in,
    match_head,
    parts_of,
    template_of,
)
from auditmw.formats.lines.nginx_variables import slot_of, variable_called
from auditmw.formats.lines.template import Slot, literals_merged
from auditmw.formats.lines.text import Family, TextFormat

_DIALECTS = {"default": escapes.DEFAULT, "json": escapes.JSON, "none": escapes.NONE}
_FROM_JSON = escapes.NONE._replace(absent="")  # values that JSON's own escapes were taken off
_FAMILIES = {
    escape: Family(dialect, "end", HEAD if escape == "default" else (), size=r"0|[1-9]\d{0,14}", time="time_local")
    for escape, dialect in _DIALECTS.items()
}
_MOST_OTHERS = 8


class NginxFormat(TextFormat):
    """One `log_format`: its text as nginx sees it (its strings joined), and its `escape`.

    `name` is what events call it; without one it is told by the text. `decode_userid`: user and session come from the
    middleware, which percent-encodes them. A line that has more after the combined part than the text says, or JSON
    with other keys, is read by its labels. Raises FormatError for a text of which a line could not be read.
    """

    def __init__(self, log_format: str, name: str = "", escape: str = "default", decode_userid: bool = False) -> None:
        if escape not in _DIALECTS:
            raise FormatError(f"expected escape to be default, json or none, not {escape!r}")
        if not VARIABLE.search(log_format):
            raise FormatError(f"expected a log_format with variables such as $remote_addr, not {log_format[:80]!r}")
        self.log_format, self.escape, self.decode_userid = log_format, escape, decode_userid
        parts = parts_of(log_format, decode_userid=decode_userid)
        super().__init__(name or f"nginx:{_kind(log_format, escape)}", parts, _FAMILIES[escape])
        befores = pairwise(literals_merged(parts))
        self._called = {label_in(a): b.variable.name for a, b in befores if isinstance(a, str) and isinstance(b, Slot)}
        self._others: dict[str, NginxFormat] = {}  # descriptions of lines that had other labels

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickled as what it was made of: regular expressions are compiled anew."""
        return type(self), (self.log_format, self.name, self.escape, self.decode_userid)

    def parse_other(self, text: str, length: int) -> Event:
        """Return the event of a line that has other labels than the description. Raises LineError."""
        if self.escape == "json":
            members = json_members(text)
            if members is None:
                return self.refuse(text)
            return self._read_by_another(text, length) or self.labelled((), members.items(), length, _FROM_JSON)
        match = match_head(text) if self.fast else None
        tail = None if match is None else labels_in(text[match.end() :])
        if match is None or tail is None:
            return self.refuse(text)
        head = zip(HEAD_VARIABLES, match.groups(), strict=True)
        return self._read_by_another(text, length) or self.labelled(head, tail, length)

    def _read_by_another(self, text: str, length: int) -> Event | None:
        """Return the event of a line by a description of it or of one before it, which is only the faster way."""
        for other in self._others.values():
            event = other.read(text, length)
            if event is not None:
                return event
        if len(self._others) >= _MOST_OTHERS:
            return None
        described = (template_of if self.escape == "json" else description_of)(text, self._called)
        if described is None or described in self._others:
            return None
        other = NginxFormat(described, self.name, self.escape, self.decode_userid)
        self._others[described] = other
        self.fast += other.fast
        return other.read(text, length)

    def labelled(
        self,
        head: Iterable[tuple[Variable, str | None]],
        tail: Iterable[tuple[str, str]],
        length: int,
        dialect: escapes.Dialect | None = None,
    ) -> Event:
        """Return the event of the values of known variables, and of those that only their labels tell."""
        values = list(head)
        for label, value in tail:
            name = self._called.get(label) or variable_called(label)
            values.append((slot_of(name, label, decode_userid=self.decode_userid).variable, value))
        variables = with_homes_once([variable for variable, _ in values])
        return self.event(zip(variables, (value for _, value in values), strict=True), length, dialect)


def with_keys(keys: Mapping[str, str], *, decode_userid: bool = False) -> NginxFormat:
    """Return the format of JSON in which each variable of nginx has the key that `keys` gives for it."""
    members = ",".join(f'"{key}":"${{{variable}}}"' for variable, key in keys.items())
    return NginxFormat("{" + members + "}", "nginx:json", "json", decode_userid)


def _kind(log_format: str, escape: str) -> str:
    """Return what to call a format that nobody gave a name."""
    if escape == "json":
        return "json"
    if log_format == COMBINED:
        return "combined"
    if log_format.startswith(COMBINED):
        return "extended" if re.search(r"\b(?:userid|sess(?:ion)?id)=", log_format) else "main"
    return "custom"
