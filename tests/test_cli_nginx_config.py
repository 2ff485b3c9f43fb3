"""The text that `auditmw nginx-config` prints: complete, explained, and impossible to inject into."""

import re
import subprocess

import pytest
from click.testing import CliRunner
from hypothesis import assume, given
from hypothesis import strategies as st

from auditmw.cli.nginx_config import render
from auditmw.cli.program import program
from conftest import ADMIN_PATH

CONTROL = "\x00\n\r\t"


def run(*arguments):
    return CliRunner().invoke(program, ["nginx-config", *arguments])


def directives(text):
    """The directives as lists of words, in order, blocks flattened: a small reader of nginx's syntax."""
    words = re.findall(r"""#[^\n]*|"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'|[{};]|[^\s{};]+""", text)
    found, current = [], []
    for word in words:
        if word.startswith("#"):
            continue
        if word in "{};":
            found.append([*current, word])
            current = []
        else:
            current.append(word)
    assert not current
    return found


BARE = directives(render(upstream="127.0.0.1:8000"))


@pytest.mark.parametrize(
    "line",
    [
        ["proxy_hide_header", "X-Userid", ";"],
        ["proxy_hide_header", "X-Sessionid", ";"],
        ["proxy_set_header", "X-Userid", '""', ";"],
        ["proxy_set_header", "X-Sessionid", '""', ";"],
        ["proxy_set_header", "X-Request-ID", "$request_id", ";"],
        ["proxy_set_header", "traceparent", '""', ";"],
        ["proxy_set_header", "tracestate", '""', ";"],
        ["proxy_set_header", "X-Forwarded-For", "$proxy_add_x_forwarded_for", ";"],
        ["proxy_set_header", "X-Forwarded-Proto", "$scheme", ";"],
        ["proxy_set_header", "Host", "$http_host", ";"],
        ["proxy_http_version", "1.1", ";"],
        ["proxy_set_header", "Upgrade", "$auditmw_upgrade", ";"],
        ["proxy_set_header", "Connection", "$auditmw_connection", ";"],
        ["proxy_pass", "http://auditmw_app", ";"],
        ["keepalive", "16", ";"],
        ["server", "127.0.0.1:8000", ";"],
        ["access_log", "/var/log/nginx/access.log", "extended", ";"],
    ],
    ids=" ".join,
)
def test_the_defaults_have_every_line(line):
    assert line in BARE


def test_the_log_format_is_the_combined_one_with_user_and_session_and_what_explains_them():
    (log_format,) = [line for line in BARE if line[0] == "log_format"]
    assert log_format[1] == "extended"
    assert "".join(word[1:-1] for word in log_format[2:-1]) == (
        '$remote_addr - $remote_user [$time_local] "$request" $status $body_bytes_sent "$http_referer" '
        '"$http_user_agent" '
        'userid="$auditmw_user" sessionid="$auditmw_session" cache="$upstream_cache_status" request_id="$request_id" '
        'request_time="$request_time" upstream_time="$upstream_response_time"'
    )


def test_the_text_is_ascii_with_straight_quotes_and_says_why_of_every_block():
    text = render(upstream="127.0.0.1:8000", json_log=True)
    assert text.isascii()
    lines = text.splitlines()
    blocks = [n for n, line in enumerate(lines) if re.match(r"(map|log_format|server|upstream) ", line)]
    assert len(blocks) == 8
    uncommented = [lines[n] for n in blocks if not any("#" in line for line in lines[n - 1 : n + 5])]
    # The session's map and the server stand right below what explains them.
    assert uncommented == ['map "$upstream_cache_status:$upstream_http_x_sessionid" $auditmw_session {']


def test_the_json_log_is_an_addition_beside_the_access_log():
    found = directives(render(upstream="127.0.0.1:8000", json_log=True, access_log="/logs/shop.log"))
    assert [line for line in found if line[0] == "access_log"] == [
        ["access_log", "/logs/shop.log", "extended", ";"],
        ["access_log", "/logs/shop.json", "auditmw_json", ";"],
    ]


@pytest.mark.parametrize(
    ("option", "value", "line"),
    [
        ("--upstream", "unix:/run/shop/app.sock", ["server", "unix:/run/shop/app.sock", ";"]),
        ("--upstream", "[2001:db8::17]:8000", ["server", "[2001:db8::17]:8000", ";"]),
        ("--upstream", "app.internal:65535", ["server", "app.internal:65535", ";"]),
        ("--listen", "8080", ["listen", "8080", ";"]),
        ("--listen", "127.0.0.1:8080", ["listen", "127.0.0.1:8080", ";"]),
        ("--listen", "[::1]:8080", ["listen", "[::1]:8080", ";"]),
        ("--listen", "unix:/run/edge.sock", ["listen", "unix:/run/edge.sock", ";"]),
        ("--server-name", "shop.example.com *.example.org", ["server_name", "shop.example.com", "*.example.org", ";"]),
        ("--server-name", ".example.com", ["server_name", ".example.com", ";"]),
        ("--user-header", "X-Remote-User2", ["proxy_hide_header", "X-Remote-User2", ";"]),
        ("--session-header", "Sid", ["proxy_hide_header", "Sid", ";"]),
        ("--access-log", "logs/a_b-c.log", ["access_log", "logs/a_b-c.log", "extended", ";"]),
    ],
)
def test_every_option_is_written(option, value, line):
    result = run(option, value)
    assert result.exit_code == 0, result.output
    assert line in directives(result.stdout)
    assert len(directives(result.stdout)) == len(BARE)


