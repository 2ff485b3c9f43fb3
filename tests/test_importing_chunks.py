"""Cutting an input into chunks: every byte once, in whole lines, and nothing that is recorded again."""

import hashlib

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from auditmw.importing.chunks import (
    MAX_LINE_BYTES,
    REST_OF_A_LINE,
    SHOWN_BYTES,
    Chunk,
    Cutter,
    Known,
    Reject,
    anchor_of,
)
from auditmw.importing.ledger import Ledger
from auditmw.journal.spans import Chains, Span

SMALL = 64  # bytes of a chunk in these tests


def digest(data):
    return hashlib.sha256(data).hexdigest()[:16]


def span(data, start, end):
    return Span(digest(data[:start]), digest(data[:end]), start, end)


def pieces(data, ledger=None, block=10, chunk_bytes=SMALL, rest=True):
    """All pieces of an input that comes in blocks of this size."""
    cutter = Cutter(ledger or Ledger(), chunk_bytes=chunk_bytes)
    found = []
    for at in range(0, len(data), block):
        found += cutter.feed(data[at : at + block])
    found += cutter.finish()
    if rest and cutter.rest:
        found.append(cutter.take_rest())
    return found


def places(piece, data):
    """The offsets of the bytes of a piece; of a line that is too long its reason tells how many they are."""
    if isinstance(piece, Reject):
        end = piece.offset + int(piece.reason.rpartition(" ")[2])
        return range(piece.offset, min(end + 1, len(data)))
    assert data[piece.span.start : piece.span.end] == piece.data
    return range(piece.span.start, piece.span.end)


def writers(found):
    return [piece.span.writer for piece in found if isinstance(piece, Chunk)]


# --- names


def test_a_span_is_told_by_the_name_of_its_writer():
    one = span(b"a\nb\n", 2, 4)
    assert one.writer == f"import-{one.before}-{one.after}-2-4"
    assert (one.before, one.after) == (digest(b"a\n"), digest(b"a\nb\n"))
    assert Span.of_writer(one.writer) == one


@pytest.mark.parametrize(
    "name",
    [
        pytest.param("0199e0f1c2d3a1b2c3d4", id="of a live writer"),
        pytest.param(f"import-{'a' * 16}-{'b' * 16}-0", id="no end"),
        pytest.param(f"import-{'a' * 16}-{'b' * 16}-00-4", id="leading zero"),
        pytest.param(f"import-{'a' * 16}-{'b' * 16}-4-4", id="empty"),
        pytest.param(f"import-{'a' * 16}-{'b' * 16}-5-4", id="backwards"),
        pytest.param(f"import-{'A' * 16}-{'b' * 16}-0-4", id="capitals"),
        pytest.param(f"import-{'a' * 16}-{'b' * 16}-0-٤", id="other digits"),
        pytest.param(f"import-{'a' * 16}-{'b' * 16}-0-4\n", id="line feed"),
        pytest.param("", id="nothing"),
    ],
)
def test_other_names_tell_of_no_span(name):
    assert Span.of_writer(name) is None
    assert Ledger([name]).starts_between(-1, 10) == []


# --- cutting


def test_chunks_end_with_the_last_line_that_fits():
    data = b"".join(b"%04d\n" % n for n in range(30))
    found = pieces(data)
    assert [len(piece.data) for piece in found] == [60, 60, 30]
    assert [piece.line for piece in found] == [1, 13, 25]
    assert [piece.span for piece in found] == [span(data, 0, 60), span(data, 60, 120), span(data, 120, 150)]


def test_only_a_line_feed_ends_a_line():
    data = "a\u2028b\x85c\x0bd\x0ce\rf\r\ng".encode() + b"\n"
    (chunk,) = pieces(data)
    assert chunk.data == data


def test_a_last_line_without_an_end_is_left_until_it_is_asked_for():
    cutter = Cutter(Ledger(), chunk_bytes=SMALL)
    assert [*cutter.feed(b"a\nb"), *cutter.finish()] == [Chunk(span(b"a\nb", 0, 2), 1, b"a\n")]
    assert cutter.rest == b"b"
    assert cutter.take_rest() == Chunk(span(b"a\nb", 2, 3), 2, b"b")
    assert cutter.rest == b""


