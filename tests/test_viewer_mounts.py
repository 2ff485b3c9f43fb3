"""The viewer mounted at /a/b in real frameworks under real servers, behind a real nginx, with and without its slash."""

import http.client
import json
import re
import sys
from urllib.parse import urljoin, urlsplit

import pytest

from servers import HOST, AppServer, Nginx, Process, free_ports, poll, request
from viewer_site import all_events, write

APPS = {
    "flask": ("gunicorn-gthread", ("gunicorn", "flask")),
    "django_wsgi": ("gunicorn-gthread", ("gunicorn", "django")),
    "django_asgi": ("uvicorn-h11", ("uvicorn", "h11", "django")),
    "starlette": ("uvicorn-httptools", ("uvicorn", "httptools", "starlette")),
    "fastapi": ("uvicorn-h11", ("uvicorn", "h11", "fastapi")),
}
# As nginx has it: the same path on both sides, or another one that it puts in place.
LOCATIONS = """
    upstream app {{ server {host}:{port}; }}
    server {{
        listen {host}:{listen}; client_body_buffer_size 128k;
        location / {{ proxy_pass http://app; proxy_set_header Host $http_host; }}
        location /other/place/ {{ proxy_pass http://app/a/b/; proxy_set_header Host $http_host; }}
    }}
"""
ANNA = {"X-Who": "anna"}


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    return write(tmp_path_factory.mktemp("mounts") / "audit", all_events())


@pytest.fixture(
    scope="module",
    params=[pytest.param(name, marks=pytest.mark.needs("nginx", *needs)) for name, (_, needs) in APPS.items()],
)
def edge(request, directory, tmp_path_factory):
    root = tmp_path_factory.mktemp(request.param)
    root.parent.chmod(0o755)
    kind, _ = APPS[request.param]
    (listen,) = free_ports(1)
    env = {"VIEWER_APP": request.param, "VIEWER_DIRECTORY": str(directory)}
    with AppServer(kind, root / "app", "viewer_apps:app", env=env) as server:
        block = LOCATIONS.format(host=HOST, port=server.port, listen=listen)
        with Nginx(root / "nginx", block, listen) as nginx:
            yield nginx


def followed(edge, path, headers=ANNA):
    """Where a browser ends up that opens a path, and what it sees there."""
    for _ in range(4):
        response = edge.request("GET", path, headers)
        location = response.header("location")
        if location is None:
            return path, response
        parts = urlsplit(urljoin(f"http://{HOST}:{edge.port}{path}", location))
        path = parts.path + (f"?{parts.query}" if parts.query else "")
    raise AssertionError(f"redirected without end, at last to {path}")


@pytest.mark.parametrize("path", ["/a/b", "/a/b/", "/a/b?q=user:x", "/a/b/?q=user:x", "/other/place", "/other/place/"])
def test_all_links_work_wherever_it_is_mounted(edge, path):
    final, page = followed(edge, path)
    assert page.status == 200, page.body
    assert urlsplit(final).path.endswith("/")
    assert urlsplit(final).query == urlsplit(path).query
    links = re.findall(r'(?:href|src)="([^"]+)"', page.body.decode())
    assert len(links) >= 3
    for link in [*links, "api/config", "api/count?q=status:500", "api/events?limit=1"]:
        assert not link.startswith(("/", "http")), link
        assert edge.request("GET", urljoin(final, link), ANNA).status == 200, link


@pytest.mark.parametrize(
    "path", ["/a/b/", "/a/b/api/count", "/a/b/static/x.js", "/a/b/api/export", "/other/place/api/config"]
)
def test_nobody_is_let_in_without_being_known(edge, path):
    assert edge.request("GET", path).status == 401


def test_the_api_answers(edge):
    answer = json.loads(edge.request("GET", "/a/b/api/timeline/user?id=acme-user&stitched=1", ANNA).body)
    assert answer["answer"]["life"]["events"] == 12
    response = edge.request("GET", "/a/b/api/count?limit=x&from=soon", ANNA)
    assert (response.status, json.loads(response.body)["error"]["parameter"]) == (400, "from")
    assert edge.request("GET", "/a/b/api/nothing", ANNA).status == 404
    assert edge.request("GET", f"/a/b/api/event?id={'%2e%2e'}", ANNA).status == 200


