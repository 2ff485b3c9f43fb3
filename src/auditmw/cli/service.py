"""What commands share that run until they are stopped: signals, and what is logged meanwhile."""

from __future__ import annotations

import logging
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from auditmw.cli.output import Output

_SIGNALS = (signal.SIGTERM, signal.SIGINT)


@contextmanager
def stopped_by_signals(stop: Callable[[], None]) -> Iterator[None]:
    """Have SIGTERM and SIGINT call `stop`."""

    def handle(number: int, frame: FrameType | None) -> None:
        stop()

    old = [(number, signal.signal(number, handle)) for number in _SIGNALS]
    try:
        yield
    finally:
        for number, handler in old:
            signal.signal(number, handler)


@contextmanager
def shown_log(shown: Output, name: str) -> Iterator[None]:
    """Show on stderr what the logger of this name logs."""

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            shown.problem(self.format(record).removeprefix("auditmw: "))

    logger, handler = logging.getLogger(name), Handler()
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)
