"""`auditmw check`: every fault is found, said, and comes with what to do; a sound deployment passes."""

import itertools
import json
import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import orjson
import pytest
from click.testing import CliRunner

from auditmw.archive import archive
from auditmw.cli.checks import directory as directory_checks
from auditmw.cli.checks import machine
from auditmw.cli.checks.archive import check_archive
from auditmw.cli.checks.directory import check_directory, mounted
from auditmw.cli.checks.journal import check_journal, read_journal
from auditmw.cli.checks.proxies import check_proxies
from auditmw.cli.program import program
from auditmw.journal import Journal, write_file
from servers import SERVERS, AppServer

NOW = datetime(2026, 11, 20, 20, 30, tzinfo=UTC)
NOBODY = 65534
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can be another user")


def event(number, **more):
    moment = (NOW - timedelta(minutes=10) + timedelta(seconds=number)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    return {
        "schema": "auditmw.event/1.0",
        "id": f"01a1fa9d-dbe2-76b9-a3e2-{int(number) % 10**9:012x}",
        "timestamp": moment,
        "event": "http_request",
        "level": "info",
        "outcome": {"result": "success"},
        "client": {"address": "127.0.0.1", "peer_address": "127.0.0.1", "peer_port": 4711, "origin": "peer"},
        "http": {"request": {"method": "GET"}, "response": {"status_code": 200}},
        "service": {"name": "shop"},
        "source": {"kind": "middleware", "format": "wsgi"},
        **more,
    }


def open_journal(directory):
    return Journal(directory, durability="os", rotate_bytes=1 << 24, rotate_seconds=3600)


@pytest.fixture
def directory(tmp_path):
    """A sound audit directory with a live writer."""
    home = tmp_path / "audit"
    writer = open_journal(home)
    for number in range(5):
        writer.append(orjson.dumps(event(number)))
    (home / "pseudonym.key").touch(mode=0o600)
    (home / "pseudonym.key").write_bytes(bytes(32))
    yield home
    writer.close()


def levels(findings):
    """The worst level of each check."""
    worst = {}
    for finding in findings:
        order = ("ok", "warn", "fail")
        worst[finding.check] = max(worst.get(finding.check, "ok"), finding.level, key=order.index)
        assert finding.advice or finding.level == "ok", f"{finding} says nothing about what to do"
    return worst


def the(findings, check):
    """The worst finding of a check."""
    return max((one for one in findings if one.check == check), key=lambda one: ("ok", "warn", "fail").index(one.level))


def check(*arguments):
    return CliRunner().invoke(program, ["check", *map(str, arguments)])


# --- the command


def test_a_sound_directory_passes(directory):
    result = check(directory)
    assert result.exit_code == 0
    found = [json.loads(line) for line in result.stdout.splitlines()]
    assert {one["level"] for one in found} <= {"ok", "warn"}
    assert all(one.keys() == {"level", "check", "seen", "advice"} for one in found)
    sound = {one["check"] for one in found if one["level"] == "ok"}
    files = {"directory.exists", "directory.mode", "directory.writable", "journal.files", "key"}
    contents = {"journal.events", "journal.damage", "journal.writers", "journal.lost"}
    assert sound >= files | contents | {"proxy.trust", "versions"}
    assert "to mend" in result.stderr


def test_a_check_changes_nothing(directory):
    (file,) = (directory / "journal").iterdir()
    file.write_bytes(file.read_bytes() + b"rubbish\n")

    def everything():
        return {path: path.lstat() for path in [directory, *directory.rglob("*")]}

    before = {path: (status.st_mode, status.st_size, status.st_mtime_ns) for path, status in everything().items()}
    assert check(directory).exit_code == 1
    assert {
        path: (status.st_mode, status.st_size, status.st_mtime_ns) for path, status in everything().items()
    } == before


def test_a_human_sees_one_line_for_each_finding_and_what_to_do_below(directory):
    directory.chmod(0o777)
    result = check(directory, "-o", "table")
    assert result.exit_code == 1
    lines = result.stdout.splitlines()
    at = next(n for n, line in enumerate(lines) if line.startswith("✗ FAIL  directory.mode"))
    assert f"→ chmod 0750 {directory}" in lines[at + 1]
    assert all(line[:6] in ("✓ ok  ", "! warn", "✗ FAIL", "      ") for line in lines)


def test_json_is_one_array(directory):
    assert isinstance(json.loads(check(directory, "-o", "json").stdout), list)


def test_a_hostile_name_in_the_journal_does_not_reach_a_terminal_raw(directory):
    writer = open_journal(directory)
    writer.append(orjson.dumps(event(6, service={"name": "\x1b[2J\nforged"})))
    writer.close()
    assert "\\x1b[2J\\nforged" in check(directory, "-o", "table").stdout


# --- the directory


def test_a_directory_that_is_not_there_or_no_directory_is_one_failure(tmp_path):
    (tmp_path / "file").write_text("x")
    for path in (tmp_path / "nothing", tmp_path / "file"):
        assert levels(check_directory(path)) == {"directory.exists": "fail"}
        assert check(path).exit_code == 1


@pytest.mark.parametrize(
    ("mode", "level"),
    [(0o750, "ok"), (0o700, "ok"), (0o755, "warn"), (0o770, "warn"), (0o777, "fail"), (0o1777, "fail")],
)
@pytest.mark.parametrize("folder", [".", "journal"])
def test_modes_that_let_others_in_are_found(directory, folder, mode, level):
    (directory / folder).chmod(mode)
    assert levels(check_directory(directory))["directory.mode"] == level


@as_root
def test_a_directory_that_this_user_cannot_write_fails(directory):
    os.seteuid(NOBODY)
    try:
        found = list(check_directory(directory))
    except PermissionError:
        pytest.skip("nobody cannot even look into the temporary folder here")
    finally:
        os.seteuid(0)
    assert levels(found).get("directory.writable", levels(found)["directory.exists"]) == "fail"


@as_root
def test_a_directory_of_another_user_is_noticed_by_root(directory):
    os.chown(directory, NOBODY, NOBODY)
    finding = the(check_directory(directory), "directory.writable")
    assert finding.level == "warn"
    assert str(NOBODY) in finding.seen


@as_root
def test_journal_files_of_two_users_are_noticed(directory):
    writer = open_journal(directory)
    writer.append(orjson.dumps(event(9)))
    os.chown(sorted((directory / "journal").iterdir())[-1], NOBODY, NOBODY)
    assert levels(check_directory(directory))["journal.files"] == "warn"
    writer.close()


@pytest.mark.parametrize(("mode", "level"), [(0o640, "ok"), (0o600, "ok"), (0o644, "warn"), (0o660, "warn")])
def test_journal_files_that_others_can_read_or_write_are_noticed(directory, mode, level):
    next((directory / "journal").iterdir()).chmod(mode)
    assert levels(check_directory(directory))["journal.files"] == level


def link(path):
    path.symlink_to("/etc/passwd")


def hard_link(path):
    path.hardlink_to(next(path.parent.glob("*.000001.jsonl")))


@pytest.mark.parametrize("make", [link, hard_link, os.mkfifo], ids=["symbolic link", "hard link", "fifo"])
def test_a_file_in_the_journal_that_is_no_file_fails(directory, make):
    make(directory / "journal" / "x.000009.jsonl")
    assert levels(check_directory(directory))["journal.files"] == "fail"


def test_a_link_in_place_of_the_journal_fails(directory):
    (directory / "journal").rename(directory / "elsewhere")
    (directory / "journal").symlink_to(directory / "elsewhere")
    assert levels(check_directory(directory))["directory.symlink"] == "fail"


def test_a_link_to_the_directory_is_followed(directory, tmp_path):
    (tmp_path / "link").symlink_to(directory)
    finding = the(check_directory(tmp_path / "link"), "directory.exists")
    assert finding.level == "ok"
    assert str(directory) in finding.seen


@pytest.mark.parametrize(("mode", "level"), [(0o755, "ok"), (0o1777, "warn"), (0o777, "fail")])
def test_a_parent_that_everybody_can_write_is_found(tmp_path, mode, level):
    parent = tmp_path / "parent"
    (parent / "audit").mkdir(parents=True)
    parent.chmod(mode)
    told = [
        one.level
        for one in check_directory(parent / "audit")
        if one.check == "directory.parents" and f"{parent}," in one.seen + ","
    ]
    told += [
        one.level
        for one in check_directory(parent / "audit")
        if one.check == "directory.parents" and f"because {parent} has" in one.seen
    ]
    assert (told or ["ok"])[0] == level


@pytest.mark.parametrize(
    ("make", "level"),
    [
        (lambda path: None, "ok"),
        (lambda path: path.unlink(), "warn"),
        (lambda path: path.chmod(0o640), "fail"),
        (lambda path: path.chmod(0o604), "fail"),
        (lambda path: path.write_bytes(bytes(31)), "fail"),
        (lambda path: (path.unlink(), path.symlink_to("/dev/zero")), "fail"),
    ],
    ids=["sound", "missing", "group may read", "all may read", "short", "link"],
)
def test_the_key_must_be_private_and_long_enough(directory, make, level):
    make(directory / "pseudonym.key")
    assert levels(check_directory(directory))["key"] == level


@pytest.mark.skipif(not Path("/dev/shm").is_dir(), reason="no /dev/shm")
def test_a_directory_in_memory_is_noticed(tmp_path_factory):
    finding = directory_checks._file_system(Path("/dev/shm"))
    assert finding.level == "warn"
    assert "tmpfs" in finding.seen


MOUNTS = """\
22 1 259:1 / / rw,relatime shared:1 - ext4 /dev/root rw
30 22 0:26 / /srv/a\\040b rw - nfs4 server:/x rw
31 22 0:27 / /srv rw - overlay overlay rw
32 31 0:28 / /srv/deep rw shared:9 master:1 - tmpfs tmpfs rw
33 31 0:29 / /srv/deep rw - xfs /dev/sdb rw
nonsense
"""


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/var/audit", ("ext4", "/")),
        ("/srv", ("overlay", "/srv")),
        ("/srvx", ("ext4", "/")),
        ("/srv/a b/c", ("nfs4", "/srv/a b")),
        ("/srv/deep/x", ("xfs", "/srv/deep")),
    ],
)
def test_the_file_system_is_that_of_the_longest_mount_point(tmp_path, path, expected):
    (tmp_path / "mountinfo").write_text(MOUNTS)
    assert mounted(Path(path), tmp_path / "mountinfo") == expected


