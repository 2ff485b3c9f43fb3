"""`auditmw import`: what goes in comes out, once, and what cannot go in is told."""

import gzip
import hashlib
import json
import os
import pty
import resource
import select
import signal
import subprocess
import sys
import threading
from collections import Counter
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

import orjson
import pytest
import zstandard
from click.testing import CliRunner

from auditmw.archive import Snapshot
from auditmw.cli.program import program
from auditmw.journal import journal_files
from journal_tools import needs_root, tmpfs
from log_lines import combined, log, objects
from servers import poll

COMMAND = [sys.executable, "-m", "auditmw", "import"]
SUMMARY = {
    "format": "nginx:combined",
    "imported": 100,
    "already_there": 0,
    "rejected": 0,
    "ignored": 0,
    "incomplete_bytes": 0,
    "problem": None,
}


def run_import(*arguments, **options):
    return CliRunner().invoke(program, ["import", *map(str, arguments)], **options)


def summary(result):
    """The one summary of a run without its times."""
    (found,) = objects(result.stdout)
    return {key: found[key] for key in SUMMARY}


def stored(directory):
    """The events that a query sees, in the order of their lines."""
    with Snapshot(directory).view() as view:
        rows = view.connection.execute(f"SELECT body FROM {view.relation()}").fetchall()
    found = [orjson.loads(body) for (body,) in rows]
    return sorted(found, key=lambda event: (event["source"]["file"], event["source"]["offset"]))


def stored_paths(directory):
    return [event["url"]["path"] for event in stored(directory)]


PATHS = [f"/page/{number}" for number in range(100)]


@pytest.fixture
def directory(tmp_path):
    return tmp_path / "audit"


@pytest.fixture
def file(tmp_path):
    file = tmp_path / "access.log"
    file.write_bytes(log(*range(100)))
    return file


@contextmanager
def started(*arguments, **options):
    """The command in a process of its own, which is gone at the end, whatever happened."""
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True} | options
    with subprocess.Popen([*COMMAND, *map(str, arguments)], **options) as child:
        try:
            yield child
        finally:
            child.kill()


# --- what goes in


def test_a_log_is_imported_archived_and_can_be_queried_at_once(directory, file, check_event):
    result = run_import(file, "--into", directory)
    assert (result.exit_code, summary(result)) == (0, SUMMARY)
    assert stored_paths(directory) == PATHS
    assert any((directory / "archive").rglob("*.parquet"))
    assert "100 of the first 100 lines are combined" in result.stderr
    assert "100 lines imported" in result.stderr
    assert "archived in" in result.stderr
    for event in stored(directory):
        check_event(event)


def test_without_the_archive_step_the_events_are_in_the_journal(directory, file):
    assert run_import(file, "--into", directory, "--no-archive").exit_code == 0
    assert not (directory / "archive").exists()
    assert stored_paths(directory) == PATHS


def test_plain_lines_go_straight_into_the_archive_unless_somebody_ships_the_journal(directory, file):
    run_import(file, "--into", directory)
    assert journal_files(directory) == []
    (directory / "ship" / "somewhere").mkdir(parents=True)
    file.write_bytes(log(*range(200)))
    run_import(file, "--into", directory)
    assert len(journal_files(directory)) == 1
    assert len(stored(directory)) == 200


def test_the_second_time_nothing_is_new_not_even_from_the_archive(directory, file):
    run_import(file, "--into", directory)
    for journal_file in journal_files(directory):  # as when the archive's grace time is over
        journal_file.unlink()
    again = run_import(file, "--into", directory)
    assert summary(again) == {**SUMMARY, "imported": 0, "already_there": 100}
    assert stored_paths(directory) == PATHS


