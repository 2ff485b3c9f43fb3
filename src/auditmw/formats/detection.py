"""What format an input has, told from its first lines, and why."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import NamedTuple

from auditmw.formats import apache
from auditmw.formats.caddy import CaddyFormat
from auditmw.formats.datapunt import DatapuntFormat
from auditmw.formats.line import FormatError, LineError, LineFormat
from auditmw.formats.lines.nginx_descriptions import COMBINED, description_of, template_of
from auditmw.formats.lines.nginx_variables import HOMES
from auditmw.formats.nginx import NginxFormat
from auditmw.formats.reblaze import ReblazeFormat
from auditmw.formats.traefik import TraefikFormat
from auditmw.formats.traefik_common import TraefikCommonFormat
from auditmw.formats.typographic import ADVICE, TypographicFormat, is_typographic
from auditmw.formats.w3c import W3cFormat

_LOOKED_AT, _LONGEST_LINE_BYTES = 100, 65_536  # lines; longer ones tell nothing more
_FEWEST_KEYS = 2  # that must be known, to take JSON for nginx's
_W3C = re.compile(rb"(?:\xef\xbb\xbf)?#\s*(?:Version|Fields|Software|Date|Start-Date|Remark)\s*:", re.IGNORECASE)
_JOURNAL = b'"schema":"auditmw.event/'
# What only Apache writes: no size for no bytes, letters behind a backslash, small hexadecimal digits.
_APACHE = re.compile(rb'" \d{3} - "|\\["nrtbv\\]|\\x(?:[0-9a-f][a-f]|[a-f][0-9])')
# What only nginx writes: quotes as hexadecimal digits, and those in capitals.
_NGINX = re.compile(rb"\\x(?:[0-9A-F][A-F]|[A-F][0-9]|22)")
_TELL = "give the text of its log_format or LogFormat, or one of the names of formats, instead of auto"


class Detection(NamedTuple):
    """The format that an input has; `why` is a sentence, `advice` one about what is wrong with it."""

    format: LineFormat
    why: str
    advice: str | None = None


def detect(first_lines: Sequence[bytes], *, decode_userid: bool = False) -> Detection:
    """Return the format that these lines, the first of an input, are in.

    `decode_userid`: user and session come from the middleware, which percent-encodes them. Raises FormatError, which
    says what was seen, when there is no line, or no format reads at least half of them.
    """
    lines = [line for line in first_lines[:_LOOKED_AT] if len(line) <= _LONGEST_LINE_BYTES and line.strip()]
    if not lines:
        raise FormatError(f"expected an access log, but no line of up to {_LONGEST_LINE_BYTES} bytes is in it")
    if any(map(_W3C.match, lines)):
        return Detection(W3cFormat(), "w3c: it says in #Fields what stands in its lines")
    if any(_JOURNAL in line for line in lines):
        raise FormatError("expected an access log, but these lines are events of auditmw, which its queries read")
    if lines[0].lstrip().startswith(b"{"):
        return _detect_json(lines, decode_userid)
    return _detect_text(lines, decode_userid)


def _detect_json(lines: Sequence[bytes], decode_userid: bool) -> Detection:
    servers: tuple[tuple[LineFormat, str], ...] = (
        (CaddyFormat(), "Caddy"),
        (TraefikFormat(), "Traefik"),
        (DatapuntFormat(), "DataPunt's audit log"),
    )
    for parser, server in servers:
        events = _events(parser, lines)
        if events:
            return _detection(parser, events, lines, f"have the keys of {server}")
    template = next(filter(None, map(template_of, _texts(lines))), None)
    if template is None:
        raise FormatError(f"expected JSON, as the first line begins like it, not {lines[0][:80]!r}")
    parser = NginxFormat(template, "nginx:json", "json", decode_userid)
    known = [variable.name for variable in parser.variables if variable.name in HOMES]
    if len(known) < _FEWEST_KEYS:
        raise FormatError(f"nothing tells what these keys of JSON mean ({template[:200]}): {_TELL}")
    return _detection(parser, _events(parser, lines), lines, f"have keys for {', '.join(known)}")


def _detect_text(lines: Sequence[bytes], decode_userid: bool) -> Detection:
    if any(map(is_typographic, lines)):
        odd = TypographicFormat(decode_userid)
        found = _detection(odd, _events(odd, lines), lines, "are nginx's, with typographic quotes")
        return found._replace(advice=ADVICE)
    described = Counter(filter(None, map(description_of, _texts(lines)))).most_common(1)
    own = NginxFormat(described[0][0] if described else COMBINED, decode_userid=decode_userid)
    combined = apache.ApacheFormat(apache.COMBINED, "apache:combined", decode_userid)
    candidates: list[tuple[LineFormat, str]] = [
        (ReblazeFormat(), "have the 42 fields of Reblaze"),
        (TraefikCommonFormat(), "are as Traefik writes them unless told otherwise"),
        (own, f"are nginx's, as by log_format '{own.log_format}'"),
        (apache.ApacheFormat(apache.VHOST_COMBINED), "have the virtual host, and then Apache's combined format"),
        (combined, "are in Apache's combined format"),
        (apache.ApacheFormat(apache.COMMON), "are in the common log format"),
    ]
    counts = [_events(parser, lines) for parser, _ in candidates]
    best = counts.index(max(counts))
    parser, what = candidates[best]
    if counts[best] * 2 < len(lines):
        raise FormatError(f"no known format reads most of the first lines, such as {lines[0][:80]!r}: {_TELL}")
    if own.log_format == COMBINED and parser in (own, combined):
        return _nginx_or_apache(own, combined, lines)
    return _detection(parser, counts[best], lines, what)


def _nginx_or_apache(own: LineFormat, combined: LineFormat, lines: Sequence[bytes]) -> Detection:
    """Tell the combined formats of the two servers apart, which are the same for most lines."""
    apaches, nginxes = (sum(map(bool, map(sign.search, lines))) for sign in (_APACHE, _NGINX))
    if apaches > nginxes:
        so = f"{apaches} as only Apache writes them"
        return _detection(combined, _events(combined, lines), lines, f"are combined, {so}")
    so = f"{nginxes} as only nginx writes them" if nginxes else "which nothing tells from Apache's: name that if it is"
    return _detection(own, _events(own, lines), lines, f"are combined, {so}")


def _texts(lines: Sequence[bytes]) -> Iterator[str]:
    return (line.decode("utf-8", "surrogateescape").removesuffix("\r") for line in lines)


def _detection(parser: LineFormat, events: int, lines: Sequence[bytes], what: str) -> Detection:
    return Detection(parser, f"{parser.name}: {events} of the first {len(lines)} lines {what}")


def _events(parser: LineFormat, lines: Sequence[bytes]) -> int:
    """Return of how many of the lines the format makes an event."""
    events = 0
    for line in lines:
        with suppress(LineError):
            events += parser.parse(line) is not None
    return events
