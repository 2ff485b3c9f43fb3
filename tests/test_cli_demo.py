"""`auditmw demo`: a real server, real requests, and events that say who did what; and the app that it runs."""

import io
import json
import re
import signal
import socket
import subprocess
import sys
from collections import Counter
from contextlib import contextmanager
from pathlib import Path

import pytest

pytest.importorskip("flask")
pytest.importorskip("waitress")
pytest.importorskip("httpx")
pytest.importorskip("uvicorn")

from auditmw.cli.fileserver import create_app
from journal_files import events
from servers import poll, request

COMMAND = [sys.executable, "-m", "auditmw", "demo"]
PASSWORD = "correct horse"


def demo(*arguments, **options):
    return subprocess.run([*COMMAND, *map(str, arguments)], capture_output=True, text=True, timeout=90, **options)


@contextmanager
def started(*arguments):
    """A demo that is gone at the end, whatever happened."""
    command = [*COMMAND, *map(str, arguments)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as child:
        try:
            yield child
        finally:
            child.kill()


@pytest.fixture(scope="module")
def once(tmp_path_factory):
    """One round of the demo: its process, and its directory."""
    home = tmp_path_factory.mktemp("demo")
    return demo("--once", "--directory", home), home


# --- the demo


def test_one_round_shows_every_event_that_is_in_the_journal(once, check_event):
    process, home = once
    assert process.returncode == 0, process.stderr
    shown = [json.loads(line) for line in process.stdout.splitlines()]
    recorded = [{name: value for name, value in event.items() if name != "seq"} for event in events(home / "audit")]
    assert sorted(shown, key=lambda event: event["id"]) == sorted(recorded, key=lambda event: event["id"])
    for event in shown:
        check_event(event)


def test_a_round_has_everything_worth_seeing(once):
    found = [json.loads(line) for line in once[0].stdout.splitlines()]
    names = Counter(event["event"] for event in found)
    assert names.keys() == {
        "http_request",
        "file_deleted",
        "file_downloaded",
        "file_not_found",
        "file_upload_refused",
        "file_uploaded",
        "files_listed",
        "login_refused",
        "thumbnail_failed",
        "user_logged_in",
    }
    requests = [event for event in found if event["event"] == "http_request"]
    assert {event["http"]["response"]["status_code"] for event in requests} == {
        200,
        201,
        204,
        303,
        401,
        404,
        409,
        422,
        500,
    }
    assert {event["actor"].get("id") for event in found} == {"alice", "bob", None}
    assert {event["level"] for event in found} == {"info", "warning", "error"}
    paths = [event["url"]["path"] for event in requests]
    assert "/static/style.css" not in paths
    assert "/static/missing.css" in paths


def test_no_secret_of_the_demo_is_in_its_journal(once):
    process, home = once
    password = process.stderr.split("password ")[1].split(")")[0]
    journal = b"".join(file.read_bytes() for file in (home / "audit" / "journal").iterdir())
    for secret in (password.encode(), b"guess", b"never-written", b"eyJ"):
        assert secret not in journal


def test_it_says_where_everything_is(once):
    process, home = once
    assert "http://127.0.0.1:" in process.stderr
    for command in (f"auditmw tail {home}/audit", f"auditmw check {home}/audit", f"jq . {home}/audit/journal/"):
        assert command in process.stderr


def test_a_second_round_in_the_same_directory_is_another_writer(once):
    _, home = once
    before = len(events(home / "audit"))
    process = demo("--once", "--directory", home, "-o", "table", "-q")
    assert process.returncode == 0
    assert "file_uploaded file report-" in process.stdout
    assert len(process.stdout.splitlines()) == len(events(home / "audit")) - before
    assert process.stderr == ""


def test_it_ends_by_itself_after_the_seconds(tmp_path):
    process = demo("--seconds", 1, "--directory", tmp_path, "--history-events", 0)
    assert process.returncode == 0
    assert len(process.stdout.splitlines()) < 28
    assert "The journal stays in" in process.stderr


def test_ctrl_c_ends_it_quietly_and_tells_where_the_journal_is(tmp_path):
    with started("--directory", tmp_path, "--history-events", 0) as child:
        assert json.loads(child.stdout.readline())["event"] == "http_request"
        child.send_signal(signal.SIGINT)
        _, errors = child.communicate(timeout=30)
    assert child.returncode == 0
    assert "Traceback" not in errors
    assert "events. The journal stays in" in errors


def test_the_server_answers_while_the_demo_runs(tmp_path):
    with started("--directory", tmp_path, "--history-events", 0) as child:
        port = int(child.stderr.readline().split("http://127.0.0.1:")[1].split()[0])
        response = request(port, "GET", "/quota", {"User-Agent": "someone else"})
        child.send_signal(signal.SIGINT)
        child.communicate(timeout=30)
    assert response.status == 401
    assert "someone else" in {event["http"]["request"].get("user_agent") for event in events(tmp_path / "audit")}


def viewer_of(child):
    """The port and the token of the viewer that a demo tells."""
    link = next(found for line in child.stderr if (found := re.search(r"127\.0\.0\.1:(\d+)/\?token=(\S+)", line)))
    return int(link[1]), {"Authorization": f"Bearer {link[2]}"}


def test_the_viewer_shows_a_history_and_what_comes(tmp_path):
    with started("--directory", tmp_path, "--history-events", 300) as child:
        port, known = viewer_of(child)
        assert request(port, "GET", "/api/count").status == 401

        def count(query):
            return json.loads(request(port, "GET", f"/api/count?q={query}", known).body)["answer"]["value"]

        assert count("-service:fileserver,auditmw") == 300
        assert poll(lambda: count("event:http_request%20service:fileserver"), "a request of the demo's visitors")
        assert count("event:auditmw.viewed") >= 1
        child.send_signal(signal.SIGINT)
        _, errors = child.communicate(timeout=30)
    assert child.returncode == 0
    assert "Traceback" not in errors


def test_a_directory_with_events_gets_no_history(once):
    _, home = once
    with started("--directory", home) as child:
        port, known = viewer_of(child)
        found = json.loads(request(port, "GET", "/api/facets?fields=service", known).body)["answer"][0]
        child.send_signal(signal.SIGINT)
        child.communicate(timeout=30)
    assert {one["value"] for one in found["values"]} <= {"fileserver", "auditmw"}


def test_a_port_that_is_taken_is_said(tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        process = demo("--once", "--directory", tmp_path, "--port", taken.getsockname()[1])
    assert process.returncode == 3
    assert "cannot start the file server" in process.stderr
    assert "Traceback" not in process.stderr


@pytest.mark.parametrize("name", ["flask", "waitress", "httpx", "uvicorn"])
def test_a_missing_package_is_named_with_what_installs_it(tmp_path, name):
    hide = f"f = u.find_spec; u.find_spec = lambda n, p=None: None if n == {name!r} else f(n, p)"
    start = "sys.argv = ['auditmw', 'demo', '--once']; from auditmw.cli import main; main()"
    command = [sys.executable, "-c", f"import sys, importlib.util as u; {hide}; {start}"]
    process = subprocess.run(command, capture_output=True, text=True, timeout=60, cwd=tmp_path)
    assert process.returncode == 2
    assert f"the demo needs {name}; install with: pip install {name}" in process.stderr


def test_the_example_serves_the_same_app(tmp_path):
    example = str(Path(__file__).parent.parent / "examples" / "fileserver.py")
    run = f"sys.argv = ['fileserver.py', {str(tmp_path)!r}]; print(runpy.run_path({example!r})['app'].name)"
    code = f"import runpy, sys; {run}"
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert process.stdout == "auditmw.cli.fileserver\n", process.stderr


# --- the app


@pytest.fixture
def app(tmp_path):
    from werkzeug.security import generate_password_hash

    made = create_app(tmp_path, {"alice": generate_password_hash(PASSWORD, "pbkdf2:sha256:1")})
    yield made
    made.extensions["auditmw"].close()


@pytest.fixture
def client(app):
    return app.test_client()


def sign_in(client, password=PASSWORD):
    return client.post("/login", data={"user": "alice", "password": password})


def upload(client, name="a.txt", content=b"hello", content_type="text/plain"):
    return client.post("/files", data={"file": (io.BytesIO(content), name, content_type)})


def named(home, name):
    return [event for event in events(home / "audit") if event["event"] == name]


def test_an_upload_is_an_event_with_the_file_and_the_request(client, tmp_path):
    sign_in(client)
    response = upload(client)
    assert response.status_code == 201
    (event,) = named(tmp_path, "file_uploaded")
    (of_request,) = [one for one in named(tmp_path, "http_request") if one["url"]["path"] == "/files"]
    assert event["data"] == {"filename": "a.txt", "file_size_bytes": 5, "content_type": "text/plain"}
    assert event["target"] == {"type": "file", "name": "a.txt"}
    assert (event["level"], event["outcome"]["result"], event["category"], event["action"]) == (
        "info",
        "success",
        "file",
        "create",
    )
    for shared in ("trace", "request_id", "actor", "session", "client"):
        assert event[shared] == of_request[shared]
    assert response.headers["X-Request-ID"] == event["request_id"]


def test_a_list_and_a_deletion_are_events(client, tmp_path):
    sign_in(client)
    upload(client)
    assert client.get("/files").json == {"files": [{"name": "a.txt", "size": 5}]}
    assert client.delete("/files/a.txt").status_code == 204
    (listed,), (deleted,) = named(tmp_path, "files_listed"), named(tmp_path, "file_deleted")
    assert listed["data"] == {"count": 1, "file_size_bytes": 5}
    assert deleted["data"] == {"filename": "a.txt", "file_size_bytes": 5}
    assert deleted["action"] == "delete"
    assert not (tmp_path / "files" / "a.txt").exists()


def test_a_download_is_the_file_and_an_event(client, tmp_path):
    sign_in(client)
    upload(client)
    with client.get("/files/a.txt") as response:
        assert response.data == b"hello"
    assert named(tmp_path, "file_downloaded")[0]["data"]["file_size_bytes"] == 5


@pytest.mark.parametrize(
    ("act", "status", "name", "level"),
    [
        (lambda client: upload(client), 409, "file_upload_refused", "warning"),
        (lambda client: client.delete("/files/none.txt"), 404, "file_not_found", "warning"),
        (lambda client: client.get("/thumbnail/a.txt"), 422, "thumbnail_failed", "error"),
        (lambda client: sign_in(client, "wrong"), 401, "login_refused", "warning"),
    ],
    ids=["again", "not there", "no image", "wrong password"],
)
def test_what_fails_is_an_event_whose_level_says_how_bad(client, tmp_path, act, status, name, level):
    sign_in(client)
    upload(client)
    assert act(client).status_code == status
    (event,) = named(tmp_path, name)
    assert (event["level"], event["outcome"]["result"]) == (level, "failure")
    assert PASSWORD not in json.dumps(event)
    assert "wrong" not in json.dumps(event)


def test_a_handled_exception_is_the_events_error(client, tmp_path):
    sign_in(client)
    upload(client)
    client.get("/thumbnail/a.txt")
    (event,) = named(tmp_path, "thumbnail_failed")
    assert event["error"]["type"] == "builtins.ValueError"
    assert event["error"]["handled"] is True
    assert "expected a PNG signature" in event["error"]["message"]
    assert "_png_width" in event["error"]["stacktrace"]


def test_an_exception_that_nobody_handled_is_the_requests_error(client, tmp_path):
    sign_in(client)
    assert client.get("/quota").status_code == 500
    event = named(tmp_path, "http_request")[-1]
    assert (event["level"], event["error"]["type"], event["outcome"]["reason"]) == (
        "error",
        "builtins.KeyError",
        "exception",
    )


@pytest.mark.parametrize("path", ["/files", "/files/a.txt", "/thumbnail/a.txt", "/quota"])
def test_nothing_is_served_to_who_has_not_signed_in(client, tmp_path, path):
    assert client.get(path).status_code == 401
    assert named(tmp_path, "http_request")[-1]["actor"]["type"] == "anonymous"


def test_who_signs_out_is_out(client):
    sign_in(client)
    assert client.get("/").data.count(b"Sign out") == 1
    assert client.post("/logout").status_code == 303
    assert client.get("/files").status_code == 401


@pytest.mark.parametrize("name", ["../../etc/passwd", "..", "/etc/passwd", "a/../../b", ".hidden"])
def test_no_name_leads_out_of_the_folder(client, tmp_path, name):
    sign_in(client)
    before = {path for path in tmp_path.rglob("*") if "audit" not in path.parts}
    upload(client, name)
    new = {path for path in tmp_path.rglob("*") if "audit" not in path.parts} - before
    assert all(path.parent == tmp_path / "files" for path in new)
    with client.get(f"/files/{name}") as response:
        assert response.status_code in (200, 404, 308)


def test_an_upload_without_a_file_or_too_large_is_refused(app, client, tmp_path):
    assert app.config["MAX_CONTENT_LENGTH"] == 1 << 20
    app.config["MAX_CONTENT_LENGTH"] = 1000  # more would be spooled to a file, by the test client
    sign_in(client)
    assert client.post("/files").status_code == 400
    assert upload(client, content=bytes(2000)).status_code == 413
    assert [one["outcome"]["reason"] for one in named(tmp_path, "http_request")[-2:]] == ["http_400", "http_413"]


def test_static_files_are_exempt_but_their_errors_are_not(client, tmp_path):
    with client.get("/static/style.css") as response:
        assert response.status_code == 200
    assert client.get("/static/none.css").status_code == 404
    assert [one["url"]["path"] for one in named(tmp_path, "http_request")] == ["/static/none.css"]


def test_the_page_shows_names_as_text(client):
    sign_in(client)
    upload(client, "a&b.txt")
    page = client.get("/").data.decode()
    assert "ab.txt" in page
    assert "<script" not in page
