"""The documentation, executed: its Python and console blocks run, its links lead somewhere, its commands exist.

The conventions, for README.md and docs/*.md:

* The ```python blocks of a page are one program: they run from top to bottom in one namespace, in an empty directory.
  A block that is meant to be read only has `<!-- not executed: why -->` on the line before it.
* A ```console block with `<!-- executed -->` on the line before it runs after the page's Python, in the same directory:
  each `$ auditmw ...` must succeed, and print the lines below it where there are any; `...` stands for anything.
"""

import ast
import doctest
import inspect
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

import auditmw

ROOT = Path(__file__).resolve().parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
LINKED_PAGES = [*PAGES, ROOT / "CHANGELOG.md", ROOT / "SECURITY.md"]
SECONDS = 60  # per page and per command; they take about one
FENCE = re.compile(r"^(?P<mark>`{3,}|~{3,})(?P<language>\w*)[^`]*$")
NOT_EXECUTED = re.compile(r"<!-- not executed: \S.* -->")
EXECUTED = "<!-- executed -->"


class Block(NamedTuple):
    """A fenced block: what it is written in, the line before it, the number of its first line, and its lines."""

    language: str
    before: str
    first_line: int
    lines: list[str]


class Command(NamedTuple):
    """A `$ ...` line of a console block and the output that the page shows for it."""

    arguments: list[str]
    output: str


def page_id(page: Path) -> str:
    return str(page.relative_to(ROOT))


def blocks(text: str) -> Iterator[Block]:
    lines = text.splitlines()
    number = 0
    while number < len(lines):
        opening = FENCE.match(lines[number])
        number += 1
        if opening is None:
            continue
        end = next((n for n in range(number, len(lines)) if lines[n].rstrip() == opening["mark"]), len(lines))
        before = lines[number - 2].strip() if number > 1 else ""
        yield Block(opening["language"], before, number, lines[number:end])
        number = end + 1


def program(text: str) -> str:
    """The page's Python as one program, each line at its place in the page: a traceback then names the page's line."""
    source: list[str] = []
    for block in blocks(text):
        if block.language == "python" and not NOT_EXECUTED.fullmatch(block.before):
            source += [""] * (block.first_line - len(source)) + block.lines
    return "\n".join(source) + "\n"


def commands(text: str) -> Iterator[Command]:
    for block in blocks(text):
        if block.language == "console" and block.before == EXECUTED:
            for prompt in re.split(r"^\$ ", "\n".join(block.lines) + "\n", flags=re.MULTILINE)[1:]:
                line, _, output = prompt.partition("\n")
                yield Command(shlex.split(line), output)


def test_blocks_are_found_with_their_language_mark_and_line():
    text = "a\n<!-- executed -->\n```console\n$ auditmw x 'y z'\nout\n$ auditmw w\n```\n\n```python\n\nprint(1)\n```\n"
    assert list(blocks(text)) == [
        Block("console", EXECUTED, 3, ["$ auditmw x 'y z'", "out", "$ auditmw w"]),
        Block("python", "", 9, ["", "print(1)"]),
    ]
    assert list(commands(text)) == [Command(["auditmw", "x", "y z"], "out\n"), Command(["auditmw", "w"], "")]


def test_a_program_keeps_the_line_numbers_of_its_page_and_leaves_marked_blocks_out():
    text = (
        "# t\n```python\na = 1\n```\n<!-- not executed: a sketch -->\n```python\nnever()\n```\n```python\nb = a\n```\n"
    )
    assert program(text) == "\n" * 2 + "a = 1\n" + "\n" * 6 + "b = a\n"


def skip_without_imports(source: str) -> None:
    """Skip by name where a page shows a framework that this environment does not have."""
    for node in ast.walk(ast.parse(source)):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module]
        for top in {name.partition(".")[0] for name in names} - {"auditmw"}:
            pytest.importorskip(top)


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_the_code_of_a_page_runs(page, tmp_path):
    text = page.read_text(encoding="utf-8")
    source = program(text)
    skip_without_imports(source)
    run_python(source, page, tmp_path)
    for command in commands(text):
        run_command(command, tmp_path)


def run_python(source: str, page: Path, directory: Path) -> None:
    if not source.strip():
        return
    script = directory / f"page_{page.stem}.py"  # no name of a module that the page imports
    script.write_text(source, encoding="utf-8")
    done = run([sys.executable, "-W", "error", str(script)], directory)
    script.unlink()
    if done.returncode:
        pytest.fail(f"the Python of {page_id(page)} (the lines are the page's):\n{done.stderr}", pytrace=False)


