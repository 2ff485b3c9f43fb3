"""How the facts of a request read as its event.

The plain request takes one straight way: its texts were seen before or need no closer look, and it has nothing in
`Facts.extra`. Whatever is else has a function of its own, behind one question.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from auditmw.event import ACTIONS, SCHEMA, SEVERITY, SHORT, Event, Notes, new_id, timestamp, timestamps, wire_text
from auditmw.facts import PLAIN, Extra, Facts
from auditmw.failure import describe_error
from auditmw.head import safe_path, split_host
from auditmw.outcome import SUCCESS, judge
from auditmw.policy import Policy

_UNKNOWN = {"type": "unknown"}
_ANONYMOUS = {"type": "anonymous", "authenticated": False}
_SCHEMES = frozenset({"http", "https", "ws", "wss"})
_MOST_HARMLESS, _LONGEST_HARMLESS = 4_096, 512  # texts; characters of one: what is longer hardly comes again


def compose(facts: Facts, now_ns: int, duration_ns: int) -> Event:
    """The event of a request, ended at `now_ns` since the epoch after `duration_ns`."""
    extra, method, status = facts.extra, facts.method, facts.status
    outcome, level = SUCCESS
    if extra is not PLAIN or status >= 400 or not facts.complete:
        outcome, level = judge(status, facts.complete, extra.client_gone, extra.error, extra.handled)
    http: dict[str, Any] = {"request": _request(facts)}
    if facts.version is not None:
        http["version"] = facts.version
    if status:
        http["response"] = _response(facts)
    end, start = timestamps(now_ns, duration_ns)
    event: Event = {
        "schema": SCHEMA,
        "id": new_id(now_ns),
        "timestamp": end,
        "start": start,
        "duration_ns": duration_ns,
        "event": "http_request",
        "level": level,
        "severity": SEVERITY[level],
        "category": "web",
        "action": ACTIONS.get(method, "unknown"),
        "outcome": outcome,
        "http": http,
        "url": _url(facts),
        "source": facts.SOURCE,
    }
    add_context(facts, event)
    return event if facts.extra is PLAIN else _with_extra(facts, facts.extra, event)


def compose_least(facts: Facts, now_ns: int, duration_ns: int) -> Event:
    """The event of a request when it cannot be composed: what auditmw itself knows."""
    trace, extra = facts.trace, facts.extra
    return {
        "schema": SCHEMA,
        "id": extra.id or new_id(now_ns),
        "timestamp": timestamp(now_ns),
        "duration_ns": duration_ns,
        "event": extra.event,
        "level": "error",
        "severity": SEVERITY["error"],
        "outcome": {"result": "unknown", "reason": "not_composable"},
        "trace": {"trace_id": trace.trace_id, "span_id": trace.span_id, "flags": trace.flags},
        "request_id": trace.request_id,
        "http": {},
        "service": facts.policy.service,
        "source": facts.SOURCE,
        "meta": {"truncated": ["/http", "/url"]},
    }


def add_context(facts: Facts, event: Event) -> None:
    """Add what a request's event shares with every event that the application records while it runs."""
    policy = facts.policy
    trace_id, span_id, parent_id, flags, state, origin, remote, request_id, correlation_id = facts.trace
    event["trace"] = trace = {"trace_id": trace_id, "span_id": span_id, "flags": flags, "origin": origin}
    event["request_id"] = request_id
    if parent_id is not None:
        trace["parent_id"] = parent_id
        if state is not None:
            trace["state"] = state
    if remote is not None:
        trace["remote"] = (
            {"trace_id": remote[0]} if remote[1] is None else {"trace_id": remote[0], "span_id": remote[1]}
        )
    if correlation_id is not None:
        event["correlation_id"] = correlation_id
    address, port, where, forwarded, _, host = policy.proxies.client(facts.peer, facts.port, facts.fields[6])
    client: dict[str, Any] = {"address": address, "peer_address": facts.peer, "origin": where}
    if port is not None:
        client["port"] = port
    if facts.port is not None:
        client["peer_port"] = facts.port
    if forwarded:
        seen = policy.harmless.issuperset(forwarded)
        client["forwarded"] = (
            list(forwarded) if seen else [header_text(facts, hop, "/client/forwarded") for hop in forwarded]
        )
    event["client"] = client
    if policy.hides_addresses:
        _hide_addresses(facts, event)
    if host is not None:
        name, at = split_host(host)
        event["server"] = {"address": name} if at is None else {"address": name, "port": at}
    actor = facts.actor or facts.describe_actor()
    if actor is not None:
        event["actor"] = actor.actor
        if (session := actor.session) is not None:
            event["session"] = session
        if pseudonymised := actor.pseudonymised:
            known = event.get("meta")
            event["meta"] = {"pseudonymised": {**known["pseudonymised"], **pseudonymised} if known else pseudonymised}
    elif policy.resolves:
        event["actor"] = _UNKNOWN if facts.asking else _ANONYMOUS
    event["service"] = policy.service


def describe_failure(
    policy: Policy, error: BaseException | Mapping[str, Any], notes: Notes, *, handled: bool
) -> dict[str, Any]:
    """The event's `error`, without secrets; of an exception, or of one that was described before."""
    if isinstance(error, BaseException):
        described = describe_error(error, handled=handled)
    else:
        described = {**error, "handled": handled}
    for name in ("message", "stacktrace"):
        if name in described:
            text = policy.redactor.prose(described[name])
            if text is not described[name]:
                notes.redacted.append(f"/error/{name}")
                described[name] = text
    return described


