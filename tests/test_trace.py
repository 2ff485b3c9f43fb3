"""trace.py: which ids a request gets, from which header, and what is kept of a claim that nobody believes."""

import json
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from importlib.resources import files

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auditmw.trace import DEFAULT_ACCEPT, Trace, Tracer, is_token, new_span_id, new_trace_id, outgoing, traceparent

T = "4bf92f3577b34da6a3ce929d0e0e4736"
S = "00f067aa0ba902b7"
T16 = "a3ce929d0e0e4736"
UUID = "4bf92f35-77b3-4da6-a3ce-929d0e0e4736"
VALID = f"00-{T}-{S}-01"
EVERYTHING = (
    "traceparent",
    "b3",
    "x-amzn-trace-id",
    "x-cloud-trace-context",
    "x-trace-id",
    "x-request-id",
    "x-correlation-id",
)
SCHEMA = json.loads((files("auditmw") / "event.schema.json").read_text(encoding="utf-8"))
IDS = jsonschema.Draft202012Validator(
    {
        "$defs": SCHEMA["$defs"],
        "additionalProperties": False,
        "required": ["trace", "request_id"],
        "properties": {name: SCHEMA["properties"][name] for name in ("trace", "request_id", "correlation_id")},
    }
)


def begin(headers, trusted=True, accept=DEFAULT_ACCEPT, **options):
    trace = Tracer(accept=accept, **options).begin(headers, trusted)
    assert_valid(trace)
    return trace


def begin_with_everything(headers, trusted=True, **options):
    return begin(headers, trusted, EVERYTHING, **options)


def assert_valid(trace):
    ids = {name: getattr(trace, name) for name in ("trace_id", "span_id", "parent_id", "flags", "state", "origin")}
    if trace.remote:
        ids["remote"] = dict(zip(("trace_id", "span_id"), trace.remote, strict=True))
        ids["remote"] = {name: value for name, value in ids["remote"].items() if value is not None}
    event = {"trace": {name: value for name, value in ids.items() if value is not None}, "request_id": trace.request_id}
    if trace.correlation_id is not None:
        event["correlation_id"] = trace.correlation_id
    IDS.validate(event)
    assert trace.flags in {0, 1, 2, 3}


def assert_fresh(trace, *known):
    assert trace.origin == "generated"
    assert trace.parent_id is None
    assert trace.state is None
    for text in known:
        assert text not in repr(trace)


# --- ids of our own -------------------------------------------------------------------------------------------------


def test_ids_are_lower_case_hexadecimal_and_never_repeat():
    traces, spans = {new_trace_id() for _ in range(5000)}, {new_span_id() for _ in range(5000)}
    assert len(traces) == len(spans) == 5000
    assert all(re.fullmatch("[0-9a-f]{32}", value) for value in traces)
    assert all(re.fullmatch("[0-9a-f]{16}", value) for value in spans)


def test_threads_never_get_the_same_id():
    with ThreadPoolExecutor(8) as pool:
        lots = list(pool.map(lambda _: [new_span_id() for _ in range(4000)], range(8)))
    assert len({value for lot in lots for value in lot}) == 8 * 4000


def test_a_forked_child_does_not_give_out_its_parents_ids():
    program = (
        "import os; from auditmw.trace import new_span_id, new_trace_id; new_span_id(); read, write = os.pipe()\n"
        "if not os.fork():\n"
        "    os.write(write, (new_span_id() + new_trace_id()).encode()); os._exit(0)\n"
        "os.wait(); print(os.read(read, 100).decode(), new_span_id() + new_trace_id())\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    child, parent = done.stdout.split()
    assert len(child) == len(parent) == 48
    assert child != parent


@pytest.mark.parametrize(
    ("sampled", "flags"), [pytest.param(False, 2, id="random only"), pytest.param(True, 3, id="random and sampled")]
)
def test_a_request_without_ids_starts_a_trace(sampled, flags):
    first, second = (begin({"host": "a.example"}, sampled=sampled) for _ in range(2))
    assert_fresh(first)
    assert first.flags == flags
    assert first.remote is None
    assert first.correlation_id is None
    assert len({first.trace_id, first.request_id, second.trace_id, second.request_id}) == 4
    assert first.span_id != second.span_id


# --- traceparent ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "flags"),
    [
        pytest.param(VALID, 1, id="sampled"),
        pytest.param(f"00-{T}-{S}-00", 0, id="not sampled"),
        pytest.param(f"00-{T}-{S}-02", 2, id="random"),
        pytest.param(f"00-{T}-{S}-03", 3, id="both known flags"),
        pytest.param(f"00-{T}-{S}-ff", 3, id="unknown flags are masked"),
        pytest.param(f"00-{T}-{S}-fc", 0, id="only unknown flags"),
        pytest.param(f"00-{T}-{S}-09", 1, id="sampled beside an unknown flag"),
        pytest.param(f" {VALID}", 1, id="leading space"),
        pytest.param(f"\t{VALID}", 1, id="leading tab"),
        pytest.param(f"{VALID} ", 1, id="trailing space"),
        pytest.param(f"\t {VALID} \t", 1, id="white space around"),
        pytest.param(f"cc-{T}-{S}-01", 1, id="higher version"),
        pytest.param(f"01-{T}-{S}-07", 3, id="higher version, unknown flag"),
        pytest.param(f"cc-{T}-{S}-01-what-comes-later", 1, id="higher version goes on"),
        pytest.param(f"cc-{T}-{S}-01-", 1, id="higher version, empty rest"),
        pytest.param(f"fe-{T}-{S}-01-{'x' * 456}", 1, id="512 characters"),
    ],
)
def test_a_valid_traceparent_is_continued(value, flags):
    trace = begin({"traceparent": value})
    assert (trace.trace_id, trace.parent_id, trace.flags, trace.origin) == (T, S, flags, "traceparent")
    assert trace.span_id != S
    assert re.fullmatch("[0-9a-f]{32}", trace.request_id)
    assert trace.request_id != T
    assert outgoing(trace)["traceparent"] == f"00-{T}-{trace.span_id}-0{flags}"


