"""The program: help, version, completion, exit codes, and what happens without its packages."""

import os
import re
import subprocess
import sys
from importlib.metadata import version

import pytest
from click.testing import CliRunner

from auditmw.cli.program import program

COMMANDS = tuple(program.list_commands(None))


def auditmw(*arguments, **options):
    """The command line as its own process."""
    command = [sys.executable, "-m", "auditmw", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, **options)


def test_help_names_every_command_with_a_sentence():
    result = CliRunner().invoke(program, ["--help"])
    assert result.exit_code == 0
    listed = result.stdout.partition("Commands:")[2].split("\n  ")[1:]
    assert tuple(line.split()[0] for line in listed) == COMMANDS
    assert all(len(line.split()) > 3 for line in listed)


@pytest.mark.parametrize("command", COMMANDS)
def test_the_help_of_every_command_shows_examples_before_options(command):
    result = CliRunner().invoke(program, [command, "-h"])
    assert result.exit_code == 0
    assert (
        result.stdout.index("Examples:")
        < result.stdout.index(f"\n  auditmw {command}")
        < result.stdout.index("Options:")
    )
    examples = [line for line in result.stdout.splitlines() if line.startswith(f"  auditmw {command}")]
    assert len(examples) >= 3


def test_the_version_is_the_installed_one():
    assert CliRunner().invoke(program, ["--version"]).stdout == f"auditmw, version {version('auditmw')}\n"


@pytest.mark.parametrize(
    ("shell", "mark"), [("bash", "complete -o"), ("zsh", "#compdef auditmw"), ("fish", "complete --no-files")]
)
def test_completion_prints_a_script_for_the_shell(shell, mark):
    result = CliRunner().invoke(program, ["completion", shell])
    assert result.exit_code == 0
    assert mark in result.stdout
    assert "_AUDITMW_COMPLETE" in result.stdout


def test_the_completion_answers():
    env = {**os.environ, "_AUDITMW_COMPLETE": "bash_complete", "COMP_WORDS": "auditmw ng", "COMP_CWORD": "1"}
    assert auditmw(env=env).stdout == "plain,nginx-config\n"


@pytest.mark.parametrize(
    "arguments",
    [["nothing"], ["tail"], ["tail", ".", "--limit", "x"], ["nginx-config", "--listen", "x y"], ["-o", "x"]],
)
def test_wrong_usage_ends_with_two_and_says_how_to_get_help(arguments):
    result = auditmw(*arguments)
    assert result.returncode == 2
    assert result.stdout == ""
    assert re.search(r"auditmw( \S+)? (-h|--help)\b", result.stderr)  # which of the two, click decides
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize("name", ["click", "rich"])
def test_without_its_packages_it_says_which_extra_to_install(tmp_path, name):
    (tmp_path / f"{name}.py").write_text(f"raise ModuleNotFoundError('no', name={name!r})")
    result = auditmw("--help", env={**os.environ, "PYTHONPATH": str(tmp_path)})
    assert result.returncode == 2
    assert result.stderr == f"auditmw: the command line needs {name}; install it with: pip install 'auditmw[cli]'\n"


def test_any_other_missing_module_is_not_hidden(tmp_path):
    (tmp_path / "rich").mkdir()
    (tmp_path / "rich" / "__init__.py").write_text("import not_there_at_all")
    result = auditmw("--help", env={**os.environ, "PYTHONPATH": str(tmp_path)})
    assert result.returncode == 1
    assert "not_there_at_all" in result.stderr


def test_importing_the_package_loads_no_part_of_the_command_line():
    loaded = "import sys, auditmw; print(sorted({'click', 'rich', 'auditmw.cli'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", loaded], capture_output=True, text=True, timeout=60).stdout == "[]\n"