def run_command(command: Command, directory: Path) -> None:
    name, *arguments = command.arguments
    assert name == "auditmw", f"only auditmw's own commands are executed, not {command.arguments}"
    done = run([sys.executable, "-m", "auditmw", *arguments], directory)
    assert done.returncode == 0, f"{shlex.join(command.arguments)}\n{done.stderr}"
    same = doctest.OutputChecker().check_output(command.output, done.stdout, doctest.ELLIPSIS)
    assert same or not command.output, f"{shlex.join(command.arguments)} printed:\n{done.stdout}"


def run(command: list[str], directory: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=directory, capture_output=True, text=True, timeout=SECONDS, check=False)


def command_line():
    """The command line's commands by name, as click has them."""
    pytest.importorskip("click")
    pytest.importorskip("rich")
    from auditmw.cli.program import program as group

    return {name: group.get_command(None, name) for name in group.list_commands(None)}


def test_every_command_and_option_has_help():
    silent = [name for name, command in command_line().items() if not command.help]
    silent += [
        f"{name} {parameter.opts[0]}"
        for name, command in command_line().items()
        for parameter in command.params
        if parameter.param_type_name == "option" and not parameter.help
    ]
    assert silent == []


def test_every_command_is_named_in_the_readme_or_in_the_page_about_the_command_line():
    pages = [page for page in (ROOT / "README.md", ROOT / "docs" / "cli.md") if page.exists()]
    text = "\n".join(page.read_text(encoding="utf-8") for page in pages)
    assert [name for name in command_line() if not re.search(rf"\bauditmw {re.escape(name)}\b", text)] == []


LINK = re.compile(r"\]\(\s*<?([^)\s>]+)|^\[[^\]]+\]:\s*(\S+)", re.MULTILINE)
CODE_SPAN = re.compile(r"(`+)[^`\n]+\1")
HEADING = re.compile(r"^#{1,6}\s+(.*?)\s*#*$", re.MULTILINE)


def prose(text: str) -> str:
    """The page without its fenced blocks, in which nothing is a link or a heading."""
    lines = text.splitlines()
    for block in blocks(text):
        lines[block.first_line : block.first_line + len(block.lines)] = [""] * len(block.lines)
    return "\n".join(lines)


def anchors(text: str) -> set[str]:
    """The anchors of a page's headings, as repository hosts make them: lower case, spaces to dashes, no punctuation."""
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in HEADING.findall(prose(text))}


def dead_links(page: Path, text: str) -> Iterator[str]:
    for link in LINK.finditer(CODE_SPAN.sub("", prose(text))):
        target = link[1] or link[2]
        if not re.match(r"[a-z]+:", target) and is_dead(page, text, *target.partition("#")[::2]):
            yield target


def is_dead(page: Path, text: str, path: str, anchor: str) -> bool:
    place = (page.parent / path).resolve() if path else page
    if not (place.is_relative_to(ROOT) and place.exists()):
        return True
    if not anchor or place.suffix != ".md":
        return False
    return anchor not in anchors(place.read_text(encoding="utf-8") if path else text)


@pytest.mark.parametrize("page", LINKED_PAGES, ids=page_id)
def test_every_relative_link_leads_somewhere(page):
    assert list(dead_links(page, page.read_text(encoding="utf-8"))) == []


@pytest.mark.parametrize("page", LINKED_PAGES, ids=page_id)
def test_every_file_of_the_project_that_a_page_names_is_there(page):
    named = re.findall(
        r"`((?:src|tests|docs|examples|benchmarks|requirements)/[\w./-]+)`", page.read_text(encoding="utf-8")
    )
    assert [name for name in named if not (ROOT / name).exists()] == []


@pytest.mark.parametrize(
    ("text", "dead"),
    [
        pytest.param("[x](nothing.md)", ["nothing.md"], id="no such file"),
        pytest.param("[x](../etc/passwd)", ["../etc/passwd"], id="outside of the project"),
        pytest.param("[x]: gone.md", ["gone.md"], id="reference"),
        pytest.param("# A `b` c!\n[x](#a-b-c)", [], id="heading"),
        pytest.param("```\n# no\n```\n[x](#no)", ["#no"], id="comment in a block"),
        pytest.param("`[x](nothing.md)` ``[y](a`b)``", [], id="code span"),
        pytest.param("```\n[x](nothing.md)\n```", [], id="block"),
        pytest.param("[x](https://example.org/) [y](LICENSE)", [], id="elsewhere, and a file"),
    ],
)
def test_dead_links_are_found(text, dead):
    assert list(dead_links(ROOT / "README.md", text)) == dead


def test_every_argument_of_an_audit_is_in_the_page_about_configuration():
    page = (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8")
    arguments = [name for name in inspect.signature(auditmw.Audit.__init__).parameters if name != "self"]
    assert [name for name in arguments if f"`{name}`" not in page] == []