@pytest.mark.parametrize(
    ("name", "pack"),
    [
        pytest.param("access.log.1", bytes, id="rotated"),
        pytest.param("access.log.2.gz", gzip.compress, id="gzip"),
        pytest.param("access.log.3.zst", zstandard.ZstdCompressor().compress, id="zstd"),
        pytest.param("renamed", gzip.compress, id="gzip by another name"),
    ],
)
def test_a_copy_under_another_name_or_compressed_is_the_same(directory, file, name, pack):
    run_import(file, "--into", directory)
    copy = file.with_name(name)
    copy.write_bytes(pack(file.read_bytes()))
    assert summary(run_import(copy, "--into", directory))["already_there"] == 100
    assert stored_paths(directory) == PATHS


def test_several_files_and_patterns_come_in_one_run(directory, tmp_path):
    for number in range(3):
        (tmp_path / f"access.log.{number}").write_bytes(log(*range(number * 10, number * 10 + 10)))
    (tmp_path / "own[1].log").write_bytes(log(*range(30, 40)))
    result = run_import(
        tmp_path / "access.log.*", tmp_path / "own[1].log", tmp_path / "access.log.0", "--into", directory
    )
    assert [found["file"] for found in objects(result.stdout)] == [
        *(str(tmp_path / f"access.log.{number}") for number in range(3)),
        str(tmp_path / "own[1].log"),
    ]
    assert sorted(stored_paths(directory)) == sorted(PATHS[:40])


def test_the_standard_input_is_read_plain_or_compressed(directory, file):
    for data in (file.read_bytes(), gzip.compress(file.read_bytes())):
        with started("-", "--into", directory, "--no-archive", stdin=subprocess.PIPE, text=False) as child:
            out, _ = child.communicate(data, timeout=60)
        assert child.returncode == 0
    assert json.loads(out)["already_there"] == 100
    assert stored(directory)[0]["source"]["file"] == "stdin"


def test_the_standard_input_may_be_that_of_a_test(directory, file):
    assert summary(run_import("-", "--into", directory, input=file.read_bytes()))["imported"] == 100


def test_lines_of_a_pipe_are_written_before_it_ends(directory):
    with started("-", "--into", directory, "--format", "combined", stdin=subprocess.PIPE, text=False) as child:
        child.stdin.write(log(1, 2))
        child.stdin.flush()
        poll(lambda: directory.exists() and len(stored(directory)) == 2, "two events while the pipe is open")
        child.stdin.write(log(3))
        child.communicate(timeout=60)
    assert stored_paths(directory) == PATHS[1:4]


def test_a_named_pipe_is_opened_once_and_read_to_its_end(directory, file, tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_bytes, args=(file.read_bytes(),))
    writer.start()
    result = run_import(pipe, "--into", directory)
    writer.join()
    assert summary(result)["imported"] == 100


def test_several_processes_share_the_work(directory, tmp_path):
    file = tmp_path / "access.log"
    file.write_bytes(log(*range(100), agent="x" * 50_000))  # of several chunks
    result = run_import(file, "--into", directory, "--jobs", 3, "--no-archive")
    assert (result.exit_code, summary(result)["imported"]) == (0, 100)
    assert len(journal_files(directory)) > 1
    assert stored_paths(directory) == PATHS


# --- formats


def test_a_format_can_be_named_described_or_taken_from_nginx_conf(directory, tmp_path):
    file, conf = tmp_path / "access.log", tmp_path / "nginx.conf"
    file.write_bytes(b"192.0.2.1|200|/a\n192.0.2.2|404|/b\n")
    conf.write_text("http { log_format own '$remote_addr|$status|$request_uri'; log_format other '$status'; }")
    described = run_import(file, "--into", directory, "--format", "$remote_addr|$status|$request_uri")
    assert summary(described)["imported"] == 2
    for into, name in ((directory, "own"), (tmp_path / "other", "own")):
        taken = run_import(file, "--into", into, "--nginx-conf", conf, "--log-format-name", name)
        assert summary(taken)["format"] == "nginx:own"
    assert stored_paths(directory) == ["/a", "/b"] == stored_paths(tmp_path / "other")


