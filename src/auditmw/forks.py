"""What starts anew in a forked child.

A fork that Python makes runs the hooks of `os.register_at_fork`. One that a server makes in C does not (uWSGI without
``--py-call-osafterfork``), so every request compares the process id, which costs about 50 ns.
"""

from __future__ import annotations

import os
import weakref
from collections.abc import Callable
from types import MethodType

_renewals: list[Callable[[], Callable[[], object] | None]] = []
process = os.getpid()  # the one that everything here belongs to


def in_child(renew: Callable[[], object]) -> None:
    """Have `renew` called in every forked child; a method is called only as long as its object lives.

    It must neither wait (the parent's locks may be held for ever) nor raise.
    """
    if isinstance(renew, MethodType):
        _renewals.append(weakref.WeakMethod(renew, _renewals.remove))
    else:
        _renewals.append(lambda: renew)


def renew() -> None:
    """Renew everything in a process that was forked since `process` was set."""
    global process
    process = os.getpid()
    for renewal in tuple(_renewals):
        part = renewal()
        if part is not None:
            part()


os.register_at_fork(after_in_child=renew)
