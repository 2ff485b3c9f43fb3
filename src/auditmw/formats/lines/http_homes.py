"""Where a value of a log line lives in the event: the homes of what a request and its response are made of."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

from auditmw.event import SEVERITY, pointer_to
from auditmw.formats.line import Event
from auditmw.formats.lines import times
from auditmw.formats.lines.homes import Duration, Matching, Number, Place, Text, member
from auditmw.formats.lines.requests import (
    action_of,
    join_request,
    judge,
    readable_path,
    split_host,
    split_request,
    url_of,
)

_STATUS = re.compile(r"\d{3}", re.ASCII)
_TRACEPARENT = re.compile(r"00-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-[0-9a-f]{2}")
_PROTOCOL = re.compile(r"HTTP/([0-9](?:\.[0-9])?)")
_HEADER = re.compile(r"[!#$%&'*+.^_`|~0-9a-z-]{1,256}")
_BETWEEN_UPSTREAMS = re.compile(", | : ")  # nginx: servers tried in turn, and groups of them after a redirect
_MOST_HOPS, _MOST_UPSTREAMS, _MOST_HEADERS = 32, 64, 128  # the schema's limits


class Address(Text):
    """The client's address, which the log and nothing else tells."""

    def put(self, event: Event, text: str, escaped: bool = False) -> bool:
        """Write the address."""
        super().put(event, text)
        event["client"]["origin"] = "log"
        return True


class Status(Number):
    """The status code, with all that follows from it: outcome and level."""

    def __init__(self) -> None:
        super().__init__("http", "response", "status_code")

    def put(self, event: Event, text: str, escaped: bool = False) -> bool:
        """Write the code, and what follows from it."""
        code = status_code(text)
        self.set(event, code)
        event["level"], event["outcome"] = judge(code)
        event["severity"] = SEVERITY[event["level"]]
        return True

    def get(self, event: Event) -> str | None:
        """Return the three digits."""
        value = member(event, self.path)
        return f"{value:03d}" if isinstance(value, int) else None


class CommonSize(Number):
    """A number of bytes as Apache's `%b` writes it: nothing for 0."""

    def put(self, event: Event, text: str, escaped: bool = False) -> bool:
        """Write the number."""
        return super().put(event, "0" if text == "-" else text) and text != "0"

    def get(self, event: Event) -> str | None:
        """Return the number's digits, None for 0."""
        return super().get(event) if member(event, self.path) else None


class Request:
    """The request line: method, target, version, and the URL that the target is."""

    rank = 0
    claims: tuple[str, ...] = (
        "/http/request/method",
        "/http/request/target",
        "/http/version",
        "/url/path",
        "/url/query",
    )

    def put(self, event: Event, text: str, escaped: bool = False) -> bool:
        """Write the parts of the request line."""
        parts = split_request(text)
        if parts is None:
            raise ValueError("expected a request line")
        method, target, version = parts
        http = event["http"]
        http["version"] = version
        http["request"] = {"method": method, "target": target, **http.get("request", {})}
        event["url"] = {**event.get("url", {}), **url_of(target, method=method, escaped=escaped)}
        event["action"] = action_of(method)
        return True

    def get(self, event: Event) -> str | None:
        """Return the request line."""
        method, target = METHOD.get(event), TARGET.get(event)
        version = member(event, ("http", "version"))
        return join_request(method, target, version or "1.1") if method and target else None

    def texts(self, event: Event) -> Iterator[str]:
        """Return the JSON pointers of the texts that `put` wrote as they came."""
        return iter(("/http/request/target", "/url/query", "/url/host"))


class Target(Text):
    """The request target, and the URL that it is."""

    rank = 1

    def __init__(self) -> None:
        super().__init__("http", "request", "target")
        self.claims = ("/http/request/target", "/url/path", "/url/query")

    def put(self, event: Event, text: str, escaped: bool = False) -> bool:
        """Write the target and its parts."""
        super().put(event, text)
        event["url"] = {**event.get("url", {}), **url_of(text, escaped=escaped)}
        return True

    def get(self, event: Event) -> str | None:
        """Return the target, or where the event has none its path and query."""
        target = super().get(event)
        if target is not None:
            return target
        path, query = PATH.get(event), member(event, ("url", "query"))
        return path if not path or query is None else f"{path}?{query}"

    def texts(self, event: Event) -> Iterator[str]:
        """Return the JSON pointers of the texts that `put` wrote as they came."""
        return REQUEST.texts(event)


