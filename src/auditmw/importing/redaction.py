"""What must not be written, taken out of the event of a log line.

1. Every string of an event is looked at: URLs, queries, headers and fields by the names in them, all others as text.
2. The same user agents, paths and referrers come again and again: what may stand is remembered, and an event that
   holds nothing else is done at once.
3. A value that is "-" says nothing, whatever its name; that is how logs write what is missing.
4. Parts of an event may belong to several events: a part that needs a change is replaced, never changed in place.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import orjson

from auditmw.event import Event, pointer_to
from auditmw.redact import Redactor
from auditmw.shapes import REDACTED

_MOST_REMEMBERED, _LONGEST_REMEMBERED = 16_384, 512  # texts, and characters of one
_MOST_POINTERS = 64
_STATUS_AND_SIZE = frozenset(("status_code", "body_size", "size"))  # all that most lines say of a response
_NAMED = frozenset(("data", "filter", "results", "target"))  # in which names tell secrets
_SAYS_NOTHING = ("", "-", REDACTED)
_URLS = ("target", "referrer")
# Whose values the format itself chose.
_CHOSEN = frozenset(
    ("schema", "timestamp", "start", "duration_ns", "event", "level", "severity", "category", "action", "outcome")
)
_WITH_RULES = _CHOSEN | {"http", "url", "source", "meta"}
_WHO = ("client", "actor", "session")
_SIMPLE = _CHOSEN | {"http", "url", "source", *_WHO}  # what most lines have, and no more

_Object = Mapping[str, Any]
_NOTHING: _Object = {}


class _Verdicts(dict[str, str | None]):
    """What is to be written instead of a text; None where the text may stand. The table is bounded."""

    def __init__(self, clean: Callable[[str], str]) -> None:
        super().__init__()
        self._clean = clean

    def __missing__(self, text: str) -> str | None:
        clean = self._clean(text)
        verdict = None if clean == text else clean
        if len(text) <= _LONGEST_REMEMBERED:
            if len(self) >= _MOST_REMEMBERED:
                self.clear()
            self[text] = verdict
        return verdict


class Harmless(dict[Any, bool]):
    """Whether a text may stand wherever it is but in a query; numbers always may. The table is bounded."""

    def __init__(self, clean: Callable[[str], str]) -> None:
        super().__init__()
        self._clean = clean

    def __missing__(self, value: Any) -> bool:
        if type(value) is not str:
            return type(value) in (int, bool)
        harmless = self._clean(value) == value
        if len(value) <= _LONGEST_REMEMBERED:
            if len(self) >= _MOST_REMEMBERED:
                self.clear()
            self[value] = harmless
        return harmless


class EventRedactor:
    """Redacts events by the rules of a Redactor; one for a process.

    `harmless`: by a text, whether it may stand as it is wherever it is but in a query.
    """

    def __init__(self, redactor: Redactor) -> None:
        self._redactor = redactor
        self.harmless = Harmless(redactor.url)  # what may stand as a URL may stand as text
        self._urls = _Verdicts(redactor.url)
        self._texts = _Verdicts(lambda text: redactor.url(text) if "://" in text else redactor.text(text))
        self._prose = _Verdicts(lambda text: redactor.url(redactor.prose(text)))

    def __call__(self, event: Event) -> bool:
        """Put what may be written into the event, say in its `meta` where, and return whether anything was touched."""
        if self._is_harmless(event):
            return False
        redacted: list[str] = []
        http = event.get("http")
        if http:
            event["http"] = self._http(http, redacted)
        url = event.get("url")
        if url:
            event["url"] = self._url(url, redacted)
            if "/url/path" in redacted and "/http/request/target" not in redacted:
                self._replace_target(event, redacted)
        source = event["source"]
        if "fields" in source:
            event["source"] = {**source, "fields": self._fields(source["fields"], redacted)}
        for key in event.keys() & _NAMED:
            event[key] = self._redactor.tree(event[key], f"/{key}", redacted)
        for key in event.keys() - _WITH_RULES - _NAMED:
            event[key] = self._any(event[key], f"/{key}", redacted)
        if redacted:
            event["meta"] = {**event.get("meta", {}), "redacted": redacted[:_MOST_POINTERS]}
        return bool(redacted)

    def _is_harmless(self, event: Event) -> bool:
        """Whether nothing in an event needs a change; False also for one with more in it than most have."""
        http, url = event.get("http", _NOTHING), event.get("url", _NOTHING)
        if not event.keys() <= _SIMPLE or "fields" in event["source"]:
            return False
        if "request" not in http or not http.get("response", _NOTHING).keys() <= _STATUS_AND_SIZE:
            return False
        known = self.harmless
        try:
            for key, value in http["request"].items():
                if key != "target" and not known[value]:
                    return False
            for part in _WHO:
                if part in event and not all(map(known.__getitem__, event[part].values())):
                    return False
        except TypeError:  # headers, a body, roles: not hashable
            return False
        return self.is_harmless_target(http["request"].get("target"), url)

    def is_harmless_target(self, target: str | None, url: _Object) -> bool:
        """Whether a request target may stand as it is, and so may the parts of the URL that it is."""
        path, query = url.get("path"), url.get("query")
        clean = self._redactor.url
        if target is not None and clean(target) is not target:
            return False
        if target is None or target != (path if query is None else f"{path}?{query}"):
            if path is not None and clean(path) is not path:
                return False
            if query is not None and self._redactor.query(query) is not query:
                return False
        return len(url) == (path is not None) + (query is not None)

    def _http(self, http: _Object, redacted: list[str]) -> _Object:
        request, response = http.get("request"), http.get("response")
        changes = {}
        if request:
            changes["request"] = self._message(request, "/http/request", redacted)
        if response and not response.keys() <= _STATUS_AND_SIZE:
            changes["response"] = self._message(response, "/http/response", redacted)
        return {**http, **changes} if redacted else http

    def _message(self, message: _Object, pointer: str, redacted: list[str]) -> _Object:
        changes: dict[str, Any] = {}
        for key, value in message.items():
            if type(value) is str:
                verdict = (self._urls if key in _URLS else self._texts)[value]
                if verdict is not None:
                    changes[key] = verdict
                    redacted.append(f"{pointer}/{key}")
            elif key == "headers":
                changes[key] = self._headers(value, f"{pointer}/headers", redacted)
            elif key == "body":
                changes[key] = self._redactor.tree(value, f"{pointer}/body", redacted)
        return {**message, **changes} if changes else message

    def _headers(self, headers: Mapping[str, list[str]], pointer: str, redacted: list[str]) -> dict[str, list[str]]:
        clean = {}
        for name, values in headers.items():
            if self._redactor.header(name) or self._redactor.sensitive(name):
                clean[name] = [value if value in _SAYS_NOTHING else REDACTED for value in values]
            else:
                clean[name] = [self._prose[value] or value for value in values]
            if clean[name] != values:
                redacted.append(pointer_to(pointer, name))
        return clean

    def _url(self, url: _Object, redacted: list[str]) -> _Object:
        changes = {}
        for key, value in url.items():
            if key == "query":
                query = self._redactor.query(value)
                clean = None if query == value else query
            else:
                clean = self._urls[value] if type(value) is str else None
            if clean is not None:
                changes[key] = clean
                redacted.append(f"/url/{key}")
        return {**url, **changes} if changes else url

    def _replace_target(self, event: Event, redacted: list[str]) -> None:
        """Make a target of what may be written: only when it was decoded its path showed what it holds."""
        request = event.get("http", _NOTHING).get("request", _NOTHING)
        if "target" in request:
            url = event["url"]
            target = f"{url['path']}?{url['query']}" if "query" in url else url["path"]
            event["http"] = {**event["http"], "request": {**request, "target": target}}
            redacted.append("/http/request/target")

    def _fields(self, fields: Mapping[str, str], redacted: list[str]) -> _Object:
        changes = {}
        for name, value in fields.items():
            if value in _SAYS_NOTHING:
                continue
            clean = REDACTED if self._redactor.sensitive(name) else self._field(value)
            if clean is not None:
                changes[name] = clean
                redacted.append(pointer_to("/source/fields", name))
        return {**fields, **changes} if changes else fields

    def _field(self, value: str) -> str | None:
        """Return what is to be written instead of a field of unknown content, which may be JSON."""
        if value[0] not in "{[":
            return self._prose[value]
        try:
            tree = orjson.loads(value)
        except ValueError:
            return self._prose[value]
        clean = self._redactor.tree(tree, "", [])
        return None if clean is tree else orjson.dumps(clean).decode()

    def _any(self, value: Any, pointer: str, redacted: list[str]) -> Any:
        """Return the value with the strings in it as they may be written; the same object when nothing changes."""
        if type(value) is str:
            clean = self._texts[value]
            if clean is None:
                return value
            redacted.append(pointer)
            return clean
        before = len(redacted)
        changed: Any = value
        if type(value) is dict:
            changed = {key: self._any(item, pointer_to(pointer, key), redacted) for key, item in value.items()}
        elif type(value) is list:
            changed = [self._any(item, f"{pointer}/{index}", redacted) for index, item in enumerate(value)]
        return value if len(redacted) == before else changed
