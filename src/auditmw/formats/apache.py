"""Apache httpd's access logs: the common and the combined format, and any other `LogFormat`.

Source: the documentation of mod_log_config, mod_logio, mod_ssl and mod_unique_id of Apache httpd 2.4. `%t` is the time
at which the request was received, `%b` is `-` for no bytes.
"""

from __future__ import annotations

import re
from functools import partial
from typing import Any

from auditmw.formats.line import FormatError, LineFormat
from auditmw.formats.lines import escapes, times
from auditmw.formats.lines.assembly import Variable
from auditmw.formats.lines.homes import Duration, Home, MaybeEmpty, Moment, Number, Text, User
from auditmw.formats.lines.http_homes import (
    ADDRESS,
    BODY_SIZE,
    FORWARDED,
    METHOD,
    PATH,
    RECEIVED_SIZE,
    REQUEST,
    REQUEST_ID,
    SIZE,
    STATUS,
    VERSION,
    CommonSize,
    Header,
    Host,
    PathAndQuery,
    Query,
)
from auditmw.formats.lines.template import Part, Slot, literals_merged
from auditmw.formats.lines.text import Family, TextFormat

COMMON = '%h %l %u %t "%r" %>s %b'
COMBINED = f'{COMMON} "%{{Referer}}i" "%{{User-Agent}}i"'
VHOST_COMBINED = f"%v:%p {COMBINED}"

DIRECTIVE = re.compile(r"%([0-9,!<>]*)(?:\{([^}]*)\})?([0-9,!<>]*)(U%q|\^[A-Za-z]{2}|[A-Za-z%])")
_IN_CONFIG = re.compile(r'\s*LogFormat\s+"((?:[^"\\]|\\.)*)"(?:\s+([\w-]+))?\s*', re.IGNORECASE)
_NAMES = {COMMON: "common", COMBINED: "combined", VHOST_COMBINED: "vhost_combined"}
_port = partial(Number, most=65_535)


def _as_units(nanoseconds: int, unit: int) -> str:
    return str(nanoseconds // unit)


def _units(text: str, unit: int) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 16):
        raise ValueError(f"expected a number, not {text[:40]!r}")
    return int(text) * unit


def _duration(unit: int, rank: int) -> Duration:
    return Duration(partial(_units, unit=unit), partial(_as_units, unit=unit), rank=rank)


def _moment(unit: int) -> Moment:
    """Return the home of a number of these units since 1970; `unit` in nanoseconds."""
    return Moment(
        lambda text: times.from_nanoseconds(_units(text, unit)),
        lambda moment: _as_units(times.to_nanoseconds(moment), unit),
        rank=0,
        of="start",
    )


_PLAIN: dict[str, Home | None] = {
    "a": ADDRESS,
    "h": ADDRESS,
    "u": Text("actor", "name"),
    "t": Moment(times.clf_timestamp, times.as_clf, rank=1, of="start"),
    "r": REQUEST,
    "m": METHOD,
    "U": PATH,
    "q": Query("url", "query"),
    "U%q": PathAndQuery("url", "path"),
    "H": VERSION,
    "s": STATUS,
    "b": CommonSize("http", "response", "body_size"),
    "B": BODY_SIZE,
    "O": SIZE,
    "I": RECEIVED_SIZE,
    "D": _duration(1_000, 0),
    "T": _duration(10**9, 2),
    "v": Text("server", "address"),
    "V": Text("server", "address"),
    "p": _port("server", "port"),
    **dict.fromkeys(("A", "f", "k", "l", "L", "P", "R", "X", "S"), None),
}
_WITH_PARAMETER: dict[tuple[str, str], Home | None] = {
    ("a", "c"): Text("client", "peer_address"),
    ("p", "canonical"): _port("server", "port"),
    ("p", "remote"): _port("client", "port"),
    ("t", "sec"): _moment(10**9),
    ("t", "msec"): _moment(10**6),
    ("t", "usec"): _moment(10**3),
    ("T", "us"): _duration(10**3, 0),
    ("T", "ms"): _duration(10**6, 1),
    ("T", "s"): _duration(10**9, 2),
    ("e", "unique_id"): REQUEST_ID,
    ("x", "ssl_protocol"): Text("tls", "version"),
    ("x", "ssl_cipher"): Text("tls", "cipher"),
    ("i", "referer"): MaybeEmpty("http", "request", "referrer"),
    ("i", "user-agent"): MaybeEmpty("http", "request", "user_agent"),
    ("i", "content-type"): Text("http", "request", "content_type"),
    ("i", "host"): Host("url", "host"),
    ("i", "x-forwarded-for"): FORWARDED,
    ("o", "content-type"): Text("http", "response", "content_type"),
    ("o", "x-request-id"): REQUEST_ID,
}
_WHO = {"x-userid": ("actor", "id"), "x-sessionid": ("session", "id")}
_KEPT = frozenset("aCehLnpPx")  # directives with a parameter whose values have no other home than `source.fields`
_SHAPES = {"s": (r"\d{3}", True), "t": (times.CLF, True), **dict.fromkeys("bBDIOTkp", (r"\d+", False))}


