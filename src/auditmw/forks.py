"""What starts anew in a forked child.

A fork that Python makes runs the hooks of `os.register_at_fork`. One that a server makes in C does not (uWSGI without
``--py-call-osafterfork``), so every request compares the process id, which costs about 50 ns.
"""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Callable
from types import MethodType

_lock = threading.Lock()  # only held in a child that was just forked, so no child inherits it locked
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
    with _lock:
        if process == os.getpid():  # another thread was first
            return
        for renewal in tuple(_renewals):
            part = renewal()
            if part is not None:
                part()
        process = os.getpid()


os.register_at_fork(after_in_child=renew)
