"""Which format the inputs of `auditmw import` have: what was asked for, or what their first lines look like."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import click

from auditmw.cli.output import Output
from auditmw.formats.detection import detect
from auditmw.formats.line import FormatError, LineFormat
from auditmw.formats.lines.nginx_conf import format_of
from auditmw.formats.registry import NAMES, format_named
from auditmw.formats.renamed import RenamedFormat, renamed

AUTO = "auto"
_FORMAT_HELP = f"auto (look at the first lines), {', '.join(NAMES)}, or the text of a log_format or LogFormat."

Command = TypeVar("Command", bound=Callable[..., Any])


def format_options(command: Command) -> Command:
    """Add the options that are the arguments of `FormatChoice`, by the same names."""
    file = click.Path(exists=True, dir_okay=False, path_type=Path)
    decode = "User and session in the log are what auditmw's middleware sent: percent-encoded."
    for option in (
        click.option("--decode-users", is_flag=True, help=decode),
        click.option("--map", "names", multiple=True, metavar="KEY=NAME", help="JSON lines: what a key means."),
        click.option("--log-format-name", metavar="NAME", help="With --nginx-conf: which of its formats."),
        click.option("--nginx-conf", type=file, help="Take the log_format from an nginx.conf and what it includes."),
        click.option("--format", "log_format", default=AUTO, metavar="FORMAT", help=_FORMAT_HELP),
    ):
        command = option(command)
    return command


class FormatChoice:
    """Returns the format of an input from its first lines, and says on stderr what was taken, and why.

    Raises click's usage errors for options that make no format.
    """

    def __init__(
        self,
        shown: Output,
        *,
        log_format: str,
        nginx_conf: Path | None,
        log_format_name: str | None,
        names: tuple[str, ...],
        decode_users: bool,
    ) -> None:
        if nginx_conf is not None and log_format != AUTO:
            raise click.UsageError("--format and --nginx-conf say the same: give one of them")
        if log_format_name is not None and nginx_conf is None:
            raise click.UsageError("--log-format-name needs --nginx-conf")
        self._shown = shown
        self._names = dict(map(_key_and_name, names))
        self._decode = decode_users
        self._given: Callable[[list[bytes]], LineFormat] | None = None
        try:
            if nginx_conf is not None:
                chosen: LineFormat = format_of(nginx_conf, log_format_name or "", decode_userid=decode_users)
                self._given = partial(_copied, pickle.dumps(chosen))
            elif log_format != AUTO:
                self._renamed(format_named(log_format, decode_userid=decode_users))
                self._given = partial(_named, log_format, decode_users)
        except FormatError as error:
            raise click.UsageError(str(error)) from None

    def __call__(self, name: str, lines: list[bytes]) -> LineFormat:
        """Return the format of the input of this name. Raises FormatError when it cannot be told."""
        if self._given is not None:  # every input gets its own: some formats keep what headers say
            return self._renamed(self._given(lines))
        try:
            detection = detect([renamed(line, self._names) for line in lines], decode_userid=self._decode)
        except FormatError as error:
            raise FormatError(f"{name}: {error}") from error
        self._shown.note(f"{name}: {detection.why}")
        if detection.advice is not None:
            self._shown.problem(f"{name}: {detection.advice}")
        return self._renamed(detection.format)

    def _renamed(self, chosen: LineFormat) -> LineFormat:
        return RenamedFormat(chosen, self._names) if self._names else chosen


def _copied(chosen: bytes, lines: list[bytes]) -> LineFormat:
    return pickle.loads(chosen)  # type: ignore[no-any-return]  # noqa: S301 - our own


def _named(text: str, decode_users: bool, lines: list[bytes]) -> LineFormat:
    return format_named(text, decode_userid=decode_users, lines=lines)


def _key_and_name(text: str) -> tuple[str, str]:
    key, _, name = text.partition("=")
    if not key or not name:
        raise click.BadParameter(f"expected KEY=NAME, such as uid=userid, not {text!r}", param_hint="'--map'")
    return key, name
