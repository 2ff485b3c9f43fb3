"""A sealed line is one JSON object that says by itself whether it is whole."""

import json
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditmw.journal.frame import MAX_LINE_BYTES, open_line, seal

JSON = st.dictionaries(st.text(min_size=1), st.text() | st.integers() | st.none(), min_size=1)
BODIES = JSON.map(lambda event: json.dumps(event, ensure_ascii=False).encode("utf-8", "replace"))
NUMBERS = st.integers(1, 10**18)


def test_a_line_ends_in_its_number_and_the_checksum_of_all_before_it():
    checksum = b"%08x" % zlib.crc32(b'{"a":1,"seq":7')
    assert seal(b'{"a":1}', 7) == b'{"a":1,"seq":7,"crc":"' + checksum + b'"}\n'


@given(BODIES, NUMBERS)
def test_opening_a_sealed_line_gives_the_number_and_the_bytes_back(body, seq):
    line = seal(body, seq)
    assert open_line(line) == (seq, body)
    assert line.count(b"\n") == 1
    event = json.loads(line)
    assert event.pop("crc") == f"{zlib.crc32(line[:-19]):08x}"
    assert event.pop("seq") == seq


@given(st.binary())
def test_no_bytes_make_opening_raise_and_only_what_seal_writes_opens(line):
    opened = open_line(line)
    assert opened is None or seal(opened[1], opened[0]) == line


@given(st.binary(max_size=40))
def test_bytes_with_a_right_checksum_open_only_when_seal_would_have_written_them(head):
    line = head + b',"crc":"%08x"}\n' % zlib.crc32(head)
    opened = open_line(line)
    assert opened is None or seal(opened[1], opened[0]) == line


def test_every_change_of_one_byte_is_found():
    line = seal(b'{"message":"caf\xc3\xa9","n":12}', 34)
    for position in range(len(line)):
        for value in range(256):
            changed = line[:position] + bytes([value]) + line[position + 1 :]
            assert open_line(changed) == (open_line(line) if changed == line else None)


def test_every_truncation_is_found():
    line = seal(b'{"n":12}', 34)
    assert [open_line(line[:length]) for length in range(len(line))] == [None] * len(line)


@pytest.mark.parametrize(
    "head",
    [
        pytest.param(b'{"a":1,"seq":0', id="number zero"),
        pytest.param(b'{"a":1,"seq":01', id="leading zero"),
        pytest.param(b'{"a":1,"seq":-1', id="negative"),
        pytest.param(b'{"a":1,"seq":1.5', id="fraction"),
        pytest.param('{"a":1,"seq":١'.encode(), id="digits of another script"),
        pytest.param(b'{"a":1,"seq":', id="no number"),
        pytest.param(b'{"a":1,"seq":' + b"9" * 5000, id="number too long to be one"),
        pytest.param(b'{"a":1', id="no seq"),
        pytest.param(b',"seq":1', id="no body"),
        pytest.param(b'{,"seq":1', id="empty body"),
        pytest.param(b'{"a":\n1,"seq":1', id="line feed inside"),
        pytest.param(b"{" + b" " * MAX_LINE_BYTES + b',"seq":1', id="too long"),
        pytest.param(b"", id="nothing"),
    ],
)
def test_a_right_checksum_alone_makes_no_line(head):
    assert open_line(head + b',"crc":"%08x"}\n' % zlib.crc32(head)) is None


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"{}", id="empty object"),
        pytest.param(b"[1,2]", id="a list"),
        pytest.param(b'{"a":1}\n', id="line feed at the end"),
        pytest.param(b'{\n"a":1}', id="line feed inside"),
        pytest.param(b'{"a":"' + b"x" * MAX_LINE_BYTES + b'"}', id="too long"),
    ],
)
def test_what_could_not_be_read_back_is_refused(body):
    with pytest.raises(
        ValueError, match="expected a non-empty JSON object of at most 1048512 bytes without a raw line"
    ):
        seal(body, 1)


def test_the_longest_body_makes_a_line_within_the_limit():
    body = b'{"a":"' + b"x" * (MAX_LINE_BYTES - 64 - 8) + b'"}'
    line = seal(body, 10**18)
    assert len(line) <= MAX_LINE_BYTES
    assert open_line(line) == (10**18, body)
