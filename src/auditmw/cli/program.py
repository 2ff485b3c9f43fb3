"""The program: its commands, and how it ends."""

from __future__ import annotations

import io
import os
import sys
from importlib import import_module
from importlib.metadata import version
from typing import Any

import click
from click.shell_completion import get_completion_class

from auditmw.cli.output import EXIT_OK, ExampleCommand

EXIT_INTERRUPTED = 130  # 128 + SIGINT, as shells report it


# Each command's module, which is loaded for its own command only: all of them take longer than most of them work.
_COMMANDS = {
    "archive": "archiving:archive_command",
    "check": "check:check",
    "client": "timelines:client",
    "collect": "collect:collect",
    "context": "timelines:context",
    "conversion": "journeys:conversion",
    "count": "overview:count",
    "demo": "demo:demo",
    "facets": "overview:facets",
    "funnel": "journeys:funnel",
    "histogram": "overview:histogram",
    "import": "import_logs:import_logs",
    "nginx-config": "nginx_config:nginx_config",
    "paths": "journeys:paths",
    "prune": "archiving:prune_command",
    "query": "query:query",
    "reconcile": "reconcile:reconcile",
    "retention": "journeys:retention",
    "serve": "serve:serve",
    "session": "timelines:session",
    "ship": "ship:ship",
    "summary": "overview:summary",
    "tail": "tail:tail",
    "trace": "timelines:trace",
    "user": "timelines:user",
}


class _Program(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of all commands."""
        return sorted([*super().list_commands(ctx), *_COMMANDS])

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return a command by its name; loads it."""
        if cmd_name not in _COMMANDS:
            return super().get_command(ctx, cmd_name)
        module, name = _COMMANDS[cmd_name].split(":")
        command: click.Command = getattr(import_module(f"auditmw.cli.{module}"), name)
        return command

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
