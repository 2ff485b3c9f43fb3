"""An audit directory of two tenants, and a viewer of it to ask: for the tests of the viewer."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import timedelta
from pathlib import Path
from typing import Any

from werkzeug.test import Client, TestResponse

from auditmw.cli.history import write_journal
from auditmw.cli.history.generator import Entry
from auditmw.viewer import Viewer, ViewerApp
from query_table import BEGINNING, event

WRITER = "019a1b2c3d4e5f607182"
TENANTS = ("acme", "umbra")
ACME = Viewer("anna", restriction="data.tenant:acme")
PER_TENANT = 12


def event_id(tenant: str, number: int) -> str:
    """A UUID of version 7 whose time is about that of the event."""
    milliseconds = int((BEGINNING + timedelta(minutes=number)).timestamp() * 1000)
    return f"{milliseconds >> 16:08x}-{milliseconds & 0xFFFF:04x}-7{TENANTS.index(tenant):03x}-8000-{number:012x}"


def of_tenant(tenant: str) -> list[dict[str, Any]]:
    """Twelve events in twelve minutes: a session that logs in half way, with a word in it that only this tenant has."""
    events = []
    for number in range(PER_TENANT):
        made = event(
            number,
            id=event_id(tenant, number),
            user=f"{tenant}-user" if number >= 6 else None,
            session=f"{tenant}-session",
            trace=f"{tenant}-trace",
            ip="192.0.2.1" if tenant == "acme" else "192.0.2.2",
            path=f"/{tenant}/{number % 3}",
            status=500 if number == 11 else 200,
            method="GET",
            service=f"{tenant}-service",
            data={"tenant": tenant, "word": f"{tenant}-secret"},
        )
        events.append({"schema": "auditmw.event/1.0", **made})
    return events


def all_events() -> list[dict[str, Any]]:
    """The events of both, in the order of time. Both tenants have one session in common, too."""
    shared = [
        {
            "schema": "auditmw.event/1.0",
            **event(20, id=event_id("acme", 20), session="shared", data={"tenant": "acme"}),
        },
        {
            "schema": "auditmw.event/1.0",
            **event(21, id=event_id("umbra", 21), session="shared", user="umbra-user", data={"tenant": "umbra"}),
        },
    ]
    found = [made for tenant in TENANTS for made in of_tenant(tenant)] + shared
    return sorted(found, key=lambda made: made["timestamp"])


def write(directory: Path, events: Iterable[dict[str, Any]], writer: str = WRITER) -> Path:
    """Write the events into a journal file of the directory."""
    write_journal((Entry(writer, json.dumps(made, separators=(",", ":")).encode()) for made in events), directory)
    return directory


class Site:
    """A viewer of a directory, asked over WSGI."""

    def __init__(self, directory: Path, viewer: Viewer | None = None, **options: Any) -> None:
        self.directory = directory
        options |= {"open_to_all": True} if viewer is None else {"authorize": lambda request: viewer}
        self.app = ViewerApp(directory, **options)
        self.client = Client(self.app)

    def get(self, path: str, headers: dict[str, str] | None = None, **parameters: Any) -> TestResponse:
        """What the API says to a GET."""
        return self.client.get(f"/api/{path}", query_string=parameters, headers=headers)

    def answer(self, path: str, **parameters: Any) -> Any:
        """The answer of the API, which has to be one."""
        response = self.get(path, **parameters)
        assert response.status_code == 200, response.text
        return response.json["answer"]

    def refusal(self, path: str, **parameters: Any) -> tuple[int, dict[str, Any]]:
        """The status and the error of the API, which has to refuse."""
        response = self.get(path, **parameters)
        assert response.status_code >= 400, response.text
        return response.status_code, response.json["error"]

    def change(self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None) -> TestResponse:
        """What the API says to a request that changes something."""
        given = {"X-Auditmw": "1", "Origin": "http://localhost"} if headers is None else headers
        return self.client.open(f"/api/{path}", method=method, json=body, headers=given)