@pytest.mark.parametrize(
    "value",
    [
        pytest.param("", id="empty"),
        pytest.param(" \t", id="white space only"),
        pytest.param(f"{VALID},{VALID}", id="two fields"),
        pytest.param(f"{VALID},", id="trailing comma"),
        pytest.param(f"{VALID}.", id="version 00 with one more character"),
        pytest.param(f"{VALID}-", id="version 00 with a dash more"),
        pytest.param(f"{VALID}-more", id="version 00 goes on"),
        pytest.param(f"cc-{T}-{S}-01.more", id="higher version goes on without a dash"),
        pytest.param(f"cc-{T}-{S}-0", id="higher version too short"),
        pytest.param(f"cc-{T}-{S}-01-é", id="higher version goes on outside ASCII"),
        pytest.param(f"cc-{T}-{S}-01-\n", id="higher version goes on with a newline"),
        pytest.param(f"cc-{T}-{S}-01-{'x' * 457}", id="513 characters"),
        pytest.param(f"ff-{T}-{S}-01", id="version ff"),
        pytest.param(f"ff-{T}-{S}-01-more", id="version ff goes on"),
        pytest.param(f"FE-{T}-{S}-01", id="upper-case version"),
        pytest.param(f".0-{T}-{S}-01", id="version is not hexadecimal"),
        pytest.param(f"0-{T}-{S}-01", id="version too short"),
        pytest.param(f"000-{T}-{S}-01", id="version too long"),
        pytest.param(f"00-{'0' * 32}-{S}-01", id="trace id all zero"),
        pytest.param(f"00-.{T[1:]}-{S}-01", id="trace id starts with a dot"),
        pytest.param(f"00-{T[:-1]}.-{S}-01", id="trace id ends with a dot"),
        pytest.param(f"00-{T}0-{S}-01", id="trace id too long"),
        pytest.param(f"00-{T[:-1]}-{S}-01", id="trace id too short"),
        pytest.param(f"00-{T.upper()}-{S}-01", id="upper-case trace id"),
        pytest.param(f"00-{T[:-1]}٠-{S}-01", id="digit of another script"),
        pytest.param(f"00-{T}-{'0' * 16}-01", id="parent id all zero"),
        pytest.param(f"00-{T}-.{S[1:]}-01", id="parent id starts with a dot"),
        pytest.param(f"00-{T}-{S}0-01", id="parent id too long"),
        pytest.param(f"00-{T}-{S[:-1]}-01", id="parent id too short"),
        pytest.param(f"00-{T}-{S.upper()}-01", id="upper-case parent id"),
        pytest.param(f"00-{T}-{S}-.0", id="flags start with a dot"),
        pytest.param(f"00-{T}-{S}-0.", id="flags end with a dot"),
        pytest.param(f"00-{T}-{S}-0A", id="upper-case flags"),
        pytest.param(f"00-{T}-{S}-001", id="flags too long"),
        pytest.param(f"00-{T}-{S}-1", id="flags too short"),
        pytest.param(f"00_{T}_{S}_01", id="underscores"),
        pytest.param(f"{VALID}\n", id="trailing newline"),
        pytest.param(f"{VALID}\r\n", id="trailing CR LF"),
        pytest.param(f"\x0b{VALID}", id="vertical tab is no white space here"),
        pytest.param(f"\xa0{VALID}", id="no-break space is no white space here"),
        pytest.param(f"00-{T}-{S}-01" * 1000, id="55,000 characters"),
        pytest.param("\ud800", id="lone surrogate"),
    ],
)
def test_an_invalid_traceparent_restarts_the_trace_and_nothing_of_it_is_kept(value):
    for trusted in (True, False):
        trace = begin({"traceparent": value, "tracestate": "foo=1"}, trusted)
        assert_fresh(trace, T, S, "foo")
        assert trace.flags == 2
        assert trace.remote is None
        assert "tracestate" not in outgoing(trace)


