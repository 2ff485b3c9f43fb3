"""Receivers for benchmarks/shipping.py in a process of their own: they decode what comes, and count it.

    python benchmarks/receivers.py KIND

prints where it listens, and after each line on standard input how many events it has; it ends with its input.
"""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(1, str(ROOT / "tests"))  # its servers


def lines() -> tuple[str, Callable[[], int]]:
    """An HTTP server that takes lines."""
    from web_receiver import Received, Reply, WebReceiver

    taken = []

    def take(received: Received) -> Reply:
        taken.append(received.body.count(b"\n"))
        return Reply(204)

    return WebReceiver(take).start().place, lambda: sum(taken)


def otlp_http() -> tuple[str, Callable[[], int]]:
    """An OTLP receiver over HTTP."""
    from otlp_receiver import Collected
    from web_receiver import WebReceiver

    collected = Collected()
    return WebReceiver(collected).start().place, lambda: len(collected.records())


def otlp_grpc() -> tuple[str, Callable[[], int]]:
    """An OTLP receiver over gRPC."""
    from otlp_receiver import GrpcReceiver

    receiver = GrpcReceiver().start()
    return receiver.place, lambda: len(receiver.collected.records())


KINDS = {"lines": lines, "otlp-http": otlp_http, "otlp-grpc": otlp_grpc}


@contextlib.contextmanager
def receiver(kind: str) -> Iterator[tuple[str, Callable[[], int]]]:
    """Start one, and yield where it listens and what tells how many events it has."""
    command: list[Any] = [sys.executable, __file__, kind]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        place = child.stdout.readline().strip()
        if not place:
            raise ImportError(f"the receiver {kind} did not start")

        def count() -> int:
            child.stdin.write("\n")
            child.stdin.flush()
            return int(child.stdout.readline())

        yield place, count
        child.stdin.close()


def main(kind: str) -> None:
    """Receive."""
    place, count = KINDS[kind]()
    sys.stdout.write(place + "\n")
    sys.stdout.flush()
    for _ in sys.stdin:
        sys.stdout.write(f"{count()}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1])
