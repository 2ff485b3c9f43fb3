"""What holds for every text format: garbage never breaks it, no line is slow, and its instances travel."""

import pickle
import re
import time

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from auditmw.formats.line import FormatError, LineError
from auditmw.formats.lines.nginx_descriptions import COMBINED
from auditmw.formats.lines.nginx_variables import HOMES, SHAPES, slot_of
from auditmw.formats.nginx import NginxFormat
from auditmw.formats.registry import NAMES, format_named
from hostile_lines import configured, imported, lines_of

OWN = [name for name in NAMES if name.startswith(("nginx", "apache", "reblaze", "traefik:clf"))]
FORMATS = {name: format_named(name) for name in OWN} | {
    "without quotes": NginxFormat("$remote_user [$time_local] $request $status $upstream_addr $http_user_agent"),
    "escape=none": NginxFormat(COMBINED, escape="none"),
    "many variables": NginxFormat(configured("j"), escape="json"),
}
TIME = b"[20/Nov/2026:20:20:11 +0000]"
HEAD = b"127.0.0.1 - - " + TIME + b' "GET / HTTP/1.1" 200 12 "-" '
(REBLAZE,) = lines_of("reblaze-line.txt")
BYTES = 1_000_000
# Beginning, what is repeated until the line has a million bytes, end.
ADVERSARIAL = {
    "letters": (b"", b"a", b""),
    "spaces": (b"", b" ", b"x"),
    "quotes": (b"", b'"', b""),
    "backslashes": (b"", b"\\", b""),
    "escaped quotes": (HEAD, b'\\"', b""),
    "dashes": (b"", b" - ", b""),
    "words": (b"", b"x y ", b""),
    "no ASCII": (b"", b"\xff", b""),
    "times in the user": (b"1 - ", TIME + b" ", b""),
    "half times in the user": (b"1 - ", TIME[:-1], b""),
    "times and words": (b"u", b" " + TIME + b" x", b""),
    "quotes and spaces": (HEAD, b'" "', b""),
    "labels": (HEAD + b'"x"', b' a="b"', b""),
    "labels without quotes": (HEAD + b'"x"', b" a=", b""),
    "protocols": (b"1 - - " + TIME + b' "', b"GET / HTTP/1.1 ", b""),
    "percent escapes": (b"1 - - " + TIME + b' "GET /', b"%41", b' HTTP/1.1" 200 1 "-" "-"'),
    "hexadecimal escapes": (HEAD + b'"', b"\\xFF", b'"'),
    "commas": (HEAD + b'"', b", ", b'"'),
    "JSON": (b"{", b'"a":"b",', b'"c":1}'),
    "JSON without an end": (b'{"a":"', b'\\"', b""),
    "JSON without numbers": (b"{", b'"a":,', b""),
    "deep JSON": (b"", b'{"a":', b""),
    "deep and whole JSON": (b'{"status":200,"x":' + b"[" * 500 + b'"', b"a", b'"' + b"]" * 500 + b"}"),
    "deep lists": (b"{", b"[", b""),
    "protocols and fields": (b'1 2 3 4 "GET ', b' HTTP/1.1" "x"', b""),
    "protocols and half fields": (b'1 2 3 4 "GET ', b' HTTP/1.1" "', b""),
    "protocols and one field": (b'1 2 3 4 "GET ', b' HTTP/1.1"', b' "'),
    "fields": (b'1 2 3 4 "GET / HTTP/1.1"', b' "x"', b""),
    "protocols on the right": (REBLAZE, b' HTTP/1.1" "0"', b""),
    "typographic quotes": ("‘1—-".encode() + TIME, "“”".encode(), b""),
}
SECONDS_OF_CPU = 20  # where time grew with the square of the length, it would be hours


def parsed(parser, line):
    """The event, or the message of the only error that there may be."""
    try:
        return parser.parse(line)
    except LineError as error:
        return str(error)


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("case", ADVERSARIAL)
def test_no_line_takes_longer_than_its_length_asks_for(check_event, name, case):
    start, middle, end = ADVERSARIAL[case]
    line = start + middle * (BYTES // len(middle)) + end
    before = time.process_time()
    result = parsed(FORMATS[name], line)
    assert time.process_time() - before < SECONDS_OF_CPU
    if isinstance(result, dict):
        check_event(imported(result))
    else:
        assert result is None or len(result) < 700


LINES = [*lines_of("apache_combined_10k.log.gz")[:20], REBLAZE]
LINES += [line + b' 7 "web@docker" "http://10.0.0.5:80" 12ms' for line in LINES[:20]]
for file in ("combined", "extended", "json", "typographic-quotes"):
    LINES += lines_of(f"nginx/nginx-1.22.1.{file}.log")[:40]


@st.composite
def damaged_lines(draw):
    """A real line in which some bytes were replaced, added or taken out."""
    line = bytearray(draw(st.sampled_from(LINES)))
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(line)))
        line[start : start + draw(st.integers(0, 5))] = draw(st.binary(max_size=5) | st.sampled_from(SNIPPETS))
    return bytes(line)


SNIPPETS = [
    b'"',
    b"\\",
    b"\\x",
    b"\\xff",
    b'" "',
    b" ",
    b"-",
    b"%",
    b"\xe2\x80\x9c",
    b"\\u",
    b"\\ud800",
    b"99999999999999999999",
]


@pytest.mark.parametrize("name", FORMATS)
@settings(deadline=None)
@given(line=st.binary(max_size=300) | damaged_lines())
def test_whatever_comes_is_a_valid_event_or_a_line_error(check_event, name, line):
    line = line.replace(b"\n", b"")
    result = parsed(FORMATS[name], line)
    if isinstance(result, dict):
        check_event(imported(result))
        assert isinstance(FORMATS[name].render(result), bytes)


