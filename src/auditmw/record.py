"""What an application says, made safe: annotations of the request's event, and events of its own."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping
from typing import Any

from auditmw.compose import add_context, describe_failure
from auditmw.event import SCHEMA, SEVERITY, SHORT, Event, Notes, new_id, plain, timestamp, wire_text
from auditmw.facts import Facts
from auditmw.head import safe_path
from auditmw.policy import Policy
from auditmw.trace import new_span_id, new_trace_id

CATEGORIES = frozenset(
    {"web", "api", "authentication", "session", "iam", "file", "database", "configuration", "email", "host", "process"}
    | {"package", "network", "intrusion_detection", "other"}
)
RESULTS = frozenset({"success", "failure", "pending", "unknown"})
_ACTION = re.compile(r"[a-z]+(/[a-z_]+)*\Z")
_NAME = re.compile(r"[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)*\Z")
_LEVEL_OF_RESULT = {"failure": "warning"}


def safe_fields(policy: Policy, said: Mapping[str, Any], notes: Notes) -> tuple[dict[str, Any], dict[str, Any]]:
    """Native fields and `data` out of what the application said.

    Known names with a value of the right kind are native fields; everything else is kept in `data` under its name.
    Values are copied, made plain and redacted; `notes` says what that changed. Never raises.
    """
    fields: dict[str, Any] = {}
    data: dict[str, Any] = {}
    for name, value in said.items():
        if value is None and name in _CHECKS:
            continue
        if name == "data" and isinstance(value, Mapping):
            data.update(_safe(policy, value, "/data", notes))
            continue
        check = _CHECKS.get(name)
        if check is not None and _passes(check, value):
            fields[name] = _safe(policy, value, f"/{name}", notes)
            if name == "message" and (clean := policy.redactor.prose(fields[name])) is not fields[name]:
                fields[name] = clean
                notes.redacted.append("/message")
        else:
            data.update(_safe(policy, {name: value}, "/data", notes))
            if check is not None:
                policy.count("annotation_problems", f"{name}: {_EXPECTED.get(name, 'another kind of value')}")
    outcome = fields.get("outcome")
    if isinstance(outcome, str):
        fields["outcome"] = {"result": outcome}
    if "reason" in fields:
        fields.setdefault("outcome", {})["reason"] = fields.pop("reason")
    for name in ("outcome", "target", "filter"):
        for key, value in fields.get(name, {}).items():
            limit = 256 if name == "outcome" else SHORT
            if isinstance(value, str) and len(value) > limit:
                notes.truncated.append(f"/{name}/{key}")
                fields[name][key] = value[:limit]
    return fields, data


def application_event(
    policy: Policy,
    facts: Facts | None,
    name: str,
    fields: Mapping[str, Any],
    *,
    data: Mapping[str, Any] | None = None,
    error: BaseException | Mapping[str, Any] | None = None,
    notes: Notes | None = None,
    format: str = "auditmw",
) -> Event:
    """An event of the application's own, with the context of the request it was recorded in, if any.

    `fields` and `data` are those of `safe_fields`; `error` is an exception, or the `error` object of one. A `name` that
    is no event name becomes the message of a ``log`` event.
    """
    now_ns = time.time_ns()
    event: Event = {"schema": SCHEMA, "id": new_id(now_ns), "timestamp": timestamp(now_ns)}
    is_name = isinstance(name, str) and len(name) <= 128 and name != "http_request" and _NAME.match(name)
    event["event"] = name if is_name else "log"
    outcome = {"result": "failure" if error is not None else "success", **fields.get("outcome", {})}
    level = fields.get("level") or ("error" if error is not None else _LEVEL_OF_RESULT.get(outcome["result"], "info"))
    event |= {"level": level, "severity": SEVERITY[level]}
    if facts is None:
        _add_trace(event, policy)
    else:
        _add_request(event, facts)
    event |= {key: value for key, value in fields.items() if key not in ("level", "outcome", "route")}
    event["outcome"] = outcome
    if not is_name:
        event.setdefault("message", policy.redactor.prose(str(plain(name, "/message", notes or Notes()))))
    if error is not None:
        event["error"] = describe_failure(policy, error, notes or Notes(), handled=True)
    if data:
        event["data"] = dict(data)
    event["source"] = {"kind": "app", "format": format}
    return event if notes is None else notes.written_into(event)


def _add_request(event: Event, facts: Facts) -> None:
    add_context(facts, event)
    request = {"method": facts.method[:64]}
    agent = facts.fields[1]
    if agent is not None:
        request["user_agent"] = wire_text(agent)[0]
    event["http"] = {"request": request}
    event["url"] = {"path": facts.policy.redactor.path(safe_path(facts.path))}


def _add_trace(event: Event, policy: Policy) -> None:
    event["trace"] = {"trace_id": new_trace_id(), "span_id": new_span_id(), "flags": 2, "origin": "generated"}
    event["service"] = policy.service


def _safe(policy: Policy, value: Any, pointer: str, notes: Notes) -> Any:
    return policy.redactor.tree(plain(value, pointer, notes), pointer, notes.redacted)


def _passes(check: Callable[[Any], bool], value: Any) -> bool:
    try:
        return bool(check(value))
    except Exception:  # of a value whose own methods raise
        return False


def _is_filter(value: Any) -> bool:
    return (
        isinstance(value, Mapping)
        and isinstance(value.get("object"), str)
        and not value.keys() - {"object", "fields", "terms", "kwargs"}
        and isinstance(value.get("kwargs", {}), Mapping)
    )


def _is_target(value: Any) -> bool:
    return (
        isinstance(value, Mapping)
        and isinstance(value.get("type"), str)
        and not value.keys() - {"type", "id", "name", "attributes"}
        and all(isinstance(value.get(name, ""), str) for name in ("id", "name"))
        and isinstance(value.get("attributes", {}), Mapping)
    )


def _is_outcome(value: Any) -> bool:
    return value in RESULTS if isinstance(value, str) else (
        isinstance(value, Mapping)
        and not value.keys() - {"result", "reason"}
        and value.get("result") in RESULTS
        and isinstance(value.get("reason", ""), str)
    )  # fmt: skip


_CHECKS = {
    "message": lambda value: isinstance(value, str),
    "level": lambda value: isinstance(value, str) and value in SEVERITY,
    "action": lambda value: isinstance(value, str) and len(value) <= 64 and _ACTION.match(value) is not None,
    "category": lambda value: isinstance(value, str) and value in CATEGORIES,
    "outcome": _is_outcome,
    "reason": lambda value: isinstance(value, str),
    "filter": _is_filter,
    "results": lambda value: True,
    "route": lambda value: isinstance(value, str) and len(value) <= 1024,
    "target": _is_target,
}
_EXPECTED = {
    "level": f"expected one of {', '.join(SEVERITY)}",
    "category": f"expected one of {', '.join(sorted(CATEGORIES))}",
    "outcome": f"expected one of {', '.join(sorted(RESULTS))}, or a mapping with 'result' and 'reason'",
    "filter": "expected a mapping with 'object' and perhaps 'fields', 'terms', 'kwargs'",
    "target": "expected a mapping with 'type' and perhaps 'id', 'name', 'attributes'",
    "action": "expected a CADF action such as 'read' or 'authenticate/login'",
}
