"""The fields that a query can name: what a name means, and what kind of values stand there.

A name is that of a column (``user``), one of its other names (``actor``), or the dotted path of any member of an event
(``http.request.body_size``, ``data.order.id``). What stands at a path is read from the event's schema; beyond what the
schema knows, a path goes through whatever the application wrote.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from functools import cache
from importlib.resources import files
from typing import Any, Literal

from auditmw.archive.columns import COLUMNS
from auditmw.query.language.texts import QUOTED, quoted, unquoted

Kind = Literal["text", "choice", "number", "status", "duration", "size", "time", "flag", "address", "any", "group"]
"""What stands in a field: text; one of a few words; whole numbers (a count, a status code, nanoseconds, bytes); a time;
true or false; an IP address; any JSON; or nothing but other fields."""

EACH = "[]"
"""In a path: every element of the list that stands there."""

MAX_KEYS = 32  # in a name: as deep as events go
_MAX_MISSPELT = 64  # characters; what is longer is no misspelt name


@dataclass(frozen=True, slots=True, repr=False)
class Field:
    """One field: the name that it is printed by, its kind, and where its values stand.

    `path` leads through members of objects, and `EACH` where the schema has a list; `rest` leads on from there through
    what the schema does not describe, so that every step may meet a list. `column` is the archive's column of it.
    `choices` are the words of the kind "choice", in their order.
    """

    name: str
    kind: Kind
    path: tuple[str, ...]
    rest: tuple[str, ...] = ()
    column: str | None = None
    choices: tuple[str, ...] = ()
    aliases: tuple[str, ...] = ()
    description: str = ""

    def __repr__(self) -> str:
        return f"<field {self.name}>"


class UnknownFieldError(LookupError):
    """No event can have a field of this name. As text: a sentence for people, with the name that may be meant."""

    def __str__(self) -> str:
        name = self.args[0]
        begun = [field for field in fields() if len(name) > 1 and field.startswith(name.lower())]
        close = begun or (get_close_matches(name.lower(), fields(), 1) if len(name) <= _MAX_MISSPELT else [])
        advice = f"did you mean {close[0]}?" if close else "to look for it as text, put quotes around it"
        return f"there is no field {name!r}; {advice}"


def find(name: str) -> Field:
    """Return the field of a name: without regard to case, but for keys of the application's own.

    Keys with spaces or punctuation stand in quotes: ``data."order id"``. Raises UnknownFieldError.
    """
    keys = _keys(name)
    if len(keys) > MAX_KEYS:
        raise UnknownFieldError(name)
    if not any("." in key for key in keys) and (field := fields().get(".".join(keys).lower())):
        return field
    if keys[0].lower() not in _schema()["properties"]:
        raise UnknownFieldError(name)
    return _beyond(keys)


@cache
def fields() -> dict[str, Field]:
    """Return every field that has a name of its own, by each of its names in lower case: columns first."""
    by_path = {field.path: field for field in _walk((), _schema())}
    columns = [
        replace(
            by_path[column.path],
            name=column.name,
            column=column.name,
            aliases=column.aliases,
            description=_DESCRIPTIONS[column.name],
        )
        for column in COLUMNS
    ]
    columns.append(Field("bot", "flag", (), column="bot", description=_DESCRIPTIONS["bot"]))
    named = {name: field for field in columns for name in (field.name, *field.aliases)}
    of_column = {field.path: field for field in columns}
    for path, field in by_path.items():
        named.setdefault(".".join(key for key in path if key != EACH), of_column.get(path, field))
    return named


BARE_KEY = r'[^\s:.",()\\]++'
_KEY = re.compile(rf"(?P<quoted>{QUOTED})|{BARE_KEY}", re.DOTALL)


def _keys(name: str) -> list[str]:
    return [unquoted(match[0]) if match["quoted"] else match[0] for match in _KEY.finditer(name)] or [""]


def _printed(keys: Iterable[str]) -> str:
    return ".".join(key if re.fullmatch(BARE_KEY, key) else quoted(key) for key in keys)


@cache
def _schema() -> dict[str, Any]:
    schema: dict[str, Any] = json.loads((files("auditmw") / "event.schema.json").read_bytes())
    return schema


def _resolved(node: dict[str, Any]) -> dict[str, Any]:
    """Return the node with what it refers to, and the reference's name as "is"."""
    reference = node.get("$ref")
    if reference is None:
        return node
    name = reference.rpartition("/")[2]
    return {**_schema()["$defs"][name], **node, "is": name}