def test_flush_gives_what_is_complete_without_waiting_for_a_full_chunk():
    cutter = Cutter(Ledger(), chunk_bytes=SMALL)
    assert list(cutter.feed(b"a\nb")) == []
    assert [piece.data for piece in cutter.flush()] == [b"a\n"]
    assert [piece.data for piece in [*cutter.feed(b"c\nd\n"), *cutter.flush()]] == [b"bc\nd\n"]
    assert list(cutter.flush()) == []


def test_a_line_that_is_too_long_is_rejected_by_number_and_not_held():
    data = b"a\n" + b"x" * 5000 + b"\nb\n"
    cutter = Cutter(Ledger(), chunk_bytes=SMALL)
    found = []
    for at in range(0, len(data), 7):
        found += cutter.feed(data[at : at + 7])
        assert len(cutter.rest) < SMALL + 7
    found += cutter.finish()
    assert [type(piece) for piece in found] == [Chunk, Reject, Chunk]
    reject, last = found[1:]
    assert (reject.line, reject.offset) == (2, 2)
    assert reject.reason == f"expected a line of at most {MAX_LINE_BYTES} bytes, not 5000"
    assert reject.raw == b"x" * min(len(reject.raw), SHOWN_BYTES)
    assert (last.line, last.data, last.span) == (3, b"b\n", span(data, 5003, 5005))


def test_a_last_line_that_is_too_long_is_rejected_too():
    found = pieces(b"a\n" + b"x" * 5000)
    assert [type(piece) for piece in found] == [Chunk, Reject]
    assert found[1].reason.endswith("not 5000")


# --- what is recorded


def test_what_is_recorded_is_passed_over():
    data = b"".join(b"%04d\n" % n for n in range(30))
    first = pieces(data)
    again = pieces(data, Ledger(writers(first)))
    assert [(piece.span, piece.data) for piece in again] == [(piece.span, piece.data) for piece in first]
    assert {type(piece) for piece in again} == {Known}


def test_only_what_was_appended_is_new():
    data = b"".join(b"%04d\n" % n for n in range(30))
    ledger = Ledger(writers(pieces(data[:100])))
    found = pieces(data, ledger)
    assert b"".join(piece.data for piece in found if isinstance(piece, Known)) == data[:100]
    assert b"".join(piece.data for piece in found if isinstance(piece, Chunk)) == data[100:]


def test_another_input_of_the_same_length_is_not_known():
    data = b"".join(b"%04d\n" % n for n in range(12))
    ledger = Ledger(writers(pieces(data)))
    assert {type(piece) for piece in pieces(b"9" + data[1:], ledger)} == {Chunk}


def test_another_beginning_makes_the_same_chunk_another_one():
    data = b"".join(b"%04d\n" % n for n in range(24))
    ledger = Ledger(writers(pieces(data)))
    assert {type(piece) for piece in pieces(b"9" + data[1:], ledger)} == {Chunk}


def test_after_a_hole_the_recorded_chunk_is_met_where_it_begins():
    data = b"".join(b"%04d\n" % n for n in range(40))
    recorded = span(data, 45, 145)
    found = pieces(data, Ledger([recorded.writer]))
    assert [(type(piece), piece.span.start, piece.span.end) for piece in found] == [
        (Chunk, 0, 45),
        (Known, 45, 145),
        (Chunk, 145, 200),
    ]


def test_of_several_recorded_chunks_the_one_that_reaches_furthest_counts():
    data = b"".join(b"%04d\n" % n for n in range(12))
    ledger = Ledger(span(data, 0, end).writer for end in (5, 60, 20))
    assert [piece.span for piece in pieces(data, ledger)] == [span(data, 0, 60)]


