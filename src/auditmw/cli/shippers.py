"""What commands do with shippers: once, until they are stopped, or their dead letters again."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

import click

from auditmw.cli.output import EXIT_FOUND, EXIT_OK, Output, Unreadable
from auditmw.cli.service import stopped_by_signals
from auditmw.journal.cursor import CursorError
from auditmw.ship.process import dedicate
from auditmw.ship.shipper import Shipper
from auditmw.ship.target import ShipError

Shippers = list[tuple[Shipper, str]]
"""Some shippers, and where each goes, without secrets."""


def checked_name(name: str | None, urls: Sequence[str]) -> str | None:
    """Return what `--name` is for the targets at `urls`. Raises click.UsageError."""
    if name is None:
        return None
    if len(urls) > 1:
        raise click.UsageError(
            f"--name {name} is for one --to, and there are {len(urls)}: without it each gets a name of its own"
        )
    if not name or name.startswith(".") or "/" in name:
        raise click.UsageError(f"expected for --name the name of a folder, without / and no dot first, not {name!r}")
    return name


def work_with(shown: Output, shippers: Shippers, *, once: bool, replay: bool, take_over: bool = False) -> int:
    """Ship once, or the dead letters again, or until a signal comes; return the exit code."""
    dedicate()
    if replay:
        return _each(shown, shippers, lambda shipper, to: _replay(shown, shipper, to))
    if once:
        return _each(shown, shippers, lambda shipper, to: _once(shown, shipper, to, take_over))
    return _run(shown, shippers, take_over)


def _each(shown: Output, shippers: Shippers, work: Callable[[Shipper, str], bool]) -> int:
    """Do the work for one target after the other; one that fails does not keep the others from it."""
    failed = False
    found = False
    for shipper, to in shippers:
        try:
            found |= not work(shipper, to)
        except (ShipError, CursorError, OSError) as error:
            failed = True
            shown.problem(_named(to, error), "red")
    return Unreadable.exit_code if failed else EXIT_FOUND if found else EXIT_OK


def _named(to: str, error: Exception) -> str:
    """Return what went wrong with a target, with its name once."""
    return str(error) if to in str(error) else f"{to}: {error}"


def _once(shown: Output, shipper: Shipper, to: str, take_over: bool) -> bool:
    if shipper.run_once(take_over=take_over):
        shown.note(f"{to} has {shipper.shipped:,} events from here so far.")
        return True
    shown.problem(f"{to}: another shipper is at it; nothing was done here.")
    return False


def _replay(shown: Output, shipper: Shipper, to: str) -> bool:
    sent, again = shipper.replay()
    shown.note(f"{to}: {sent} dead letters were sent, {again} were rejected again.")
    return not again


def _run(shown: Output, shippers: Shippers, take_over: bool) -> int:
    """Ship in one thread per target, until a signal comes or all of them ended."""
    failures: list[str] = []
    ended = threading.Semaphore(0)

    def work(shipper: Shipper, to: str) -> None:
        try:
            shipper.run(take_over=take_over)
        except (ShipError, CursorError, OSError) as error:
            failures.append(to)
            shown.problem(_named(to, error), "red")
        finally:
            ended.release()

    def stop() -> None:
        for shipper, _ in shippers:
            shipper.stop()

    with stopped_by_signals(stop):
        threads = [threading.Thread(target=work, args=each, name=f"ship {each[1]}") for each in shippers]
        for thread in threads:
            thread.start()
        shown.note(f"Shipping to {', '.join(to for _, to in shippers)}; Ctrl-C ends it.")
        for _ in threads:
            while not ended.acquire(timeout=1.0):  # so that the signal's handler gets its turn
                pass
    return Unreadable.exit_code if failures else EXIT_OK
