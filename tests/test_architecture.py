"""The rules of docs/architecture.md, executed: who may import whom, how big things may get, what an import costs."""

import ast
import graphlib
import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parent.parent
SOURCE = ROOT / "src" / "auditmw"
MODULE_LINES, FUNCTION_LINES, NESTING = 400, 50, 4
VAGUE_NAMES = {"util", "utils", "helper", "helpers", "common", "misc", "base", "core", "manager", "managers"}
CORE_DEPENDENCIES = {"orjson", "structlog", "asgiref", "werkzeug"}
# What `import auditmw` must not load, whatever is installed.
ABSENT_AFTER_IMPORT = {
    *("flask", "flask_login", "django", "starlette", "fastapi", "httpx", "click", "rich", "twisted", "trio"),
    *("gunicorn", "uvicorn", "gevent", "duckdb", "auditmw.contrib", "auditmw.cli"),
    *("auditmw.archive", "auditmw.query", "auditmw.formats", "auditmw.importing", "auditmw.viewer", "auditmw.ship"),
}


class Row(NamedTuple):
    """What a module may import beside the standard library and its own package: of auditmw, and of others.

    asyncio is one of the others: an app may run on trio, so nothing that requests pass through may depend on it.
    (`import auditmw` does load it, because asgiref and structlog do.)
    """

    ours: frozenset[str]
    others: frozenset[str]


STANDARD_LIBRARY = sys.stdlib_module_names - {"asyncio"}


def row(ours: str = "", others: str = "") -> Row:
    return Row(frozenset(ours.split()), frozenset(others.split()))


COMPUTED = "<computed>"  # only the command line may: it loads the application that it is told to check
FIVE = "event trace peer identity redact"
PUBLIC_API = "auditmw"
# These bring dependencies of their own.
EXTRAS = (
    "contrib",
    "cli",
    "testing",
    "archive",
    "query",
    "formats",
    "importing",
    "viewer",
    "ship",
    "reconcile",
    "collect",
    "clickhouse",
)
# A package's row is that of all its modules; a module's own row goes before its package's.
TABLE = {
    "forks": row(),
    # Values and pure functions: the five, and what describes one message.
    "event": row("forks", "orjson"),
    "trace": row("forks"),
    "peer": row(),
    "identity": row(),
    "redact": row("sensitive shapes"),
    "sensitive": row(),
    "shapes": row(),
    "head": row("caching"),
    "caching": row(),
    "failure": row(),
    "outcome": row(),
    "request": row(others="werkzeug"),
    "health": row(),
    # The state machine: no I/O, no protocol.
    "policy": row("head request " + FIVE),
    "facts": row("forks policy " + FIVE),
    "compose": row("facts failure head outcome policy " + FIVE),
    "record": row("compose facts head policy " + FIVE),
    "exchange": row("caching compose facts forks head outcome policy record request " + FIVE),
    # The way into the journal and out of it.
    "journal": row(),
    "parsing": row(others="orjson"),
    "archive": row("journal parsing", "duckdb orjson"),
    "reading": row("archive event journal parsing"),
    "emitter": row("event trace health journal"),
    "stream_format": row("event formats", "orjson"),
    "audit": row("emitter formats forks head health journal policy request ship stream_format " + FIVE, "asgiref"),
    # What applications touch.
    "context": row("audit exchange forks record health " + FIVE),
    "tracebacks": row(),
    "logs": row("context tracebacks", "structlog"),
    "wsgi": row("audit context exchange head policy"),
    "routes": row(),
    "asgi": row("audit context exchange head policy routes"),
    "shell": row("asgi audit context exchange head wsgi"),
    PUBLIC_API: row("asgi audit context head logs reading request shell wsgi " + FIVE),
    "resolvers": row("identity request"),
    "testing": row("event", "orjson jsonschema"),
    # What looks at the events: outside of the request path, from `auditmw[query]` on.
    "query": row("archive journal parsing reading", "duckdb orjson"),
    "formats": row("event", "orjson structlog crossplane apachelogs google opentelemetry"),
    "ship": row(
        "archive formats journal parsing", "orjson psycopg redis google grpc opentelemetry asyncio nats confluent_kafka"
    ),
    "reconcile": row("archive journal parsing ship"),
    "clickhouse": row("archive query ship", "orjson"),
    "places": row("clickhouse query reading"),
    "collect": row("archive event formats journal parsing ship", "confluent_kafka duckdb nats orjson"),
    "importing": row("archive event formats journal redact shapes", "orjson zstandard"),
    "viewer": row(
        f"archive clickhouse formats forks journal parsing places query {PUBLIC_API}", "asgiref asyncio orjson werkzeug"
    ),
    # The outermost: nobody imports these.
    "contrib": row(PUBLIC_API),
    "contrib.flask": row(PUBLIC_API, "flask flask_login werkzeug"),
    "contrib.django": row(PUBLIC_API, "django asgiref"),
    "contrib.django_viewer": row(f"contrib.django viewer {PUBLIC_API}", "django asgiref"),
    "contrib.datapunt": row(PUBLIC_API),
    "contrib.datapunt_flask": row(f"{PUBLIC_API} contrib.datapunt contrib.flask", "flask werkzeug"),
    "contrib.datapunt_django": row(f"{PUBLIC_API} contrib.datapunt contrib.django", "django asgiref"),
    "contrib.datapunt_rest_framework": row("contrib.datapunt", "rest_framework"),
    "contrib.starlette": row(PUBLIC_API, "starlette"),
    "contrib.httpx": row(PUBLIC_API, "httpx"),
    "cli": row("*", f"click rich orjson duckdb flask werkzeug waitress httpx uvicorn {COMPUTED}"),
    "__main__": row("cli"),
}


