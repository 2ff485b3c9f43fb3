"""`auditmw nginx-config`: the nginx side, complete, with a reason for every line.

What nginx does with each line was tried on nginx 1.22.1; the directives and variables are those of its
documentation (ngx_http_upstream_module, ngx_http_log_module, ngx_http_proxy_module, ngx_http_map_module).
Every argument has a form of its own that leaves no room for a second directive; nothing is quoted or escaped.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from functools import partial
from pathlib import PurePosixPath
from typing import Any

import click

from auditmw.cli.output import ExampleCommand

_HOST = r"(?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?)(?:\.[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?)*"
_HOST_NAME = re.compile(_HOST, re.ASCII)
_SERVER_NAME = re.compile(rf"_|(?:\*\.|\.)?{_HOST}|{_HOST}\.\*", re.ASCII)
_PATH = re.compile(r"[A-Za-z0-9_./+@-]{1,200}", re.ASCII)
_PORT = re.compile(r"[1-9][0-9]{0,4}", re.ASCII)
_HEADER = re.compile(r"[A-Za-z][A-Za-z0-9]*(?:-[A-Za-z0-9]+)*", re.ASCII)  # becomes a variable: [a-z0-9_] alone
_MAX_HEADER = 46  # what fits the default proxy_headers_hash_bucket_size of 64 beside two pointers
# Headers that have a meaning of their own, for nginx or for the lines below.
_TAKEN = (
    " host connection upgrade transfer-encoding content-length content-type content-encoding date server location "
    "set-cookie cookie authorization cache-control expires vary etag last-modified x-request-id x-correlation-id "
    "x-trace-id traceparent tracestate x-forwarded-for x-forwarded-proto x-forwarded-host forwarded x-real-ip te "
    "trailer keep-alive "
)

TEMPLATE = """\
# Written by `auditmw nginx-config`. It belongs into the http {} block: on Debian and Ubuntu save it as
# /etc/nginx/conf.d/auditmw.conf, try it with `nginx -t`, then `nginx -s reload`. Their sites-enabled/default answers
# port 80 for every name that no other server claims: remove it, or give --server-name.
# Requests that nginx answers alone (400, 413, 502, a cache hit) never reach the application: they are in this
# access log and nowhere else. request_id is in both, so the two can be compared.

# Who it was, as the application said in its response headers (percent-encoded; "-" when it said nothing).
# An answer from nginx's own cache carries the headers of the request that filled the cache: the user in them is
# somebody else, so "-" is logged. REVALIDATED is one of them, nginx then takes all headers from the cache.
map "$upstream_cache_status:$upstream_http_@user@" $auditmw_user {
    default                                     $upstream_http_@user@;
    "~^(?:HIT|STALE|UPDATING|REVALIDATED):"     "-";
    "~^[^:]*:$"                                 "-";
}
map "$upstream_cache_status:$upstream_http_@session@" $auditmw_session {
    default                                     $upstream_http_@session@;
    "~^(?:HIT|STALE|UPDATING|REVALIDATED):"     "-";
    "~^[^:]*:$"                                 "-";
}

# Only websockets are upgraded. Passing on every Upgrade header would let a client ask the application for h2c and
# then send requests that nginx does not see.
map $http_upgrade $auditmw_upgrade {
    default         "";
    "~*^websocket$" "websocket";
}
# Connection is empty for all others: nginx's default "close" would end the kept-alive connections below.
map $auditmw_upgrade $auditmw_connection {
    default     "";
    "websocket" "upgrade";
}

# The combined format, then user and session, then what is needed to tell whether they can be right
# (cache), to find the event (request_id) and to see where time went (seconds: whole, upstream).
# The default escaping stays: it writes quotes and control characters as \\xHH, so no client can forge a field.
log_format extended '$remote_addr - $remote_user [$time_local] "$request" '
                    '$status $body_bytes_sent "$http_referer" '
                    '"$http_user_agent" '
                    'userid="$auditmw_user" sessionid="$auditmw_session" '
                    'cache="$upstream_cache_status" request_id="$request_id" '
                    'request_time="$request_time" upstream_time="$upstream_response_time"';
@json_format@
upstream auditmw_app {
    server @upstream@;
    # Idle connections that each worker keeps to the application; needs HTTP/1.1 and an empty Connection, see below.
    keepalive 16;
}