@pytest.mark.parametrize("name", ["trace-parent", "trace_parent", "trace.parent", "TraceParent"])
def test_another_header_is_not_traceparent(name):
    assert_fresh(begin({name: VALID}), T)


# --- tracestate -----------------------------------------------------------------------------------------------------

KEY_CHARS = "abcdefghijklmnopqrstuvwxyz0123456789_-*/@"
VALUE_CHARS = "".join(chr(code) for code in range(0x20, 0x7F) if chr(code) not in ",=")


def numbered(count, width=2):
    return ",".join(f"k{n:0{width}}={n}" for n in range(count))


@pytest.mark.parametrize(
    ("value", "state"),
    [
        pytest.param("foo=1", "foo=1", id="one"),
        pytest.param("foo=1,bar=2", "foo=1,bar=2", id="order is kept"),
        pytest.param("foo=1 \t , \t bar=2, \t baz=3", "foo=1,bar=2,baz=3", id="white space between members"),
        pytest.param("\t foo=1 \t", "foo=1", id="white space around"),
        pytest.param("foo=  1", "foo=  1", id="leading spaces of a value are kept"),
        pytest.param(",foo=1,, \t,bar=2,", "foo=1,bar=2", id="empty members"),
        pytest.param(f"{KEY_CHARS}={VALUE_CHARS}", f"{KEY_CHARS}={VALUE_CHARS}", id="every allowed character"),
        pytest.param("0=1,9a=2", "0=1,9a=2", id="key starts with a digit"),
        pytest.param("foo@=1,foo@@bar=2,a@b@c=3", "foo@=1,foo@@bar=2,a@b@c=3", id="at sign anywhere (level 2)"),
        pytest.param(f"{'z' * 256}=1", f"{'z' * 256}=1", id="key of 256"),
        pytest.param(
            f"{'t' * 242}@v=1,t@{'v' * 15}=1", f"{'t' * 242}@v=1,t@{'v' * 15}=1", id="no tenant rule (level 2)"
        ),
        pytest.param(f"a={'v' * 256}", f"a={'v' * 256}", id="value of 256"),
        pytest.param("foo=1,bar=2,foo=3", "foo=1,bar=2", id="left-most of a duplicate"),
        pytest.param(numbered(32), numbered(32), id="32 members"),
        pytest.param(f",,{numbered(32)},", numbered(32), id="empty members do not count"),
        pytest.param("", None, id="empty"),
        pytest.param(" \t,, ", None, id="only empty members"),
        pytest.param(numbered(33), None, id="33 members"),
        pytest.param(",".join(["a=1"] * 33), None, id="33 members of one key"),
        pytest.param("foo=1,FOO=2", None, id="upper-case key"),
        pytest.param("foo=1,foo.bar=2", None, id="dot in a key"),
        pytest.param("foo=1,foo =2", None, id="space after a key"),
        pytest.param("foo=1,@foo=2", None, id="key starts with an at sign"),
        pytest.param("foo=1,_a=2", None, id="key starts with an underscore"),
        pytest.param(f"foo=1,{'z' * 257}=1", None, id="key of 257"),
        pytest.param("foo=1,=2", None, id="no key"),
        pytest.param("foo=1,bar", None, id="no equals sign"),
        pytest.param("foo=,bar=3", None, id="empty value"),
        pytest.param("foo=bar=baz", None, id="equals sign in a value"),
        pytest.param("foo=1,a=b\tc", None, id="tab in a value"),
        pytest.param("foo=1,a=\x7f", None, id="DEL in a value"),
        pytest.param("foo=1,a=é", None, id="value outside ASCII"),
        pytest.param("foo=1\n", None, id="newline"),
        pytest.param(f"foo=1,a={'v' * 257}", None, id="value of 257"),
        pytest.param("foo=1" + "," * 1_000_000, None, id="a million commas"),
    ],
)
def test_tracestate_is_validated_and_never_touches_traceparent(value, state):
    trace = begin({"traceparent": VALID, "tracestate": value})
    assert trace.state == state
    assert (trace.trace_id, trace.parent_id) == (T, S)
    assert outgoing(trace).get("tracestate") == state