def test_a_system_without_mountinfo_is_no_error(tmp_path):
    assert mounted(tmp_path, tmp_path / "nothing") == ("unknown", "/")


@pytest.mark.parametrize(
    ("kind", "level"),
    [("nfs4", "warn"), ("fuse.sshfs", "warn"), ("overlay", "warn"), ("tmpfs", "warn"), ("ext4", "ok"), ("xfs", "ok")],
)
def test_file_systems_that_lose_or_hang_are_noticed(monkeypatch, tmp_path, kind, level):
    monkeypatch.setattr(directory_checks, "mounted", lambda path, info: (kind, "/x"))
    assert directory_checks._file_system(tmp_path).level == level


@pytest.mark.parametrize(
    ("limits", "expected"),
    [({}, "ok"), ({"FREE_BYTES_WARN": 1 << 62}, "warn"), ({"FREE_BYTES_FAIL": 1 << 62}, "fail")],
    ids=["enough", "little", "too little"],
)
def test_too_little_room_is_found(monkeypatch, directory, limits, expected):
    for name, value in limits.items():
        monkeypatch.setattr(directory_checks, name, value)
    assert levels(check_directory(directory))["disk.space"] == expected


def test_a_read_only_mount_fails(monkeypatch, directory):
    real = os.statvfs(directory)
    values = [*real]
    values[8] = os.ST_RDONLY
    monkeypatch.setattr(os, "statvfs", lambda path: os.statvfs_result(values))
    assert levels(check_directory(directory))["disk.writable"] == "fail"


