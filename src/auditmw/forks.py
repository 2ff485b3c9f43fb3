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
_pid = os.getpid()


def in_child(renew: Callable[[], object]) -> None:
    """Have `renew` called in every forked child; a method is called only as long as its object lives.

    It must neither wait (the parent's locks may be held for ever) nor raise.
    """
    if isinstance(renew, MethodType):
        _renewals.append(weakref.WeakMethod(renew, _renewals.remove))
    else:
        _renewals.append(lambda: renew)


def check() -> None:
    """Renew everything if this process was forked since the last look."""
    if os.getpid() != _pid:
        _renew()


def _renew() -> None:
    global _pid
    _pid = os.getpid()
    for renewal in list(_renewals):
        renew = renewal()
        if renew is not None:
            renew()


os.register_at_fork(after_in_child=_renew)
