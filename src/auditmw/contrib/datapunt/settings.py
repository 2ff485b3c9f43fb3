"""Settings, and what is said at the start about those that are wrong."""

from __future__ import annotations

import pkgutil
import re
from collections.abc import Callable
from typing import Any


def import_callable(path: str) -> Callable[[], Any]:
    """The object at a dotted path such as ``shop.logs.make_handler``. Raises what its import raises."""
    module, _, name = path.rpartition(".")
    found: Callable[[], Any] = pkgutil.resolve_name(f"{module}:{name}")
    return found


def check_path(setting: str, path: Any) -> None:
    """Raise ValueError or TypeError, with the setting and the path, when there is no callable at a dotted path.

    A module that is still being imported, such as the one that makes the application, is looked at when it is used.
    """
    if not path:
        return
    expected = f"expected {setting} to be the dotted path of a callable such as 'shop.logs.make', not {path!r}"
    if not isinstance(path, str) or "." not in path:
        raise ValueError(expected)
    try:
        found = import_callable(path)
    except Exception as error:
        if "circular import" in str(error) or path.startswith("__main__."):
            return
        raise ValueError(f"{expected}: {type(error).__name__}: {error}") from error
    if not callable(found):
        raise TypeError(f"{expected}: what is there is {found!r}")


def check_name(setting: str, name: Any) -> None:
    """Raise TypeError when a logger's name is not one."""
    if name and not isinstance(name, str):
        raise TypeError(f"expected {setting} to be the name of a logger such as 'audit_log', not {name!r}")


def exempt_patterns(setting: str, patterns: Any) -> list[re.Pattern[str]]:
    """The compiled patterns. Raises TypeError or ValueError that names the setting and what came."""
    if not isinstance(patterns, list | tuple):
        raise TypeError(f"expected {setting} to be a list of regular expressions, not {patterns!r}; put it in a list")
    compiled = []
    for pattern in patterns:
        try:
            compiled.append(re.compile(pattern))
            compiled[-1].search("")  # one of bytes finds nothing in a path
        except (re.error, TypeError, OverflowError, RecursionError) as error:
            raise ValueError(f"expected a regular expression in {setting}, not {pattern!r}: {error}") from error
    return compiled