def test_an_export_is_streamed(edge):
    response = edge.request("GET", "/a/b/api/export", ANNA)
    assert response.status == 200
    assert [json.loads(line) for line in response.body.splitlines()] == all_events()


def test_changes_work_and_only_from_the_own_page(edge):
    body = json.dumps({"name": "Mine", "q": "user:x"}).encode()
    own = {**ANNA, "X-Auditmw": "1", "Content-Type": "application/json", "Origin": f"http://{HOST}:{edge.port}"}
    assert edge.request("POST", "/a/b/api/views", own, body).status == 200
    assert edge.request("DELETE", "/a/b/api/views?name=Mine", own).status == 200
    for wrong in ({"Origin": "https://evil.example"}, {"Sec-Fetch-Site": "cross-site"}, {"X-Auditmw": "0"}):
        response = edge.request("POST", "/a/b/api/views", {**own, **wrong}, body)
        assert response.status == 403
        assert json.loads(response.body)["error"]["message"]
    assert edge.request("POST", "/a/b/api/views", own, b"x" * 70_000).status == 413


def test_the_headers_are_there_once(edge):
    response = edge.request("GET", "/a/b/", ANNA)
    assert "require-trusted-types-for 'script'" in response.header("content-security-policy")
    assert response.header("x-frame-options") == "DENY"
    assert response.header("cache-control") == "no-store"
    assert response.header("referrer-policy") == "no-referrer"


def test_the_tail_tells_how_it_is_told(edge):
    tail = json.loads(edge.request("GET", "/a/b/api/config", ANNA).body)["answer"]["tail"]
    if tail == "poll":
        assert edge.request("GET", "/a/b/api/tail/stream", ANNA).status == 404
        return
    connection = http.client.HTTPConnection(HOST, edge.port, timeout=20)
    connection.request("GET", "/a/b/api/tail/stream", headers=ANNA)
    response = connection.getresponse()
    assert response.getheader("content-type") == "text/event-stream"
    assert response.readline() == b"event: entries\n"  # at once, through nginx
    connection.close()


class Serve(Process):
    """`auditmw serve`, mounted by a proxy at /a/b."""

    def __init__(self, root, directory):
        super().__init__(root)
        self.directory = directory
        (self.port,) = free_ports(1)

    def start(self):
        command = [sys.executable, "-m", "auditmw", "serve", str(self.directory), "--port", str(self.port)]
        self.spawn([*command, "--token", "0123456789abcdef", "--root-path", "/a/b", "--behind-tls"])
        self.wait_for(self.listens)
        return self

    def listens(self):
        try:
            return request(self.port, "GET", "/").status == 401
        except OSError:
            return False


@pytest.mark.needs("nginx", "uvicorn")
@pytest.mark.parametrize("target", ["", "/"], ids=["the path is passed on", "the path is taken off"])
def test_serve_is_mounted_by_a_proxy(directory, tmp_path, target):
    tmp_path.chmod(0o755)
    (listen,) = free_ports(1)
    with Serve(tmp_path / "serve", directory) as serve:
        block = f"""server {{ listen {HOST}:{listen};
            location /a/b/ {{ proxy_pass http://{HOST}:{serve.port}{target}; proxy_set_header Host $http_host; }} }}"""
        with Nginx(tmp_path / "nginx", block, listen) as nginx:
            path, page = followed(nginx, "/a/b?token=0123456789abcdef", {})
            assert path == "/a/b/?token=0123456789abcdef"
            cookie = page.header("set-cookie")
            assert "Path=/a/b/;" in cookie
            assert "Secure" in cookie
            known = {"Cookie": cookie.partition(";")[0]}
            assert nginx.request("GET", "/a/b/", known).status == 200
            assert json.loads(nginx.request("GET", "/a/b/api/count", known).body)["answer"]["value"] >= 26
            assert nginx.request("GET", "/a/b/api/count").status == 401
        events = poll(lambda: list((directory / "journal").iterdir()), "the journal of serve")
        assert len(events) > 1
