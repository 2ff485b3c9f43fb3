"""One request to the API: who asks, what, about which events, and with which engine."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeVar

from werkzeug.wrappers import Request

from auditmw.places import Place
from auditmw.query import Engine, Scope
from auditmw.viewer.parameters import Parameters
from auditmw.viewer.people import Carrier, Viewer
from auditmw.viewer.recording import Recorder
from auditmw.viewer.refusals import asked
from auditmw.viewer.running import PATIENCE_SECONDS, Handle, Running
from auditmw.viewer.saved import Saved

T = TypeVar("T")


@dataclass(frozen=True)
class Shared:
    """What all requests to one viewer have in common. `export_cap`: the events of one export at most."""

    place: Place
    time_limit_seconds: float
    export_cap: int
    running: Running
    recorder: Recorder
    saved: Saved


@dataclass
class Ask:
    """What an endpoint works with. To `engine` there are only the events that the viewer may see.

    `tail`: how the page hears of new events, "sse" or "poll".
    """

    request: Request
    carrier: Carrier
    viewer: Viewer
    parameters: Parameters
    engine: Engine
    handle: Handle
    tail: str
    shared: Shared

    @cached_property
    def scope(self) -> Scope:
        """What is asked about."""
        return self.parameters.scope()

    @property
    def options(self) -> dict[str, Any]:
        """What every question is asked with."""
        self.handle.check()
        return {"token": self.handle, "time_limit_seconds": self.shared.time_limit_seconds}

    def slot(self, patience_seconds: float = PATIENCE_SECONDS) -> AbstractContextManager[None]:
        """Return the place of one of the few questions that run at once."""
        return self.shared.running.slot(self.handle, patience_seconds)

    def answer(
        self, question: Callable[..., T], *arguments: Any, roles: dict[str, str] | None = None, **named: Any
    ) -> T:
        """Return what a function of auditmw.query answers, asked in turn, within the limits."""
        with self.slot():
            return asked(lambda: question(self.engine, *arguments, **named, **self.options), roles)

    def viewed(self, what: str, **told: Any) -> None:
        """Say that the viewer looks at something; before it is shown."""
        self.shared.recorder.viewed(self.carrier, self.viewer, {"what": what, **told})
