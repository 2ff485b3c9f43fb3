"""The application's own configuration: what its `Audit` was given."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

from auditmw.audit import Audit, only_audit
from auditmw.cli.checks.finding import Finding, fail, ok, warn

DEPTH = 16  # middlewares around each other


class AppNotLoadedError(Exception):
    """The application could not be imported, or has no `Audit`: the message says why."""


def load_audit(target: str) -> Audit:
    """Return the `Audit` of `module:attribute`, as application servers spell it: the Audit itself, or an app around it.

    The module is imported, with the current directory first in the path, as a server would. Raises AppNotLoadedError.
    """
    name, colon, attribute = target.partition(":")
    if not name or not colon or not attribute:
        raise AppNotLoadedError(f"expected MODULE:ATTRIBUTE, such as shop.wsgi:application, not {target!r}")
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    try:
        found = import_module(name)
        for part in attribute.split("."):
            found = getattr(found, part)
    except Exception as error:
        raise AppNotLoadedError(f"cannot load {target}: {type(error).__name__}: {error}") from error
    # Django's middlewares are out of reach in its handler, but have made the only Audit of the process.
    audit = find_audit(found) or only_audit()
    if audit is None:
        raise AppNotLoadedError(
            f"found no Audit in {target}, which is a {type(found).__qualname__}; name the Audit itself"
        )
    return audit


def find_audit(app: Any, depth: int = DEPTH) -> Audit | None:
    """Return the `Audit` of an app: in `audit`, in a middleware of Starlette, or in the app that it wraps."""
    if app is None or isinstance(app, Audit) or depth == 0:
        return app if isinstance(app, Audit) else None
    own = getattr(app, "audit", None)
    if isinstance(own, Audit):
        return own
    for middleware in getattr(app, "user_middleware", None) or ():
        given = getattr(middleware, "kwargs", {}).get("audit")
        if isinstance(given, Audit):
            return given
    extension = getattr(app, "extensions", None)
    found = find_audit(extension.get("auditmw"), depth - 1) if isinstance(extension, dict) else None
    for name in ("wsgi_app", "app", "application"):
        found = found or find_audit(getattr(app, name, None), depth - 1)
    return found


def check_application(audit: Audit, directory: Path) -> Iterator[Finding]:
    """Yield findings about the configuration of `audit`, which should write to `directory`."""
    written = audit.health()["journal"].get("directory")
    if written is None:
        yield ok("app.directory", "the app writes to a stream, not to a directory")
    elif Path(written).resolve() == directory.resolve():
        yield ok("app.directory", f"the app writes to {directory}")
    else:
        yield fail("app.directory", f"the app writes to {written}, not to {directory}", f"auditmw check {written}")
    policy = audit.policy
    if policy.resolver is None and policy.async_resolver is None:
        advice = "Audit(..., resolver=...), auditmw.identify() in the login, or an adapter of auditmw.contrib"
        yield warn("app.resolver", "no resolver: events name a user only where the app calls identify()", advice)
    else:
        yield ok("app.resolver", "the app has a resolver")
    for pattern in policy.exempt:
        if pattern.search("/") and pattern.search("/any/path"):
            advice = "anchor the pattern with ^, as in r'^/health'"
            yield warn("app.exempt", f"{pattern.pattern!r} in exempt matches every path", advice)