def header_text(facts: Facts, raw: str, pointer: str) -> str:
    """A header's value as it may be written, and a note of what had to be changed in it."""
    text = _wire(facts, raw, pointer)
    safe = facts.policy.redactor.url(text)
    if safe is not text:
        facts.noted().redacted.append(pointer)
    elif text is raw and len(raw) <= _LONGEST_HARMLESS:
        harmless = facts.policy.harmless
        if len(harmless) >= _MOST_HARMLESS:
            harmless.clear()
        harmless.add(raw)
    return safe


def _request(facts: Facts) -> dict[str, Any]:
    _, agent, referrer, content_type, size, origin, _ = facts.fields
    harmless, method = facts.policy.harmless, facts.method
    request: dict[str, Any] = {"method": method if method in ACTIONS else method[:64] or "UNKNOWN"}
    if agent is not None:
        request["user_agent"] = agent if agent in harmless else header_text(facts, agent, "/http/request/user_agent")
    if referrer:
        request["referrer"] = (
            referrer if referrer in harmless else header_text(facts, referrer, "/http/request/referrer")
        )
    if content_type:
        seen = content_type in harmless
        request["content_type"] = content_type if seen else _short(facts, content_type, "/http/request/content_type")
    if size and size.isascii() and size.isdigit() and len(size) < 16:
        request["body_size"] = int(size)
    elif facts.received_bytes is not None:
        request["body_size"] = facts.received_bytes
    if origin:
        request["headers"] = {"origin": [header_text(facts, origin, "/http/request/headers/origin/0")]}
    if facts.extra is not PLAIN:
        _add_asked(facts, facts.extra, request)
    return request


def _response(facts: Facts) -> dict[str, Any]:
    status, size, content_type = facts.status, facts.body_bytes, facts.content_type
    response: dict[str, Any] = {"status_code": status} if 0 < status <= 999 else {}
    if size is not None:
        response["body_size"] = 0 if size and facts.has_no_body() else size
    if content_type is not None:
        seen = content_type in facts.policy.harmless
        response["content_type"] = content_type if seen else _short(facts, content_type, "/http/response/content_type")
    return response


def _url(facts: Facts) -> dict[str, Any]:
    redactor, path, query, host = facts.policy.redactor, facts.path, facts.query, facts.fields[0]
    url: dict[str, Any] = {"scheme": facts.scheme} if facts.scheme in _SCHEMES else {}
    if host:
        name, port = split_host(host[:300] if host.isascii() else wire_text(host[:300])[0])
        url["host"] = name
        if port is not None:
            url["port"] = port
    url["path"] = path if redactor.passes(path) else _path(facts, path)
    if query:
        if not query.isascii():
            query = _wire(facts, query, "/url/query")
        url["query"] = text = redactor.query(query)
        if text is not query:
            facts.noted().redacted.append("/url/query")
    return url


def _path(facts: Facts, path: str) -> str:
    path = safe_path(path)
    text = facts.policy.redactor.path(path)
    if text is not path:
        facts.noted().redacted.append("/url/path")
    return text


def _short(facts: Facts, value: str, pointer: str) -> str:
    if len(value) > SHORT:
        facts.noted().truncated.append(pointer)
        value = value[:SHORT]
    return header_text(facts, value, pointer)


def _wire(facts: Facts, raw: str, pointer: str) -> str:
    text, escaped = wire_text(raw)
    if escaped:
        facts.noted().escaped.append(pointer)
    return text


def _hide_addresses(facts: Facts, event: Event) -> None:
    """Replace the client's addresses as `Pseudonyms.ip` says; a trusted proxy's own address is not a person's."""
    pseudonyms, client = facts.policy.pseudonyms, event["client"]
    hidden = ["address"] if facts.trusted else ["address", "peer_address"]
    scheme = pseudonyms.scheme if pseudonyms.hash_ip == "hmac" else "prefix:24,48"
    event["meta"] = {"pseudonymised": {f"/client/{name}": scheme for name in hidden}}
    for name in hidden:
        client[name] = pseudonyms.ip(client[name])
    if "forwarded" in client:
        client["forwarded"] = [pseudonyms.ip(address) for address in client["forwarded"]]
        event["meta"]["pseudonymised"]["/client/forwarded"] = scheme


def _add_asked(facts: Facts, extra: Extra, request: dict[str, Any]) -> None:
    """Add what few requests are sent with."""
    if extra.sent is not None:
        pointer = "/http/request/headers"
        sent = {name: [header_text(facts, value, f"{pointer}/{name}/0")] for name, value in extra.sent.items()}
        request["headers"] = {**request.get("headers", {}), **sent}
    if extra.target is not None:
        request["target"] = header_text(facts, extra.target, "/http/request/target")


def _with_extra(facts: Facts, extra: Extra, event: Event) -> Event:
    """The event with what most requests have nothing of."""
    http = event["http"]
    response = http.get("response", {})
    event["event"] = extra.event
    if extra.id is not None:
        event["id"] = extra.id
    if extra.reason is not None:
        response["reason"] = extra.reason
    if extra.captured is not None:
        response["headers"] = extra.captured
    if extra.route is not None:
        http["route"] = extra.route
    if extra.error is not None:
        event["error"] = describe_failure(facts.policy, extra.error, facts.noted(), handled=extra.handled)
    if extra.data:
        event["data"] = extra.data
    for name, value in (extra.annotations or {}).items():
        event[name] = {**event["outcome"], **value} if name == "outcome" else value
    event["severity"] = SEVERITY[event["level"]]
    return event if extra.notes is None else extra.notes.written_into(event)