def none_of(violations: Iterable[str]) -> None:
    found = list(violations)
    if found:
        pytest.fail("\n".join(found), pytrace=False)


def modules() -> list[Path]:
    return sorted(SOURCE.rglob("*.py"))


def dotted_name(path: Path) -> str:
    """The name below `auditmw.`: `journal.frame`, `contrib` for the package's own file, `auditmw` for the root's."""
    parts = list(path.relative_to(SOURCE).with_suffix("").parts)
    if parts[-1] == "__init__":
        parts.pop()
    return ".".join(parts) or PUBLIC_API


def row_name(module: str) -> str | None:
    """The most exact row that a module has."""
    while module:
        if module in TABLE:
            return module
        module = module.rpartition(".")[0]
    return None


def parse(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def imported_names(path: Path) -> Iterator[tuple[int, str]]:
    """Every absolute dotted name that a module imports, at any depth and under TYPE_CHECKING too, with its line."""
    package = ["auditmw", *path.relative_to(SOURCE).parent.parts]
    for node in ast.walk(parse(path)):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) + 1 - node.level] if node.level else []
            source = ".".join([*above, *([node.module] if node.module else [])])
            yield from ((node.lineno, f"{source}.{alias.name}") for alias in node.names)
        elif isinstance(node, ast.Call) and called_name(node) in {"import_module", "__import__"}:
            name = node.args[0]
            yield node.lineno, str(name.value) if isinstance(name, ast.Constant) else COMPUTED


def called_name(call: ast.Call) -> str:
    return getattr(call.func, "attr", getattr(call.func, "id", ""))


def our_module(name: str) -> str:
    """The module below `auditmw.` that an imported dotted name stands for: a module, or a name inside of one."""
    parts = name.split(".")[1:]
    while parts:
        place = SOURCE.joinpath(*parts)
        if place.with_suffix(".py").exists() or place.is_dir():
            return ".".join(parts)
        parts.pop()
    return PUBLIC_API


