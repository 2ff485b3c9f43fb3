"""What each step of auditmw costs: from parsing a traceparent to the write, then the whole exchange and the shells.

Every step runs over many different requests, whose headers are made anew before each repeat, so that no hash is known
and no lookup is warmer than it would be in a server. The best repeat counts; the empty loop is subtracted.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
if __package__ in {None, ""}:
    sys.path.insert(0, str(ROOT))

from benchmarks import apps, environment, traffic, variants, worker  # noqa: E402

WINDOWS = 48
REPEATS = 7
CALLS = worker.BATCH
"""Calls between two looks at the clock: few, so that the arguments are still in the processor's caches."""
WARMING, COUNTED = 4096, 320

Calls = Callable[[], list[tuple[Any, ...]]]


class Steps:
    """The steps, each with fresh arguments for every repeat; ``directory`` is for the journals."""

    def __init__(self, directory: Path) -> None:
        import auditmw

        self.directory = directory
        self.audit = auditmw.Audit(directory / "steps", service="bench", resolver=variants.resolver())
        self.pool = traffic.heads()
        self.first = 0
        self.wsgi = auditmw.WSGIAudit(apps.make("wsgi"), self.audit)
        self.asgi = auditmw.ASGIAudit(apps.make("asgi"), self.audit)

    def windows(self) -> Iterator[None]:
        """Go from window to window, to new requests each time."""
        for _ in range(WINDOWS):
            self.first += CALLS
            yield

    def environs(self) -> list[dict[str, Any]]:
        """Fresh environs of this window."""
        return [traffic.environ(self.pool, number) for number in range(self.first, self.first + CALLS)]

    def scopes(self) -> list[dict[str, Any]]:
        """Fresh scopes of this window."""
        return [traffic.scope(self.pool, number) for number in range(self.first, self.first + CALLS)]

    def picked(self, pick: Callable[[dict[str, Any]], tuple[Any, ...] | None]) -> Calls:
        """Return a maker of what ``pick`` takes from fresh environs, those left out for which it returns None."""

        def calls() -> list[tuple[Any, ...]]:
            found: list[tuple[Any, ...]] = []
            number = self.first
            while len(found) < CALLS:
                arguments = pick(traffic.environ(self.pool, number))
                number += 1
                if arguments is not None:
                    found.append(arguments)
            return found

        return calls

    def header(self, name: str) -> Calls:
        """Return a maker of the values of one environ variable, of the requests that have it."""
        return self.picked(lambda environ: (environ[name],) if environ.get(name) else None)

    def exchanges(self) -> list[Any]:
        """Exchanges that were answered and wait for their end."""
        exchanges = []
        for environ in self.environs():
            exchange = self.wsgi.begin(environ)
            exchange.status, exchange.complete, exchange.body_bytes = 200, True, len(apps.BODY)
            exchange.content_type = "application/json"
            exchange.resolve()
            exchange.describe_actor()
            exchanges.append(exchange)
        return exchanges

    def events(self) -> list[dict[str, Any]]:
        """Events ready to be encoded."""
        return [_compose(exchange) for exchange in self.exchanges()]

    def all(self) -> Iterator[tuple[str, str, Callable[..., Any], Calls]]:
        """Yield group, name, function and the maker of its arguments."""
        from auditmw import event, head, identity, peer
        from auditmw.context import current_exchange
        from auditmw.journal import frame

        policy = self.audit.policy
        none: Calls = lambda: [()] * CALLS  # noqa: E731

        yield "clocks", "perf_counter_ns", time.perf_counter_ns, none
        yield "clocks", "time_ns", time.time_ns, none
        yield "event", "timestamp", event.timestamp, lambda: [(time.time_ns(),) for _ in range(CALLS)]
        yield "event", "new_id", event.new_id, lambda: [(time.time_ns() + n * 9_973,) for n in range(CALLS)]
        yield "trace", "begin, no header", policy.tracer.begin, lambda: [({}, True) for _ in range(CALLS)]
        yield "trace", "begin, traceparent", policy.tracer.begin, self._traced(state=False)
        yield "trace", "begin, and tracestate", policy.tracer.begin, self._traced(state=True)
        yield "peer", "peer_address", peer.peer_address, self.header("REMOTE_ADDR")
        yield "peer", "trusts", policy.proxies.trusts, self.header("REMOTE_ADDR")
        yield "peer", "client, no header", policy.proxies.client, lambda: [("127.0.0.1", 4000, None)] * CALLS
        yield "peer", "client, seen before", policy.proxies.client, self._forwarded()
        yield "peer", "client, new", policy.proxies.client, self._strangers()
        yield "redact", "text (path)", policy.redactor.text, self.header("PATH_INFO")
        yield "redact", "query", policy.redactor.query, self.header("QUERY_STRING")
        yield "redact", "url (referrer)", policy.redactor.url, self.header("HTTP_REFERER")
        yield "head", "split_status", head.split_status, lambda: [("200 OK",)] * CALLS
        yield "identity", "describe", identity.describe, self._identities(new=False)
        yield "identity", "describe, new session", identity.describe, self._identities(new=True)
        yield "context", "ContextVar set, reset", lambda: current_exchange.reset(current_exchange.set(None)), none
        yield "exchange", "WSGI begin", self.wsgi.begin, lambda: [(environ,) for environ in self.environs()]
        yield "exchange", "ASGI begin", self.asgi.begin, lambda: [(scope,) for scope in self.scopes()]
        yield "exchange", "compose", _compose, lambda: [(exchange,) for exchange in self.exchanges()]
        yield "exchange", "finish (compose to write)", _finish, lambda: [(exchange,) for exchange in self.exchanges()]
        yield "journal", "encode", event.encode, lambda: [(event,) for event in self.events()]
        yield "journal", "seal", frame.seal, self._bodies(1)
        yield "journal", "append (seal and write)", self.audit.journal.append, self._bodies()
        yield "journal", "write of a line", self._write(), self._bodies()

    def _traced(self, *, state: bool) -> Calls:
        def pick(environ: dict[str, Any]) -> tuple[Any, ...] | None:
            if "HTTP_TRACEPARENT" not in environ or ("HTTP_TRACESTATE" in environ) is not state:
                return None
            headers = {"traceparent": environ["HTTP_TRACEPARENT"]}
            if state:
                headers["tracestate"] = environ["HTTP_TRACESTATE"]
            return headers, True

        return self.picked(pick)

    def _forwarded(self) -> Calls:
        return self.picked(lambda environ: ("127.0.0.1", 4000, environ["HTTP_X_FORWARDED_FOR"]))

    def _strangers(self) -> Calls:
        number = 0

        def calls() -> list[tuple[Any, ...]]:
            nonlocal number
            number += CALLS
            addresses = (f"10.{n >> 16 & 255}.{n >> 8 & 255}.{n & 255}" for n in range(number - CALLS, number))
            return [("127.0.0.1", 4000, address) for address in addresses]

        return calls

    def _identities(self, *, new: bool) -> Calls:
        from auditmw import Identity

        number = 0

        def calls() -> list[tuple[Any, ...]]:
            nonlocal number
            number += CALLS * new
            sessions = [f"session-{n if new else n % 500:032x}" for n in range(number, number + CALLS)]
            return [(Identity("user-1", session=session), self.audit.policy.pseudonyms) for session in sessions]

        return calls

    def _bodies(self, *more: Any) -> Calls:
        from auditmw.event import encode

        return lambda: [(encode(event), *more) for event in self.events()]

    def _write(self) -> Callable[[bytes], int]:
        fd = os.open(self.directory / "plain.log", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o640)
        return lambda line: os.write(fd, line)