class Method(Text):
    """The method, and the action that it is."""

    def put(self, event: Event, text: str, escaped: bool = False) -> bool:
        """Write the method."""
        if len(text) > 64:
            raise ValueError("expected a method of at most 64 characters")
        super().put(event, text)
        event["action"] = action_of(text)
        return True


class Version(Text):
    """The version of HTTP, as `HTTP/1.1`."""

    def put(self, event: Event, text: str, escaped: bool = False) -> bool:
        """Write the version."""
        match = _PROTOCOL.fullmatch(text)
        if not match:
            raise ValueError("expected HTTP and a version")
        self.set(event, match[1])
        return True

    def get(self, event: Event) -> str | None:
        """Return the protocol and its version."""
        version = super().get(event)
        return None if version is None else f"HTTP/{version}"


class Path(Text):
    """The path alone, decoded or not."""

    def put(self, event: Event, text: str, escaped: bool = False) -> bool:
        """Write the path as the middleware does."""
        return super().put(event, readable_path(text, escaped=escaped)) and self.get(event) == text

    def texts(self, event: Event) -> Iterator[str]:
        """Return nothing: what is not ASCII is percent-encoded there."""
        return iter(())


class PathAndQuery(Path):
    """The path and, after a question mark, the query."""

    def __init__(self, *path: str) -> None:
        super().__init__(*path)
        self.claims = ("/url/path", "/url/query")

    def put(self, event: Event, text: str, escaped: bool = False) -> bool:
        """Write path and query."""
        path, _, query = text.partition("?")
        super().put(event, path, escaped)
        if query:
            event["url"]["query"] = query
        return self.get(event) == text

    def get(self, event: Event) -> str | None:
        """Return path and query."""
        path, query = super().get(event), member(event, ("url", "query"))
        return path if not path or query is None else f"{path}?{query}"

    def texts(self, event: Event) -> Iterator[str]:
        """Return the JSON pointer of the query."""
        return iter(("/url/query",))


class Query(Text):
    """The query with the question mark before it."""

    def put(self, event: Event, text: str, escaped: bool = False) -> bool:
        """Write the query."""
        return super().put(event, text.removeprefix("?")) and text.startswith("?")

    def get(self, event: Event) -> str | None:
        """Return the question mark and the query."""
        query = super().get(event)
        return None if query is None else f"?{query}"


class Host(Place):
    """A Host header: name and, where it has one, port."""

    def put(self, event: Event, text: str, escaped: bool = False) -> bool:
        """Write name and port."""
        parts = split_host(text)
        if parts is None:
            raise ValueError("expected a host")
        name, port = parts
        self.set(event, name)
        if port is not None:
            event[self.path[0]]["port"] = port
        return self.get(event) == text

    def get(self, event: Event) -> str | None:
        """Return the name, with its port where it has one."""
        name, port = member(event, self.path), member(event, (self.path[0], "port"))
        name = f"[{name}]" if name and ":" in name else name
        return name if port is None or not name else f"{name}:{port}"


class Header(Place):
    """A header that has no place of its own."""

    def put(self, event: Event, text: str, escaped: bool = False) -> bool:
        """Write the header's one value."""
        headers = member(event, self.path[:-1]) or {}
        if not _HEADER.fullmatch(self.path[-1]) or len(headers) >= _MOST_HEADERS:
            raise ValueError("expected a header")
        self.set(event, [text])
        return True

    def get(self, event: Event) -> str | None:
        """Return the header's values in one."""
        values = member(event, self.path)
        return ", ".join(values) if values else None

    def texts(self, event: Event) -> Iterator[str]:
        """Return the JSON pointers of the texts that `put` wrote as they came."""
        yield pointer_to("/" + "/".join(self.path[:-1]), self.path[-1]) + "/0"


