"""Lines of access logs as servers write them, of values that clients chose; the escaping is spelled out here once more.

Sources: nginx `ngx_http_log_escape` and `ngx_escape_json`, Apache httpd `ap_escape_logitem`.
"""

from __future__ import annotations

import gzip
import re
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

DATA = Path(__file__).parent / "data"
CRLF = {0x0A: "\\n", 0x0D: "\\r", 0x09: "\\t", 0x08: "\\b"}


def lines_of(name: str) -> list[bytes]:
    """The lines of a file in tests/data."""
    path = DATA / name
    return (
        (gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()).rstrip(b"\n").split(b"\n")
    )


def configured(name: str) -> str:
    """The text of one `log_format` in tests/data, its strings joined."""
    directive = re.search(rf"log_format {name}\b(.*?);\n", (DATA / "nginx/log_formats.conf").read_text(), re.DOTALL)
    return "".join(re.findall(r"'([^']*)'", directive[1]))


def nginx_default(value: bytes | None) -> bytes:
    """A value with escape=default."""
    if value is None:
        return b"-"
    return "".join(chr(b) if 0x20 <= b < 0x7F and b not in b'"\\' else f"\\x{b:02X}" for b in value).encode()


def nginx_json(value: bytes | None) -> bytes:
    """A value with escape=json."""
    short = {**CRLF, 0x0C: "\\f", 0x22: '\\"', 0x5C: "\\\\"}
    escaped = (short[b].encode() if b in short else b"\\u00%02X" % b if b < 0x20 else bytes([b]) for b in value or b"")
    return b"".join(escaped)


def apache(value: bytes | None) -> bytes:
    """A value in a log of Apache."""
    if value is None:
        return b"-"
    short = {**CRLF, 0x0B: "\\v", 0x22: '\\"', 0x5C: "\\\\"}
    return "".join(short.get(b) or (chr(b) if 0x20 <= b < 0x7F else f"\\x{b:02x}") for b in value).encode()


def imported(event: dict[str, Any]) -> dict[str, Any]:
    """The event with what the importer adds to it."""
    moment = "2026-11-20T21:00:00.000000Z"
    whole = {"id": "01a1fa9d-d878-856f-973d-0d0205f8be5f", "observed": moment, "timestamp": moment, **event}
    return {**whole, "source": {**event["source"], "raw_sha256": "0" * 64}}


ASCII = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=30).map(str.encode)
# Any bytes, but rarely the one text that says that there is none.
VALUES = (
    st.binary(max_size=40) | ASCII | st.text(max_size=20).map(lambda text: text.encode("utf-8", "replace"))
).filter(lambda value: value != b"-")
MAYBE = st.none() | VALUES
NONEMPTY = VALUES.filter(bool)
ADDRESSES = st.ip_addresses().map(lambda address: str(address).encode()) | st.just(b"unix:")
STATUSES = st.integers(0, 999).map(lambda code: b"%03d" % code)
SIZES = st.integers(0, 10**15 - 1).map(lambda size: b"%d" % size)
SECONDS = st.integers(0, 10**8).map(lambda ms: b"%d.%03d" % divmod(ms, 1000))
TARGETS = st.sampled_from([b"", b"/", b"/a%20b", b"*", b"http://H:80/x?y", b"//", b"/%zz%41%e9", b"/a?b=c&d"]).flatmap(
    lambda start: VALUES.map(lambda rest: start + rest)
)
REQUESTS = (
    st.tuples(
        st.sampled_from([b"GET", b"POST", b"get", b"PROPFIND", b"CONNECT", b"G=T", b""]),
        TARGETS,
        st.sampled_from([b"HTTP/1.1", b"HTTP/2.0", b"HTTP/2", b"HTTP/0.9", b"HTTP/11", b"FOO/1.1", b""]),
    ).map(b" ".join)
    | VALUES
)
TIMES = st.datetimes(datetime(1900, 1, 1), datetime(9998, 1, 1)).map(
    lambda at: at.strftime("%d/%b/%Y:%H:%M:%S ").encode()
)
ZONES = st.sampled_from([b"+0000", b"+0000", b"+0200", b"-0330", b"+1345", b"-0000"])
CLF_TIMES = st.tuples(TIMES, ZONES).map(b"".join)


def combined(escape: Callable[[bytes | None], bytes], request: st.SearchStrategy[bytes | None]) -> Any:
    """Lines that begin as the combined format does."""
    return st.tuples(ADDRESSES, MAYBE, CLF_TIMES, request, STATUSES, SIZES, MAYBE, MAYBE).map(
        lambda v: (
            b"%s - %s [%s] " % (v[0], escape(v[1]), v[2])
            + b'"%s" %s %s "%s" "%s"' % (escape(v[3]), v[4], v[5], escape(v[6]), escape(v[7]))
        )
    )
