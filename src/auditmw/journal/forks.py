"""What must not be shared with a forked child: locks, descriptors, writer ids."""

import os
import weakref
from typing import Protocol


class Renewable(Protocol):
    """Something that a forked child must start anew."""

    def renew_in_child(self) -> None:
        """Drop what belongs to the parent, without touching what the parent sees. Must not wait and not raise."""


# One hook for all, because a hook cannot be taken back; weak, because it must keep nothing alive.
_things: weakref.WeakSet[Renewable] = weakref.WeakSet()
_hooked = False


def renew_after_fork(thing: Renewable) -> None:
    """Have `thing.renew_in_child()` called in every forked child, for as long as `thing` lives."""
    global _hooked
    _things.add(thing)
    if not _hooked:
        _hooked = True
        os.register_at_fork(after_in_child=_renew_all)


def _renew_all() -> None:
    for thing in list(_things):
        thing.renew_in_child()