server {
    listen @listen@;
    server_name @server_name@;

    # A location or server that has an access_log of its own does not write this one.
    access_log @access_log@ extended;
@json_log@
    # proxy_set_header, proxy_hide_header and add_header are inherited as a whole or not at all: a location that has one
    # such line of its own loses all of these. Copy them there (or put them into a file and include it in both).

    proxy_http_version 1.1;                                      # keepalive and websockets need it
    proxy_set_header Upgrade           $auditmw_upgrade;
    proxy_set_header Connection        $auditmw_connection;

    proxy_set_header Host              $http_host;               # with the port, for links and redirects
    proxy_set_header X-Forwarded-Proto $scheme;
    # Appended, not replaced: auditmw walks it from the right over the trusted proxies, up to the first address that
    # is none, and keeps the rest as a claim. A uvicorn that does the same itself hides nginx from auditmw, which then
    # does not send it the user: start it with --no-proxy-headers.
    proxy_set_header X-Forwarded-For   $proxy_add_x_forwarded_for;
    proxy_set_header Forwarded         "";                       # the other spellings of the same: whatever stands
    proxy_set_header X-Real-IP         $remote_addr;             # in them, the client wrote

    # One id for the request in this log, in the event and in the response. nginx makes it, a client's is not taken.
    # The client is told it by nginx, so that it is also right on a cached page and there on an error page of nginx.
    proxy_set_header X-Request-ID      $request_id;
    proxy_hide_header X-Request-ID;
    add_header X-Request-ID            $request_id always;

    # This nginx is the edge: whoever is outside must not choose the trace that a request is filed under.
    # Behind a gateway of your own that starts traces, remove these four lines and its ids are continued.
    proxy_set_header traceparent       "";
    proxy_set_header tracestate        "";
    proxy_set_header X-Trace-Id        "";
    proxy_set_header X-Correlation-ID  "";

    # No client may say who it is. (X_Userid, with an underscore, is dropped by nginx unless
    # underscores_in_headers is on: leave it off.)
    proxy_set_header @User-Header@ "";
    proxy_set_header @Session-Header@ "";

    # The client does not need to see them; the log has them all the same ($upstream_http_* is what the application
    # sent, before this).
    proxy_hide_header @User-Header@;
    proxy_hide_header @Session-Header@;

    location / {
        proxy_pass http://auditmw_app;
    }
}
"""

JSON_FORMAT = """
# The same as JSON. Every value is a string: an absent number would be nothing at all, which is not JSON.
# nginx writes bytes above 7F as they came: a client that sends no UTF-8 makes a line that is not valid UTF-8 either.
log_format auditmw_json escape=json
    '{"time_iso8601":"$time_iso8601","msec":"$msec","remote_addr":"$remote_addr","remote_port":"$remote_port",'
    '"remote_user":"$remote_user","request_method":"$request_method","scheme":"$scheme","host":"$host",'
    '"request_uri":"$request_uri","server_protocol":"$server_protocol","status":"$status",'
    '"body_bytes_sent":"$body_bytes_sent","request_length":"$request_length","http_referer":"$http_referer",'
    '"http_user_agent":"$http_user_agent","userid":"$auditmw_user","sessionid":"$auditmw_session",'
    '"upstream_cache_status":"$upstream_cache_status","request_id":"$request_id","request_time":"$request_time",'
    '"upstream_response_time":"$upstream_response_time","upstream_addr":"$upstream_addr",'
    '"upstream_status":"$upstream_status"}';
"""


def render(
    *,
    upstream: str,
    server_name: str = "_",
    listen: str = "80",
    user_header: str = "X-Userid",
    session_header: str = "X-Sessionid",
    access_log: str = "/var/log/nginx/access.log",
    json_log: bool = False,
) -> str:
    """Return the configuration for the http {} block; the arguments must be as `nginx_config` checks them."""
    json_path = PurePosixPath(access_log).with_suffix(".json")
    values = {
        "user": user_header.lower().replace("-", "_"),
        "session": session_header.lower().replace("-", "_"),
        "User-Header": user_header,
        "Session-Header": session_header,
        "upstream": upstream,
        "listen": listen,
        "server_name": server_name,
        "access_log": access_log,
        "json_format": JSON_FORMAT if json_log else "",
        "json_log": f"    access_log {json_path} auditmw_json;\n" if json_log else "",
    }
    return re.sub("@([A-Za-z_-]+)@", lambda match: values[match[1]], TEMPLATE)


def _checked(valid: Callable[[str], bool], expected: str) -> Callable[[click.Context, click.Parameter, str], str]:
    """Return an option's callback that lets through what is valid and else says what was expected."""

    def check(ctx: click.Context, param: click.Parameter, value: str) -> str:
        if not valid(value):
            raise click.BadParameter(f"expected {expected}, not {value!r}")
        return value

    return check


