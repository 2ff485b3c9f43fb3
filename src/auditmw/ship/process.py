"""What Python is told in a process that does nothing but ship. In an application's own, that is not ours to say."""

from __future__ import annotations

import gc
import sys

_GARBAGE_THRESHOLD = 50_000  # objects; shipping makes no cycles to look for
_SWITCH_SECONDS = 0.0005


def dedicate() -> None:
    """Have this process ship as fast as it can.

    A thread that sends gets its turn within half a millisecond after the one that reads ahead, and not five: it needs
    one for each piece that it sends.
    """
    gc.set_threshold(_GARBAGE_THRESHOLD)
    sys.setswitchinterval(_SWITCH_SECONDS)