def _walk(path: tuple[str, ...], node: dict[str, Any]) -> Iterable[Field]:
    """Yield a field for every member that the schema names, and for those below it."""
    for key, member in node.get("properties", {}).items():
        below = _resolved(member)
        at = (*path, key)
        if "items" in below:
            at, below = (*at, EACH), _resolved(below["items"])
        yield Field(
            ".".join(part for part in at if part != EACH),
            _kind(key, below),
            at,
            choices=tuple(below.get("enum", ())),
            description=member.get("description", ""),
        )
        yield from _walk(at, below)


_KINDS_OF_INTEGERS: dict[str, Kind] = {
    "duration_ns": "duration",
    "size": "size",
    "body_size": "size",
    "status_code": "status",
}
_KINDS_OF_STRINGS: dict[str, Kind] = {"address": "address", "peer_address": "address"}


def _kind(key: str, node: dict[str, Any]) -> Kind:
    if "enum" in node:
        return "choice"
    match node.get("type"):
        case "integer":
            return _KINDS_OF_INTEGERS.get(key, "number")
        case "boolean":
            return "flag"
        case "object":
            return "group"
        case "string":
            return "time" if node.get("is") == "ts" else _KINDS_OF_STRINGS.get(key, "text")
        case _:
            return "any"


def _beyond(keys: Sequence[str]) -> Field:
    """Return the field of a path that leads beyond what the schema names."""
    path: tuple[str, ...] = ()
    node, rest = _schema(), list(keys)
    while rest and (key := rest[0].lower()) in node.get("properties", {}):
        path, node = (*path, key), _resolved(node["properties"][key])
        if "items" in node:
            path, node = (*path, EACH), _resolved(node["items"])
        del rest[0]
    if node.get("is") == "headers":
        rest[0] = rest[0].lower()
    name = _printed([*(key for key in path if key != EACH), *rest])
    if node.get("type") == "object" and EACH not in path:
        path = (*path, rest.pop(0))
    return Field(name, "any", path, tuple(rest))


_DESCRIPTIONS = {
    "time": "when it happened; of a request, when its response was finished",
    "id": "the event's id",
    "event": "what happened: http_request, or the application's own name for it",
    "level": "debug, info, warning, error or critical; has an order",
    "message": "a sentence about it",
    "category": "web, authentication, file, ...",
    "action": "create, read, update, delete, authenticate/login, ...",
    "result": "success, failure, pending or unknown",
    "reason": "why it was no success: http_404, exception, ...",
    "trace": "the trace id: what belongs together across services",
    "request": "the request id",
    "correlation": "the correlation id",
    "user": "the id of who did it",
    "user_type": "user, service, system, anonymous or unknown",
    "name": "the name of who did it",
    "email": "the e-mail address of who did it",
    "session": "the session id: a keyed hash of the live one",
    "ip": "the address of the client; also a network, as in 10.0.0.0/8",
    "country": "the country of the client",
    "method": "GET, POST, ...",
    "route": "the route of the application, such as /users/{id}",
    "status": "the status code of the response; also a class, as in 5xx",
    "size": "the bytes of the response's body",
    "dur": "how long it took",
    "agent": "the user agent",
    "referrer": "the page that the client came from",
    "host": "the host that was asked",
    "path": "the path that was asked for",
    "query": "the query string of the URL",
    "target": "the id of what it was done to",
    "target_type": "the type of what it was done to",
    "target_name": "the name of what it was done to",
    "error": "the type of the exception",
    "error_message": "the message of the exception",
    "service": "the name of the service that wrote it",
    "env": "the environment of that service",
    "kind": "where it comes from: middleware, app or import",
    "format": "the format that it was read from: wsgi, asgi, nginx:combined, ...",
    "cache": "what the cache in front said",
    "data": "what the application added: data.KEY",
    "bot": "whether the user agent is that of a bot",
}