def test_keys_of_json_can_be_mapped(directory, tmp_path):
    file = tmp_path / "access.json"
    file.write_text('{"time":"2026-11-20T20:20:11+00:00","status":200,"who":"alice","request_uri":"/a"}\n')
    result = run_import(file, "--into", directory, "--map", "who=userid")
    assert summary(result)["imported"] == 1
    assert stored(directory)[0]["actor"] == {"id": "alice"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        pytest.param(["--format", "nonsense"], "expected auto, one of nginx:combined", id="no such format"),
        pytest.param(["--format", "$a$b"], "nothing stands between a and b", id="a format that cannot be read back"),
        pytest.param(["--log-format-name", "main"], "needs --nginx-conf", id="a name without its file"),
        pytest.param(["--map", "who"], "expected KEY=NAME", id="no mapping"),
        pytest.param(
            ["--map", "a=userid", "--map", "b=userid", "--format", "nginx-json"], "to several", id="one name twice"
        ),
        pytest.param(["--nginx-conf", "/etc/no/such.conf"], "does not exist", id="no such nginx.conf"),
        pytest.param(["--jobs", "0"], "0 is not in the range", id="no process"),
        pytest.param(["--dry-run", "0"], "0 is not in the range", id="nothing to show"),
    ],
)
def test_options_that_make_no_sense_are_usage_errors(directory, file, arguments, message):
    result = run_import(file, "--into", directory, *arguments)
    assert result.exit_code == 2
    assert message in result.stderr
    assert not directory.exists()


def test_two_ways_to_name_the_format_are_one_too_many(directory, file):
    result = run_import(file, "--into", directory, "--nginx-conf", file, "--format", "combined")
    assert (result.exit_code, "give one of them" in result.stderr) == (2, True)


def test_typographic_quotes_are_read_and_told(directory, tmp_path):
    file = tmp_path / "access.log"
    file.write_text(
        "‘127.0.0.1—-[20/Nov/2026:20:23:08 +0000]“GET /u/plain?a=1 HTTP/1.1”‘‘20012“https://r/”‘‘“UA x”‘‘"
        "userid=”alice@example.com”sessionid=”4f23”’\n"
    )
    result = run_import(file, "--into", directory)
    assert "typographic quotes" in result.stderr
    assert stored(directory)[0]["actor"]["id"] == "alice@example.com"


def test_redaction_applies_and_can_be_extended(directory, tmp_path):
    file = tmp_path / "access.log"
    file.write_bytes(combined(1, target="/login?password=hunter2&badge=007&lang=en") + b"\n")
    run_import(file, "--into", directory, "--redact", "badge")
    (event,) = stored(directory)
    assert event["url"]["query"] == "password=REDACTED&badge=REDACTED&lang=en"
    assert "raw" not in event["source"]
    assert not any(b"hunter2" in file.read_bytes() for file in directory.rglob("*") if file.is_file())


@pytest.mark.parametrize(("keep", "kept"), [("if-clean", True), ("never", False), ("always", True)])
def test_the_raw_line_is_kept_as_wanted(directory, file, keep, kept):
    run_import(file, "--into", directory, "--keep-raw", keep)
    assert ("raw" in stored(directory)[0]["source"]) is kept


# --- real lines

DATA = Path(__file__).with_name("data")
CACHE_FORMAT = (
    '$request $status cache=$upstream_cache_status up="$upstream_addr" userid="$upstream_http_x_userid" '
    'sent="$sent_http_x_userid"'
)