# --- the journal


def findings_of(directory, now=NOW):
    return list(check_journal(read_journal(directory), 0, now))


def test_an_empty_journal_is_noticed(tmp_path):
    found = levels(findings_of(tmp_path))
    assert found["journal.events"] == "warn"
    assert check(tmp_path).exit_code == 0


def test_a_whole_journal_is_counted(directory):
    assert the(findings_of(directory), "journal.events").seen.startswith("5 events of shop in 1 files")
    assert set(levels(findings_of(directory)).values()) == {"ok"}


def test_damage_fails_and_says_where(directory):
    (file,) = (directory / "journal").iterdir()
    lines = file.read_bytes().splitlines(keepends=True)
    lines[1] = b"x" + lines[1]
    file.write_bytes(b"".join(lines))
    finding = the(findings_of(directory), "journal.damage")
    assert finding.level == "fail"
    assert "1 damaged places and 1 missing lines" in finding.seen
    assert f"{file.name} at {len(lines[0])}: bad checksum" in finding.seen


def test_events_that_are_nested_too_deep_are_noticed_and_no_damage(tmp_path):
    journal = Journal(tmp_path)
    journal.append(b'{"event":"deep","more":' + b"[" * 3000 + b"]" * 3000 + b"}")
    journal.close()
    reading = read_journal(tmp_path)
    found = {finding.check: finding for finding in check_journal(reading, 0, datetime.now(UTC))}
    assert (found["journal.depth"].level, found["journal.damage"].level) == ("warn", "ok")
    assert "1 events are nested more than 200 levels deep" in found["journal.depth"].seen