def test_the_rest_of_a_line_that_was_imported_before_it_was_complete_is_rejected():
    whole = b"a\nbcdef\ng\n"
    ledger = Ledger([span(whole, 0, 2).writer, span(whole, 2, 5).writer])
    found = pieces(whole, ledger)
    assert [type(piece) for piece in found] == [Known, Known, Reject, Chunk]
    assert found[2] == Reject(2, 5, REST_OF_A_LINE, b"ef")
    assert (found[3].line, found[3].data) == (3, b"g\n")


def test_a_name_that_claims_more_than_a_chunk_could_be_is_not_waited_for():
    data = b"".join(b"%04d\n" % n for n in range(24))
    absurd = Span(digest(b""), "f" * 16, 0, 10**15).writer
    cutter = Cutter(Ledger([absurd]), chunk_bytes=SMALL)
    assert [piece.data for piece in cutter.feed(data)] == [data[:60]]


def test_many_other_inputs_do_not_make_it_slow_or_wrong():
    others = [Span(digest(b""), digest(b"%d" % n), 0, 5 * (n % 12 + 1)).writer for n in range(500)]
    data = b"".join(b"%04d\n" % n for n in range(24))
    own = writers(pieces(data))
    assert {type(piece) for piece in pieces(data, Ledger([*others, *own]))} == {Known}


lines = st.lists(st.binary(max_size=90).map(lambda line: line.replace(b"\n", b"")), max_size=25)


@settings(max_examples=300)
@given(lines=lines, end=st.booleans(), sizes=st.tuples(*[st.integers(1, 200)] * 2), cut=st.integers(8, 150))
@example(lines=[b"", b"", b"x" * 90], end=False, sizes=(1, 1), cut=8)
def test_every_byte_is_in_one_piece_and_a_second_time_in_none_that_is_new(lines, end, sizes, cut):
    data = b"\n".join(lines) + (b"\n" if end and lines else b"")
    first = pieces(data, block=sizes[0], chunk_bytes=cut)
    again = pieces(data, Ledger(writers(first)), block=sizes[1], chunk_bytes=cut)
    for found in (first, again):
        assert [place for piece in found for place in places(piece, data)] == list(range(len(data)))
    rejects = [[(piece.line, piece.reason) for piece in found if isinstance(piece, Reject)] for found in (first, again)]
    assert rejects[0] == rejects[1]
    assert not any(isinstance(piece, Chunk) for piece in again)


@settings(max_examples=200)
@given(
    lines=lines,
    flushes=st.lists(st.integers(1, 60), max_size=20),
    sizes=st.tuples(*[st.integers(1, 200)] * 2),
    forgotten=st.integers(0, 5),
)
def test_however_it_was_cut_before_nothing_that_is_recorded_is_new(lines, flushes, sizes, forgotten):
    data = b"".join(line + b"\n" for line in lines)
    cutter = Cutter(Ledger(), chunk_bytes=100)
    first, at = [], 0
    for size in flushes:  # as a file that was followed
        first += [*cutter.feed(data[at : at + size]), *cutter.flush()]
        at += size
    recorded = [piece for piece in first if isinstance(piece, Chunk)]
    del recorded[:forgotten]  # as if they had never been written
    found = pieces(data, Ledger(writers(recorded)), block=sizes[1], chunk_bytes=sizes[0] + 91)
    new = {offset for piece in found if isinstance(piece, Chunk) for offset in range(piece.span.start, piece.span.end)}
    old = {offset for piece in recorded for offset in range(piece.span.start, piece.span.end)}
    assert new.isdisjoint(old)
    assert new | old == set(range(len(data)))


# --- several under one name


def told_together(names):
    renamed = Chains(names).joined(names)
    return {renamed.get(name, name) for name in names}


def followed(data, sizes):
    """The chunks of a file that was followed while it grew by these sizes."""
    cutter, found, at = Cutter(Ledger(), chunk_bytes=100), [], 0
    for size in sizes:
        found += [*cutter.feed(data[at : at + size]), *cutter.flush()]
        at += size
    return [piece for piece in found if isinstance(piece, Chunk)]


LINES = b"".join(b"%04d\n" % n for n in range(30))


