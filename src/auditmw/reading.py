"""Reading an audit directory back: dicts in time order."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

from auditmw.event import Event
from auditmw.journal import Damage, read_events
from auditmw.parsing import parse_event


def read(directory: str | os.PathLike[str], *, on_damage: Callable[[Damage], None] | None = None) -> Iterator[Event]:
    """The events of an audit directory, in time order, each once.

    What other programs wrote is read as far as it can be: None where a number is none, and no deeper than 200 levels.
    Damaged lines are left out, copied to ``DIR/quarantine`` and told to `on_damage`. Where intent records are on, a
    request whose process died has the outcome ``unknown``, reason ``process_died``. Raises FileNotFoundError when there
    is no such directory, or one that holds other things; ModuleNotFoundError when part of it is archived and DuckDB is
    not installed.
    """
    wrong = what_is_wrong_with(directory)
    if wrong is not None:
        raise FileNotFoundError(f"expected an audit directory: {wrong}")
    if (Path(directory) / "archive").is_dir():
        from auditmw import archive  # which needs DuckDB

        return archive.read_events(directory, loads=parse_event, on_damage=on_damage)
    return read_events(directory, loads=parse_event, on_damage=on_damage)


def what_is_wrong_with(directory: str | os.PathLike[str]) -> str | None:
    """Why this is no audit directory, and which one may be meant; None where it is one, or may yet become one.

    Raises OSError when it cannot be looked at, for another reason than that this user may not.
    """
    path = Path(directory)
    try:
        if not path.is_dir():
            return f"{str(path)!r} is not a directory; is it the one given to Audit?"
        inside = {entry.name for entry in os.scandir(path)}
    except PermissionError as error:
        return f"{str(path)!r} cannot be read: {error.strerror}; run this as the user who owns it"
    if inside & {"journal", "archive"} or inside <= {"pseudonym.key", "quarantine", "viewer", "ship", "collect"}:
        return None
    if path.name == "journal" and any(name.endswith(".jsonl") for name in inside):
        return f"{str(path)!r} is the journal in one; give {str(path.parent)!r}"
    likely = [str(path / name) for name in sorted(inside) if (path / name / "journal").is_dir()]
    return f"{str(path)!r} has no journal/" + (f"; did you mean {likely[0]!r}?" if likely else "")