@pytest.mark.parametrize(
    ("members", "kept"),
    [
        pytest.param([(c, 127) for c in "abcdefgh"], "abcdefgh", id="1023 characters fit"),
        pytest.param([(c, 127) for c in "abcdefghij"], "abcdefgh", id="small ones go from the right"),
        pytest.param([("a", 127), ("b", 400), ("c", 127), ("d", 400), ("e", 127)], "abce", id="right large one first"),
        pytest.param([("a", 400), ("b", 400), ("c", 128), ("d", 128), ("e", 128)], "acde", id="128 is not large"),
        pytest.param([("a", 500), ("b", 500), ("c", 129), ("d", 100)], "ad", id="large from the right until it fits"),
        pytest.param([("a", 513), ("b", 513)], "a", id="the two largest"),
    ],
)
def test_a_long_tracestate_is_cut_by_whole_members_and_keeps_at_least_512_characters(members, kept):
    texts = {}
    for key, length in members:
        key_chars = min(256, length - 2)
        name = key * key_chars
        texts[key] = f"{name}={'v' * (length - key_chars - 1)}"
    trace = begin({"traceparent": VALID, "tracestate": ",".join(texts.values())})
    assert trace.state == ",".join(texts[key] for key in kept)
    assert 512 <= len(trace.state) <= 1025


def test_a_tracestate_of_600_characters_is_passed_on_whole():
    state = ",".join(f"k{n:02}={'v' * 46}" for n in range(12))[:600]
    assert begin({"traceparent": VALID, "tracestate": state}).state == state


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param({}, id="no traceparent"),
        pytest.param({"b3": f"{T}-{S}"}, id="trace from b3"),
        pytest.param({"x-trace-id": T}, id="trace from x-trace-id"),
    ],
)
def test_tracestate_counts_only_beside_the_traceparent_that_won(headers):
    assert begin_with_everything({**headers, "tracestate": "foo=1"}).state is None


# --- B3 -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        pytest.param(f"{T}-{S}", (T, S, 0), id="ids only: we decide"),
        pytest.param(f"{T}-{S}-1", (T, S, 1), id="sampled"),
        pytest.param(f"{T}-{S}-0", (T, S, 0), id="not sampled"),
        pytest.param(f"{T}-{S}-d", (T, S, 1), id="debug"),
        pytest.param(f"{T}-{S}-1-{T16}", (T, S, 1), id="with the caller's parent"),
        pytest.param(f" {T16}-{S}-1\t", ("0" * 16 + T16, S, 1), id="16 digits are padded"),
    ],
)
def test_single_b3_is_continued(value, expected):
    trace = begin({"b3": value}, accept=["b3"])
    assert (trace.trace_id, trace.parent_id, trace.flags) == expected
    assert trace.origin == "b3"


def test_deferred_sampling_is_decided_by_configuration():
    assert begin({"b3": f"{T}-{S}"}, accept=["b3"], sampled=True).flags == 1
    assert begin({"b3": f"{T}-{S}-0"}, accept=["b3"], sampled=True).flags == 0


@pytest.mark.parametrize(
    ("headers", "flags"),
    [
        pytest.param({"b3": "0"}, 2, id="single 0"),
        pytest.param({"b3": "1"}, 3, id="single 1"),
        pytest.param({"b3": "d"}, 3, id="single d"),
        pytest.param({"x-b3-sampled": "1"}, 3, id="multi 1"),
        pytest.param({"x-b3-sampled": "false"}, 2, id="multi false"),
        pytest.param({"x-b3-flags": "1"}, 3, id="multi debug"),
    ],
)
def test_a_b3_decision_without_ids_decides_sampling_only(headers, flags):
    trace = begin(headers, accept=["b3", "x-trace-id"])
    assert_fresh(trace)
    assert trace.flags == flags
    claimed = begin(headers | {"x-trace-id": T}, accept=["b3", "x-trace-id"])
    assert (claimed.trace_id, claimed.flags) == (T, flags & 1)
    untrusted = begin(headers, trusted=False, accept=["b3"])
    assert_fresh(untrusted)
    assert (untrusted.flags, untrusted.remote) == (2, None)