class UnknownDirectiveError(FormatError):
    """A directive that only apachelogs knows."""


def slots_of(directive: str, *, decode_userid: bool = False) -> list[Part]:
    """Return the parts of a line that a directive stands for. Raises UnknownDirectiveError."""
    match = DIRECTIVE.fullmatch(directive)
    if match is None:
        raise UnknownDirectiveError(f"expected a directive such as %h or %{{Referer}}i, not {directive!r}")
    _, parameter, _, letter = match.groups()
    if letter == "%":
        return ["%"]
    if parameter is None:
        if letter not in _PLAIN:
            raise UnknownDirectiveError(f"unknown directive {directive!r}")
        shape, fixed = _SHAPES.get(letter, (None, False))
        slot = Slot(
            Variable(directive, _PLAIN[letter], counts=letter == "b"), shape, fixed, spaced=letter in ("r", "u")
        )
        return ["[", slot, "]"] if letter == "t" else [slot]
    return [Slot(Variable(directive.lower(), _home(letter, parameter.lower(), decode_userid)))]


def _home(letter: str, parameter: str, decode_userid: bool) -> Home | None:
    if (letter, parameter) in _WITH_PARAMETER:
        return _WITH_PARAMETER[letter, parameter]
    if letter == "o" and parameter in _WHO:
        return User(*_WHO[parameter], decoded=decode_userid)
    if letter in ("i", "o"):
        return Header("http", "request" if letter == "i" else "response", "headers", parameter)
    if letter not in _KEPT:
        raise UnknownDirectiveError(f"unknown directive %{{{parameter}}}{letter}")
    return None


def parts_of(log_format: str, *, decode_userid: bool = False) -> list[Part]:
    """Return the literal texts and slots of a `LogFormat` string. Raises UnknownDirectiveError."""
    parts: list[Part] = []
    end = 0
    for match in DIRECTIVE.finditer(log_format):
        parts += [log_format[end : match.start()], *slots_of(match[0], decode_userid=decode_userid)]
        end = match.end()
    return [*parts, log_format[end:]]


_FAMILY = Family(
    dialect=escapes.APACHE,
    basis="start",
    combined=tuple(literals_merged(parts_of(COMBINED))),
    size=r"[1-9]\d{0,14}|-",
    time="%t",
)


class ApacheFormat(TextFormat):
    """One `LogFormat` of directives that auditmw itself knows; `name` is what events call it.

    Raises UnknownDirectiveError for others, FormatError for a text of which a line could not be read.
    """

    def __init__(self, log_format: str, name: str = "", decode_userid: bool = False) -> None:
        self.log_format, self.decode_userid = log_format, decode_userid
        parts = parts_of(log_format, decode_userid=decode_userid)
        super().__init__(name or f"apache:{_NAMES.get(log_format, 'custom')}", parts, _FAMILY)

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickled as what it was made of: regular expressions are compiled anew."""
        return type(self), (self.log_format, self.name, self.decode_userid)


def apache_format(log_format: str, *, name: str = "", decode_userid: bool = False) -> LineFormat:
    r"""Return the format of a `LogFormat` string, or of the whole directive as it stands in a configuration.

    Directives that auditmw does not know itself are left to apachelogs, which is slower and renders nothing.
    Raises FormatError for what is no `LogFormat`, and when apachelogs is needed and missing.
    """
    match = _IN_CONFIG.fullmatch(log_format)
    if match:
        log_format = match[1]
        name = name or (f"apache:{match[2].lower()}" if match[2] else "")
    if '\\"' in log_format:
        log_format = re.sub(r"\\(.)", lambda each: {"t": "\t", "n": "\n"}.get(each[1], each[1]), log_format)
    if not DIRECTIVE.search(log_format):
        raise FormatError(f"expected a LogFormat with directives such as %h, not {log_format[:80]!r}")
    try:
        return ApacheFormat(log_format, name, decode_userid)
    except UnknownDirectiveError as error:
        from auditmw.formats.lines.apache_other import OtherApacheFormat

        return OtherApacheFormat(log_format, name, decode_userid, because=str(error))
