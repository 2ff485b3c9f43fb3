"""The program: its commands, and how it ends."""

from __future__ import annotations

import io
import os
import sys
from importlib.metadata import version
from typing import Any

import click
from click.shell_completion import get_completion_class

from auditmw.cli.archiving import archive_command, prune_command
from auditmw.cli.check import check
from auditmw.cli.collect import collect
from auditmw.cli.demo import demo
from auditmw.cli.import_logs import import_logs
from auditmw.cli.journeys import conversion, funnel, paths, retention
from auditmw.cli.nginx_config import nginx_config
from auditmw.cli.output import EXIT_OK, ExampleCommand
from auditmw.cli.overview import count, facets, histogram, summary
from auditmw.cli.query import query
from auditmw.cli.serve import serve
from auditmw.cli.ship import ship
from auditmw.cli.tail import tail
from auditmw.cli.timelines import client, context, session, trace, user

EXIT_INTERRUPTED = 130  # 128 + SIGINT, as shells report it


class _Program(click.Group):
    def invoke(self, ctx: click.Context) -> Any:
        """Run a command; a reader that closed its end of the pipe has had enough, which is no error."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            _discard_stdout()
            return EXIT_OK


@click.group(cls=_Program, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(version("auditmw"), prog_name="auditmw")
def program() -> None:
    """Read, check and show what auditmw records: one trustworthy event per request."""


@program.command(
    cls=ExampleCommand,
    short_help="Print the completion script for a shell.",
    examples="""
    auditmw completion bash > ~/.local/share/bash-completion/completions/auditmw
    auditmw completion zsh > ~/.zfunc/_auditmw
    auditmw completion fish > ~/.config/fish/completions/auditmw.fish
    """,
)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print the script that makes SHELL complete auditmw's commands and options."""
    kind = get_completion_class(shell)
    assert kind is not None  # noqa: S101 - click has all three
    click.echo(kind(program, {}, "auditmw", "_AUDITMW_COMPLETE").source())


for _command in (
    *(tail, query, count, histogram, facets, summary),
    *(user, session, trace, client, context),
    *(funnel, retention, conversion, paths),
    *(import_logs, archive_command, prune_command),
    *(ship, collect, serve, check, nginx_config, demo),
):
    program.add_command(_command)


def run() -> int:
    """Run the program with the arguments of the process and return its exit code."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a terminal that is not UTF-8 shows an escape, not a traceback
            stream.reconfigure(errors="backslashreplace")
    try:
        code = program.main(prog_name="auditmw", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except click.Abort:
        return EXIT_INTERRUPTED
    return code if isinstance(code, int) else EXIT_OK


def _discard_stdout() -> None:
    """Point stdout at nothing, so that what is still buffered does not fail again when the interpreter ends."""
    nothing = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, sys.stdout.fileno())
    os.close(nothing)