def _is_port(value: str) -> bool:
    return bool(_PORT.fullmatch(value)) and int(value) <= 65535


def _is_path(value: str) -> bool:
    return (
        bool(_PATH.fullmatch(value)) and not value.endswith("/") and PurePosixPath(value).name not in ("off", "..", "")
    )


def _is_unix(value: str) -> bool:
    # nginx takes what stands after a second colon for the URI; sun_path holds 108 bytes (unix(7)).
    path = value.removeprefix("unix:")
    return path != value and path.startswith("/") and len(path) < 108 and bool(_PATH.fullmatch(path))


def _is_endpoint(value: str) -> bool:
    host, colon, port = value.rpartition(":")
    if not colon or not _is_port(port):
        return False
    if host.startswith("[") and host.endswith("]"):
        return _is_ip(host[1:-1], 6)
    if re.fullmatch(r"[0-9.]+", host, re.ASCII):
        return _is_ip(host, 4)
    return len(host) <= 253 and bool(_HOST_NAME.fullmatch(host))


def _is_ip(value: str, number: int) -> bool:
    try:
        return ipaddress.ip_address(value).version == number and "%" not in value
    except ValueError:
        return False


def _is_upstream(value: str) -> bool:
    return _is_unix(value) or _is_endpoint(value)


def _is_listen(value: str) -> bool:
    return _is_port(value) or _is_upstream(value)


def _are_server_names(value: str) -> bool:
    return all(_SERVER_NAME.fullmatch(name) and len(name) <= 253 for name in value.split(" "))


def _is_taken(name: str) -> bool:
    return f" {name} " in _TAKEN or name.startswith("x-accel-")


def _is_header(value: str) -> bool:
    return bool(_HEADER.fullmatch(value)) and len(value) <= _MAX_HEADER and not _is_taken(value.lower())


_UPSTREAM = _checked(_is_upstream, "HOST:PORT, [IPV6]:PORT or unix:/absolute/path")
_LISTEN = _checked(_is_listen, "PORT, ADDRESS:PORT, [IPV6]:PORT or unix:/absolute/path")
_SERVER_NAMES = _checked(_are_server_names, "names like 'example.com *.example.com'")
_HEADER_NAME = _checked(_is_header, "a header of its own such as X-Userid: letters, digits and '-', at most 46")
_LOG_FILE = _checked(_is_path, "a file, of letters, digits and _ . / + @ -")


_option = partial(click.option, show_default=True)


@click.command(
    "nginx-config",
    cls=ExampleCommand,
    short_help="Print an nginx configuration that logs who it was.",
    examples="""
    auditmw nginx-config > /etc/nginx/conf.d/auditmw.conf
    auditmw nginx-config --upstream unix:/run/shop.sock --server-name shop.example.com --json-log
    auditmw nginx-config --user-header X-User --session-header X-Session
    """,
)
@_option("--upstream", default="127.0.0.1:8000", callback=_UPSTREAM, metavar="ADDRESS", help="The application.")
@_option("--server-name", default="_", callback=_SERVER_NAMES, metavar="NAMES", help="Separated by a space.")
@_option("--listen", default="80", callback=_LISTEN, metavar="ADDRESS", help="Where nginx listens.")
@_option("--user-header", default="X-Userid", callback=_HEADER_NAME, metavar="NAME", help="As in Audit(...).")
@click.option(
    "--session-header", default="X-Sessionid", callback=_HEADER_NAME, metavar="NAME", help="As in Audit(...)."
)
@_option("--access-log", default="/var/log/nginx/access.log", callback=_LOG_FILE, metavar="FILE", help="The log.")
@click.option("--json-log", is_flag=True, help="Also log as JSON, beside the access log (access.json).")
def nginx_config(**arguments: Any) -> None:
    """Print an nginx configuration that logs who every request was, and shows it to no client."""
    if arguments["user_header"].lower() == arguments["session_header"].lower():
        raise click.UsageError("--user-header and --session-header must differ")
    if arguments["json_log"] and arguments["access_log"].endswith(".json"):
        raise click.UsageError("--json-log writes into a file with the suffix .json; give --access-log another one")
    click.echo(render(**arguments), nl=False)