def test_a_removed_line_fails_and_is_counted(directory):
    (file,) = (directory / "journal").iterdir()
    lines = file.read_bytes().splitlines(keepends=True)
    file.write_bytes(b"".join(lines[:1] + lines[3:]))
    finding = the(findings_of(directory), "journal.damage")
    assert finding.level == "fail"
    assert "0 damaged places and 2 missing lines" in finding.seen


def test_damage_without_end_is_counted_and_not_listed_whole(directory):
    (file,) = (directory / "journal").iterdir()
    lines = file.read_bytes().splitlines(keepends=True)
    file.write_bytes(b"rubbish\n".join([*lines, b""]) * 50)
    assert len(the(findings_of(directory), "journal.damage").seen) < 1000


def test_lost_events_fail_with_their_reasons(directory):
    writer = open_journal(directory)
    for number, (count, reason) in enumerate(
        [(3, "[Errno 28] No space left"), (2, "[Errno 28] No space left"), (4, "[Errno 5] I/O error")]
    ):
        gap = event(6 + number, event="auditmw.gap", data={"count": count, "reason": reason}, source={"kind": "app"})
        writer.append(orjson.dumps(gap))
    writer.close()
    finding = the(findings_of(directory), "journal.lost")
    assert finding.level == "fail"
    assert finding.seen == "9 events could not be written: 5 x [Errno 28] No space left, 4 x [Errno 5] I/O error"


def test_a_journal_that_nobody_writes_is_noticed(tmp_path):
    writer = open_journal(tmp_path / "audit")
    writer.append(orjson.dumps(event(1)))
    writer.close()
    finding = the(findings_of(tmp_path / "audit"), "journal.writers")
    assert (finding.level, finding.seen) == ("warn", "0 of 1 writers are live")