def test_ten_thousand_real_lines_are_all_there_and_count_as_they_do_in_the_log(directory, check_event):
    file = DATA / "apache_combined_10k.log.gz"
    assert summary(run_import(file, "--into", directory))["imported"] == 10_000
    lines = gzip.decompress(file.read_bytes()).decode().splitlines()
    found = stored(directory)
    for event in found[::100]:
        check_event(event)
    counted = {
        "client": (line.split(" ")[0] for line in lines),
        "hour": (line.split("[")[1][:14] for line in lines),
        "status": (line.split('"')[2].split()[0] for line in lines),
        "target": (line.split('"')[1].split(" ")[1] for line in lines),
    }
    told = {
        "client": (event["client"]["address"] for event in found),
        "hour": (datetime.fromisoformat(event["timestamp"]).strftime("%d/%b/%Y:%H") for event in found),
        "status": (str(event["http"]["response"]["status_code"]) for event in found),
        "target": (event["http"]["request"]["target"] for event in found),
    }
    assert {what: Counter(values) for what, values in told.items()} == {
        what: Counter(values) for what, values in counted.items()
    }


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("nginx-1.22.1.combined.log", []),
        ("nginx-1.22.1.extended.log", []),
        ("nginx-1.22.1.json.log", []),
        ("nginx-1.22.1.typographic-quotes.log", []),
        ("nginx-1.22.1.upstream-retry.json.log", []),
        ("nginx-1.22.1.cache.log", ["--format", CACHE_FORMAT]),
        (
            "nginx-1.22.1.extended.log",
            ["--nginx-conf", DATA / "nginx" / "log_formats.conf", "--log-format-name", "extended"],
        ),
    ],
)
def test_every_line_that_a_real_nginx_wrote_is_imported(directory, check_event, name, arguments):
    file = DATA / "nginx" / name
    lines = file.read_bytes().splitlines()
    assert summary(run_import(file, "--into", directory, *arguments))["imported"] == len(lines)
    for event, line in zip(stored(directory), lines, strict=True):
        check_event(event)
        assert event["source"]["raw_sha256"] == hashlib.sha256(line).hexdigest()


def test_every_line_that_a_real_caddy_wrote_is_imported(directory, check_event):
    file = DATA / "caddy-2.6.2.json.log"
    result = run_import(file, "--into", directory)
    assert (summary(result)["format"], summary(result)["imported"]) == ("caddy:json", 14)
    assert "sekret" not in "".join(json.dumps(check_event(event)) for event in stored(directory))


# --- what is no event


def test_rejected_lines_are_counted_shown_and_kept(directory, tmp_path):
    file, rejects = tmp_path / "access.log", tmp_path / "rejects.jsonl"
    file.write_bytes(log(*range(5)) + b"what is this\n\n" + b"\xff\xfe\n" + log(5))
    result = run_import(file, "--into", directory, "--rejects", rejects)
    assert result.exit_code == 0
    assert summary(result) == {**SUMMARY, "imported": 6, "rejected": 2, "ignored": 1}
    assert f"2 lines were rejected; all are in {rejects}" in result.stderr
    assert "line 6: " in result.stderr
    first, second = objects(rejects.read_text())
    offset = len(log(*range(5)))
    assert {key: first[key] for key in ("file", "line", "offset", "raw")} == {
        "file": str(file),
        "line": 6,
        "offset": offset,
        "raw": "what is this",
    }
    assert first["reason"].startswith("not a line of nginx:combined")
    assert (second["line"], second["raw_b64"]) == (8, "//4=")
    assert rejects.stat().st_mode & 0o077 == 0


def test_rejects_are_a_failure_when_that_is_wanted(directory, tmp_path):
    file = tmp_path / "access.log"
    file.write_bytes(log(*range(5)) + b"what is this\n")
    result = run_import(file, "--into", directory, "--strict")
    assert result.exit_code == 1
    assert "--rejects FILE keeps them all" in result.stderr
    assert len(stored(directory)) == 5


def test_a_rejects_file_that_cannot_be_written_is_told_first(directory, file, tmp_path):
    result = run_import(file, "--into", directory, "--rejects", tmp_path / "nowhere" / "rejects")
    assert result.exit_code == 3
    assert "cannot write to" in result.stderr
    assert not directory.exists()