def import_violations(path: Path) -> Iterator[str]:
    name = row_name(dotted_name(path))
    if name is None:
        yield f"{path.relative_to(ROOT)}: has no row in the import table"
        return
    allowed = TABLE[name]
    for line, imported in imported_names(path):
        top = imported.partition(".")[0]
        if top == "auditmw":
            target = row_name(our_module(imported))
            fine = target == name or target in allowed.ours or "*" in allowed.ours
        else:
            fine = top in STANDARD_LIBRARY | allowed.others
        if not fine:
            yield f"{path.relative_to(ROOT)}:{line}: {name} may not import {imported}"


def test_every_module_imports_only_what_its_row_of_the_table_allows():
    none_of(violation for path in modules() for violation in import_violations(path))


def test_every_row_of_the_import_table_has_its_module():
    none_of(name for name in TABLE if name not in {dotted_name(path) for path in modules()})


def test_the_picture_in_the_docs_has_the_same_modules():
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    first_columns = re.findall(r"^\| (`.*?) \|", page, re.MULTILINE)
    drawn = {name for column in first_columns for name in re.findall(r"`(\w+)/?`", column)}
    assert drawn == {name.partition(".")[0] for name in TABLE} - {PUBLIC_API, "__main__"}


def test_the_import_table_has_no_cycle():
    graphlib.TopologicalSorter({name: allowed.ours for name, allowed in TABLE.items()}).prepare()


def test_the_core_uses_the_four_dependencies_and_no_more():
    core = [allowed for name, allowed in TABLE.items() if not name.startswith(EXTRAS)]
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    assert {re.match(r"[\w-]+", line)[0] for line in declared} == CORE_DEPENDENCIES
    assert {other for allowed in core for other in allowed.others} <= CORE_DEPENDENCIES


def public_names() -> set[str]:
    """`auditmw.__all__`, read and not run."""
    for node in parse(SOURCE / "__init__.py").body:
        if isinstance(node, ast.Assign) and any(getattr(target, "id", "") == "__all__" for target in node.targets):
            return set(ast.literal_eval(node.value))
    return set()