class Forwarded(Place):
    """The chain that X-Forwarded-For claims."""

    def put(self, event: Event, text: str, escaped: bool = False) -> bool:
        """Write the chain."""
        hops = [hop.strip(" \t") for hop in text.split(",")]
        if not all(hops) or len(hops) > _MOST_HOPS:
            raise ValueError("expected a list of addresses")
        self.set(event, hops)
        return self.get(event) == text

    def get(self, event: Event) -> str | None:
        """Return the chain."""
        hops = member(event, self.path)
        return ", ".join(hops) if hops else None

    def texts(self, event: Event) -> Iterator[str]:
        """Return the JSON pointers of the texts that `put` wrote as they came."""
        yield from (f"/client/forwarded/{n}" for n in range(len(member(event, self.path) or ())))


class Claim(Place):
    """A client's `traceparent`: a claim that nothing in the log proves; its flags have no place in the event."""

    def put(self, event: Event, text: str, escaped: bool = False) -> bool:
        """Write the two ids."""
        match = _TRACEPARENT.fullmatch(text)
        if not match:
            raise ValueError("expected a traceparent")
        self.set(event, {"trace_id": match[1], "span_id": match[2]})
        return False

    def get(self, event: Event) -> str | None:
        """Return nothing: the flags are not known."""
        return None


class Upstream:
    """One fact about each server that was tried, in their order."""

    rank = 2

    def __init__(self, name: str, read: Callable[[str], Any], write: Callable[[Any], str]) -> None:
        self.name, self.read, self.write = name, read, write
        self.claims: tuple[str, ...] = (f"/upstream/{name}",)

    def put(self, event: Event, text: str, escaped: bool = False) -> bool:
        """Write each server's fact."""
        if " " not in text and "upstream" not in event:  # one server, as nearly always
            event["upstream"] = [{self.name: self.read(text)}]
            return self.write(event["upstream"][0][self.name]) == text
        values = [None if each == "-" else self.read(each) for each in _BETWEEN_UPSTREAMS.split(text)]
        if len(values) > _MOST_UPSTREAMS or values.count(None) == len(values):
            raise ValueError(f"expected something of 1 to {_MOST_UPSTREAMS} servers")
        servers = event.get("upstream") or [{} for _ in values]
        if len(values) != len(servers):
            raise ValueError(f"expected something of {len(servers)} servers")
        event["upstream"] = servers
        for server, value in zip(servers, values, strict=True):
            if value is not None:
                server[self.name] = value
        return self.get(event) == text

    def get(self, event: Event) -> str | None:
        """Return the facts in one; None when none is known."""
        values = [server.get(self.name) for server in event.get("upstream", ())]
        if all(value is None for value in values):
            return None
        return ", ".join("-" if value is None else self.write(value) for value in values)

    def texts(self, event: Event) -> Iterator[str]:
        """Return the JSON pointers of the texts that `put` wrote as they came."""
        yield from (f"/upstream/{n}/{self.name}" for n in range(len(event.get("upstream", ()))))


def upstream_address(text: str) -> str:
    """Return the address of an upstream when it is one."""
    if not text:
        raise ValueError("expected an address")
    return text


def status_code(text: str) -> int:
    """Return the number of a status code."""
    if not _STATUS.fullmatch(text):
        raise ValueError("expected three digits")
    return int(text)


ADDRESS = Address("client", "address")
METHOD = Method("http", "request", "method")
TARGET = Target()
PATH = Path("url", "path")
REQUEST = Request()
VERSION = Version("http", "version")
STATUS = Status()
SIZE = Number("http", "response", "size")
BODY_SIZE = Number("http", "response", "body_size")
RECEIVED_SIZE = Number("http", "request", "size")
REQUEST_ID = Matching(r"[A-Za-z0-9._~:/+=@-]{1,128}", "request_id")
SCHEME = Matching(r"[a-z][a-z0-9+.-]{0,31}", "url", "scheme")
FORWARDED = Forwarded("client", "forwarded")
SECONDS = Duration(times.seconds, times.as_seconds)
UPSTREAM_ADDRESS = Upstream("address", upstream_address, str)
UPSTREAM_STATUS = Upstream("status_code", status_code, "{:03d}".format)
UPSTREAM_SECONDS = Upstream("duration_ns", times.seconds, times.as_seconds)
