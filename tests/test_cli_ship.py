"""`auditmw ship`: what it says, and how it ends."""

from __future__ import annotations

import contextlib
import json
import subprocess

import pytest
from click.testing import CliRunner

from auditmw.cli.program import program
from auditmw.ship.shipper import Shipper
from journal_tools import needs_root, tmpfs
from servers import HOST, free_ports
from ship_conformance import body, ident, write_events
from ship_places import MemoryPlace


@pytest.fixture
def directory(tmp_path):
    path = tmp_path / "audit"
    path.mkdir()
    write_events(path, [body(1), body(2)])
    return path


def ship(directory, *arguments, **env):
    return CliRunner().invoke(program, ["ship", str(directory), *arguments], env=env)


def test_once_sends_what_is_there_and_ends_well(directory, tmp_path):
    out = f"file://{tmp_path}/out"
    assert ship(directory, "--to", out, "--once").exit_code == 0
    assert (tmp_path / "out").read_bytes() == body(1) + b"\n" + body(2) + b"\n"
    status = ship(directory, "--status", "-o", "ndjson")
    assert status.exit_code == 0
    told = json.loads(status.stdout)
    assert (told["target"], told["counts"]["shipped"], told["lag"]["events"], told["state"]) == (out, 2, 0, "stopped")


def test_the_status_is_a_line_of_ndjson_or_an_element_of_the_array_for_each_target(directory, tmp_path):
    ship(directory, "--to", f"file://{tmp_path}/a", "--to", f"file://{tmp_path}/b", "--once")
    lines = [json.loads(line) for line in ship(directory, "--status", "-o", "ndjson").stdout.splitlines()]
    assert {line["target"] for line in lines} == {f"file://{tmp_path}/a", f"file://{tmp_path}/b"}
    found = json.loads(ship(directory, "--status", "-o", "json").stdout)
    assert [each["name"] for each in found] == [line["name"] for line in lines]


def test_nothing_shipped_is_no_line_of_ndjson_and_an_empty_array(directory):
    assert ship(directory, "--status", "-o", "ndjson").stdout == ""
    assert json.loads(ship(directory, "--status", "-o", "json").stdout) == []


def test_several_targets_come_from_the_environment(directory, tmp_path):
    urls = f"file://{tmp_path}/a file://{tmp_path}/b"
    assert ship(directory, "--once", AUDITMW_SHIP_TO=urls).exit_code == 0
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes() != b""


def test_a_target_that_fails_is_told_and_the_other_one_is_served(directory, tmp_path):
    result = ship(directory, "--to", f"file://{tmp_path}/no/a", "--to", f"file://{tmp_path}/b", "--once")
    assert result.exit_code == 3
    assert result.stderr.count("No such file or directory") == 1
    assert (tmp_path / "b").exists()
    status = ship(directory, "--status")
    assert status.exit_code == 1
    said = " ".join(status.stderr.split())
    assert "2 events wait, and no shipper runs (stopped; its last error, 20" in said
    assert f"cannot write to {tmp_path}/no/a: No such file or directory)" in said


def test_a_format_is_what_the_records_are(directory, tmp_path):
    assert ship(directory, "--to", f"file://{tmp_path}/out", "--format", "ecs", "--once").exit_code == 0
    first = json.loads((tmp_path / "out").read_bytes().splitlines()[0])
    assert "@timestamp" in first
    assert first["event"]["id"] == ident(1)


def test_dead_letters_are_told_and_sent_again(directory, tmp_path):
    place = MemoryPlace()
    write_events(directory, [place.poison])
    url = f"file://{tmp_path}/out"
    assert Shipper(directory, place.target(), name="x", shown=url).run_once()
    assert "1 dead letters; --replay sends them again" in " ".join(ship(directory, "--status").stderr.split())
    assert "auditmw_ship_dead_letters{" in ship(directory, "--metrics").stdout
    again = ship(directory, "--to", url, "--name", "x", "--replay")
    assert again.exit_code == 0
    assert "1 dead letters were sent, 0 were rejected again" in " ".join(again.stderr.split())
    assert (tmp_path / "out").read_bytes() == place.poison + b"\n"
    assert ship(directory, "--status").exit_code == 0


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        pytest.param([], 2, "say --to where: stdout:, file:", id="nowhere"),
        pytest.param(["--to", "gopher://x"], 2, "expected one of stdout:, file:", id="unknown scheme"),
        pytest.param(["--to", "no url"], 2, "expected a URL such as", id="no URL"),
        pytest.param(["--to", "stdout:?x=1"], 2, "has no option 'x'", id="unknown option"),
        pytest.param(["--to", "stdout:", "--format", "xml"], 2, "not 'xml'", id="unknown format"),
        pytest.param(["--to", "stdout:", "--to", "stdout:"], 2, "--to stdout: is there twice; once", id="twice"),
        pytest.param(["--to", "stdout:", "--name", "../x"], 2, "the name of a folder", id="bad name"),
        pytest.param(
            ["--to", "stdout:", "--to", "file:///x", "--name", "x"],
            2,
            "--name x is for one --to, and there are 2",
            id="one name for two",
        ),
        pytest.param(["--to", "stdout:", "--once", "--status"], 2, "give one of", id="two things"),
    ],
)
def test_wrong_usage_is_answered_with_what_was_expected(directory, arguments, code, says):
    result = ship(directory, *arguments)
    assert result.exit_code == code
    assert says in result.stderr