def test_chunks_that_follow_each_other_have_one_name_and_are_known_by_it():
    names = writers(followed(LINES, [10] * 15))
    assert len(names) == 15
    assert told_together(names) == {span(LINES, 0, 150).writer}
    assert [piece.span for piece in pieces(LINES, Ledger(told_together(names)))] == [span(LINES, 0, 150)]


def test_a_name_is_no_longer_than_what_an_import_waits_for(monkeypatch):
    monkeypatch.setattr("auditmw.journal.spans.LONGEST_BYTES", 64)
    names = told_together(writers(followed(LINES, [10] * 15)))
    assert names == {span(LINES, *ends).writer for ends in ((0, 60), (60, 120), (120, 150))}
    assert told_together(names) == names
    assert {type(piece) for piece in pieces(LINES, Ledger(names))} == {Known}


def test_names_that_were_joined_are_joined_with_those_that_came_later():
    names = writers(followed(LINES, [10] * 15))
    assert told_together([*told_together(names[:7]), *names[7:]]) == {span(LINES, 0, 150).writer}


def test_what_two_inputs_have_in_common_keeps_its_own_name():
    other = LINES[:50] + b"9" * 9 + b"\n"
    common, mine, others = span(LINES, 0, 50), span(LINES, 50, 150), span(other, 50, 60)
    names = {each.writer for each in (common, mine, others)}
    assert told_together(names) == names
    for data in (LINES, other):
        assert {type(piece) for piece in pieces(data, Ledger(names))} == {Known}


def test_only_names_of_the_same_place_are_joined():
    names = writers(followed(LINES, [10] * 15))
    chains = Chains(names)
    assert set(chains.joined(names[:3]).values()) == {span(LINES, 0, 30).writer}
    assert chains.joined(names[::2]) == {}
    assert chains.joined(["0199e0f1c2d3a1b2c3d4"]) == {}


def test_who_stands_in_the_midst_of_a_name_passes_over_the_rest_of_it():
    cutter = Cutter(Ledger(), chunk_bytes=100)
    list(cutter.feed(LINES[:50]))
    assert [piece.span for piece in cutter.flush()] == [span(LINES, 0, 50)]
    cutter.ledger = Ledger([span(LINES, 0, 100).writer, span(b"x" + LINES, 0, 90).writer])
    rest = [*cutter.feed(LINES[50:]), *cutter.flush()]
    assert [(type(piece), piece.span) for piece in rest] == [
        (Known, span(LINES, 50, 100)),
        (Chunk, span(LINES, 100, 150)),
    ]


@settings(max_examples=200)
@given(
    lines=lines,
    sizes=st.lists(st.integers(1, 60), max_size=20),
    block=st.integers(1, 200),
    kept=st.sets(st.integers(0, 20)),
)
def test_nothing_that_is_recorded_under_joined_names_is_new(lines, sizes, block, kept):
    data = b"".join(line + b"\n" for line in lines)
    recorded = followed(data, sizes)
    names = [name for n, name in enumerate(writers(recorded)) if n not in kept]
    apart = [name for n, name in enumerate(writers(recorded)) if n in kept]
    found = pieces(data, Ledger([*told_together(names), *apart]), block=block, chunk_bytes=2_000)
    new = {offset for piece in found if isinstance(piece, Chunk) for offset in range(piece.span.start, piece.span.end)}
    old = {offset for piece in recorded for offset in range(piece.span.start, piece.span.end)}
    assert new.isdisjoint(old)
    assert new | old == set(range(len(data)))


# --- what tells inputs apart


@pytest.mark.parametrize(
    ("head", "same"),
    [
        pytest.param(b"a first line\nmore", b"a first line\nother", id="the first line counts"),
        pytest.param(b"x" * 64 + b"y\n", b"x" * 64 + b"z", id="or its first 64 bytes"),
    ],
)
def test_the_anchor_is_the_same_however_much_more_there_is(head, same):
    assert anchor_of(head) == anchor_of(same)
    assert anchor_of(head) != anchor_of(b"another" + head)
