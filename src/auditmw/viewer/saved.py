"""Saved views: a query with its columns and range, by name, in DIR/viewer/views.json.

1. What an unrestricted viewer saves is there for all of them; a restricted viewer has views of their own, and sees no
   others, because a query tells much.
2. A name is there once. What somebody else saved under it is not replaced.
3. The file is replaced as a whole, by one process at a time.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import orjson

from auditmw.archive import durable
from auditmw.viewer.people import Viewer
from auditmw.viewer.refusals import Refusal

FOLDER, FILE = "viewer", "views.json"
MAX_BYTES = 50_000
MAX_NAME = 80
_TEXTS = {"name": MAX_NAME, "q": 16_384, "from": 64, "to": 64}
_MAX_COLUMNS = 40

BUILT_IN: tuple[dict[str, Any], ...] = tuple(
    {"name": name, "q": query, "columns": columns, "from": "now-24h", "to": None, "builtin": True, "by": None}
    for name, query, columns in (
        ("Errors", "level:>=error OR status:5xx", ["time", "status", "method", "path", "user", "error", "message"]),
        ("Slow requests", "dur:>1s", ["time", "dur", "status", "method", "path", "user"]),
        ("Refused", "status:401,403,429", ["time", "status", "method", "path", "user", "ip", "agent"]),
        ("Not found", "status:404", ["time", "path", "referrer", "ip", "agent"]),
        ("Logins", "action:authenticate/*", ["time", "event", "result", "user", "ip", "agent"]),
        ("Changes", "action:create,update,delete", ["time", "user", "action", "target_type", "target", "event"]),
        ("Robots", "bot:true", ["time", "agent", "status", "path", "ip"]),
        ("Who looked here", "event:auditmw.viewed,auditmw.exported", ["time", "event", "user", "ip", "data.q"]),
    )
)


class Saved:
    """The saved views of an audit directory; of a database, which has no place for them, only those of auditmw."""

    def __init__(self, directory: Path | None) -> None:
        self._folder = None if directory is None else directory / FOLDER

    def of(self, viewer: Viewer) -> list[dict[str, Any]]:
        """Return the views that a viewer has: those that come with auditmw, then the saved ones by name."""
        own = [_shown(view) for view in self._read() if view["for"] == _owner(viewer)]
        return [*BUILT_IN, *sorted(own, key=lambda view: view["name"].lower())]

    def save(self, viewer: Viewer, body: bytes) -> list[dict[str, Any]]:
        """Keep a view; return all. Refuses what is no view, and a name that somebody else uses."""
        view = _checked(body)
        with self._changing() as views:
            old = _find(views, viewer, view["name"])
            if view["name"] in {one["name"] for one in BUILT_IN} or (old and old["by"] != viewer.name):
                raise Refusal(
                    409, f"there is a view named {view['name']!r} already; take another name", parameter="name"
                )
            if old:
                views.remove(old)
            views.append({**view, "by": viewer.name, "for": _owner(viewer)})
        return self.of(viewer)

    def delete(self, viewer: Viewer, name: str) -> list[dict[str, Any]]:
        """Forget a view; return the others. Refuses one that is not there for this viewer."""
        with self._changing() as views:
            old = _find(views, viewer, name)
            if old is None:
                raise Refusal(404, f"there is no saved view named {name[:MAX_NAME]!r}", parameter="name")
            views.remove(old)
        return self.of(viewer)

    def _read(self) -> list[dict[str, Any]]:
        if self._folder is None:
            return []
        try:
            views: list[dict[str, Any]] = orjson.loads((self._folder / FILE).read_bytes())
        except FileNotFoundError:
            return []
        except (OSError, ValueError) as error:
            raise Refusal(503, f"the saved views cannot be read: {error}") from error
        return views

    @contextmanager
    def _changing(self) -> Iterator[list[dict[str, Any]]]:
        """Give the views to change; what they are at the end is what is kept."""
        if self._folder is None:
            raise Refusal(409, "views cannot be saved beside a database; show an audit directory to save them there")
        try:
            durable.make_folder(self._folder)
            fd = os.open(
                self._folder / "lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, durable.FILE_MODE
            )
        except OSError as error:
            raise Refusal(503, f"views cannot be saved: {error.strerror}") from error
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
            views = self._read()
            yield views
            content = orjson.dumps(views, option=orjson.OPT_INDENT_2)
            if len(content) > MAX_BYTES:
                raise Refusal(409, f"expected all saved views to have at most {MAX_BYTES:,} bytes; delete some first")
            durable.replace_content(self._folder / FILE, content)
        except OSError as error:
            raise Refusal(503, f"views cannot be saved: {error.strerror}") from error
        finally:
            os.close(fd)


def _owner(viewer: Viewer) -> str | None:
    """Return whose views a viewer has: None is those of all who may see everything."""
    return None if viewer.restriction is None else viewer.name


def _shown(view: dict[str, Any]) -> dict[str, Any]:
    return {**{name: value for name, value in view.items() if name != "for"}, "builtin": False}


def _find(views: list[dict[str, Any]], viewer: Viewer, name: str) -> dict[str, Any] | None:
    mine = (view for view in views if view["name"] == name and view["for"] == _owner(viewer))
    return next(mine, None)


def _checked(body: bytes) -> dict[str, Any]:
    """Return the view that a request's body is."""
    view = json_object(body)
    for name, longest in _TEXTS.items():
        value = view.get(name)
        if value is None and name != "name":
            continue
        if not isinstance(value, str) or len(value) > longest or (name == "name" and not value.strip()):
            raise Refusal(400, f"expected {name} to be a text of at most {longest:,} characters", parameter=name)
    columns = view.get("columns") or []
    if (
        not isinstance(columns, list)
        or len(columns) > _MAX_COLUMNS
        or not all(isinstance(column, str) and len(column) <= 200 for column in columns)
    ):
        raise Refusal(400, f"expected columns to be a list of at most {_MAX_COLUMNS} names", parameter="columns")
    texts = {name: view.get(name) for name in _TEXTS}
    return {**texts, "q": texts["q"] or "", "columns": columns}


def json_object(body: bytes) -> dict[str, Any]:
    """Return the JSON object that a request's body is."""
    try:
        found = orjson.loads(body)
    except ValueError as error:
        raise Refusal(400, f"expected a JSON object as the request's body: {error}") from error
    if not isinstance(found, dict):
        raise Refusal(400, f"expected a JSON object as the request's body, not a {type(found).__name__}")
    return found
