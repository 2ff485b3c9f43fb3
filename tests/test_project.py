"""The two commands at the top of the README, and the locks that they install."""

import importlib.util
import os
import re
import subprocess
import sys
import tomllib
from importlib.machinery import SourceFileLoader
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from conftest import PROGRAMS

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
LOCKS = sorted((ROOT / "requirements").glob("*.txt"))
PIN = re.compile(r"^([\w.-]+)==(\S+)(?: ; (.+?))? \\$")
HASH = re.compile(r"^    --hash=sha256:[0-9a-f]{64}(?: \\)?$")


def load_x():
    loader = SourceFileLoader("x", str(ROOT / "x"))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader("x", loader))
    loader.exec_module(module)
    return module


@pytest.fixture
def x(tmp_path, monkeypatch):
    """The script as a module, pointed at an empty directory; what it would run is written to `x.ran` instead."""
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    monkeypatch.delenv("AUDITMW_REQUIRE", raising=False)
    module = load_x()
    module.ROOT, module.VENV = tmp_path, tmp_path / ".venv"
    module.PYTHON, module.STAMP = module.VENV / "bin" / "python", module.VENV / "x-stamp.json"
    (tmp_path / "requirements").mkdir()
    for name in module.LOCK_SOURCES:
        module.lock_file(name).write_text(f"# {name}\n")
    (tmp_path / "pyproject.toml").write_text("")
    module.ran = []
    monkeypatch.setattr(module, "run", lambda *command: module.ran.append([str(part) for part in command]) or True)
    monkeypatch.setattr(module, "make_venv", lambda: make_empty_venv(module))
    return module


def make_empty_venv(module):
    module.ran.append(["make_venv"])
    module.PYTHON.parent.mkdir(parents=True, exist_ok=True)
    module.PYTHON.write_text(f"#!/bin/sh\necho '{module.venv_identity()}'\n")
    module.PYTHON.chmod(0o755)


def names_of(ran):
    """What was made and installed: the locks by name, and "package" for the editable install."""
    named = {"make_venv": "make_venv", "-e": "package", **{str(path): path.stem for path in lock_paths(ran)}}
    return [named[part] for command in ran for part in command if part in named]


def lock_paths(ran):
    return [Path(part) for command in ran for part in command if part.endswith(".txt")]


def test_the_first_call_makes_a_venv_and_installs_the_commands_locks(x):
    x.prepare("lint")
    assert names_of(x.ran) == ["make_venv", "setup", "test", "lint", "package"]


def test_the_second_call_starts_at_once(x):
    x.prepare("test")
    x.ran.clear()
    x.prepare("test")
    assert x.ran == []


def test_another_command_installs_only_what_it_needs_beside(x):
    x.prepare("demo")
    x.ran.clear()
    x.prepare("test")
    assert names_of(x.ran) == ["test", "package"]


def test_a_changed_lock_is_installed_again(x):
    x.prepare("test")
    x.ran.clear()
    x.lock_file("test").write_text("# another\n")
    x.prepare("test")
    assert names_of(x.ran) == ["test", "package"]


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda x: x.PYTHON.unlink(), id="its Python is gone"),
        pytest.param(lambda x: x.PYTHON.write_text("#!/bin/sh\nexit 1\n"), id="its Python does not run"),
        pytest.param(lambda x: x.PYTHON.write_text("#!/bin/sh\necho 3.9.1 in /\n"), id="it is of another Python"),
        pytest.param(lambda x: setattr(x, "venv_identity", lambda: "3.13.0 in /elsewhere"), id="it was copied here"),
    ],
)
def test_a_venv_that_does_not_serve_is_made_anew(x, damage):
    x.prepare("test")
    x.ran.clear()
    damage(x)
    x.lock_file("test").write_text("# another\n")
    x.prepare("test")
    assert names_of(x.ran) == ["make_venv", "setup", "test", "package"]


def test_a_venv_without_a_stamp_is_kept_when_it_works(x):
    make_empty_venv(x)
    x.ran.clear()
    x.prepare("test")
    assert names_of(x.ran) == ["setup", "test", "package"]


def test_pip_installs_where_uv_fails(x, monkeypatch, capsys):
    monkeypatch.setattr(x, "uv_install", lambda *arguments: False)
    x.uv_install.__name__ = "uv_install"
    x.prepare("test")
    assert [command[1:4] for command in x.ran[-2:]] == [["-m", "pip", "install"]] * 2
    assert "uv_install failed" in capsys.readouterr().err


def test_a_set_up_that_failed_leaves_no_stamp(x, monkeypatch):
    monkeypatch.setattr(x, "run", lambda *command: False)
    with pytest.raises(SystemExit, match="could not install"):
        x.prepare("test")
    assert not x.STAMP.exists()


def test_an_old_python_is_told_what_is_needed(x, monkeypatch):
    monkeypatch.setattr(x.sys, "version_info", (3, 10, 13))
    monkeypatch.setattr(x.shutil, "which", lambda name, path=None: "/usr/bin/apt-get" if name == "apt-get" else None)
    monkeypatch.setattr(x.os, "geteuid", lambda: 1000)
    with pytest.raises(SystemExit) as stopped:
        x.require_python()
    assert "needs Python 3.11 or newer" in str(stopped.value)
    assert "sudo apt-get install -y --no-install-recommends python3.11 python3.11-venv" in str(stopped.value)