def test_what_a_target_says_of_itself_is_told_with_its_url_once(directory):
    (closed,) = free_ports(1)
    url = f"clickhouse://{HOST}:{closed}/audit"
    result = ship(directory, "--to", url, "--once")
    assert (result.exit_code, result.stderr.count(url)) == (3, 1)


def test_a_password_is_not_shown(directory):
    result = ship(directory, "--to", "gopher://me:hunter2@x")
    assert "hunter2" not in result.output
    result = ship(directory, "--to", "nonsense//me:hunter2@x")
    assert "hunter2" not in result.output


def test_what_is_no_audit_directory_is_refused(tmp_path):
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "x").write_text("")
    result = ship(tmp_path / "other", "--to", "stdout:", "--once")
    assert result.exit_code == 3
    assert "has no journal/" in " ".join(result.stderr.split())


@pytest.mark.parametrize(
    ("break_it", "says"),
    [
        pytest.param(lambda ship: (ship / "journal-id").write_text("other\n"), "another one", id="another journal"),
        pytest.param(lambda ship: (ship / "out" / "lock").mkdir(), "Is a directory", id="lock is a folder"),
    ],
)
def test_what_cannot_be_used_is_said_and_nothing_is_lost(directory, tmp_path, break_it, says):
    url = f"file://{tmp_path}/out"
    ship(directory, "--to", url, "--name", "out", "--once")
    write_events(directory, [body(3)])
    (directory / "ship" / "out" / "lock").unlink()
    break_it(directory / "ship")
    result = ship(directory, "--to", url, "--name", "out", "--once")
    assert result.exit_code == 3
    assert says in " ".join(result.stderr.split())
    assert ident(3).encode() not in (tmp_path / "out").read_bytes()
    assert len(list((directory / "journal").iterdir())) == 2


@needs_root
def test_a_directory_that_is_read_only_is_said_and_nothing_is_lost(tmp_path):
    url, out = f"file://{tmp_path}/out", tmp_path / "out"
    with tmpfs(tmp_path / "disk", "size=2m") as disk:
        write_events(disk, [body(1)])
        assert ship(disk, "--to", url, "--once").exit_code == 0
        write_events(disk, [body(2)])
        subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
        result = ship(disk, "--to", url, "--once")
        assert result.exit_code == 3
        assert "Read-only file system" in " ".join(result.stderr.split())
        assert ident(2).encode() not in out.read_bytes()
        assert ship(disk, "--status").exit_code == 1
        subprocess.run(["mount", "-o", "remount,rw", disk], check=True)
        assert ship(disk, "--to", url, "--once").exit_code == 0
    assert out.read_bytes() == body(1) + b"\n" + body(2) + b"\n"


@needs_root
def test_on_a_full_disk_nothing_is_sent_that_cannot_be_accounted_for(tmp_path):
    url, out = f"file://{tmp_path}/out", tmp_path / "out"
    with tmpfs(tmp_path / "disk", "size=1m") as disk:
        write_events(disk, [body(1)])
        with contextlib.suppress(OSError), (disk / "filler").open("wb", buffering=0) as filler:
            while True:
                filler.write(bytes(4096))
        result = ship(disk, "--to", url, "--once")
        assert result.exit_code == 3
        said = " ".join(result.stderr.split())
        assert "No space left on device" in said
        assert str(disk) in said  # it is not the target's disk that is full
        assert not out.exists()
        (disk / "filler").unlink()
        assert ship(disk, "--to", url, "--once").exit_code == 0
    assert out.read_bytes() == body(1) + b"\n"