@pytest.mark.parametrize(
    ("seconds", "level"), [([5, 4.5, 6], "ok"), ([5, -60, 6], "warn")], ids=["concurrent requests", "a step"]
)
def test_a_clock_that_was_set_back_is_noticed(directory, seconds, level):
    writer = open_journal(directory)
    for second in seconds:
        writer.append(orjson.dumps(event(second)))
    writer.close()
    finding = the(findings_of(directory), "journal.clock")
    assert finding.level == level
    assert ("set back 1 times, by 65.0 s" in finding.seen) == (level == "warn")


def test_events_of_the_future_are_noticed(directory):
    assert the(findings_of(directory, NOW - timedelta(hours=1)), "journal.clock").level == "warn"


def test_imported_lines_say_nothing_about_this_machine(directory):
    writer = open_journal(directory)
    for number in (-500, -900, 5000):
        writer.append(
            orjson.dumps(event(number, source={"kind": "import"}, client={"origin": "log", "forwarded": ["x"]}))
        )
    writer.close()
    assert "warn" not in levels(findings_of(directory)).values()
    assert len(read_journal(directory).requests()) == 5


def test_only_the_newest_requests_are_kept(directory):
    writer = open_journal(directory)
    for number in range(3000, 1500, -1):
        writer.append(orjson.dumps(event(number)))
    writer.close()
    kept = [one["timestamp"] for one in read_journal(directory).requests()]
    assert kept == [event(number)["timestamp"] for number in range(2001, 3001)]


# --- proxies


def request(peer="10.0.0.7", port=51000, origin="peer", forwarded=("203.0.113.9",), user=None, address=None):
    client = {
        "address": address or peer,
        "peer_address": peer,
        "peer_port": port,
        "origin": origin,
        "forwarded": list(forwarded),
    }
    if not forwarded:
        del client["forwarded"]
    return event(1, client=client, **({"actor": {"id": user}} if user else {}))


PROXIES = {
    "direct": ([request(forwarded=())], {"proxy.trust": "ok"}, "none of the last 1"),
    "trusted": (
        [request("127.0.0.1", origin="x-forwarded-for")],
        {"proxy.trust": "ok"},
        "came over a trusted proxy (127.0.0.1)",
    ),
    "a proxy that is not trusted": (
        [request(), request(forwarded=("203.0.113.10",))],
        {"proxy.trust": "warn"},
        "from 10.0.0.7, which looks like your proxy",
    ),
    "with users": (
        [request(user="alice"), request()],
        {"proxy.trust": "warn", "proxy.identity": "warn"},
        "1 of them had a user",
    ),
    "two proxies": ([request(), request("10.0.0.8")], {"proxy.trust": "warn"}, "10.0.0.7, 10.0.0.8"),
    "a unix socket": ([request("unix:", None)], {"proxy.trust": "warn"}, "unix:"),
    "clients that make it up": (
        [request(f"198.51.100.{n}") for n in range(9)],
        {"proxy.trust": "ok"},
        "9 clients sent it themselves",
    ),
    "one client that makes it up": (
        [request("198.51.100.1"), request("198.51.100.1", forwarded=())],
        {"proxy.trust": "ok"},
        "1 clients sent it themselves",
    ),
    "resolved by the server": (
        [request("203.0.113.9", 0, user="alice"), request("203.0.113.10", 0, forwarded=("203.0.113.10",))],
        {"proxy.server": "warn"},
        "1 of them had a user",
    ),
    "nothing": ([], {}, ""),
    "other shapes": (
        [event(1, client=5), event(1, client={"forwarded": "x", "origin": "peer"})],
        {"proxy.trust": "ok"},
        "",
    ),
}


@pytest.mark.parametrize(("requests", "expected", "said"), PROXIES.values(), ids=PROXIES)
def test_what_requests_say_about_proxies(requests, expected, said):
    found = list(check_proxies(requests))
    assert levels(found) == expected
    assert said in " ".join(one.seen for one in found)


@pytest.mark.parametrize(
    ("peer", "network"), [("10.0.0.7", '"10.0.0.7/32"'), ("2001:db8::7", '"2001:db8::7/128"'), ("unix:", '"unix"')]
)
def test_the_advice_is_what_to_write(peer, network):
    assert network in the(check_proxies([request(peer)]), "proxy.trust").advice


