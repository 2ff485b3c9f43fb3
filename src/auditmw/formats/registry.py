"""The formats by their names, as `--format` takes them."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import partial

from auditmw.formats import apache
from auditmw.formats.caddy import CaddyFormat
from auditmw.formats.datapunt import DatapuntFormat
from auditmw.formats.line import FormatError, LineFormat
from auditmw.formats.lines import nginx_descriptions as nginx
from auditmw.formats.lines.nginx_conf import format_of
from auditmw.formats.nginx import NginxFormat
from auditmw.formats.reblaze import ReblazeFormat
from auditmw.formats.traefik import TraefikFormat
from auditmw.formats.traefik_common import TraefikCommonFormat
from auditmw.formats.typographic import TypographicFormat
from auditmw.formats.w3c import W3cFormat

_NGINX = {"nginx:combined": nginx.COMBINED, "nginx:main": nginx.MAIN, "nginx:extended": nginx.EXTENDED}
_APACHE = {
    "apache:common": apache.COMMON,
    "apache:combined": apache.COMBINED,
    "apache:vhost_combined": apache.VHOST_COMBINED,
}
_OTHERS: dict[str, Callable[[], LineFormat]] = {
    "reblaze": ReblazeFormat,
    "caddy:json": CaddyFormat,
    "traefik:json": TraefikFormat,
    "traefik:clf": TraefikCommonFormat,
    "w3c": W3cFormat,
    "datapunt:0.4": DatapuntFormat,
    "datapunt:readme": partial(DatapuntFormat, "readme"),
}
_ALIASES = {
    "nginx": "nginx:extended",  # which reads combined lines as well
    "nginx-json": "nginx:json",
    "combined": "nginx:combined",
    "extended": "nginx:extended",
    "apache": "apache:combined",
    "common": "apache:common",
    "caddy": "caddy:json",
    "traefik": "traefik:json",
    "iis": "w3c",
    "datapunt": "datapunt:0.4",
}
_OF_TEXT = {"traefik": "traefik:clf"}  # what a short form means where the lines are no JSON
NAMES = (*_NGINX, "nginx:json", "nginx:typographic", *_APACHE, *_OTHERS)
"""The names that `format_named` takes, beside short forms and descriptions."""

_LOG_FORMAT = re.compile(r"\s*log_format\s+(\S+)\s+(?:escape=(\w+)\s+)?(.*)", re.DOTALL)
_WORD = re.compile(r"""'((?:[^'\\]|\\.)*+)'|"((?:[^"\\]|\\.)*+)"|([^\s;'"][^\s;]*+)""", re.DOTALL)
_CONFIGURATION = re.compile(r"(.*\.conf)(?::([\w.-]+))?", re.DOTALL)


def format_named(text: str, *, decode_userid: bool = False, lines: Sequence[bytes] = ()) -> LineFormat:
    """Return the format that a text names or describes.

    `text`: one of `NAMES` or its short form; an nginx `log_format`, its text alone or the whole directive; an Apache
    `LogFormat`, likewise; the path of an nginx.conf, with `:NAME` after it where it has several formats.
    `decode_userid`: user and session come from the middleware, which percent-encodes them.
    `lines`: the first ones of the input, for the short form of a server that writes JSON or text.
    Raises FormatError for anything else.
    """
    name = text.strip().lower()
    first = next((line for line in map(bytes.lstrip, lines) if line), b"{")
    name = _ALIASES.get(name, name) if first.startswith(b"{") else _OF_TEXT.get(name, _ALIASES.get(name, name))
    if name in _NGINX:
        return NginxFormat(_NGINX[name], name, decode_userid=decode_userid)
    if name == "nginx:json":
        return NginxFormat(nginx.JSON, name, "json", decode_userid)
    if name == "nginx:typographic":
        return TypographicFormat(decode_userid)
    if name in _APACHE:
        return apache.ApacheFormat(_APACHE[name], name, decode_userid)
    if name in _OTHERS:
        return _OTHERS[name]()
    return _described(text, decode_userid)


def _described(text: str, decode_userid: bool) -> LineFormat:
    directive = _LOG_FORMAT.fullmatch(text)
    if directive:
        words = [one or two or three for one, two, three in _WORD.findall(directive[3])]
        text = re.sub(r"\\(.)", r"\1", "".join(words))
        return NginxFormat(text, "", directive[2] or "default", decode_userid)
    if "$" in text:
        escape = "json" if text.lstrip().startswith("{") else "default"
        return NginxFormat(text, "", escape, decode_userid)
    if "%" in text:
        return apache.apache_format(text, decode_userid=decode_userid)
    configuration = _CONFIGURATION.fullmatch(text)
    if configuration:
        return format_of(configuration[1], configuration[2] or "", decode_userid=decode_userid)
    raise FormatError(
        f"expected auto, one of {', '.join(NAMES)}, the text of an nginx log_format or an Apache LogFormat, "
        f"or the path of an nginx.conf, not {text[:80]!r}"
    )
