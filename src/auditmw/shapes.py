"""What secrets look like: credentials that are known by their shape, wherever they stand."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial

REDACTED = "REDACTED"  # the word of the OpenTelemetry semantic conventions, safe in a URL

# Shapes of credentials, each looked for only where its trigger stands in the lower-cased text. What could start again
# at each position of a long run (JWT, Bearer) consumes the run, by possessive quantifiers: nothing is quadratic.
_PEM_BEGIN = re.compile("-----BEGIN [A-Z0-9 ]{0,32}PRIVATE KEY(?: BLOCK)?-----")  # RFC 7468 §10, OpenSSH, OpenPGP
_JWT = re.compile(r"eyJ[\w-]*+(?:\.[\w-]*+)*+", re.ASCII)  # also JWE and what itsdangerous signs: base64url of {"...
_ANY_SPACE = r"(?:[ \t+]|%20)"
_PROSE = r"(?:tokens?|auth|authentication|authorization|of|schemes?|headers?)(?![\w.~+/=-])"
_BEARER = re.compile(rf"(bearer{_ANY_SPACE}++)(?!{_PROSE}|\w+=\")[^\s\"'&,;<>]++", re.IGNORECASE | re.ASCII)
# "Basic plan" is English; base64 of user:password (RFC 7617) has more in it than the letters of one word.
_WORD = r"(?:[A-Z]?[a-z]+|[A-Z]+)(?![\w+/=-])"
_BASIC = re.compile(rf"((?i:basic){_ANY_SPACE}++)(?!{_WORD})[\w+/-]{{4,}}+=*+", re.ASCII)
USERINFO = re.compile(r"://[^/?#\s\"<>]+@")
_CARD = re.compile(
    # Not a part of a hexadecimal id, and not the decimals of a number; right after a percent-escape counts.
    r"[0-9](?:(?<![0-9A-Fa-f%].)(?<![0-9]\..)|(?<=%[0-9A-Fa-f]{2}.))(?:[0-9]{12,18}|[0-9]{3}([ +-]|%20)"
    r"(?:[0-9]{4}\1[0-9]{4}\1[0-9]{1,7}|[0-9]{6}\1[0-9]{4,5}))(?![0-9A-Fa-f])",
    re.DOTALL,
)
_DOUBLED = str.maketrans("0123456789", "0246813579")  # the digit sum of twice the digit
SHORTEST = 7  # x://a@h


def _classes(special: bytes) -> bytes:
    """Make a table for `is_plain`: a digit is 0, a hyphen z, another harmless character a, all else !."""
    classes = dict.fromkeys(range(0x21, 0x7F), "a") | dict.fromkeys(b"0123456789", "0") | {ord("-"): "z"}
    return "".join((classes | dict.fromkeys(special, "!")).get(code, "!") for code in range(256)).encode()


TEXT = _classes(b"AJ@+%")  # AKIA, ASIA, AIza, pypi-A; eyJ; userinfo; what may stand for the space after "Bearer"
PATH = _classes(b"AJ@+%;")  # also what begins a parameter
QUERY = _classes(b"AJ@+%;?#{[")  # also what a value needs to be encoded, to be a URL with a query, or to be JSON


def is_plain(value: str, classes: bytes) -> bool:
    """Whether ASCII text holds none of what every shape needs something of: some 0.2 us instead of 1 us in `mask`."""
    if "xox" in value or ("_" in value and ("gh" in value or "_pat_" in value or "_live_" in value)):
        return False
    if not value.isascii():
        return False
    seen = value.encode().translate(classes)
    return seen.isalnum() and (seen.count(b"0") < 13 or (seen.find(b"0" * 13) < 0 and seen.find(b"0000z0000") < 0))


def mask(value: str) -> str:
    """Take credentials of a known shape out of a text; the same object when there are none."""
    lower = value.lower()
    clean = value
    for trigger, take_out in _SHAPES:
        if trigger in lower:
            clean = take_out(clean)
    clean = _CARD.sub(_hide_card, clean)
    return value if clean == value else clean


def _hide_pem(value: str) -> str:
    """Take out private keys; one whose end is missing takes the text up to the next key, or to the end, with it."""
    before, *keys = _PEM_BEGIN.split(value)
    return REDACTED.join([before, *(key.partition("-----END ")[2].partition("-----")[2] for key in keys)])


def _hide_card(match: re.Match[str]) -> str:
    digits = "".join(filter(str.isdigit, match[0].replace("%20", "")))
    return REDACTED if is_card(digits) else match[0]


def is_card(digits: str) -> bool:
    """Whether the digits can be a card's number: Luhn (ISO/IEC 7812-1).

    Times since 1970 begin with 1 until 2033; of cards, only the 15 digits of UATP do.
    """
    if digits[0] == "1" and len(digits) in (13, 16, 19):
        return False
    odd, even = digits[-1::-2], digits[-2::-2]
    return (sum(map(int, odd)) + sum(map(int, even.translate(_DOUBLED)))) % 10 == 0


_SHAPES: tuple[tuple[str, Callable[[str], str]], ...] = (
    ("private key", _hide_pem),
    ("eyj", partial(_JWT.sub, lambda found: REDACTED if "." in found[0][10:-1] else found[0])),
    ("bearer", partial(_BEARER.sub, rf"\1{REDACTED}")),
    ("basic", partial(_BASIC.sub, rf"\1{REDACTED}")),
    ("://", partial(USERINFO.sub, f"://{REDACTED}@")),
    ("akia", partial(re.compile("AKIA[A-Z0-9]{16,}").sub, REDACTED)),
    ("asia", partial(re.compile("ASIA[A-Z0-9]{16,}").sub, REDACTED)),
    ("gh", partial(re.compile(r"gh[a-z]_\w{16,}", re.ASCII).sub, REDACTED)),
    ("github_pat_", partial(re.compile(r"github_pat_\w{16,}", re.ASCII).sub, REDACTED)),
    ("xox", partial(re.compile(r"xox[a-np-z]-[\w-]{10,}", re.ASCII).sub, REDACTED)),
    ("_live_", partial(re.compile(r"[sr]k_live_\w{10,}", re.ASCII).sub, REDACTED)),
    ("aiza", partial(re.compile(r"AIza[\w-]{30,}", re.ASCII).sub, REDACTED)),
    ("pypi-a", partial(re.compile(r"pypi-A[\w-]{15,}", re.ASCII).sub, REDACTED)),
)
