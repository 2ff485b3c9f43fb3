"""Where those values of a Reblaze line live in the event that no other log has."""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Iterator
from typing import Any

import orjson

from auditmw.event import pointer_to
from auditmw.formats.line import Event
from auditmw.formats.lines.escapes import NONE, text_of
from auditmw.formats.lines.homes import Text, member

BODY = "post_request_body"
PLACE = "post_request_body_place"  # in `source.fields`: before which of the headers the body stood
_AS = re.compile(r"AS(0|[1-9][0-9]{0,9})(?: (.+))?", re.DOTALL)
_HEADER = re.compile(r"[!#$%&'*+.^_`|~0-9a-z-]{1,256}")
_LENGTH = re.compile(r"[0-9]{1,15}")
_MOST_HEADERS, _MOST_POINTERS = 128, 64  # the schema's limit, and that of auditmw.event


class _Organization:
    """The autonomous system of the client's address: `AS4773 MobileOne Ltd.`."""

    rank = 2
    claims: tuple[str, ...] = ("/client/as",)

    def put(self, event: Event, text: str, escaped: bool = False) -> bool:
        """Write number and name."""
        match = _AS.fullmatch(text)
        number, name = (int(match[1]), match[2]) if match else (None, text)
        known: dict[str, Any] = {} if number is None else {"number": number}
        if name:
            known["organization"] = name
        if not known:
            raise ValueError("expected an organization")
        event.setdefault("client", {})["as"] = known
        return True

    def get(self, event: Event) -> str | None:
        """Return number and name."""
        known = member(event, ("client", "as")) or {}
        parts = [f"AS{known['number']}"] if "number" in known else []
        return " ".join([*parts, known["organization"]] if "organization" in known else parts) or None

    def texts(self, event: Event) -> Iterator[str]:
        """Return the JSON pointer of the name."""
        return iter(("/client/as/organization",))


class _ResponseType(Text):
    """The content type, which is also one of the few headers of the response that are logged."""

    def put(self, event: Event, text: str, escaped: bool = False) -> bool:
        """Write the content type, and the header."""
        super().put(event, text)
        event["http"]["response"].setdefault("headers", {})["content-type"] = [text]
        return True

    def texts(self, event: Event) -> Iterator[str]:
        """Return the JSON pointers of both."""
        return iter((*self.claims, "/http/response/headers/content-type/0"))


class _Headers:
    """The request's headers and, among them, its body: base64 of a JSON object.

    What the headers say of the body, type and length, goes to its place too. Secrets are in there, so what can be read
    is never kept as the base64 that it came in; it is written again as Reblaze does, in the same order.
    """

    rank = 3
    claims: tuple[str, ...] = ("/http/request/headers",)

    def put(self, event: Event, text: str, escaped: bool = False) -> bool:
        """Write headers and body."""
        found, not_utf8 = _decoded(text)
        headers: dict[str, list[str]] = {}
        for name, value in found.items():
            if name != BODY and _HEADER.fullmatch(name.lower()) and len(headers) < _MOST_HEADERS:
                headers.setdefault(name.lower(), []).append(_plain(value))
        body = found.get(BODY)
        noted: list[str] = []
        if not_utf8:
            headers, body = (
                _cleaned(headers, "/http/request/headers", noted),
                _cleaned(body, "/http/request/body", noted),
            )
        request = event["http"].setdefault("request", {})
        if headers:
            request["headers"] = headers
        if body is not None:
            request["body"] = body if isinstance(body, str | dict | list) else _plain(body)
            _keep_place(event, list(found))
        _describe_body(request, headers)
        if noted:
            event.setdefault("meta", {})["escaped"] = noted[:_MOST_POINTERS]
        return True

    def get(self, event: Event) -> str | None:
        """Return headers and body as Reblaze writes them."""
        headers = member(event, ("http", "request", "headers"))
        body = member(event, ("http", "request", "body"))
        if not headers and body is None:
            return None
        members: list[tuple[str, Any]] = [(name, ", ".join(values)) for name, values in (headers or {}).items()]
        if body is not None:
            place = member(event, ("source", "fields", PLACE)) or ""
            members.insert(int(place) if place.isdecimal() else len(members), (BODY, body))
        text = json.dumps(dict(members), ensure_ascii=False, separators=(",", ":")).replace("/", "\\/")
        return base64.b64encode(text.encode("utf-8", "surrogatepass")).decode()

    def texts(self, event: Event) -> Iterator[str]:
        """Return nothing: base64 is ASCII."""
        return iter(())


def _decoded(text: str) -> tuple[dict[str, Any], bool]:
    """Return the JSON object, and whether its strings have surrogates, which stand for bytes that are not UTF-8."""
    try:
        raw = base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except binascii.Error:
        raise ValueError("expected base64") from None
    try:
        found, not_utf8 = orjson.loads(raw), False
    except ValueError:
        try:
            found, not_utf8 = json.loads(raw.decode("utf-8", "surrogateescape"), strict=False), True
        except RecursionError:
            raise ValueError("expected JSON that is less deep") from None
    if not isinstance(found, dict):
        raise ValueError("expected a JSON object")  # noqa: TRY004 - it is what the text says
    return found, not_utf8


def _cleaned(value: Any, pointer: str, noted: list[str]) -> Any:
    """Return the value with its strings as an event has them, and note the pointers of those that were not UTF-8."""
    if isinstance(value, str):
        text, is_escaped = text_of(NONE, value)
        if is_escaped:
            noted.append(pointer)
        return text
    try:
        if isinstance(value, dict):
            names = [text_of(NONE, name)[0] for name in value]
            items = zip(names, value.values(), strict=True)
            return {name: _cleaned(item, pointer_to(pointer, name), noted) for name, item in items}
        if isinstance(value, list):
            return [_cleaned(item, f"{pointer}/{n}", noted) for n, item in enumerate(value)]
    except RecursionError:
        raise ValueError("expected JSON that is less deep") from None
    return value


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _keep_place(event: Event, names: list[str]) -> None:
    place = names.index(BODY)
    if place < len(names) - 1:
        event["source"].setdefault("fields", {})[PLACE] = str(place)


def _describe_body(request: dict[str, Any], headers: dict[str, list[str]]) -> None:
    """Say of the body what the headers say."""
    for content_type in headers.get("content-type", ())[:1]:
        request["content_type"] = content_type
    for length in headers.get("content-length", ())[:1]:
        if _LENGTH.fullmatch(length):
            request["body_size"] = int(length)


HEADERS = _Headers()
ORGANIZATION = _Organization()
RESPONSE_TYPE = _ResponseType("http", "response", "content_type")
