"""Looking is itself an event: who looked at what, and who took it away."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

import auditmw
from auditmw import forks
from auditmw.viewer.parameters import Parameters
from auditmw.viewer.people import Carrier, Viewer

VIEWED, EXPORTED = "auditmw.viewed", "auditmw.exported"
_REMEMBERED = 10_000  # questions
# The parameters that make two questions different ones; all others say how the answer is shown.
_TELLING = ("q", "from", "to", "id", "step", "start", "returning", "goal", "base", "anchor", "among")


class Recorder:
    """Writes what viewers do into the audit log; without an `audit` nothing.

    A question is written when somebody first asks it after loading the page, and not again for the further requests
    that the page makes for it. Every process remembers for itself.
    """

    def __init__(self, audit: auditmw.Audit | None) -> None:
        self._audit = audit
        self._shell = None if audit is None or audit.policy.intent else auditmw.Shell(audit)
        self._renew()
        forks.in_child(self._renew)

    def _renew(self) -> None:
        self._lock = threading.Lock()
        self._asked: OrderedDict[tuple[str, str], None] = OrderedDict()

    def page_loaded(self, viewer: Viewer) -> None:
        """Forget what this viewer asked: what comes now is asked anew."""
        if self._audit is None:
            return
        with self._lock:
            for key in [key for key in self._asked if key[0] == viewer.name]:
                del self._asked[key]

    def viewed(self, carrier: Carrier, viewer: Viewer, told: Mapping[str, Any]) -> None:
        """Write that somebody looks at something, unless that was written already."""
        if self._audit is None:
            return
        told = {name: value for name, value in told.items() if value}
        key = (viewer.name, repr(told))
        with self._lock:
            known = key in self._asked
            self._asked[key] = None
            self._asked.move_to_end(key)
            if len(self._asked) > _REMEMBERED:
                self._asked.popitem(last=False)
        if not known:
            self._write(VIEWED, carrier, viewer, told)

    def exported(self, carrier: Carrier, viewer: Viewer, told: Mapping[str, Any], **fields: Any) -> None:
        """Write that somebody takes events away; every time."""
        if self._audit is not None:
            self._write(EXPORTED, carrier, viewer, told, **fields)

    def _write(self, name: str, carrier: Carrier, viewer: Viewer, told: Mapping[str, Any], **fields: Any) -> None:
        said = {"action": "read", "target": {"type": "audit_log"}, "data": {"viewer": viewer.name, **told}, **fields}
        served = None if self._shell is None else self._shell.begin(carrier, blocking=True)
        if served is None:  # a middleware around the viewer has the request already
            auditmw.record(name, audit=self._audit, **said)
            return
        with served:  # entered and left without an answer, it writes no event of the request itself
            auditmw.identify(viewer.name)
            auditmw.record(name, audit=self._audit, **said)


def question(read: Parameters) -> dict[str, Any]:
    """Return what is asked, by the names of the parameters."""
    told: dict[str, Any] = {}
    for name in _TELLING:
        values = [value for value in read.texts(name) if value]
        if values:
            told[name] = values if name == "step" else values[0]
    return told