def _compose(exchange: Any) -> Any:
    from auditmw.compose import compose

    return compose(exchange, time.time_ns(), 1_000_000)


def _finish(exchange: Any) -> None:
    exchange.finish()


def nanoseconds(steps: Steps, function: Callable[..., Any], calls: Calls) -> float:
    """Return what one call costs: the best repeat, without the loop."""
    best = min(_repeat(steps, function, calls) for _ in range(REPEATS))
    loop = min(_loop(calls()) for _ in range(REPEATS * WINDOWS))
    return best / (WINDOWS * CALLS) - loop / CALLS


def _repeat(steps: Steps, function: Callable[..., Any], calls: Calls) -> int:
    clock = time.process_time_ns
    gc.collect()
    worker.emptied(steps.directory)
    used = 0
    for _ in steps.windows():
        gc.disable()
        waiting = calls()
        gc.freeze()
        gc.enable()
        started = clock()
        for arguments in waiting:
            function(*arguments)
        used += clock() - started
        gc.unfreeze()
    return used


def _loop(waiting: list[tuple[Any, ...]]) -> int:
    started = time.process_time_ns()
    for _ in waiting:
        pass
    return time.process_time_ns() - started


def whole(steps: Steps) -> Iterator[tuple[str, str, float]]:
    """Yield what the shells cost with everything in them, beside the bare applications."""
    kinds: tuple[tuple[str, Any, Any, Any], ...] = (
        ("wsgi", worker.wsgi_round, steps.environs, steps.wsgi),
        ("asgi", worker.asgi_round, steps.scopes, steps.asgi),
    )
    for kind, serve, requests, audited in kinds:
        for name, app in ((f"bare {kind}", apps.make(kind)), (f"audited {kind}", audited)):
            yield "whole", name, asyncio.run(_rounds(steps, serve, app, requests))


