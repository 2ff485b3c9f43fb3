"""A small file server whose events say who did what to which file; `auditmw demo` runs it.

What it shows:

* Events have names, not sentences (`file_uploaded`), and the same fields everywhere: `filename`,
  `file_size_bytes`, `content_type`.
* The level follows the outcome: info when it was done, warning when it was refused, error when it failed.
* No handler passes the address, the user agent or the user along, or makes a logger of its own: the request that
  is being served is known to auditmw, and two requests at once never see each other's.
* Nothing is kept in a list in memory: an event is in the journal before the response ends.
* No password and no session cookie is written anywhere.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

import flask
from flask import Flask, abort, g, request, session
from werkzeug.security import check_password_hash
from werkzeug.utils import secure_filename

import auditmw
from auditmw.contrib.flask import FlaskAudit

MAX_UPLOAD_BYTES = 1 << 20
STYLE = "body { font: 16px/1.5 sans-serif; margin: 3rem auto; max-width: 40rem }\n"

log = auditmw.get_logger()
files = flask.Blueprint("files", __name__)
View = Callable[..., flask.typing.ResponseReturnValue]


def create_app(folder: Path, audit: auditmw.Audit, accounts: dict[str, str]) -> Flask:
    """Return the app: files live in `folder`, events go to `audit`, `accounts` maps users to password hashes.

    The hashes are those of `werkzeug.security.generate_password_hash`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    static = folder.parent / "static"
    static.mkdir(exist_ok=True)
    (static / "style.css").write_text(STYLE)
    app = Flask(__name__, static_folder=str(static))
    app.secret_key = secrets.token_bytes(32)
    app.config.update(FOLDER=folder, ACCOUNTS=accounts, MAX_CONTENT_LENGTH=MAX_UPLOAD_BYTES)
    app.register_blueprint(files)
    FlaskAudit(app, audit)
    return app


def signed_in(view: View) -> View:
    """Let only a user in who has signed in; anyone else gets 401."""

    @wraps(view)
    def guarded(**arguments: Any) -> flask.typing.ResponseReturnValue:
        if "user_id" not in session:
            abort(401)
        g.user = session["user_id"]
        return view(**arguments)

    return guarded


@files.get("/")
def index() -> str:
    """Return the page: nothing but a title."""
    return '<!doctype html><link rel="stylesheet" href="/static/style.css"><title>files</title><h1>Files</h1>'


@files.post("/login")
def login() -> flask.typing.ResponseReturnValue:
    """Sign a user in with the form fields `user` and `password`."""
    user, password = request.form.get("user", ""), request.form.get("password", "")
    known = flask.current_app.config["ACCOUNTS"].get(user)
    if known is None or not check_password_hash(known, password):
        # The name that was tried, never the password that was tried.
        auditmw.record("login_refused", level="warning", target={"type": "user", "id": user}, action="authenticate/login")
        return {"error": "wrong user or password"}, 401
    session.update(user_id=user, sid=secrets.token_urlsafe(24))
    auditmw.record("user_logged_in", target={"type": "user", "id": user}, action="authenticate/login")
    return "", 204


@files.get("/files")
@signed_in
def list_files() -> flask.typing.ResponseReturnValue:
    """Return the names and sizes of all files."""
    listed = [{"name": path.name, "size": path.stat().st_size} for path in sorted(_folder().iterdir())]
    log.info("files_listed", count=len(listed), total_size_bytes=sum(entry["size"] for entry in listed))
    return {"files": listed}


@files.post("/files")
@signed_in
def upload() -> flask.typing.ResponseReturnValue:
    """Store the form's `file`; one that is there is not replaced (409)."""
    sent = request.files.get("file")
    name = secure_filename(sent.filename or "") if sent else ""
    if sent is None or not name:
        abort(400, "expected a form field named 'file' with a file name")
    content = sent.read()
    details = {"filename": name, "file_size_bytes": len(content), "content_type": sent.content_type}
    try:
        with (_folder() / name).open("xb") as file:
            file.write(content)
    except FileExistsError:
        log.warning("file_upload_refused", reason="a file of this name exists", **details)
        abort(409)
    auditmw.record("file_uploaded", target={"type": "file", "name": name}, action="create", **details)
    return {"name": name}, 201


@files.get("/files/<name>")
@signed_in
def download(name: str) -> flask.typing.ResponseReturnValue:
    """Send a file."""
    path = _existing(name)
    log.info("file_downloaded", filename=path.name, file_size_bytes=path.stat().st_size)
    return flask.send_file(path, as_attachment=True)


@files.delete("/files/<name>")
@signed_in
def delete(name: str) -> flask.typing.ResponseReturnValue:
    """Delete a file."""
    path = _existing(name)
    size = path.stat().st_size
    path.unlink()
    target = {"type": "file", "name": path.name}
    auditmw.record("file_deleted", target=target, action="delete", filename=path.name, file_size_bytes=size)
    return "", 204


@files.get("/thumbnail/<name>")
@signed_in
def thumbnail(name: str) -> flask.typing.ResponseReturnValue:
    """Fail, and say so: a text file is no image. The caught exception becomes the event's `error`."""
    path = _existing(name)
    try:
        return {"width": _png_width(path)}
    except ValueError:
        log.exception("thumbnail_failed", filename=path.name)
        return {"error": "not an image"}, 422


@files.get("/quota")
@signed_in
def quota() -> flask.typing.ResponseReturnValue:
    """Fail without handling it: the request's own event says what was raised and where."""
    limits: dict[str, int] = {}
    return {"quota": limits[g.user]}


def _folder() -> Path:
    folder: Path = flask.current_app.config["FOLDER"]
    return folder


def _existing(name: str) -> Path:
    path = _folder() / secure_filename(name)
    if not path.is_file():
        log.warning("file_not_found", filename=name)
        abort(404)
    return path


def _png_width(path: Path) -> int:
    head = path.read_bytes()[:24]
    if not head.startswith(b"\x89PNG\r\n\x1a\n"):
        raise ValueError(f"expected a PNG signature, not {head[:8]!r}")
    return int.from_bytes(head[16:20])