@pytest.mark.needs("uvicorn", "httptools")
@pytest.mark.parametrize(("option", "expected"), [("--proxy-headers", "warn"), ("--no-proxy-headers", "ok")])
def test_a_uvicorn_that_applies_the_proxys_header_itself_is_found(tmp_path, option, expected):
    server = AppServer(
        "uvicorn-httptools", tmp_path / "app", "edge_apps:asgi", env={"AUDIT_DIRECTORY": str(tmp_path / "audit")}
    )
    command = SERVERS["uvicorn-httptools"].command
    object.__setattr__(
        server,
        "kind",
        SERVERS["uvicorn-httptools"].__class__("uvicorn", "asgi", (), (*command[:-1], option, command[-1])),
    )
    with server:
        for address in ("203.0.113.9", "203.0.113.10"):
            server.request("GET", "/echo", {"X-Forwarded-For": address, "Cookie": "user=alice"})
    found = [json.loads(line) for line in check(tmp_path / "audit").stdout.splitlines()]
    told = {one["check"]: one["level"] for one in found if one["check"].startswith("proxy.")}
    assert told == ({"proxy.server": "warn"} if expected == "warn" else {"proxy.trust": "ok"})


# --- the application


NUMBERS = itertools.count()
APP = """
import auditmw
audit = auditmw.Audit({directory!r}, service="shop"{more})
another = auditmw.Audit({directory!r}, service="another")
def app(environ, start_response): ...
wrapped = auditmw.WSGIAudit(app, audit)
class Flask: wsgi_app = wrapped
flask = Flask()
class Outer:
    def __init__(self, app): self.app = app
nested = Outer(Outer(auditmw.ASGIAudit(app, audit)))
class Middleware: kwargs = {{"audit": audit}}
class Starlette: user_middleware = [Middleware]
starlette = Starlette()
circle = Outer(None)
circle.app = circle
"""