def test_header_names_become_nginx_variables():
    text = render(upstream="127.0.0.1:8000", user_header="X-Remote-User", session_header="X-SID")
    assert "$upstream_http_x_remote_user" in text
    assert "$upstream_http_x_sid" in text
    assert "x_userid" not in text
    assert "X-Userid" not in "".join(line for line in text.splitlines() if not line.strip().startswith("#"))


WRONG = {
    "--upstream": [
        "",
        "127.0.0.1",
        "127.0.0.1:0",
        "127.0.0.1:65536",
        "127.0.0.1:8000;",
        "127.0.0.1:8000 backup",
        "a b:80",
        "256.1.1.1:80",
        "1.2.3:80",
        "[::1:80",
        "::1:80",
        "[fe80::1%eth0]:80",
        "unix:",
        "unix:relative",
        "unix:/a b",
        "unix:/a;b",
        "unix:/a:b",
        "unix:/" + "a" * 108,
        "$host:80",
        "http://x:80",
        "x:٠",
        "é:80",
        "-a:80",
        "127.0.0.1:8000\n",
    ],
    "--listen": ["", "0", "65536", "80 default_server", "80;", "*:80", "::80", "abc", "80\n", "٨٠"],
    "--server-name": [
        "",
        "a;b",
        "~^.*$",
        '"a"',
        "a  b",
        " a",
        "a\nb",
        "a{b",
        "$host",
        "*",
        "*.",
        "a_b",
        "x" * 64,
        ".".join(["abc"] * 70),
    ],
    "--user-header": [
        "",
        "X Userid",
        "X_Userid",
        "X-Userid:",
        "-X",
        "X--Y",
        "X-",
        "1X",
        "X-Usér",
        "X" * 47,
        "X;Y",
        "Host",
        "set-cookie",
        "X-Request-ID",
        "Content-Length",
        "TRACEPARENT",
        "X-Userid\n",
    ],
    "--session-header": ["Connection", "X\r\nY", "X-Userid"],
    "--access-log": [
        "",
        "off",
        "/var/log/",
        "/a b",
        "/a;b",
        "/a$host",
        "syslog:server=x",
        "/a'b",
        "/..",
        ".",
        "logs/off",
    ],
}


@pytest.mark.parametrize(("option", "value"), [(option, value) for option, values in WRONG.items() for value in values])
def test_a_wrong_argument_is_a_usage_error_that_says_what_was_expected(option, value):
    result = run(option, value)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert re.search("expected|must differ", result.stderr)
    assert not any(char in result.stderr.replace("\n", "") for char in CONTROL)


def test_a_json_log_never_takes_the_access_log_s_own_name():
    result = run("--json-log", "--access-log", "/var/log/nginx/access.json")
    assert result.exit_code == 2
    assert "--access-log" in result.stderr


SYNTAX = st.text(alphabet="aX1-_.:/;{}\"'\\$#@ \n[]*~", max_size=24)


@given(st.sampled_from(sorted(WRONG)), SYNTAX | st.text(max_size=12))
def test_no_argument_adds_a_directive(option, value):
    result = run(option, value)
    if result.exit_code == 2:
        assume(True)
        return
    found = directives(result.stdout)
    words = len(value.split(" ")) - 1
    assert len(found) == len(BARE)
    assert sum(map(len, found)) == sum(map(len, BARE)) + words


@pytest.mark.needs("nginx")
@pytest.mark.parametrize("json_log", [False, True], ids=["text", "json"])
@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"upstream": "unix:/run/shop/app.sock", "listen": "unix:{}/edge.sock"},
        {
            "upstream": "[2001:db8::17]:8000",
            "listen": "[::1]:18080",
            "server_name": "shop.example.com *.example.org .example.net www.*",
        },
        {"user_header": "X" * 46, "session_header": "Y-" * 22 + "Y"},
    ],
    ids=["defaults", "unix", "ipv6 and names", "long headers"],
)
def test_nginx_itself_accepts_it(tmp_path, arguments, json_log):
    listen = arguments.get("listen", "127.0.0.1:18080").format(tmp_path)
    values = {"upstream": "127.0.0.1:8000", **arguments, "listen": listen, "access_log": f"{tmp_path}/access.log"}
    config = tmp_path / "nginx.conf"
    config.write_text(f"pid {tmp_path}/pid; events {{}}\nhttp {{\n{render(json_log=json_log, **values)}\n}}\n")
    command = ["nginx", "-t", "-p", tmp_path, "-e", tmp_path / "error.log", "-c", config]
    checked = subprocess.run(command, capture_output=True, text=True, timeout=20, env={"PATH": ADMIN_PATH})
    assert checked.returncode == 0, checked.stderr
    assert "[warn]" not in checked.stderr
