"""One event as one line for a human.

The line never fails: a journal may hold events of a newer schema, so a field of another shape than expected
is shown as if it were absent. Every string of the event passes through `printable` before it is styled.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime, tzinfo
from typing import Any

from rich.cells import cell_len, set_cell_size
from rich.text import Text

from auditmw.cli.printable import printable

LEVELS = {
    "debug": ("DEBUG", "dim"),
    "info": ("INFO", "green"),
    "warning": ("WARN", "yellow"),
    "error": ("ERROR", "bold red"),
    "critical": ("CRIT", "bold white on red"),
}
STATUS_STYLES = {1: "cyan", 2: "green", 3: "cyan", 4: "yellow", 5: "bold red"}
SLOW_NS = 1_000_000_000
TAIL_LENGTH = 400  # characters of message, error and data: an event may carry 8 KiB of each
NARROW = 120  # columns; below, the date and the client are left out
WHAT_WIDTH = (20, 48)  # columns for method and path, or for the event's name and target
USER_WIDTH = 18
CLIENT_WIDTH = 15


class EventLines:
    """Renders events as aligned, coloured lines.

    `zone` is the time zone to show, None the machine's own. `width` is the terminal's in columns: paths and
    names are then shortened to keep the columns aligned, and below 120 columns the date and the client are left
    out. Without a width (a file, a pipe) nothing but the message is shortened.
    """

    def __init__(self, zone: tzinfo | None = None, width: int | None = None) -> None:
        self._zone = zone
        self._narrow = width is not None and width < NARROW
        self._shorten = width is not None
        fixed = 59 if self._narrow else 86  # all other columns and the spaces between
        self._what = min(max((width or NARROW * 2) - fixed, WHAT_WIDTH[0]), WHAT_WIDTH[1])

    def __call__(self, event: Mapping[str, Any]) -> Text:
        """Return the line, without its line feed."""
        line = Text(no_wrap=True, end="")
        for column, style in self._columns(event):
            if line:
                line.append(" ")
            line.append(column, style)
        line.rstrip()
        return line

    def _columns(self, event: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
        yield self._time(event)
        level = text_at(event, "level") or "info"
        name, style = LEVELS.get(level, (printable(level.upper())[:5], "bold"))
        yield f"{name:<5}", style
        yield _status(event)
        yield self._fit(_what(event), self._what), "" if is_request(event) else "bold"
        yield self._fit(_user(event), USER_WIDTH), "cyan"
        if not self._narrow:
            yield self._fit(printable(text_at(event, "client", "address") or "-"), CLIENT_WIDTH), "dim"
        yield _duration(event)
        yield f"{printable(text_at(event, 'trace', 'trace_id') or '-')[:8]:<8}", "dim"
        yield from _tail(event, level)

    def _time(self, event: Mapping[str, Any]) -> tuple[str, str]:
        stamp = text_at(event, "timestamp") or "-"
        try:
            local = datetime.fromisoformat(stamp).astimezone(self._zone)
        except (ValueError, OverflowError):
            return f"{printable(stamp)[:23]:<23}", "dim"
        layout = "%H:%M:%S" if self._narrow else "%Y-%m-%d %H:%M:%S"
        return f"{local.strftime(layout)}.{local.microsecond // 1000:03d}", "dim"

    def _fit(self, text: str, width: int) -> str:
        if self._shorten and cell_len(text) > width:
            return set_cell_size(text, width - 1) + "…"
        return text + " " * (width - cell_len(text))


def text_at(event: Mapping[str, Any], *path: str) -> str | None:
    """Return the string at `path` in the event, or None when there is none."""
    value = value_at(event, *path)
    return value if isinstance(value, str) else None


def value_at(event: Mapping[str, Any], *path: str) -> Any:
    """Return whatever stands at `path` in the event, None when a step of it is missing or not an object."""
    value: Any = event
    for key in path:
        if not isinstance(value, Mapping):
            return None
        value = value.get(key)
    return value


def is_request(event: Mapping[str, Any]) -> bool:
    """Whether the event is that of a request or connection, not one of the application's own."""
    return "http" in event and text_at(event, "source", "kind") != "app"


