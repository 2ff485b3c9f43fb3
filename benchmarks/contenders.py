"""Stores of events, each in a process of its own: made, asked, and their memory measured."""

from __future__ import annotations

import contextlib
import hashlib
import json
import multiprocessing
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any, NamedTuple

_spawned = multiprocessing.get_context("spawn")


class Built(NamedTuple):
    """What a piece of work took: how long, how much of the processors, what it returned, and the most memory it had."""

    seconds: float
    cpu_seconds: float
    result: int
    peak_bytes: int


class Answer(NamedTuple):
    """How long an answer took, and how much CPU time; until when its first part was there, if it came in parts.

    `digest` is the same for equal answers.
    """

    seconds: float
    cpu_seconds: float
    first_seconds: float | None
    digest: str


def build(work: Callable[..., int], *arguments: Any) -> Built:
    """Let a process of its own do the work."""
    ours, theirs = _spawned.Pipe()
    process = _spawned.Process(target=_build, args=(theirs, work, *arguments))
    process.start()
    theirs.close()
    try:
        return Built(*ours.recv())
    except EOFError:
        raise SystemExit(f"{work.__module__}.{work.__name__} failed; see above") from None
    finally:
        process.join()


def _build(connection: Connection, work: Callable[..., int], *arguments: Any) -> None:
    began = time.perf_counter()
    result = work(*arguments)
    connection.send((time.perf_counter() - began, time.process_time(), result, _peak_bytes()))


class Contender:
    """One store and its answers, by question. `store` is called in the process, and asked by the names of its methods.

    A store that answers in parts sets its `first_seconds` when the first part of an answer is there.
    """

    def __init__(self, name: str, store: Callable[..., Any], *arguments: Any) -> None:
        self.name = name
        self.answers: dict[str, list[Answer]] = {}
        self.peak_bytes = 0
        self._connection, theirs = _spawned.Pipe()
        self._process = _spawned.Process(target=_serve, args=(theirs, store, *arguments))
        self._process.start()
        theirs.close()

    def ask(self, question: str) -> None:
        """Put one question."""
        self.answers.setdefault(question, []).append(Answer(*self._exchange(question)))

    def close(self) -> None:
        """End the process; from then on `peak_bytes` is the most resident memory that it ever had."""
        self.peak_bytes = self._exchange(None)
        self._process.join()

    def _exchange(self, order: str | None) -> Any:
        self._connection.send(order)
        try:
            return self._connection.recv()
        except EOFError:
            raise SystemExit(f"{self.name} failed at {order}; see above") from None


def _serve(connection: Connection, store: Callable[..., Any], *arguments: Any) -> None:
    with contextlib.closing(store(*arguments)) as asked:
        while (question := connection.recv()) is not None:
            method = getattr(asked, question)
            asked.first_seconds = None
            began, cpu_began = time.perf_counter(), time.process_time()
            answer = method()
            seconds, cpu_seconds = time.perf_counter() - began, time.process_time() - cpu_began
            connection.send((seconds, cpu_seconds, asked.first_seconds, _digest(answer)))
        connection.send(_peak_bytes())


def _digest(answer: list[Any]) -> str:
    """The number of rows and a hash of them, in whatever order they came."""
    rows = sorted(json.dumps(row, default=str) for row in answer)
    return f"{len(rows)} rows {hashlib.sha256(''.join(rows).encode()).hexdigest()[:12]}"


def _peak_bytes() -> int:
    """The most resident memory that this process ever had (VmHWM, proc(5))."""
    with open("/proc/self/status", encoding="ascii") as status:
        return next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmHWM:"))
