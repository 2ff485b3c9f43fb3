"""Starlette and FastAPI: who is calling, as AuthenticationMiddleware and SessionMiddleware know it.

    audit = auditmw.Audit("/var/lib/shop/audit", service="shop", resolver=auditmw.contrib.starlette.resolve)
    app.add_middleware(auditmw.ASGIAudit, audit=audit)

Route, exceptions and background tasks need no adapter: the ASGI shell sees them. The page that Starlette makes of an
exception that nobody handled is made outside of what `add_middleware` adds; so that its status is in the event, and the
request id on the page, put the shell around the application: ``app = auditmw.ASGIAudit(app, audit)``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import auditmw


def session_resolver(
    *, user_key: str = "user_id", session_key: str | None = None
) -> Callable[[auditmw.Request], auditmw.Identity | None]:
    """A resolver for ``request.user``, and where there is none for what ``request.session`` says.

    `user_key` and `session_key`: where in the session the ids of user and session are; Starlette's session itself has
    no id. Nothing is marked as looked at, so no ``Vary: Cookie`` is added.
    """

    def resolve(request: auditmw.Request) -> auditmw.Identity | None:
        scope = request.carrier
        session = scope.get("session") or {}
        known = session.get(session_key) if session_key is not None else None
        user = scope.get("user")
        if getattr(user, "is_authenticated", False):
            return auditmw.Identity(_user_id(user), session=known, authenticated=True)
        claimed = session.get(user_key)
        return None if claimed is None and known is None else auditmw.Identity(claimed, session=known)

    return resolve


resolve = session_resolver()


def _user_id(user: Any) -> Any:
    """Starlette's own SimpleUser has a name only."""
    try:
        return user.identity
    except (AttributeError, NotImplementedError):
        return user.display_name
