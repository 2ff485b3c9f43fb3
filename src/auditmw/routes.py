"""The template of the route that Starlette or FastAPI chose for a request, as the ASGI scope tells it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, MutableMapping
from typing import Any
from weakref import WeakKeyDictionary

_MAX_TEXT = 1_024  # the schema's limit

# Where Starlette says the endpoint only: the templates of each router's endpoints, found once.
_found: WeakKeyDictionary[Any, dict[Any, str]] = WeakKeyDictionary()


def template(scope: MutableMapping[str, Any]) -> str | None:
    """The template with what it is mounted on, such as ``/v1/items/{id}``; None where no route was chosen."""
    try:
        path = _chosen(scope) if "route" in scope else _searched(scope) if "endpoint" in scope else None
    except Exception:  # another framework's idea of a route
        return None
    return path[:_MAX_TEXT] if isinstance(path, str) else None


def _chosen(scope: MutableMapping[str, Any]) -> Any:
    """From ``scope["route"]``: FastAPI, and recent releases of Starlette.

    A router that FastAPI includes keeps its own routes; those with the prefix are in a context of FastAPI's own.
    """
    route = scope["route"]
    context = scope.get("fastapi", {}).get("effective_route_context")
    path = context.path if context is not None and context.original_route is route else route.path
    mounted = scope["root_path"][len(scope["app_root_path"]) :] if "app_root_path" in scope else ""
    if not mounted:
        return path
    return mounted + path if hasattr(route, "endpoint") else mounted  # a mount is itself the end of that path


def _searched(scope: MutableMapping[str, Any]) -> str | None:
    """From ``scope["endpoint"]``: the only route to it, or the only one among several that fits the path."""
    router, endpoint = scope["router"], scope["endpoint"]
    known = _found.setdefault(router, {})
    if endpoint not in known:
        routes = list(_routes_to(endpoint, router.routes, ""))
        if len(routes) != 1:
            path = scope["path"].removeprefix(scope.get("root_path", ""))
            return next((full for full, route in routes if route.path_regex.match(path)), None)
        known[endpoint] = routes[0][0]
    return known[endpoint]


def _routes_to(endpoint: Any, routes: Iterable[Any], mounted: str) -> Iterator[tuple[str, Any]]:
    for route in routes:
        path = mounted + getattr(route, "path", "")
        if getattr(route, "endpoint", getattr(route, "app", None)) is endpoint:
            yield path, route
        yield from _routes_to(endpoint, getattr(route, "routes", None) or (), path)