@pytest.fixture
def app(directory, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def make(more="", where=directory):
        name = f"checked_app_{next(NUMBERS)}"
        (tmp_path / f"{name}.py").write_text(APP.format(directory=str(where), more=more))
        return name

    yield make
    sys.path[:] = [path for path in sys.path if path != str(tmp_path)]


def app_findings(directory, target):
    result = check(directory, "--app", target)
    return {one["check"]: one for one in map(json.loads, result.stdout.splitlines()) if one["check"].startswith("app")}


@pytest.mark.parametrize("attribute", ["audit", "wrapped", "flask", "flask.wsgi_app", "nested", "starlette"])
def test_the_audit_of_an_app_is_found(directory, app, attribute):
    found = app_findings(directory, f"{app()}:{attribute}")
    assert (found["app.directory"]["level"], found["app.resolver"]["level"]) == ("ok", "warn")


def test_an_audit_out_of_reach_is_found_when_it_is_the_only_one(directory, tmp_path):
    (tmp_path / "hidden.py").write_text(
        f"import auditmw\nkept = [auditmw.Audit({str(directory)!r}, service='shop')]\ndef handler(): ...\n"
    )
    command = [sys.executable, "-m", "auditmw", "check", directory, "--app", "hidden:handler"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert {one["check"]: one["level"] for one in map(json.loads, done.stdout.splitlines())}["app.directory"] == "ok"


def test_an_app_that_writes_elsewhere_fails(directory, app, tmp_path):
    found = app_findings(directory, f"{app(where=tmp_path / 'other')}:audit")
    assert found["app.directory"]["level"] == "fail"
    assert str(tmp_path / "other") in found["app.directory"]["advice"]


def test_an_exempt_pattern_that_matches_everything_is_noticed(directory, app):
    found = app_findings(directory, f"{app(', exempt=(chr(47),), resolver=lambda request: None')}:audit")
    assert (found["app.exempt"]["level"], found["app.resolver"]["level"]) == ("warn", "ok")


@pytest.mark.parametrize("target", ["{}:nothing", "{}:app", "{}:circle", "{}", "not_there:app", ":", "{}:"])
def test_an_app_that_cannot_be_loaded_fails_and_says_why(directory, app, target):
    found = app_findings(directory, target.format(app()))
    assert found["app"]["level"] == "fail"
    assert found["app"]["seen"]


# --- the machine


@pytest.mark.parametrize(
    ("state", "status", "error", "level"),
    [
        (0, 0, 5_000, "ok"),
        (5, 0, 5_000, "warn"),
        (0, 0x40, 5_000, "warn"),
        (0, 0, 2_000_000, "warn"),
        (-1, 0, 0, "warn"),
    ],
    ids=["synchronised", "time error", "unsynchronised", "far off", "not told"],
)
def test_the_kernels_clock_is_judged(state, status, error, level):
    assert machine.clock(state, status, error).level == level


def test_the_kernel_is_asked():
    state, status, error = machine.kernel_clock()
    assert -1 <= state <= 5
    assert status >= 0
    assert error >= 0


def test_packages_that_are_missing_or_too_old_fail(monkeypatch):
    monkeypatch.setattr(
        machine,
        "requires",
        lambda name: ["orjson>=99.1", "not-there>=1.0", "click>=99; extra == 'cli'", "structlog>=24.1"],
    )
    found = [one for one in machine.check_machine() if one.level == "fail"]
    assert [one.advice for one in found] == ["pip install 'orjson>=99.1'", "pip install 'not-there>=1.0'"]


def test_versions_are_listed():
    assert "orjson " in the(machine.check_machine(), "versions").seen


# --- the archive


@pytest.fixture
def archived(tmp_path):
    """A directory whose events are all in the archive."""
    lines = [b'{"timestamp":"2026-11-20T10:00:0%d.000000Z","event":"x"}' % number for number in range(3)]
    write_file(tmp_path, "w", lines)
    archive(tmp_path)
    for file in (tmp_path / "journal").iterdir():
        file.unlink()
    return tmp_path


def test_a_directory_that_is_all_archived_is_whole(archived):
    found = list(check_archive(archived))
    assert levels(found) == {"archive.events": "ok", "archive.damage": "ok"}
    assert "3 events in 1 files" in the(found, "archive.events").seen
    assert "2026-11-20T10:00:00.000000Z to 2026-11-20T10:00:02.000000Z" in the(found, "archive.events").seen
    shown = [json.loads(line) for line in check(archived).stdout.splitlines()]
    assert next(one for one in shown if one["check"] == "journal.events")["level"] == "ok"


def test_where_nothing_is_archived_nothing_is_said_of_it(directory):
    assert list(check_archive(directory)) == []


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        pytest.param(Path.unlink, "is gone", id="a file is gone"),
        pytest.param(lambda file: file.write_bytes(b""), "has 0 bytes instead of", id="a file is cut"),
        pytest.param(
            lambda file: file.write_bytes(bytes([file.read_bytes()[0] ^ 1]) + file.read_bytes()[1:]),
            "has another content",
            id="a bit is flipped",
        ),
    ],
)
def test_an_archive_that_is_not_as_it_was_written_fails(archived, harm, said):
    (file,) = (archived / "archive").glob("*/*.parquet")
    harm(file)
    found = list(check_archive(archived))
    assert levels(found)["archive.damage"] == "fail"
    assert file.name in the(found, "archive.damage").seen
    assert said in the(found, "archive.damage").seen


@pytest.mark.parametrize(
    "harm", [pytest.param(Path.unlink, id="gone"), pytest.param(lambda file: file.write_bytes(b"{"), id="damaged")]
)
def test_a_manifest_that_is_lost_or_damaged_fails(archived, harm):
    harm(archived / "archive" / "manifest.json")
    (found,) = check_archive(archived)
    assert (found.level, found.check) == ("fail", "archive.manifest")
    assert "auditmw archive" in found.advice