@pytest.mark.parametrize(
    "value",
    [
        pytest.param("", id="empty"),
        pytest.param("2", id="no decision"),
        pytest.param("1,0", id="two decisions"),
        pytest.param(f"{T}", id="trace id alone"),
        pytest.param(f"{T.upper()}-{S}", id="upper-case trace id"),
        pytest.param(f"{T}-{S.upper()}", id="upper-case span id"),
        pytest.param(f"{T}-{S}-", id="trailing dash"),
        pytest.param(f"{T}--1", id="empty field"),
        pytest.param(f"{T}-{S}--{T16}", id="empty decision"),
        pytest.param(f"{T}-{S}-x", id="unknown decision"),
        pytest.param(f"{T}-{S}-1-", id="empty parent"),
        pytest.param(f"{T}-{S}-1-{T16}-1", id="five fields"),
        pytest.param(f"{T[1:]}-{S}", id="31 digits"),
        pytest.param(f"{'0' * 32}-{S}", id="zero trace id"),
        pytest.param(f"{'0' * 16}-{S}", id="zero short trace id"),
        pytest.param(f"{T}-{'0' * 16}", id="zero span id"),
        pytest.param(f"{T}-{S}-1\n", id="newline"),
        pytest.param(f"{T}-{S},{T}-{S}", id="two fields of the name"),
    ],
)
def test_an_invalid_single_b3_is_as_good_as_absent(value):
    assert_fresh(begin({"b3": value}, accept=["b3"]), T, S)


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        pytest.param({}, (T, S, 0), id="ids only"),
        pytest.param({"x-b3-sampled": "1"}, (T, S, 1), id="sampled"),
        pytest.param({"x-b3-sampled": "True"}, (T, S, 1), id="lenient true"),
        pytest.param({"x-b3-sampled": "false"}, (T, S, 0), id="lenient false"),
        pytest.param({"x-b3-sampled": "0", "x-b3-flags": "1"}, (T, S, 1), id="debug beats the decision"),
        pytest.param({"x-b3-flags": "0"}, (T, S, 0), id="no debug"),
        pytest.param({"x-b3-parentspanid": T16}, (T, S, 0), id="with the caller's parent"),
        pytest.param({"x-b3-traceid": T16}, ("0" * 16 + T16, S, 0), id="16 digits are padded"),
        pytest.param({"x-b3-traceid": f"{T},{T16}"}, (T, S, 0), id="first value wins"),
        pytest.param({"b3": "broken"}, (T, S, 0), id="beside an invalid single header"),
        pytest.param({"x-b3-traceid": ""}, None, id="no trace id"),
        pytest.param({"x-b3-spanid": ""}, None, id="no span id"),
        pytest.param({"x-b3-traceid": "0" * 32}, None, id="zero trace id"),
        pytest.param({"x-b3-spanid": "0" * 16}, None, id="zero span id"),
        pytest.param({"x-b3-traceid": T.upper()}, None, id="upper-case trace id"),
        pytest.param({"x-b3-spanid": S.upper()}, None, id="upper-case span id"),
        pytest.param({"x-b3-parentspanid": "x"}, None, id="invalid parent"),
        pytest.param({"x-b3-sampled": "yes"}, None, id="invalid decision"),
    ],
)
def test_the_many_headers_of_b3(headers, expected):
    trace = begin({"x-b3-traceid": T, "x-b3-spanid": S} | headers, accept=["b3"])
    if expected is None:
        assert_fresh(trace, T, S)
    else:
        assert (trace.trace_id, trace.parent_id, trace.flags) == expected
        assert trace.origin == "x-b3"


def test_single_b3_beats_the_many_headers():
    many = {"x-b3-traceid": "a" * 32, "x-b3-spanid": "b" * 16, "x-b3-sampled": "1"}
    trace = begin({"b3": f"{T}-{S}-0", **many}, accept=["b3"])
    assert (trace.trace_id, trace.parent_id, trace.flags, trace.origin) == (T, S, 0, "b3")


# --- Amazon, Google, X-Trace-Id -------------------------------------------------------------------------------------

ROOT = f"Root=1-{T[:8]}-{T[8:]}"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        pytest.param(ROOT, (T, None, 0), id="root"),
        pytest.param(f"{ROOT};Parent={S};Sampled=1", (T, S, 1), id="parent, sampled"),
        pytest.param(f"Sampled=0; Parent={S} ;\t{ROOT}", (T, S, 0), id="any order, white space"),
        pytest.param(f"Self=1-67891234-12456789abcdef012345678;{ROOT}", (T, None, 0), id="self is ignored"),
        pytest.param(f"{ROOT};Sampled=?", (T, None, 0), id="we are asked to decide"),
        pytest.param(f"{ROOT.upper().replace('ROOT', 'Root')}", (T, None, 0), id="upper-case digits"),
        pytest.param(f"{ROOT};Parent={S.upper()}", (T, S, 0), id="upper-case parent"),
        pytest.param(f"{ROOT};CalledFrom=app", (T, None, 0), id="a key of its own"),
        pytest.param(f"Root=2-{T[:8]}-{T[8:]}", None, id="version 2"),
        pytest.param(f"Root=1-{T}", None, id="one dash"),
        pytest.param(f"Root=1-{'0' * 8}-{'0' * 24}", None, id="zero trace id"),
        pytest.param(f"Parent={S}", None, id="no root"),
        pytest.param(f"{ROOT};Parent=abc", None, id="invalid parent"),
        pytest.param(f"{ROOT};Parent={'0' * 16}", None, id="zero parent"),
        pytest.param(f"{ROOT};Sampled=2", None, id="invalid decision"),
        pytest.param(f"{ROOT};{ROOT}", None, id="root twice"),
        pytest.param(f"{ROOT},{ROOT}", None, id="two fields"),
        pytest.param(f"{ROOT}\n", None, id="newline"),
        pytest.param(f"{ROOT};X={'x' * 512}", None, id="too long"),
        pytest.param("", None, id="empty"),
    ],
)
def test_x_amzn_trace_id(value, expected):
    trace = begin({"x-amzn-trace-id": value}, accept=["x-amzn-trace-id"])
    if expected is None:
        assert_fresh(trace, T, S)
    else:
        assert (trace.trace_id, trace.parent_id, trace.flags) == expected
        assert trace.origin == "x-amzn-trace-id"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        pytest.param(T, (T, None, 0), id="trace id"),
        pytest.param(T.upper(), (T, None, 0), id="upper-case digits"),
        pytest.param(f"{T}/1", (T, "0000000000000001", 0), id="decimal span"),
        pytest.param(f"{T}/18446744073709551615;o=1", (T, "f" * 16, 1), id="largest span, sampled"),
        pytest.param(f"{T};o=1", (T, None, 1), id="sampled, no span"),
        pytest.param(f"{T}/0;o=0", (T, None, 0), id="span 0 is none"),
        pytest.param(f"{T}/18446744073709551616", None, id="span too large"),
        pytest.param(f"{T}/{'1' * 21}", None, id="span too long"),
        pytest.param(f"{T}/{'0' * 20}1", None, id="span too long by zeros"),
        pytest.param(f" {T}\t", (T, None, 0), id="white space around"),
        pytest.param(f"{T}/abc", None, id="span is not decimal"),
        pytest.param(f"{T}/", None, id="empty span"),
        pytest.param(f"{T}/1;o=2", None, id="unknown option"),
        pytest.param(f"{T}/1;o=1\n", None, id="newline"),
        pytest.param(f"{'0' * 32}/1", None, id="zero trace id"),
        pytest.param(f"{T}/١", None, id="digit of another script"),
        pytest.param("", None, id="empty"),
    ],
)
def test_x_cloud_trace_context(value, expected):
    trace = begin({"x-cloud-trace-context": value}, accept=["x-cloud-trace-context"])
    if expected is None:
        assert_fresh(trace, T)
    else:
        assert (trace.trace_id, trace.parent_id, trace.flags) == expected
        assert trace.origin == "x-cloud-trace-context"


