r"""How a log writes bytes that would break its line, and those bytes back.

Sources: nginx `ngx_http_log_escape` and `ngx_escape_json` (tried on nginx 1.22.1); Apache 2.4 `ap_escape_logitem`;
Go's documentation of `strconv.Quote`, `strconv.UnquoteChar` and `unicode.IsPrint`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import NamedTuple

from auditmw.event import wire_text


class Dialect(NamedTuple):
    r"""One way to write values into a line.

    `absent` is written for a value that is not there. `inside` is a regular expression for the text of a value up to
    the characters that `{stop}` names: it never backtracks. `decode` gives the bytes of a value as it stands in the
    line (decoded as UTF-8 with `surrogateescape`), `encode` the text of bytes.
    """

    name: str
    absent: str
    inside: str
    decode: Callable[[str], bytes]
    encode: Callable[[bytes], bytes]


def text_of(dialect: Dialect, value: str) -> tuple[str, bool]:
    r"""Return a value's text for an event, and whether it is not UTF-8: in the form that `meta.escaped` means."""
    if value.isascii() and "\\" not in value:
        return value, False
    return wire_text(dialect.decode(value).decode("latin-1"))


def value_of(dialect: Dialect, text: str, escaped: bool) -> bytes:
    """Return an event's text as this dialect writes it; `escaped` when it has the form that `meta.escaped` means."""
    raw = text.encode("utf-8", "surrogatepass")
    return dialect.encode(_HEX.sub(_byte, raw) if escaped else raw)


_HEX = re.compile(rb"\\x([0-9A-Fa-f]{2})")


def _byte(match: re.Match[bytes]) -> bytes:
    return bytes((int(match[1], 16),))


def _bytes(value: str) -> bytes:
    try:
        return value.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:  # a surrogate that JSON wrote, not one that stands for a byte
        return value.encode("utf-8", "surrogatepass")


def _decode_hex(value: str) -> bytes:
    return _HEX.sub(_byte, _bytes(value))


_UNSAFE = re.compile(rb'[\x00-\x1f"\\\x7f-\xff]')


def _encode_default(raw: bytes) -> bytes:
    return _UNSAFE.sub(lambda match: b"\\x%02X" % match[0][0], raw)


def _decode_json(value: str) -> bytes:
    try:
        text: str = json.loads(f'"{value}"', strict=False)
    except ValueError:  # JSON that was logged without escape=json
        return _decode_hex(value)
    return _bytes(text)


_JSON_UNSAFE = re.compile(rb'[\x00-\x1f"\\]')
_JSON_NAMES = {b'"': b'\\"', b"\\": b"\\\\", b"\n": b"\\n", b"\r": b"\\r", b"\t": b"\\t", b"\b": b"\\b", b"\f": b"\\f"}


def _encode_json(raw: bytes) -> bytes:
    return _JSON_UNSAFE.sub(lambda match: _JSON_NAMES.get(match[0]) or b"\\u%04X" % match[0][0], raw)


_APACHE_ESCAPE = re.compile(rb"\\(?:x([0-9A-Fa-f]{2})|(.))", re.DOTALL)
_APACHE_LETTERS = {b"n": b"\n", b"r": b"\r", b"t": b"\t", b"b": b"\b", b"v": b"\v"}
_APACHE_NAMES = {b'"': b'\\"', b"\\": b"\\\\"} | {
    control: b"\\" + letter for letter, control in _APACHE_LETTERS.items()
}


def _decode_apache(value: str) -> bytes:
    def one(match: re.Match[bytes]) -> bytes:
        return _byte(match) if match[1] else _APACHE_LETTERS.get(match[2], match[2])

    return _APACHE_ESCAPE.sub(one, _bytes(value))


def _encode_apache(raw: bytes) -> bytes:
    return _UNSAFE.sub(lambda match: _APACHE_NAMES.get(match[0]) or b"\\x%02x" % match[0][0], raw)


_GO_ESCAPE = re.compile(rb'\\(?:(["\\abfnrtv])|x([0-9A-Fa-f]{2})|u([0-9A-Fa-f]{4})|U([0-9A-Fa-f]{8}))')
_GO_LETTERS = {b"a": b"\a", b"f": b"\f", **_APACHE_LETTERS}
_GO_NAMES = {control.decode(): f"\\{letter.decode()}" for letter, control in _GO_LETTERS.items()}
_GO_NAMES |= {'"': '\\"', "\\": "\\\\"}


def _decode_go(value: str) -> bytes:
    def one(match: re.Match[bytes]) -> bytes:
        letter, byte, short, long = match.groups()
        if letter:
            return _GO_LETTERS.get(letter, letter)
        if byte:
            return bytes((int(byte, 16),))
        try:
            return chr(int(short or long, 16)).encode()
        except (ValueError, OverflowError):  # no character has that number: Go did not write it
            return match[0]

    return _GO_ESCAPE.sub(one, _bytes(value))


def _encode_go(raw: bytes) -> bytes:
    return "".join(map(_go_character, raw.decode("utf-8", "surrogateescape"))).encode()


def _go_character(character: str) -> str:
    if character in _GO_NAMES:
        return _GO_NAMES[character]
    if character.isprintable():
        return character
    number = ord(character)
    if 0xDC80 <= number <= 0xDCFF:  # a byte that is not UTF-8
        return f"\\x{number - 0xDC00:02x}"
    if number < 0x20 or number == 0x7F:
        return f"\\x{number:02x}"
    return f"\\u{number:04x}" if number <= 0xFFFF else f"\\U{number:08x}"


# nginx never writes a quote into a value in its default escaping, so a quote always ends one; the others escape it.
_ESCAPING = r"[^{stop}\\]*+(?:\\.[^{stop}\\]*+)*+"
DEFAULT = Dialect("default", "-", r"[^{stop}]*+", _decode_hex, _encode_default)
JSON = Dialect("json", "", _ESCAPING, _decode_json, _encode_json)
NONE = Dialect("none", "-", "", _bytes, bytes)
APACHE = Dialect("apache", "-", _ESCAPING, _decode_apache, _encode_apache)
GO = Dialect("go", "-", _ESCAPING, _decode_go, _encode_go)
