"""The template of the route that Starlette or FastAPI chose for a request, as the ASGI scope tells it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, MutableMapping
from typing import Any
from weakref import WeakKeyDictionary, ref

_MAX_TEXT = 1_024  # the schema's limit

# Where Starlette says the endpoint only: the router in which it was looked for last, and the template found there.
_found: WeakKeyDictionary[Any, tuple[ref[Any], str]] = WeakKeyDictionary()


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
    mounted = _mounted_on(scope)
    if not mounted:
        return path
    return mounted + path if hasattr(route, "endpoint") else mounted  # a mount is itself the end of that path


def _searched(scope: MutableMapping[str, Any]) -> str | None:
    """From ``scope["endpoint"]``: the only route to it, or the only one among several that fits the path."""
    router, endpoint = scope["router"], scope["endpoint"]
    where, found = _found.get(endpoint, (None, None))
    if where is not None and where() is router:
        return found
    routes = list(_routes_to(endpoint, router.routes, ""))
    if len(routes) > 1:
        depth, path = _mounted_on(scope).count("/"), scope["path"].removeprefix(scope["root_path"])
        fits = (on + route.path for on, route in routes if on.count("/") == depth and route.path_regex.match(path))
        return next(fits, None)
    on, route = routes[0]
    _found[endpoint] = ref(router), on + route.path
    return _found[endpoint][1]


def _routes_to(endpoint: Any, routes: Iterable[Any], mounted: str) -> Iterator[tuple[str, Any]]:
    """The routes to an endpoint, each after the template of what it is mounted on."""
    for route in routes:
        if getattr(route, "endpoint", getattr(route, "app", None)) is endpoint:
            yield mounted, route
        yield from _routes_to(endpoint, getattr(route, "routes", None) or (), mounted + getattr(route, "path", ""))


def _mounted_on(scope: MutableMapping[str, Any]) -> str:
    return scope["root_path"][len(scope["app_root_path"]) :] if "app_root_path" in scope else ""