@pytest.mark.parametrize(
    ("value", "trace_id", "correlation_id"),
    [
        pytest.param(T, T, None, id="32 digits"),
        pytest.param(T.upper(), T, None, id="upper-case digits"),
        pytest.param(UUID, T, None, id="UUID"),
        pytest.param(UUID.upper(), T, None, id="upper-case UUID"),
        pytest.param(T16, "0" * 16 + T16, None, id="16 digits are padded"),
        pytest.param("order-77", None, "order-77", id="another token"),
        pytest.param(f" {UUID}\t", T, None, id="white space around"),
        pytest.param(f"urn:uuid:{UUID}", None, f"urn:uuid:{UUID}", id="URN is a token, not a UUID"),
        pytest.param(T[:-1], None, T[:-1], id="31 digits are a token"),
        pytest.param(f"{{{UUID}}}", None, None, id="braces"),
        pytest.param("0" * 32, None, None, id="zero"),
        pytest.param("0" * 16, None, None, id="short zero"),
        pytest.param("<function uuid4 at 0x7f2a>", None, None, id="a function's repr"),
        pytest.param(f"{T},{T}", None, None, id="two fields"),
        pytest.param(f"{T}\n", None, None, id="newline"),
        pytest.param("", None, None, id="empty"),
    ],
)
def test_x_trace_id(value, trace_id, correlation_id):
    trace = begin({"x-trace-id": value})
    assert trace.correlation_id == correlation_id
    if trace_id is None:
        assert_fresh(trace)
    else:
        assert (trace.trace_id, trace.parent_id, trace.flags, trace.origin) == (trace_id, None, 0, "x-trace-id")


# --- X-Request-ID, X-Correlation-ID ---------------------------------------------------------------------------------

TOKENS = [
    pytest.param("a", "a", id="one character"),
    pytest.param("A.z_9~:/+=@-", "A.z_9~:/+=@-", id="every kind of character"),
    pytest.param("x" * 128, "x" * 128, id="128 characters"),
    pytest.param(UUID, UUID, id="UUID"),
    pytest.param(f" {UUID} ", UUID, id="white space around"),
    pytest.param(f"urn:uuid:{UUID}", f"urn:uuid:{UUID}", id="URN"),
    pytest.param("../../etc/passwd", "../../etc/passwd", id="a path is a token"),
    pytest.param("", None, id="empty"),
    pytest.param("x" * 129, None, id="129 characters"),
    pytest.param("x" * 10240, None, id="10 KiB"),
    pytest.param(f"{{{UUID}}}", None, id="braces"),
    pytest.param(f"{UUID}\n", None, id="newline"),
    pytest.param("a\r\nSet-Cookie: b=c", None, id="CR LF"),
    pytest.param("a,b", None, id="two fields"),
    pytest.param("a b", None, id="space inside"),
    pytest.param("' OR 1=1--", None, id="SQL"),
    pytest.param("<script>", None, id="HTML"),
    pytest.param("é", None, id="outside ASCII"),
    pytest.param("a\x00", None, id="NUL"),
    pytest.param("\ud800", None, id="lone surrogate"),
]


