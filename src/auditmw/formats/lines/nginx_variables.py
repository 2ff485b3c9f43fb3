"""What the variables of an nginx `log_format` mean to an event.

Source: the documentation of nginx's variables (ngx_http_core_module, ngx_http_upstream_module, ngx_http_log_module,
ngx_http_ssl_module, ngx_http_realip_module, ngx_http_geoip_module, ngx_otel_module).
"""

from __future__ import annotations

import re
from functools import partial

from auditmw.formats.lines import times
from auditmw.formats.lines.assembly import Variable
from auditmw.formats.lines.homes import Home, Matching, MaybeEmpty, Moment, Number, Text, User
from auditmw.formats.lines.http_homes import (
    ADDRESS,
    BODY_SIZE,
    FORWARDED,
    METHOD,
    PATH,
    RECEIVED_SIZE,
    REQUEST,
    REQUEST_ID,
    SCHEME,
    SECONDS,
    SIZE,
    STATUS,
    TARGET,
    UPSTREAM_ADDRESS,
    UPSTREAM_SECONDS,
    UPSTREAM_STATUS,
    VERSION,
    Claim,
    Header,
    Host,
)
from auditmw.formats.lines.template import Slot

_port = partial(Number, most=65_535)
_DIGITS, _DECIMAL = r"\d+", r"\d+\.\d{3}"

HOMES: dict[str, Home] = {
    "remote_addr": ADDRESS,
    "remote_port": _port("client", "port"),
    "realip_remote_addr": Text("client", "peer_address"),
    "realip_remote_port": _port("client", "peer_port"),
    "http_x_forwarded_for": FORWARDED,
    "remote_user": Text("actor", "name"),
    "msec": Moment(times.unix_time, times.as_unix, rank=0),
    "time_iso8601": Moment(times.iso_time, times.as_iso, rank=1),
    "time_local": Moment(times.clf_timestamp, times.as_clf, rank=1),
    "time": Moment(times.any_time, times.as_iso, rank=2),  # no variable: one of the three, of which only a value tells
    "request_time": SECONDS,
    "request": REQUEST,
    "request_method": METHOD,
    "request_uri": TARGET,
    "uri": PATH,
    "document_uri": PATH,
    "args": Text("url", "query"),
    "query_string": Text("url", "query"),
    "server_protocol": VERSION,
    "scheme": SCHEME,
    "host": Host("url", "host"),
    "http_host": Host("url", "host"),
    "server_name": Text("server", "address"),
    "server_port": _port("server", "port"),
    "hostname": Text("server", "hostname"),
    "status": STATUS,
    "body_bytes_sent": BODY_SIZE,
    "bytes_sent": SIZE,
    "request_length": RECEIVED_SIZE,
    "content_length": Number("http", "request", "body_size"),
    "content_type": Text("http", "request", "content_type"),
    "http_content_type": Text("http", "request", "content_type"),
    "http_referer": MaybeEmpty("http", "request", "referrer"),
    "http_user_agent": MaybeEmpty("http", "request", "user_agent"),
    "sent_http_content_type": Text("http", "response", "content_type"),
    "request_id": REQUEST_ID,
    "sent_http_x_request_id": REQUEST_ID,
    "upstream_http_x_request_id": REQUEST_ID,
    "otel_trace_id": Matching(r"(?!0{32})[0-9a-f]{32}", "trace", "trace_id"),
    "http_traceparent": Claim("trace", "remote"),
    "upstream_addr": UPSTREAM_ADDRESS,
    "upstream_status": UPSTREAM_STATUS,
    "upstream_response_time": UPSTREAM_SECONDS,
    "upstream_cache_status": Text("http", "response", "cache_status"),
    "ssl_protocol": Text("tls", "version"),
    "ssl_cipher": Text("tls", "cipher"),
    "ssl_server_name": Text("tls", "server_name"),
    "geoip_country_name": Text("client", "geo", "country_name"),
    "geoip_country_code": Text("client", "geo", "country_iso_code"),
    "geoip_city": Text("client", "geo", "city_name"),
    "geoip_org": Text("client", "as", "organization"),
}
SHAPES: dict[str, tuple[str, bool]] = {
    "time_local": (times.CLF, True),
    "time_iso8601": (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d\d:\d\d", True),
    "status": (r"\d{3}", True),
    "msec": (_DECIMAL, False),
    "request_time": (_DECIMAL, False),
    **dict.fromkeys(("body_bytes_sent", "bytes_sent", "request_length", "connection_requests"), (_DIGITS, False)),
}
_SPACED = re.compile(r"request|remote_user|http_x_forwarded_for|upstream_(?!http_|cookie_|trailer_|cache_).*")
# What people call these in a log: the labels in `rt="$request_time"` and the keys of JSON, where a variable says less.
_ANY_TIME = "time"
ALIASES = {
    **dict.fromkeys(("timestamp", "@timestamp", "ts", "date", "datetime"), _ANY_TIME),
    "ip": "remote_addr",
    "client_ip": "remote_addr",
    "user": "remote_user",
    "method": "request_method",
    "protocol": "server_protocol",
    "bytes": "body_bytes_sent",
    "referer": "http_referer",
    "referrer": "http_referer",
    "user_agent": "http_user_agent",
    "xff": "http_x_forwarded_for",
    "x_forwarded_for": "http_x_forwarded_for",
    "userid": "upstream_http_x_userid",
    "sessionid": "upstream_http_x_sessionid",
    "sessid": "upstream_http_x_sessionid",
    "sent_userid": "sent_http_x_userid",
    "sent_sessionid": "sent_http_x_sessionid",
    "duration": "request_time",
    "upstream_time": "upstream_response_time",
    "cache": "upstream_cache_status",
    "cache_status": "upstream_cache_status",
    "traceparent": "http_traceparent",
}
_TIMES = {
    "time_local": re.compile(times.CLF),
    "msec": re.compile(r"\d{9,11}\.\d{3}"),
    "time_iso8601": re.compile(SHAPES["time_iso8601"][0]),
}
_WHO = {"userid": ("actor", "id"), "sessionid": ("session", "id"), "sessid": ("session", "id")}


def slot_of(name: str, label: str = "", *, decode_userid: bool = False) -> Slot:
    """Return the slot of a variable; `label` is what stands before it in the line: `userid` in `userid="$name"`."""
    who = ALIASES.get(label, name) if label in _WHO else name
    home: Home | None
    if who.endswith(("_http_x_userid", "_http_x_sessionid")):
        home = User(*_WHO[who.rpartition("_")[2]], decoded=decode_userid)
    else:
        home = HOMES.get(name) or _header(name) or HOMES.get(ALIASES.get(label, ""))
    shape, fixed = SHAPES.get(name, (None, False))
    return Slot(Variable(name, home), shape, fixed, spaced=_SPACED.fullmatch(name) is not None)


def variable_called(label: str) -> str:
    """Return the variable that is probably logged under this label or JSON key."""
    return label if label in HOMES or _header(label) else ALIASES.get(label, label)


def variable_like(label: str, value: str) -> str:
    """Return the variable that is probably logged under this label or JSON key, where it had this value."""
    name = variable_called(label)
    if name not in HOMES or name == _ANY_TIME:
        for time, shape in _TIMES.items():
            if shape.fullmatch(value) and (time != "msec" or name == _ANY_TIME):
                return time
    return name


def _header(name: str) -> Home | None:
    for prefix, message in (("http_", "request"), ("sent_http_", "response"), ("upstream_http_", "response")):
        if name.startswith(prefix) and name != prefix:
            return Header("http", message, "headers", name.removeprefix(prefix).replace("_", "-").lower())
    return None