def test_lines_of_another_format_among_them_are_rejected(directory, tmp_path):
    file = tmp_path / "access.log"
    file.write_bytes(log(*range(60)) + b'{"status":200}\n' * 40)
    result = run_import(file, "--into", directory)
    assert summary(result) == {**SUMMARY, "imported": 60, "rejected": 40}


def test_a_file_that_is_mostly_of_another_format_is_not_imported_at_all(directory, file):
    result = run_import(file, "--into", directory, "--format", "reblaze")
    assert result.exit_code == 3
    assert "100 of the first 100 lines are not reblaze; line 1: " in result.stderr
    assert summary(result)["problem"].startswith(f"{file}: 100 of the first 100 lines")
    assert journal_files(directory) == []


def test_one_file_of_another_format_does_not_keep_the_others_out(directory, file, tmp_path):
    (tmp_path / "binary").write_bytes(bytes(range(256)) * 100)
    result = run_import(tmp_path / "binary", file, "--into", directory)
    assert result.exit_code == 3
    assert [found["imported"] for found in objects(result.stdout)] == [0, 100]
    assert f"{tmp_path / 'binary'}: no known format reads" in result.stderr


@pytest.mark.parametrize("content", [b"", b"\n\n\n"], ids=["empty", "blank"])
@pytest.mark.parametrize("arguments", [[], ["--format", "combined"]], ids=["auto", "named"])
def test_a_file_without_lines_is_no_failure_but_told(directory, tmp_path, content, arguments):
    file = tmp_path / "access.log"
    file.write_bytes(content)
    result = run_import(file, "--into", directory, *arguments)
    if content and not arguments:
        assert (result.exit_code, "expected an access log" in result.stderr) == (3, True)
    else:
        assert result.exit_code == 0
        assert content or f"{file}: holds no lines" in result.stderr