# JSON with other keys says more than the format, and without quotes or escapes a line may be read in another way.
@pytest.mark.parametrize(
    "name", sorted(set(FORMATS) - {"nginx:json", "many variables", "escape=none", "without quotes"})
)
@settings(deadline=None)
@given(line=damaged_lines())
def test_a_rendered_line_says_what_the_line_said(name, line):
    parser = FORMATS[name]
    event = parsed(parser, line.replace(b"\n", b""))
    if not isinstance(event, dict) or "truncated" in event.get("meta", {}):
        return
    again = parsed(parser, parser.render(event))
    if "anything_else" not in event["source"].get("fields", {}):
        assert again["outcome"] == event["outcome"]
        assert again["http"] == event["http"]


@pytest.mark.parametrize("name", FORMATS)
def test_an_instance_that_was_pickled_reads_the_same(name):
    parser = FORMATS[name]
    again = pickle.loads(pickle.dumps(parser))
    assert again.name == parser.name
    for line in LINES:
        assert parsed(again, line) == parsed(parser, line)


@pytest.mark.parametrize("name", ["nginx:combined", "nginx:main", "nginx:extended", "apache:combined"])
@settings(deadline=None)
@given(line=damaged_lines())
@example(line=HEAD + b'"-" userid="a" sessionid=b"')
@example(line=HEAD.replace(b"/", b"/\x00\x7f", 1) + b'"-"')
def test_the_fast_way_says_what_the_general_one_does(name, line):
    parser = FORMATS[name]
    event = parsed(parser, line.replace(b"\n", b""))
    if isinstance(event, dict):
        assert event == parser.parse_any(line.replace(b"\n", b""))


@pytest.mark.parametrize("name", ["nginx:combined", "nginx:extended", "nginx:json"])
@settings(deadline=None)
@given(lines=st.lists(damaged_lines(), min_size=2, max_size=6))
def test_what_a_line_says_does_not_depend_on_the_lines_before_it(name, lines):
    parser = format_named(name)
    lines = [line.replace(b"\n", b"") for line in lines]
    assert [parsed(parser, line) for line in lines] == [parsed(format_named(name), line) for line in lines]


def test_events_share_no_part_that_could_be_changed():
    parser = FORMATS["nginx:combined"]
    line = lines_of("nginx/nginx-1.22.1.combined.log")[0]
    first, second = parser.parse(line), parser.parse(line)
    first["outcome"]["result"] = first["source"]["format"] = "changed"
    assert second == parser.parse(line)


@pytest.mark.parametrize("name", OWN)
def test_no_text_format_has_headers(name):
    assert not FORMATS[name].is_header(b"#Fields: date")


@pytest.mark.parametrize("name", sorted(HOMES.keys() - {"http_traceparent"}))
def test_every_variable_that_has_a_home_comes_back_from_it(name):
    examples = {
        "msec": "1795206011.874", "time": "2026-11-20T20:20:11+00:00",
        "time_iso8601": "2026-11-20T20:20:11+00:00", "request": "GET /a HTTP/1.1",
        "time_local": "20/Nov/2026:20:20:11 +0000", "server_protocol": "HTTP/1.1", "request_method": "GET",
        "status": "404", "scheme": "https", "otel_trace_id": "a" * 32, "upstream_status": "502, 200",
        "http_x_forwarded_for": "192.0.2.1, 192.0.2.2", "upstream_addr": "a:1, b:2", "uri": "/a", "document_uri": "/a",
    }  # fmt: skip
    numbers = ("port", "bytes_sent", "length")
    text = examples.get(name) or (
        "17" if name.endswith(numbers) else "0.017" if name.endswith("_time") else "some-text"
    )
    home = slot_of(name).variable.home
    event = {"http": {}}
    assert home.put(event, text)
    assert home.get(event) == text
    assert name not in SHAPES or re.fullmatch(SHAPES[name][0], text)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("nginx", "nginx:extended"),
        ("NGINX-JSON", "nginx:json"),
        ("apache", "apache:combined"),
        ("caddy", "caddy:json"),
        ("$remote_addr $status", "nginx:custom"),
        ('{"a":"$remote_addr"}', "nginx:json"),
        (
            "log_format main '$remote_addr - $remote_user [$time_local] \"$request\" '\n '$status $body_bytes_sent';",
            "nginx:custom",
        ),
        ('log_format j escape=json \'{"a":"$host"}\';', "nginx:json"),
        ("%h %t", "apache:custom"),
    ],
)
def test_a_format_is_known_by_name_or_description(text, name):
    assert format_named(text).name == name


@pytest.mark.parametrize("name", NAMES)
def test_every_name_gives_the_format_of_that_name_and_it_can_be_pickled(name):
    assert pickle.loads(pickle.dumps(format_named(name))).name == name


@pytest.mark.parametrize("text", ["", "nonsense", "xml", "iis6"])
def test_an_unknown_name_is_an_error_that_says_which_there_are(text):
    with pytest.raises(FormatError, match=rf"one of nginx:combined, .* not '{text}'"):
        format_named(text)


def test_the_strings_of_a_pasted_directive_are_joined_as_nginx_does():
    parser = format_named("log_format extended '$remote_addr \"$request\" ' '$status' \" '$host'\";")
    assert parser.log_format == "$remote_addr \"$request\" $status '$host'"


def test_a_directive_with_typographic_quotes_describes_what_nginx_makes_of_it():
    parser = format_named("log_format extended ‘$remote_addr — $remote_user [$time_local] “$request” ‘ ‘$status’;")
    assert parser.log_format == "‘$remote_addr—$remote_user[$time_local]“$request”‘‘$status’"