async def _rounds(steps: Steps, serve: Any, app: Any, requests: Any) -> float:
    best = float("inf")
    for _ in range(REPEATS):
        worker.emptied(steps.directory)
        used = 0
        for _ in steps.windows():
            used += await serve(app, requests())
        best = min(best, used / (WINDOWS * CALLS))
    return best


Function = tuple[str, str]  # its file's name and its own


def instructions(steps: Steps, kind: str) -> tuple[Counter[Function], Counter[Function]]:
    """Count calls and bytecode instructions of every Python function that takes part in ``COUNTED`` requests."""
    serve, check, requests, app = (
        (worker.wsgi_round, worker.check_wsgi, steps.environs, steps.wsgi)
        if kind == "wsgi"
        else (worker.asgi_round, worker.check_asgi, steps.scopes, steps.asgi)
    )
    calls: Counter[Function] = Counter()
    executed: Counter[Function] = Counter()

    def note(frame: Any, what: str, argument: Any) -> Any:
        function = Path(frame.f_code.co_filename).name, frame.f_code.co_name
        if what == "call":
            calls[function] += 1
            frame.f_trace_opcodes, frame.f_trace_lines = True, False
        elif what == "opcode":
            executed[function] += 1
        return note

    async def count() -> None:
        for _ in range(WARMING // CALLS):  # whatever auditmw remembers, it knows by now
            steps.first += CALLS
            await check(app, requests())
        for _ in range(COUNTED // CALLS):
            steps.first += CALLS
            waiting = requests()
            sys.settrace(note)
            await serve(app, waiting)
            sys.settrace(None)

    asyncio.run(count())
    for counter in (calls, executed):
        for function in [function for function in counter if function[0] in {"worker.py", "apps.py", "variants.py"}]:
            del counter[function]
    return calls, executed


def print_instructions(steps: Steps, kind: str) -> None:
    calls, executed = instructions(steps, kind)
    print(f"| {kind} function | calls per request | instructions per request |\n|---|---:|---:|")
    print(f"| all | {calls.total() / COUNTED:.1f} | {executed.total() / COUNTED:.0f} |")
    for function, count in executed.most_common():
        if count >= COUNTED:
            print(f"| {': '.join(function)} | {calls[function] / COUNTED:.1f} | {count / COUNTED:.0f} |")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.steps", description=__doc__)
    parser.add_argument(
        "--instructions",
        choices=("wsgi", "asgi"),
        help="count Python calls and bytecode instructions per request instead of time: the same on a busy machine",
    )
    given = parser.parse_args()
    with environment.directory_on_disk() as directory:
        steps = Steps(directory)
        if given.instructions:
            print_instructions(steps, given.instructions)
            print("\n" + "\n".join(environment.describe(("auditmw", "orjson"), directory)))
            return 0
        asyncio.run(worker.check_wsgi(steps.wsgi, steps.environs()))
        print("| group | step | ns |\n|---|---|---:|")
        for group, name, function, calls in steps.all():
            print(f"| {group} | {name} | {nanoseconds(steps, function, calls):,.0f} |", flush=True)
        for group, name, cost in whole(steps):
            print(f"| {group} | {name} | {cost:,.0f} |", flush=True)
        described = environment.describe(("auditmw", "orjson"), directory)
    print("\n" + "\n".join(described))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