def _status(event: Mapping[str, Any]) -> tuple[str, str]:
    if not is_request(event):
        return (" ✗ ", "bold red") if text_at(event, "outcome", "result") == "failure" else (" • ", "dim")
    status = value_at(event, "http", "response", "status_code")
    if isinstance(status, int):
        return f"{status:>3}", STATUS_STYLES.get(status // 100, "bold")
    # An intent record says that a request began; any other request without a status was never answered.
    return ("...", "dim") if text_at(event, "outcome", "result") == "pending" else ("---", "bold red")


def _what(event: Mapping[str, Any]) -> str:
    if is_request(event):
        method = printable(text_at(event, "http", "request", "method") or "-")
        return f"{method:<6} {printable(_request_target(event))}"
    name = printable(text_at(event, "event") or "-")
    target = text_at(event, "target", "name") or text_at(event, "target", "id")
    if target is None:
        return name
    return f"{name} {printable(text_at(event, 'target', 'type') or '')} {printable(target)}"


def _request_target(event: Mapping[str, Any]) -> str:
    target = text_at(event, "http", "request", "target")
    if target:
        return target
    path, query = text_at(event, "url", "path") or "-", text_at(event, "url", "query")
    return f"{path}?{query}" if query else path


def _user(event: Mapping[str, Any]) -> str:
    user = text_at(event, "actor", "id") or text_at(event, "actor", "email") or text_at(event, "actor", "name")
    if user is not None:
        return printable(user)
    kind = text_at(event, "actor", "type")
    return "-" if kind in (None, "unknown") else f"({printable(kind)})"


def _duration(event: Mapping[str, Any]) -> tuple[str, str]:
    duration = value_at(event, "duration_ns")
    if not isinstance(duration, int):
        return " " * 7, ""
    return f"{duration_text(duration):>7}", "yellow" if duration >= SLOW_NS else "dim"


def duration_text(duration_ns: int) -> str:
    """Return a duration in at most seven columns: `310µs`, `11.1ms`, `1.24s`, `12m05s`, `3h02m`."""
    if duration_ns < 1_000_000:
        return f"{duration_ns // 1000}µs"
    if duration_ns < 999_950_000:
        return f"{duration_ns / 1e6:.1f}ms"
    seconds = duration_ns / 1e9
    if seconds < 100:
        return f"{seconds:.2f}s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}m{rest:02d}s" if minutes < 60 else f"{minutes // 60}h{minutes % 60:02d}m"


def _tail(event: Mapping[str, Any], level: str) -> Iterator[tuple[str, str]]:
    failed = text_at(event, "outcome", "result") == "failure" or level not in ("debug", "info")
    error_type = text_at(event, "error", "type")
    message = text_at(event, "message")
    if error_type is not None:
        detail = text_at(event, "error", "message")
        yield _cut(error_type.removeprefix("builtins.") + (f": {detail}" if detail else "")), "red"
    elif message:
        yield _cut(message), "red" if level in ("error", "critical") else "yellow" if failed else ""
    elif failed and (reason := text_at(event, "outcome", "reason")) and not reason.startswith("http_"):
        yield _cut(reason), "yellow"
    pairs = " ".join(_pairs(event))
    if pairs:
        yield _cut(pairs), "dim"


def _pairs(event: Mapping[str, Any]) -> Iterator[str]:
    for field in (value_at(event, "target", "attributes"), event.get("data")):
        if isinstance(field, Mapping):
            yield from (f"{key}={_scalar(value)}" for key, value in field.items())


def _scalar(value: Any) -> str:
    if isinstance(value, str):
        return value if value and " " not in value else f"'{value}'"
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, (int, float)):
        return str(value)
    return "[…]" if isinstance(value, list) else "{…}"


def _cut(text: str) -> str:
    shown = printable(text[: TAIL_LENGTH + 1])
    return shown if len(shown) <= TAIL_LENGTH else shown[: TAIL_LENGTH - 1] + "…"
