"""Bodies that are made while they are sent: the line waits for their end."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any


class WatchedChunks:
    """A body that is iterated: hands over every chunk as it comes, and calls `ended` when it knows how that ended.

    `ended` may be called more than once.
    """

    def __init__(self, chunks: Iterable[Any], ended: Callable[[BaseException | None], None]) -> None:
        self._chunks, self._ended = chunks, ended
        self._iterator: Iterator[Any] | None = None

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        try:
            if self._iterator is None:
                self._iterator = iter(self._chunks)
            return next(self._iterator)
        except StopIteration:
            self._ended(None)
            raise
        except BaseException as error:
            self._ended(error)
            raise

    def close(self) -> None:
        """Close what was iterated; the server calls it also where the client went away."""
        close = getattr(self._chunks, "close", None)
        try:
            if close is not None:
                close()
        finally:
            self._ended(None)