@pytest.mark.parametrize(("value", "token"), TOKENS)
def test_a_request_id_is_a_token_or_is_replaced(value, token):
    trace = begin({"x-request-id": value})
    assert_fresh(trace)
    if token is None:
        assert re.fullmatch("[0-9a-f]{32}", trace.request_id)
    else:
        assert trace.request_id == token
    assert outgoing(trace)["x-request-id"] == trace.request_id


@pytest.mark.parametrize(("value", "token"), TOKENS)
def test_a_token_is_known_as_it_stands(value, token):
    assert is_token(value) == (value == token)


@pytest.mark.parametrize(("value", "token"), TOKENS)
def test_a_correlation_id_is_a_token_or_absent(value, token):
    trace = begin({"x-correlation-id": value})
    assert_fresh(trace)
    assert trace.correlation_id == token
    assert outgoing(trace).get("x-correlation-id") == token


@pytest.mark.parametrize(
    ("value", "trace_id"),
    [
        pytest.param(T, T, id="as nginx makes it"),
        pytest.param(T.upper(), T, id="upper-case"),
        pytest.param(UUID, None, id="a UUID is only a request id"),
        pytest.param(T16, None, id="16 digits are only a request id"),
        pytest.param("0" * 32, None, id="zero is only a request id"),
    ],
)
def test_a_request_id_of_32_hexadecimal_digits_is_the_trace_id_too(value, trace_id):
    trace = begin({"x-request-id": value})
    assert trace.request_id == value
    if trace_id is None:
        assert_fresh(trace)
    else:
        assert (trace.trace_id, trace.flags, trace.origin) == (trace_id, 0, "x-request-id")
    assert begin({"x-request-id": f" {value}\t"})[3:6] == trace[3:6]
    better = begin({"x-request-id": value, "traceparent": f"00-{'a' * 32}-{S}-01"})
    assert (better.trace_id, better.request_id) == ("a" * 32, value)


def test_an_explicit_correlation_id_beats_the_token_in_x_trace_id():
    assert begin({"x-trace-id": "order-77", "x-correlation-id": "cart-3"}).correlation_id == "cart-3"
    assert begin({"x-trace-id": "order-77", "x-correlation-id": "b a d"}).correlation_id == "order-77"
    assert begin({"x-trace-id": "order-77", "traceparent": VALID}).correlation_id == "order-77"


# --- which header wins, and which are read --------------------------------------------------------------------------

LADDER = [
    ("traceparent", {"traceparent": f"00-{'1' * 32}-{S}-00"}, "1" * 32),
    ("b3", {"b3": f"{'2' * 32}-{S}-0"}, "2" * 32),
    ("x-amzn-trace-id", {"x-amzn-trace-id": f"Root=1-{'3' * 8}-{'3' * 24}"}, "3" * 32),
    ("x-cloud-trace-context", {"x-cloud-trace-context": "4" * 32}, "4" * 32),
    ("x-trace-id", {"x-trace-id": "5" * 32}, "5" * 32),
    ("x-request-id", {"x-request-id": "6" * 32}, "6" * 32),
]


@pytest.mark.parametrize("first", range(len(LADDER)), ids=[origin for origin, _, _ in LADDER])
def test_the_first_family_with_a_valid_id_wins(first):
    headers = {name: value for _, part, _ in LADDER[first:] for name, value in part.items()}
    broken = {name: "broken" for _, part, _ in LADDER[:first] for name in part}
    for accept in (EVERYTHING, EVERYTHING[::-1]):
        trace = begin(headers | broken, accept=accept)
        assert (trace.origin, trace.trace_id) == (LADDER[first][0], LADDER[first][2])


@pytest.mark.parametrize("family", EVERYTHING)
def test_a_family_that_is_not_accepted_is_not_read(family):
    headers = {name: value for _, part, _ in LADDER for name, value in part.items()} | {"x-correlation-id": "cart-3"}
    only = begin(headers, accept=[family])
    without = begin(headers, accept=[name for name in EVERYTHING if name != family])
    assert only.origin == ("generated" if family == "x-correlation-id" else family)
    assert (only.request_id == "6" * 32) == (family == "x-request-id")
    assert only.correlation_id == ("cart-3" if family == "x-correlation-id" else None)
    assert without.origin != family
    assert begin(headers, accept=[]).origin == "generated"


def test_names_are_the_headers_that_begin_looks_at():
    assert Tracer().names == ("traceparent", "tracestate", "x-trace-id", "x-request-id", "x-correlation-id")
    assert Tracer(accept=["X-Request-ID"]).names == ("x-request-id",)
    assert Tracer(accept=["b3"]).names == (
        "b3",
        "x-b3-traceid",
        "x-b3-spanid",
        "x-b3-parentspanid",
        "x-b3-sampled",
        "x-b3-flags",
    )