@pytest.mark.parametrize("pack", [gzip.compress, zstandard.ZstdCompressor().compress], ids=["gzip", "zstd"])
def test_of_a_truncated_file_what_is_there_is_imported_and_the_damage_told(directory, tmp_path, pack):
    whole, packed = log(*range(20_000)), tmp_path / "access.log.z"
    data = pack(whole)
    packed.write_bytes(data[: len(data) * 2 // 3])
    result = run_import(packed, "--into", directory, "--no-archive")
    assert result.exit_code == 1
    assert f"{packed}: damaged " in result.stderr
    imported = summary(result)["imported"]
    assert 5_000 < imported < 20_000
    packed.write_bytes(data)
    assert summary(run_import(packed, "--into", directory)) == {
        **SUMMARY,
        "imported": 20_000 - imported,
        "already_there": imported,
    }


RUN_AND_TELL_PEAK = """
import re, sys
from auditmw.cli.program import run
code = run()
print(re.search("VmHWM:(.*)kB", open("/proc/self/status").read())[1], file=sys.stderr)
sys.exit(code)
"""


def test_a_line_of_a_gigabyte_is_rejected_by_number_within_little_memory(directory, tmp_path):
    file = tmp_path / "access.log"
    with file.open("wb") as log_file:
        log_file.write(log(*range(3)))
        log_file.seek(1 << 30)  # a hole: the file takes no room
        log_file.write(b"\n" + log(3))

    command = [sys.executable, "-c", RUN_AND_TELL_PEAK, "import", file, "--into", directory, "--no-archive"]
    done = subprocess.run([*command, "--format", "combined"], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["imported"] == 4
    assert f"line 4: expected a line of at most 1048576 bytes, not {(1 << 30) - len(log(*range(3)))}" in done.stderr
    assert int(done.stderr.split()[-1]) < 200 * 1024  # KiB; the command alone needs half of that


@pytest.mark.parametrize(
    ("name", "message"),
    [
        pytest.param("missing.log", "No such file or directory", id="missing"),
        pytest.param("missing*", "no file matches", id="a pattern without a match"),
        pytest.param("", "is a directory; name the files in it", id="a directory"),
        pytest.param("/dev/null", "expected a file or a pipe, not a device", id="a device"),
        pytest.param("old.bz2", "bzcat", id="bzip2"),
    ],
)
def test_what_cannot_be_read_is_told_before_anything_is_imported(directory, file, tmp_path, name, message):
    (tmp_path / "old.bz2").write_bytes(b"BZh91AY")
    result = run_import(file, tmp_path / name, "--into", directory)
    assert result.exit_code == 3
    assert message in result.stderr
    assert not directory.exists()


def test_an_audit_directory_that_cannot_be_made_is_told(tmp_path, file):
    (tmp_path / "audit").write_text("a file")
    result = run_import(file, "--into", tmp_path / "audit")
    assert result.exit_code == 3
    assert "cannot write to" in result.stderr
    assert "Not a directory" in result.stderr


def test_a_lost_manifest_stops_the_import_because_nothing_tells_what_is_there(directory, file):
    run_import(file, "--into", directory)
    (directory / "archive" / "manifest.json").write_text("{")
    result = run_import(file, "--into", directory)
    assert result.exit_code == 3
    assert "cannot tell what was imported before" in result.stderr


# --- what goes wrong in the middle


@pytest.fixture
def large(tmp_path):
    """A log of some megabytes: more chunks than processes."""
    file = tmp_path / "large.log"
    file.write_bytes(log(*range(400), agent="x" * 40_000))
    return file


LARGE = [f"/page/{number}" for number in range(400)]


def test_killed_in_the_middle_and_run_again_every_line_is_there_once(directory, large):
    """Each run is killed once it has written one more file than the last one had."""
    for _ in range(3):
        before = len(journal_files(directory)) if directory.exists() else 0
        with started(large, "--into", directory, "--jobs", 2, "--no-archive", "-q") as child:
            poll(
                lambda before=before, child=child: (
                    child.poll() is not None or (directory.exists() and len(journal_files(directory)) > before)
                ),
                "one more file",
            )
            child.send_signal(signal.SIGKILL)
    result = run_import(large, "--into", directory)
    assert result.exit_code == 0
    found = summary(result)
    assert found["imported"] + found["already_there"] == 400
    assert stored_paths(directory) == LARGE
    assert [name for name in os.listdir(directory / "journal") if name.startswith(".")] == []


def test_two_at_once_import_every_line_once(directory, large):
    with (
        started(large, "--into", directory, "--jobs", 2, "--no-archive") as one,
        started(large, "--into", directory, "--jobs", 1, "--no-archive") as other,
    ):
        results = [json.loads(child.communicate(timeout=120)[0]) for child in (one, other)]
    assert sorted((found["imported"], found["already_there"]) for found in results) == [(0, 400), (400, 0)]
    assert stored_paths(directory) == LARGE


def test_ctrl_c_finishes_what_is_in_work_says_how_to_go_on_and_going_on_works(directory, large):
    with started(large, "--into", directory, "--jobs", 2, "--no-archive", start_new_session=True) as child:
        poll(lambda: directory.exists() and journal_files(directory), "the first file")
        os.killpg(child.pid, signal.SIGINT)  # as a terminal does: to the processes that write, too
        out, err = child.communicate(timeout=60)
    assert "Traceback" not in err
    found = json.loads(out)
    assert found["imported"] == len(stored(directory))
    if found["imported"] < 400:  # else it had finished when the signal came
        assert child.returncode == 130, err
        assert "run the same command again to go on" in err
    again = summary(run_import(large, "--into", directory))
    assert again["imported"] + again["already_there"] == 400
    assert stored_paths(directory) == LARGE


def test_with_a_full_disk_nothing_is_lost_and_the_next_run_goes_on(directory, large):
    def little_room():
        resource.setrlimit(resource.RLIMIT_FSIZE, (2_000_000, 2_000_000))

    arguments = (large, "--into", directory, "--no-archive")
    with started(*arguments, preexec_fn=little_room) as child:
        out, err = child.communicate(timeout=60)
    assert child.returncode == 3
    assert f"cannot write to {directory}" in err
    assert "File too large" in err
    assert "Traceback" not in err
    assert json.loads(out)["imported"] == len(stored(directory))
    assert summary(run_import(large, "--into", directory))["imported"] == 400 - json.loads(out)["imported"]
    assert stored_paths(directory) == LARGE


@needs_root
def test_on_a_disk_that_fills_up_what_was_written_stays(tmp_path, large):
    with tmpfs(tmp_path / "disk", "size=16m") as disk:
        directory = disk / "audit"
        with started(large, "--into", directory, "--jobs", 2, "--no-archive") as child:
            out, err = child.communicate(timeout=60)
        assert child.returncode == 3
        assert "No space left on device" in err
        done = json.loads(out)["imported"]
        assert 0 < done < 400
        assert f"{done:,} lines are imported; run the same command again to go on" in err
        assert len(stored_paths(directory)) == done
        assert set(stored_paths(directory)) < set(LARGE)
        subprocess.run(["mount", "-o", "remount,size=200m", disk], check=True)
        found = summary(run_import(large, "--into", directory, "--no-archive"))
        assert (found["imported"], found["already_there"]) == (400 - done, done)
        assert stored_paths(directory) == LARGE


# --- following


def test_following_imports_what_comes_through_a_rotation_until_ctrl_c(directory, tmp_path):
    file = tmp_path / "access.log"
    file.write_bytes(log(0, 1))
    with started(file, "--into", directory, "--follow", "--no-archive") as child:
        poll(lambda: directory.exists() and len(stored(directory)) == 2, "what was there")
        with file.open("ab") as log_file:
            log_file.write(log(2))
        poll(lambda: len(stored(directory)) == 3, "what was appended")
        file.rename(tmp_path / "access.log.1")
        file.write_bytes(log(3))
        poll(lambda: len(stored(directory)) == 4, "what is in the new file")
        with file.open("ab") as log_file:
            log_file.write(log(4))
        poll(lambda: len(stored(directory)) >= 4, "nothing lost")
        child.send_signal(signal.SIGINT)
        out, err = child.communicate(timeout=60)
    assert child.returncode == 0, err
    assert json.loads(out)["imported"] in (4, 5)
    run_import(file, tmp_path / "access.log.1", "--into", directory)
    assert sorted(stored_paths(directory)) == PATHS[:5]


def test_following_a_file_that_is_not_there_yet_waits_for_it(directory, tmp_path):
    file = tmp_path / "access.log"
    with started(file, "--into", directory, "--follow", "--no-archive") as child:
        assert "No such file or directory" in child.stderr.readline()
        file.write_bytes(log(1))
        poll(lambda: len(stored(directory)) == 1, "its first line")
        child.send_signal(signal.SIGINT)
        assert child.wait(60) == 0


def test_following_a_pipe_is_a_usage_error(directory):
    result = run_import("-", "--into", directory, "--follow")
    assert (result.exit_code, "--follow needs the names of files" in result.stderr) == (2, True)


def test_following_a_file_of_no_known_format_ends_with_three(directory, tmp_path):
    file = tmp_path / "access.log"
    file.write_bytes(b"what is this\n" * 10)
    result = run_import(file, "--into", directory, "--follow")
    assert result.exit_code == 3
    assert "no known format" in result.stderr


# --- what is shown


def test_a_dry_run_shows_events_and_rejects_and_writes_nothing(directory, tmp_path):
    file = tmp_path / "access.log"
    file.write_bytes(log(0, 1, 2) + b"what is this\n" + log(*range(3, 90)))
    result = run_import(file, "--into", directory, "--dry-run", 5)
    assert result.exit_code == 0
    assert [event["url"]["path"] for event in objects(result.stdout)] == PATHS[:4]
    assert "line 4: not a line of nginx:combined" in result.stderr
    assert "4 events, 1 lines rejected, 0 without an event; nothing was written" in result.stderr
    assert not directory.exists()


def test_a_dry_run_shows_lines_for_people_when_asked(directory, file):
    result = run_import(file, "--into", directory, "--dry-run", 3, "-o", "table")
    assert len(result.stdout.splitlines()) == 3
    assert "GET    /page/2" in result.stdout


def test_a_dry_run_of_more_lines_than_there_are_shows_them_all(directory, tmp_path):
    file = tmp_path / "access.log.gz"
    file.write_bytes(gzip.compress(log(*range(3)) + combined(3)))
    assert len(objects(run_import(file, "--into", directory, "--dry-run", 1000).stdout)) == 4


def test_a_dry_run_of_what_cannot_be_read_ends_with_three(directory, tmp_path):
    (tmp_path / "binary").write_bytes(bytes(range(256)) * 100)
    result = run_import(tmp_path / "binary", "--into", directory, "--dry-run", 3)
    assert result.exit_code == 3
    assert not directory.exists()


def test_the_summary_is_a_table_for_people_with_a_sum(directory, file, tmp_path):
    other = tmp_path / "other.log"
    other.write_bytes(log(*range(500, 520)))
    result = run_import(file, other, "--into", directory, "-o", "table")
    assert "already" in result.stdout
    assert "120" in result.stdout.splitlines()[-2]


def test_the_summary_is_one_array_when_asked(directory, file):
    (found,) = json.loads(run_import(file, "--into", directory, "-o", "json").stdout)
    assert (found["read"], found["imported"]) == (100, 100)
    assert found["seconds"] > 0
    assert found["lines_per_second"] > 0


def test_quiet_says_nothing_about_what_went_well(directory, file):
    assert run_import(file, "--into", directory, "-q").stderr == ""


def test_a_terminal_sees_how_far_it_is_and_a_pipe_does_not(directory, large):
    controller, terminal = pty.openpty()
    environment = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "TERM")}
    with started(
        *(large, "--into", directory, "--jobs", 1, "--no-archive"),
        stderr=terminal,
        env={**environment, "COLUMNS": "160", "TERM": "xterm"},
    ) as child:
        os.close(terminal)
        shown = b""
        while select.select([controller], [], [], 60)[0]:
            try:
                part = os.read(controller, 65536)
            except OSError:  # EIO: the other end was closed
                break
            shown += part
        assert child.wait(60) == 0
    os.close(controller)
    assert b"large.log" in shown
    assert b"lines," in shown
    assert "%" not in run_import(large, "--into", directory).stderr


def test_another_import_of_the_same_input_is_waited_for_and_told(directory, large):
    with started("-", "--into", directory, "--format", "combined", stdin=subprocess.PIPE, text=False) as holder:
        data = large.read_bytes()
        holder.stdin.write(data[:1_000_000])
        holder.stdin.flush()
        poll(lambda: directory.exists() and (directory / "import.lock").exists(), "the first import")
        with started(large, "--into", directory, "--no-archive") as other:
            assert "lines are combined" in other.stderr.readline()
            assert "another import of it is under way; waiting for it" in other.stderr.readline()
            finished = threading.Thread(target=holder.communicate, args=(data[1_000_000:],))
            finished.start()
            out, _ = other.communicate(timeout=120)
            finished.join()
    assert json.loads(out)["already_there"] == 400
    assert stored_paths(directory) == LARGE


def test_help_shows_examples_first():
    result = run_import("--help")
    assert result.exit_code == 0
    assert result.stdout.index("Examples") < result.stdout.index("Options")
    assert "auditmw import /var/log/nginx/access.log* --into /var/lib/shop/audit" in result.stdout