def api_names(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """The names of auditmw itself that a module uses: `from auditmw import X` and `auditmw.X`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module == "auditmw":
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.Attribute) and getattr(node.value, "id", "") == "auditmw":
            yield node.lineno, node.attr


def test_contrib_uses_only_public_names():
    allowed = {*public_names(), "contrib"}
    private = [
        f"{path.relative_to(ROOT)}:{line}: auditmw.{name} is not public"
        for path in modules()
        if dotted_name(path).startswith("contrib")
        for line, name in api_names(parse(path))
        if name not in allowed
    ]
    none_of(private)


def functions(tree: ast.AST) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    return (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


def lines_without_docstring(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    total = function.end_lineno - function.lineno + 1
    if ast.get_docstring(function) is None:
        return total
    docstring = function.body[0]
    return total - (docstring.end_lineno - docstring.lineno + 1)


BLOCKS = (ast.If, ast.For, ast.AsyncFor, ast.While, ast.With, ast.AsyncWith, ast.Try, ast.TryStar, ast.Match)
SCOPES = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)


def nesting(node: ast.AST, depth: int = 0) -> int:
    """How deep if, for, while, with, try and match stand in one another; an elif is as deep as its if."""
    deepest = depth
    for child in ast.iter_child_nodes(node):
        if not isinstance(child, SCOPES):
            deeper = isinstance(child, BLOCKS) and not is_elif(node, child)
            deepest = max(deepest, nesting(child, depth + deeper))
    return deepest


def is_elif(parent: ast.AST, child: ast.AST) -> bool:
    """`elif` and `else: if` give the same tree; only the column tells them apart."""
    if not isinstance(parent, ast.If) or parent.orelse != [child] or not isinstance(child, ast.If):
        return False
    return child.col_offset == parent.col_offset


@pytest.mark.parametrize(
    ("code", "depth"),
    [
        pytest.param("def f():\n return 1", 0, id="nothing"),
        pytest.param("def f():\n if a:\n  for b in c:\n   d()", 2, id="if, for"),
        pytest.param("def f():\n if a:\n  b()\n elif c:\n  d()\n elif e:\n  g()", 1, id="elif"),
        pytest.param("def f():\n if a:\n  b()\n else:\n  if c:\n   d()", 2, id="if in else"),
        pytest.param("def f():\n try:\n  a()\n except E:\n  with b:\n   c()", 2, id="with in except"),
        pytest.param("def f():\n if a:\n  def g():\n   if b:\n    c()", 1, id="inner function"),
    ],
)
def test_nesting_is_counted_as_documented(code, depth):
    assert nesting(ast.parse(code).body[0]) == depth


def size_violations(path: Path) -> Iterator[str]:
    where = path.relative_to(ROOT)
    length = len(path.read_text(encoding="utf-8").splitlines())
    if length >= MODULE_LINES:
        yield f"{where}: {length} lines"
    for function in functions(parse(path)):
        if (length := lines_without_docstring(function)) >= FUNCTION_LINES:
            yield f"{where}:{function.lineno}: {function.name} has {length} lines"
        if (depth := nesting(function)) >= NESTING:
            yield f"{where}:{function.lineno}: {function.name} is nested {depth} deep"


def test_modules_functions_and_nesting_stay_below_their_ceilings():
    none_of(violation for path in modules() for violation in size_violations(path))


def test_no_module_has_a_name_that_says_nothing():
    everywhere = [
        path for folder in ("src", "tests", "benchmarks", "examples") for path in (ROOT / folder).rglob("*.py")
    ]
    none_of(str(path) for path in everywhere if VAGUE_NAMES & {path.stem.strip("_"), path.parent.name})


def undocumented(path: Path) -> Iterator[str]:
    tree = parse(path)
    where = path.relative_to(ROOT)
    if not ast.get_docstring(tree):
        yield f"{where}: no docstring"
    yield from (f"{where}:{node.lineno}: {node.name} has no docstring" for node in public_definitions(tree.body))


def public_definitions(body: list[ast.stmt]) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef]:
    """The public functions, classes and methods of a module's or a class's body that lack a docstring."""
    for node in body:
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) or node.name.startswith("_"):
            continue
        if not ast.get_docstring(node) and not is_overload(node):
            yield node
        if isinstance(node, ast.ClassDef):
            yield from public_definitions(node.body)


def is_overload(node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) -> bool:
    return any(getattr(item, "attr", getattr(item, "id", "")) in {"overload", "setter"} for item in node.decorator_list)


def test_every_public_module_class_and_function_has_a_docstring():
    none_of(missing for path in modules() for missing in undocumented(path))


# Runs in an interpreter of its own. The audit hook (PEP 578) sees what no look at the result could: a file that was
# opened and closed again. Code is read through `open` too: .py, .pyc and .so are that. Not every Python has an audit
# event for a thread that starts, so that one is watched where it is called.
IMPORT_PROBE = """
import json, sys, threading
opened, started = [], []
def watch(event, arguments):
    if event == "open" and not str(arguments[0]).endswith((".py", ".pyc", ".so")):
        opened.append(str(arguments[0]))
    elif event in {"subprocess.Popen", "os.fork", "os.posix_spawn", "socket.__new__", "os.putenv"}:
        started.append(event)
sys.addaudithook(watch)
threading.Thread.start = lambda thread: started.append(repr(thread))
import auditmw
print(json.dumps({"opened": opened, "started": started, "loaded": sorted(sys.modules)}))
"""


def test_importing_auditmw_loads_no_framework_opens_nothing_and_starts_nothing():
    done = subprocess.run([sys.executable, "-c", IMPORT_PROBE], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout)
    assert seen["opened"] == []
    assert seen["started"] == []
    assert ABSENT_AFTER_IMPORT & set(seen["loaded"]) == set()