# --- trust ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("trust", "trusted", "believed"),
    [
        ("trusted", True, True),
        ("trusted", False, False),
        ("always", True, True),
        ("always", False, True),
        ("never", True, False),
        ("never", False, False),
    ],
)
def test_who_is_believed(trust, trusted, believed):
    headers = {
        "traceparent": VALID,
        "tracestate": "foo=1",
        "x-request-id": "req-1",
        "x-correlation-id": "cart-3",
        "x-trace-id": "order-77",
    }
    trace = begin(headers, trusted, trust=trust)
    if believed:
        assert trace == Trace(T, trace.span_id, S, 1, "foo=1", "traceparent", None, "req-1", "cart-3")
    else:
        assert_fresh(trace, "foo", "req-1", "cart-3", "order-77")
        assert trace.remote == (T, S)
        assert (trace.flags, trace.correlation_id) == (2, None)
        assert T not in str(outgoing(trace))


@pytest.mark.parametrize(
    ("headers", "remote"),
    [
        pytest.param({"traceparent": VALID}, (T, S), id="traceparent"),
        pytest.param({"b3": f"{T16}-{S}-1"}, ("0" * 16 + T16, S), id="b3"),
        pytest.param({"x-trace-id": UUID}, (T, None), id="x-trace-id"),
        pytest.param({"x-request-id": T}, (T, None), id="x-request-id"),
        pytest.param({"x-cloud-trace-context": f"{T}/1;o=1"}, (T, "0" * 15 + "1"), id="x-cloud-trace-context"),
        pytest.param({"traceparent": "broken"}, None, id="nothing valid"),
        pytest.param({"x-request-id": "req-1"}, None, id="no trace id"),
    ],
)
def test_the_claim_of_an_untrusted_caller_is_kept_validated_and_his_sampling_is_not_believed(headers, remote):
    trace = begin_with_everything(headers, trusted=False)
    assert_fresh(trace)
    assert trace.remote == remote
    assert trace.flags == 2
    assert trace.request_id not in headers.values()


# --- construction ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        pytest.param({"accept": ["traceparent", "jaeger"]}, r"traceparent, b3, .*not 'jaeger'", id="unknown family"),
        pytest.param({"accept": "jaeger"}, "not 'jaeger'", id="text, unknown"),
        pytest.param({"accept": [5]}, "not '5'", id="not a text"),
        pytest.param({"trust": "everybody"}, "trusted, always, never, not 'everybody'", id="unknown trust"),
    ],
)
def test_a_wrong_option_is_refused_at_construction(options, message):
    with pytest.raises(ValueError, match=message):
        Tracer(**options)


# --- properties -----------------------------------------------------------------------------------------------------

hex_ids = {
    n: st.text("0123456789abcdef", min_size=n, max_size=n).filter(lambda text: text.strip("0")) for n in (16, 32)
}
VALUES = [
    VALID,
    f"cc-{T}-{S}-01-x",
    "foo=1,bar=2",
    f"{T}-{S}-1-{T16}",
    T,
    T16,
    S,
    UUID,
    "1",
    "true",
    f"{ROOT};Parent={S};Sampled=1",
    f"{T}/123;o=1",
    "order-77",
]


@st.composite
def mangled(draw):
    value = draw(st.sampled_from(VALUES))
    start, end = sorted(draw(st.tuples(st.integers(0, len(value)), st.integers(0, len(value)))))
    return draw(
        st.sampled_from([value, value[:start] + draw(st.text(max_size=4)) + value[end:], value * 2, value.upper()])
    )


any_headers = st.dictionaries(
    st.sampled_from(Tracer(accept=EVERYTHING).names) | st.text(max_size=5), mangled() | st.text(), max_size=8
)


@settings(deadline=None)
@given(any_headers, st.booleans(), st.sampled_from(["trusted", "always", "never"]), st.booleans())
def test_begin_never_raises_and_every_id_is_valid(headers, trusted, trust, sampled):
    trace = begin_with_everything(headers, trusted, trust=trust, sampled=sampled)
    received = {value.strip(" \t") for value in headers.values()}
    assert trace.span_id not in received
    if trust == "never":
        assert trace.request_id not in received


@settings(deadline=None)
@given(hex_ids[32], hex_ids[16], st.integers(0, 255))
def test_parsing_a_formatted_traceparent_gives_its_parts_back(trace_id, span_id, flags):
    value = traceparent(trace_id, span_id, flags)
    trace = begin({"traceparent": value})
    assert (trace.trace_id, trace.parent_id, trace.flags) == (trace_id, span_id, flags & 3)
    assert traceparent(trace.trace_id, trace.parent_id, trace.flags) == value


@settings(deadline=None)
@given(any_headers)
def test_the_next_service_receives_what_goes_out(headers):
    trace = begin_with_everything(headers)
    received = begin(outgoing(trace))
    for name in ("trace_id", "flags", "state", "request_id", "correlation_id"):
        assert getattr(received, name) == getattr(trace, name)
    assert received.parent_id == trace.span_id
    assert received.span_id != trace.span_id
