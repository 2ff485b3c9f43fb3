"""An event in a few words, for formats that want a text and events that have no message."""

from __future__ import annotations

from auditmw.formats.mapping import at, text_at
from auditmw.formats.record import Event


def summary(event: Event) -> str:
    """Return the message of an event; without one its method, path and status; without these its name."""
    message = text_at(event, "message")
    if message:
        return message
    status_code = at(event, "http.response.status_code")
    words = [
        text_at(event, "http.request.method"),
        text_at(event, "url.path") or text_at(event, "http.request.target"),
        str(status_code) if type(status_code) is int else None,
    ]
    name = text_at(event, "event") or "event"
    return " ".join(word for word in words if word) if name == "http_request" and any(words) else name
