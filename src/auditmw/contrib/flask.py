"""Flask: the WSGI shell around an application, and what only Flask knows: route, flask-login's user, the exception.

    FlaskAudit(app, auditmw.Audit("/var/lib/shop/audit", service="shop"))

Wrap further middleware such as ``ProxyFix`` around ``app.wsgi_app`` before, not after.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from flask import Flask, got_request_exception, request, request_started
from flask.globals import app_ctx, request_ctx

import auditmw

try:
    from flask_login import user_logged_out
except ImportError:
    user_logged_out = None

_SEEN = "auditmw.flask.seen"  # where in the environ a resolver finds what Flask has opened for the request


class FlaskAudit:
    """Makes every request to `app` one event of `audit`; where that has no resolver, `resolve` is asked who is calling.

    `init_app` does it later, for an application factory, and for as many applications as there are.
    """

    def __init__(self, app: Flask | None = None, audit: auditmw.Audit | None = None) -> None:
        self.audit = audit
        if app is not None:
            self.init_app(app)

    def init_app(self, app: Flask, audit: auditmw.Audit | None = None) -> None:
        """Wrap `app`, once. Raises TypeError without an `Audit`, ValueError where `app` has another one."""
        audit = audit or self.audit
        if not isinstance(audit, auditmw.Audit):
            raise TypeError(f"expected FlaskAudit(app, audit) with an auditmw.Audit, not {audit!r}")
        if app.extensions.setdefault("auditmw", audit) is not audit:
            raise ValueError(f"expected one Audit for {app!r}, but it has another one already")
        if isinstance(app.wsgi_app, auditmw.WSGIAudit):
            return
        app.wsgi_app = auditmw.WSGIAudit(app.wsgi_app, audit, resolver=resolve)  # type: ignore[method-assign]
        request_started.connect(_note_request, app)
        got_request_exception.connect(_note_exception, app)
        if user_logged_out is not None:
            user_logged_out.connect(_note_logout, app)


class _Seen(NamedTuple):
    session: Any
    at_start: Mapping[str, Any]  # the session as it came, for who logs out
    globals: Any  # `flask.g`


def session_resolver(
    *, user_key: str = "user_id", session_key: str | None = None
) -> Callable[[auditmw.Request], auditmw.Identity | None]:
    """A resolver for flask-login's user, and for applications without it for what the session says.

    `user_key` and `session_key`: where in the session the ids of user and session are. Without the latter the session's
    id is that of a session on the server (Flask-Session), or flask-login's mark of the browser. No user is loaded.
    """

    def resolve(request: auditmw.Request) -> auditmw.Identity | None:
        seen: _Seen | None = request.carrier.get(_SEEN)
        if seen is None:
            return None
        session, at_start, flask_globals = seen
        user = getattr(flask_globals, "_login_user", None)  # flask-login keeps it there when a view has asked for it
        known = _peek(session, "_user_id") if user is None else user.get_id() if user.is_authenticated else None
        if known is None and user is None:
            known = _peek(session, user_key) or at_start.get(user_key)
        found = _session_id(session, known, session_key)
        if known is None and found is None:
            return None
        return auditmw.Identity(known, session=found, authenticated=True if user is not None and known else None)

    return resolve


resolve = session_resolver()


def _session_id(session: Any, user: object, key: str | None) -> Any:
    if key is not None:
        return _peek(session, key)
    if session and getattr(session, "sid", None):  # an empty one is not kept by the server, its id means nothing
        return session.sid
    browser = _peek(session, "_id")
    return browser and f"{user}.{browser}"  # many users may have the same browser behind the same address


def _peek(session: Any, key: str) -> Any:
    """A value of the session, without the mark that it was looked at, which would add ``Vary: Cookie``."""
    accessed = getattr(session, "accessed", None)
    value = session.get(key)
    if accessed is not None:
        session.accessed = accessed
    return value


def _note_request(app: Flask, **_: Any) -> None:
    if request.url_rule is not None:
        auditmw.annotate(route=request.url_rule.rule)
    session = getattr(request_ctx, "_session", None)  # `request_ctx.session` would mark it as looked at
    if session is None:
        session = request_ctx.session  # Flask before 3.1.3
    try:
        at_start = dict(session)
    except Exception:
        at_start = {}  # a session of the application's own making that cannot be read: the view will find out
    request.environ[_SEEN] = _Seen(session, at_start, app_ctx.g)


def _note_exception(app: Flask, exception: BaseException, **_: Any) -> None:
    auditmw.annotate(error=exception)


def _note_logout(app: Flask, user: Any, **_: Any) -> None:
    """Who logs out is not known any more when the response starts."""
    if getattr(user, "is_authenticated", False):
        auditmw.identify(user.get_id(), authenticated=True)
