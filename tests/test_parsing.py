"""Events read back: what is nested too deep is cut there, and nothing else is touched."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditmw.parsing import DEEPER, LEVELS, parse_event, shallow

values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.text(st.characters(codec="utf-8")),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text('[]{}"\\,:a'), inner, max_size=4),
    max_leaves=20,
)


@given(values, values)
def test_what_is_beside_and_above_the_depth_is_kept_and_what_is_below_is_a_text(below, beside):
    around = LEVELS - 1  # lists, in the event itself
    more, also = json.dumps(beside).encode(), json.dumps(below).encode()
    inside = b'{"x":' + b"[" * 2000 + b"]" * 2000 + b',"y":' + also + b"}"
    body = b'{"before":%b,"deep":%b%b%b,"after":%b}' % (more, b"[" * around, inside, b"]" * around, more)
    event = parse_event(body)
    deep = event["deep"]
    for _ in range(around - 1):
        (deep,) = deep
    assert deep == [DEEPER]
    assert (event["before"], event["after"]) == (beside, beside)


@given(values)
def test_what_is_not_too_deep_is_itself(value):
    body = json.dumps({"value": value, "many": [[]] * 300}).encode()
    assert shallow(body) is body
    assert parse_event(body) == json.loads(body)


@pytest.mark.parametrize("levels", [LEVELS, LEVELS + 1])
def test_as_many_levels_as_are_named_are_read(levels):
    body = b'{"a":' * levels + b"1" + b"}" * levels
    assert (shallow(body) is body) == (levels == LEVELS)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{",
        b'{"a":' + b"[" * 100_000 + b"}",
        b"[" * 100_000 + b"]" * 100_000,
        b'{"a":"' + b"[" * 100_000,
        b"{" * 100_000,
        b'{"a":"\xff"}',
        b"[" * 300 + b'{"a":"' + b'\\"' * 500_000,
    ],
    ids=["nothing", "list", "torn", "deep, torn", "deep list", "brackets in a text", "braces", "not UTF-8", "no end"],
)
def test_what_is_no_object_is_an_error_of_value(body):
    with pytest.raises(ValueError, match="expected a JSON object"):
        parse_event(body)


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("nan", None),
        ("-inf", None),
        ("[Infinity,-NaN,1]", [None, None, 1]),
        ("9" * 5000, None),
        ("1e999", None),
        ("10000000000000000000000000000000", 1e31),
        ("[1 , ]", [1]),
        ('{"a":"nan,]",}', {"a": "nan,]"}),
        ('"\\ud800 inf"', "\ud800 inf"),
    ],
    ids=["nan", "inf", "in a list", "digits", "exponent", "large", "comma", "in a text", "half a pair"],
)
def test_what_the_archive_takes_for_json_is_read(written, read):
    assert parse_event(b'{"n":%b}' % written.encode()) == {"n": read}


@pytest.mark.parametrize("written", ["[,]", "[1,,]", "infinit", "+1", "nannan", "{,}", "tru"])
def test_what_the_archive_does_not_take_for_json_is_none(written):
    with pytest.raises(ValueError, match="expected a JSON object"):
        parse_event(b'{"n":%b}' % written.encode())


def test_a_number_that_is_none_is_none():
    assert parse_event(b'{"a":NaN,"b":-Infinity,"c":1e999,"d":"\\ud800"}') == {
        "a": None,
        "b": None,
        "c": None,
        "d": "\ud800",
    }