def test_a_python_without_ensurepip_is_told_its_package(x, monkeypatch):
    monkeypatch.setattr(x.importlib.util, "find_spec", lambda name: None)
    assert x.missing_venv_package() == [f"python{sys.version_info[0]}.{sys.version_info[1]}-venv"]


def test_the_large_lock_is_installed_only_where_no_test_may_be_skipped(x, monkeypatch):
    monkeypatch.delenv("AUDITMW_REQUIRE", raising=False)
    assert x.locks_of("test") == ("test",)
    monkeypatch.setenv("AUDITMW_REQUIRE", "all")
    assert x.locks_of("test") == ("test", "lake")
    assert x.locks_of("demo") == ("demo",)


def test_missing_servers_are_named_by_their_packages(x, monkeypatch):
    monkeypatch.setattr(x.shutil, "which", lambda name, path=None: None)
    assert x.missing_servers() == [
        "chromium",
        "clickhouse-server",
        "nats-server",
        "nginx-light",
        "npm",
        "openssl",
        "postgresql",
        "redis-server",
        "rsyslog rsyslog-relp rsyslog-gnutls",
        "valgrind",
    ]


def test_the_tests_and_the_script_know_the_same_servers(x):
    named = {server: f"apt-get install {package}" for server, package in x.SERVERS.items()}
    assert named == PROGRAMS


@pytest.mark.parametrize(
    ("given", "pip_cert"),
    [
        pytest.param({}, None, id="nothing"),
        pytest.param({"SSL_CERT_FILE": "/ca"}, "/ca", id="the variable of OpenSSL"),
        pytest.param({"REQUESTS_CA_BUNDLE": "/ca"}, "/ca", id="the variable of requests"),
        pytest.param({"SSL_CERT_FILE": "/ca", "PIP_CERT": "/own"}, "/own", id="pip's own wins"),
    ],
)
def test_installers_trust_the_systems_certificates(x, monkeypatch, given, pip_cert):
    for name in ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "PIP_CERT", "UV_SYSTEM_CERTS"):
        monkeypatch.delenv(name, raising=False)
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    environment = x.tool_environment()
    assert (environment["UV_SYSTEM_CERTS"], environment.get("PIP_CERT")) == ("1", pip_cert)


def ask_x(*arguments):
    return subprocess.run([sys.executable, str(ROOT / "x"), *arguments], capture_output=True, text=True, timeout=60)


def test_help_names_every_command():
    done = ask_x("help")
    assert done.returncode == 0
    assert [name for name in load_x().COMMANDS if f"./x {name}" not in done.stdout] == []


def test_an_unknown_command_is_refused_with_the_known_ones():
    done = ask_x("tset")
    assert done.returncode == 1
    assert "expected one of demo, test, lint, bench, screenshots, lock, missing, help, not 'tset'" in done.stderr


def test_the_scripts_are_executable():
    scripts = [ROOT / "x", *(ROOT / ".ci").glob("*")]
    assert [str(path) for path in scripts if not os.access(path, os.X_OK)] == []


@pytest.mark.parametrize("path", LOCKS, ids=lambda path: path.name)
def test_a_lock_holds_pins_hashes_and_comments_only(path):
    lines = path.read_text().splitlines()
    strange = [line for line in lines if not (PIN.match(line) or HASH.match(line) or line.lstrip().startswith("#"))]
    assert strange == []
    assert [line for line in lines if "://" in line or re.search(r"(^|\s)/", line)] == []


def pins(name):
    matches = map(PIN.match, (ROOT / "requirements" / f"{name}.txt").read_text().splitlines())
    found = {}
    for match in filter(None, matches):
        found.setdefault(canonicalize_name(match[1]), []).append(match[2])
    return found


def group(name):
    for entry in PROJECT["dependency-groups"][name]:
        yield from group(entry["include-group"]) if isinstance(entry, dict) else [Requirement(entry)]


def extra(name):
    return map(Requirement, PROJECT["project"]["optional-dependencies"][name])


CORE = [Requirement(line) for line in PROJECT["project"]["dependencies"]]
WANTED = {
    "setup": list(group("setup")),
    "demo": [*CORE, *extra("cli"), *group("demo")],
    "test": [
        *CORE,
        *group("demo"),
        *group("test"),
        *(r for n in PROJECT["project"]["optional-dependencies"] for r in extra(n)),
    ],
    "lint": list(group("lint")),
    "bench": list(group("bench")),
    "lake": list(group("lake")),
}


@pytest.mark.parametrize("name", WANTED)
def test_a_lock_satisfies_what_pyproject_asks_for(name):
    locked = pins(name)
    unmet = [
        str(wanted)
        for wanted in WANTED[name]
        if not any(
            wanted.specifier.contains(pin, prereleases=True) for pin in locked.get(canonicalize_name(wanted.name), [])
        )
    ]
    assert unmet == [], "run ./x lock"


def test_the_locks_agree_because_one_venv_holds_them_all():
    by_name = {}
    for path in LOCKS:
        for name, versions in pins(path.stem).items():
            by_name.setdefault(name, set()).add(tuple(versions))
    assert {name: versions for name, versions in by_name.items() if len(versions) > 1} == {}
