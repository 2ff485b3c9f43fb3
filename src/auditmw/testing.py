"""For tests of applications that use auditmw: a destination that keeps events, and a check against the schema.

After ``recorder = Recorder()`` and ``app = auditmw.WSGIAudit(app, auditmw.Audit(recorder, service="test"))`` a test may
say ``assert recorder.one(event="http_request")["actor"]["id"] == "user-42"``.
"""

from __future__ import annotations

import functools
import importlib.resources
import io
from collections.abc import Mapping
from typing import Any

import orjson

from auditmw.event import Event


class Recorder(io.RawIOBase):
    """A binary stream that keeps the events written to it: ``Audit(Recorder(), service="test")``."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def writable(self) -> bool:
        """Whether it takes events; it does."""
        return True

    def write(self, line: Any) -> int:
        """Take one event's line."""
        self.events.append(orjson.loads(bytes(line)))
        return len(line)

    def clear(self) -> None:
        """Forget all events."""
        self.events.clear()

    def all(self, **match: Any) -> list[Event]:
        """The events that have these values; names are members, ``__`` goes into one: ``actor__id="user-42"``."""
        return [event for event in self.events if all(_at(event, name) == value for name, value in match.items())]

    def one(self, **match: Any) -> Event:
        """The only event that has these values. Raises AssertionError that shows all events when there is not one."""
        found = self.all(**match)
        if len(found) == 1:
            return found[0]
        wanted = ", ".join(f"{name}={value!r}" for name, value in match.items()) or "at all"
        lines = "".join(f"\n  {_line(event, match)}" for event in self.events) or " none"
        raise AssertionError(f"expected one event {wanted}, found {len(found)}; recorded:{lines}")


def assert_valid(event: Mapping[str, Any]) -> None:
    """Raise AssertionError that names every place where the event breaks the schema. Needs jsonschema."""
    errors = [f"{error.json_path}: {error.message}" for error in _validator().iter_errors(event)]
    if errors:
        raise AssertionError("not a valid event:\n  " + "\n  ".join(errors))


@functools.cache
def _validator() -> Any:
    try:
        import jsonschema
    except ImportError as error:
        raise ImportError("auditmw.testing.assert_valid needs jsonschema: pip install jsonschema") from error
    schema = orjson.loads(importlib.resources.files("auditmw").joinpath("event.schema.json").read_bytes())
    return jsonschema.Draft202012Validator(schema, format_checker=jsonschema.FormatChecker())


def _at(event: Any, name: str) -> Any:
    """The member that a name such as ``http__response__status_code`` means; None where there is none."""
    for part in name.split("__"):
        event = event.get(part) if isinstance(event, Mapping) else None
    return event


def _line(event: Event, match: Mapping[str, Any]) -> str:
    names = dict.fromkeys(("event", *match, "http__request__method", "url__path", "http__response__status_code"))
    return " ".join(f"{name}={_at(event, name)!r}" for name in names if _at(event, name) is not None)
