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
from collections.abc import Callable, Mapping
from functools import wraps
from pathlib import Path
from typing import Any

import flask
from flask import Flask, abort, request, session
from flask.typing import ResponseReturnValue
from werkzeug.security import check_password_hash
from werkzeug.utils import secure_filename

import auditmw
from auditmw.contrib.flask import FlaskAudit, session_resolver

MAX_UPLOAD_BYTES = 1 << 20
STYLE = "body { font: 16px/1.5 sans-serif; margin: 3rem auto; max-width: 40rem }\n"
PAGE = """<!doctype html><title>Files</title><link rel="stylesheet" href="/static/style.css"><h1>Files</h1>
{% if user %}<p>{{ user }}</p>
<ul>{% for name in names %}<li><a href="/files/{{ name }}">{{ name }}</a></li>{% endfor %}</ul>
<form action="/files" method="post" enctype="multipart/form-data"><input type="file" name="file"><button>Upload</button>
</form><form action="/logout" method="post"><button>Sign out</button></form>
{% else %}<form action="/login" method="post"><input name="user" placeholder="user">
<input name="password" type="password" placeholder="password"><button>Sign in</button></form>{% endif %}
"""

log = auditmw.get_logger()
files = flask.Blueprint("files", __name__)


def create_app(home: Path, accounts: Mapping[str, str]) -> Flask:
    """Return the app: files live in `home`/files, the journal in `home`/audit.

    `accounts` maps users to password hashes (of `werkzeug.security.generate_password_hash`).
    """
    for folder in ("files", "static"):
        (home / folder).mkdir(parents=True, exist_ok=True)
    (home / "static" / "style.css").write_text(STYLE)
    app = Flask(__name__, static_folder=str(home / "static"))
    app.secret_key = secrets.token_bytes(32)
    app.config.update(FOLDER=home / "files", ACCOUNTS=accounts, MAX_CONTENT_LENGTH=MAX_UPLOAD_BYTES)
    app.register_blueprint(files)
    audit = auditmw.Audit(
        home / "audit",
        service="fileserver",
        resolver=session_resolver(user_key="user", session_key="sid"),  # where login() puts them
        exempt=(r"^/static/",),  # what goes wrong there is recorded nevertheless
    )
    FlaskAudit(app, audit)
    return app


def signed_in(view: Callable[..., ResponseReturnValue]) -> Callable[..., ResponseReturnValue]:
    """Let only a user in who has signed in; anyone else gets 401."""

    @wraps(view)
    def guarded(**arguments: Any) -> ResponseReturnValue:
        if "user" not in session:
            abort(401)
        return view(**arguments)

    return guarded


@files.get("/")
def index() -> str:
    """Show the form to sign in, or the files."""
    user = session.get("user")
    names = sorted(path.name for path in _folder().iterdir()) if user else []
    return flask.render_template_string(PAGE, user=user, names=names)


@files.post("/login")
def login() -> ResponseReturnValue:
    """Sign a user in with the form fields `user` and `password`."""
    user, password = request.form.get("user", ""), request.form.get("password", "")
    who = {"type": "user", "id": user}
    known = flask.current_app.config["ACCOUNTS"].get(user)
    if known is None or not check_password_hash(known, password):
        # The name that was tried, never the password that was tried.
        auditmw.record("login_refused", outcome="failure", target=who, action="authenticate/login")
        return {"error": "wrong user or password"}, 401
    session.update(user=user, sid=secrets.token_urlsafe(24))
    auditmw.record("user_logged_in", target=who, action="authenticate/login")
    return flask.redirect("/", 303)


@files.post("/logout")
def logout() -> ResponseReturnValue:
    """Sign the user out."""
    session.clear()
    return flask.redirect("/", 303)


@files.get("/files")
@signed_in
def list_files() -> ResponseReturnValue:
    """Return the names and sizes of all files."""
    listed = [{"name": path.name, "size": path.stat().st_size} for path in sorted(_folder().iterdir())]
    log.info(
        "files_listed", count=len(listed), file_size_bytes=sum(path.stat().st_size for path in _folder().iterdir())
    )
    return {"files": listed}


@files.post("/files")
@signed_in
def upload() -> ResponseReturnValue:
    """Store the form's `file`; one that is there is not replaced (409)."""
    sent = request.files.get("file")
    name = secure_filename(sent.filename or "") if sent else ""
    if sent is None or not name:
        abort(400, "expected a form field named 'file' with a file name")
    content = sent.read()
    details: dict[str, Any] = {"filename": name, "file_size_bytes": len(content), "content_type": sent.content_type}
    try:
        with (_folder() / name).open("xb") as file:
            file.write(content)
    except FileExistsError:
        log.warning("file_upload_refused", reason="a file of this name exists", outcome="failure", **details)
        abort(409)
    auditmw.record("file_uploaded", category="file", action="create", target=_target(name), data=details)
    return {"name": name}, 201


@files.get("/files/<name>")
@signed_in
def download(name: str) -> ResponseReturnValue:
    """Send a file."""
    path = _existing(name)
    log.info("file_downloaded", filename=path.name, file_size_bytes=path.stat().st_size)
    return flask.send_file(path, as_attachment=True)


@files.delete("/files/<name>")
@signed_in
def delete(name: str) -> ResponseReturnValue:
    """Delete a file."""
    path = _existing(name)
    details = {"filename": path.name, "file_size_bytes": path.stat().st_size}
    path.unlink()
    auditmw.record("file_deleted", category="file", action="delete", target=_target(path.name), data=details)
    return "", 204


@files.get("/thumbnail/<name>")
@signed_in
def thumbnail(name: str) -> ResponseReturnValue:
    """Fail, and say so: a text file is no image. The exception that was caught becomes the event's `error`."""
    path = _existing(name)
    try:
        return {"width": _png_width(path)}
    except ValueError:
        log.exception("thumbnail_failed", filename=path.name)
        return {"error": "not an image"}, 422


@files.get("/quota")
@signed_in
def quota() -> ResponseReturnValue:
    """Fail without handling it: the request's own event says what was raised and where."""
    limits: dict[str, int] = {}
    return {"quota": limits[session["user"]]}


def _folder() -> Path:
    folder: Path = flask.current_app.config["FOLDER"]
    return folder


def _target(name: str) -> dict[str, str]:
    return {"type": "file", "name": name}


def _existing(name: str) -> Path:
    path = _folder() / secure_filename(name)
    if not path.is_file():
        log.warning("file_not_found", filename=name, outcome="failure")
        abort(404)
    return path


def _png_width(path: Path) -> int:
    head = path.read_bytes()[:24]
    if not head.startswith(b"\x89PNG\r\n\x1a\n"):
        raise ValueError(f"expected a PNG signature, not {head[:8]!r}")
    return int.from_bytes(head[16:20])
