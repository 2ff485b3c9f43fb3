"""`auditmw serve`: the viewer alone, for whoever has the link."""

import json
import re
import signal
import subprocess
import sys
from contextlib import contextmanager

import pytest
from click.testing import CliRunner

pytest.importorskip("uvicorn")

import auditmw
from auditmw.cli.program import program
from servers import HOST, free_ports, poll, request
from viewer_site import all_events, write

COMMAND = [sys.executable, "-m", "auditmw", "serve"]
TOKEN = "0123456789abcdef"


@pytest.fixture
def directory(tmp_path):
    return write(tmp_path / "audit", all_events())


@contextmanager
def serving(directory, *arguments):
    """A viewer that is gone at the end: the process, its port, and its token."""
    command = [*COMMAND, str(directory), "--port", "0", *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as child:
        try:
            link = next(
                found for line in child.stderr if (found := re.search(r"http://\S+:(\d+)(/\S*)?/\?token=(\S+)", line))
            )
            port, known = int(link[1]), {"Authorization": f"Bearer {link[3]}"}
            poll(lambda: request(port, "GET", "/").status == 401, "the viewer to answer")
            yield child, port, known
        finally:
            child.kill()


def refused(*arguments):
    """The exit code and what is said of a serve that does not even begin."""
    result = CliRunner().invoke(program, ["serve", *map(str, arguments)], standalone_mode=True)
    return result.exit_code, result.output


def test_it_prints_a_link_that_lets_in_and_ends_quietly_with_ctrl_c(directory):
    with serving(directory) as (child, port, known):
        assert request(port, "GET", "/api/count").status == 401
        link = request(port, "GET", f"/?token={known['Authorization'].removeprefix('Bearer ')}")
        cookie = link.header("set-cookie")
        assert cookie.startswith(f"auditmw_{port}=")
        assert "HttpOnly; Path=/; SameSite=Strict" in cookie
        told = request(port, "GET", "/api/config", {"Cookie": cookie.partition(";")[0]})
        assert json.loads(told.body)["answer"]["tail"] == "sse"
        child.send_signal(signal.SIGINT)
        output, errors = child.communicate(timeout=30)
    assert (child.returncode, output) == (0, "")
    assert errors.splitlines()[-1] == "Ended."
    assert "Traceback" not in errors
    assert "/api" not in errors  # no log of requests, which may have the token in them


def test_ctrl_c_ends_it_also_while_somebody_follows(directory):
    import http.client

    with serving(directory) as (child, port, known):
        connection = http.client.HTTPConnection(HOST, port, timeout=20)
        connection.request("GET", "/api/tail/stream", headers=known)
        assert connection.getresponse().readline() == b"event: entries\n"
        child.send_signal(signal.SIGINT)
        _, errors = child.communicate(timeout=30)
        connection.close()
    assert child.returncode == 0
    assert "Traceback" not in errors


@pytest.mark.parametrize(("option", "expected"), [((), 1), (("--no-audit",), 0)], ids=["audited", "not audited"])
def test_who_looked_is_in_the_directory_itself(directory, option, expected):
    with serving(directory, *option) as (_, port, known):
        assert request(port, "GET", "/api/count", known).status == 200
    viewed = [event for event in auditmw.read(directory) if event["event"] == "auditmw.viewed"]
    assert len(viewed) == expected
    for event in viewed:
        assert event["actor"]["id"].startswith("serve:")
        assert event["service"]["name"] == "auditmw"


def test_the_token_may_be_given(directory):
    with serving(directory, "--token", TOKEN, "--no-audit") as (_, port, _):
        assert request(port, "GET", "/api/count", {"Authorization": f"Bearer {TOKEN}"}).status == 200


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "shop.example.com"])
def test_another_address_than_the_own_machines_needs_a_word_on_tls(directory, host):
    code, said = refused(directory, "--host", host)
    assert code == 2
    assert "--behind-tls" in said
    assert "--insecure" in said


def test_another_address_is_taken_with_that_word(directory):
    with serving(directory, "--host", "0.0.0.0", "--insecure", "--no-audit") as (_, port, known):
        assert request(port, "GET", "/api/count", known).status == 200


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        pytest.param(("{}/nowhere",), 3, "is not a directory", id="no directory"),
        pytest.param(("{}", "--token", "short"), 2, "at least 16 characters", id="a short token"),
        pytest.param(("{}", "--root-path", "audit"), 2, "a path such as /audit", id="no path"),
        pytest.param(("{}", "--host", "nowhere.invalid", "--insecure"), 3, "cannot listen on", id="no address"),
    ],
)
def test_what_cannot_be_served_is_said(directory, arguments, code, said):
    found, text = refused(*(argument.format(directory) for argument in arguments))
    assert found == code
    assert said in " ".join(text.split())


def test_a_database_that_does_not_answer_is_said_before_anything_is_served():
    (closed,) = free_ports(1)
    code, said = refused(f"clickhouse://u:secret@{HOST}:{closed}/db", "--token", "short")  # which else would be said
    assert (code, "connection refused" in said, "secret" in said) == (3, True, False)


def test_a_port_that_is_taken_is_said(directory):
    with serving(directory) as (_, port, _):
        code, said = refused(directory, "--port", port)
    assert code == 3
    assert "cannot listen on 127.0.0.1" in said


@pytest.mark.parametrize("name", ["uvicorn", "duckdb"])
def test_a_missing_package_is_named_with_what_installs_it(directory, name, monkeypatch):
    import auditmw.cli.serve as command

    found = command.find_spec
    monkeypatch.setattr(command, "find_spec", lambda wanted: None if wanted == name else found(wanted))
    code, said = refused(directory)
    assert code == 2
    assert f"the viewer needs {name}; install with: pip install 'auditmw[viewer]'" in " ".join(said.split())


def test_a_directory_that_cannot_be_written_is_shown_all_the_same(directory, monkeypatch):
    import auditmw.cli.serve as command

    monkeypatch.setattr(command, "_is_writable", lambda path: False)
    monkeypatch.setattr("uvicorn.Server.run", lambda self, sockets: None)
    code, said = refused(directory, "--port", 0)
    assert code == 0
    assert "nobody records who looked" in " ".join(said.split())


def test_open_opens_the_page(directory, monkeypatch):
    opened = []
    monkeypatch.setattr("webbrowser.open", opened.append)
    monkeypatch.setattr("uvicorn.Server.run", lambda self, sockets: None)
    assert refused(directory, "--port", 0, "--open", "--token", TOKEN, "--no-audit")[0] == 0
    (url,) = opened
    assert re.fullmatch(rf"http://127\.0\.0\.1:\d+/\?token={TOKEN}", url)
