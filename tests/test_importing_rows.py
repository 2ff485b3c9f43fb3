"""Lines that go straight into the archive: the rows are those that the archive would have made of their events."""

import gzip
from pathlib import Path

import duckdb
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from auditmw.archive import archive
from auditmw.archive.columns import NAMES
from auditmw.archive.depositing import deposit
from auditmw.archive.layout import Layout
from auditmw.archive.manifest import load
from auditmw.archive.packing import unpack
from auditmw.importing.events import Origin
from auditmw.importing.incoming import Incoming
from deposits import write_chunks
from log_lines import combined

DATA = Path(__file__).parent / "data"
COLUMNS = ", ".join(f'"{name}"' if name != "body" else f"{unpack('packed')} AS body" for name in NAMES)


@pytest.fixture(autouse=True)
def _one_moment(monkeypatch):
    monkeypatch.setattr("auditmw.importing.events.timestamp", lambda time_ns: "2026-11-20T20:20:11.000000Z")


def written(directory, data, *, as_rows, **options):
    """Write all lines into the audit directory, by one way or the other; what came of each chunk."""
    directory.mkdir(parents=True)
    incoming = Incoming(directory)
    done = write_chunks(directory, incoming.folder if as_rows else None, data, **options)
    if as_rows:
        deposit(directory, [each.deposit for each in done if each.deposit])
    archive(directory)
    incoming.close()
    return done


def content(file):
    return gzip.decompress(file.read_bytes()) if file.suffix == ".gz" else file.read_bytes()


def rows(directory):
    manifest = load(Layout(directory))
    files = [str(directory / "archive" / part.file) for part in manifest.parts]
    if not files:
        return []
    order = 'ORDER BY "time", writer, seq'
    return duckdb.sql(f"SELECT {COLUMNS} FROM read_parquet({files}, hive_partitioning = false) {order}").fetchall()


def compare(folder, data, **options):
    """Both ways give the same; return how many events went straight, and how many did not."""
    straight = written(folder / "straight", data, as_rows=True, **options)
    through = written(folder / "through", data, as_rows=False, **options)
    assert [each[:4] for each in straight] == [each[:4] for each in through]
    found = rows(folder / "straight")
    assert found == rows(folder / "through")
    assert len(found) == sum(each.events for each in straight)
    deposits = [each.deposit for each in straight if each.deposit]
    return sum(each.rows for each in deposits), sum(len(each.seqs) for each in deposits)


LINES = [
    pytest.param(combined(1), True, id="plain"),
    pytest.param(combined(1, user="alice"), True, id="with a user"),
    pytest.param(combined(1, target="/a?b=c&d=%20"), True, id="with a query"),
    pytest.param(combined(1, target="/a?"), True, id="with an empty query"),
    pytest.param(combined(1, target="/"), True, id="the shortest path"),
    pytest.param(combined(1, target="/caf%C3%A9/%41"), True, id="a path that is written in another way"),
    pytest.param(combined(1, target="/a%22b"), False, id="a quote in the path"),
    pytest.param(combined(1, target="/a%5Cb"), False, id="a backslash in the path"),
    pytest.param(combined(1, target="/a%s?x=%s"), True, id="percent signs"),
    pytest.param(combined(1, referrer="https://shop.example/a?b=c"), True, id="with a referrer"),
    pytest.param(combined(1, referrer="https://shop.example/?token=s3cret"), False, id="a secret in the referrer"),
    pytest.param(combined(1, target="/?password=s3cret"), False, id="a secret in the query"),
    pytest.param(combined(1, agent="-"), True, id="without a user agent"),
    pytest.param(combined(1, agent=""), False, id="an empty user agent"),
    pytest.param(combined(1, agent="Googlebot/2.1"), True, id="a bot"),
    pytest.param(combined(1, agent="a\tb"), False, id="a tab"),
    pytest.param(combined(1, agent="Bücher"), False, id="no ASCII"),
    pytest.param(combined(1, agent=r"a\x22b"), False, id="an escape"),
    pytest.param(combined(1, status=404), True, id="not found"),
    pytest.param(combined(1, status=499), True, id="a client that was gone"),
    pytest.param(combined(1, status="000"), True, id="nothing sent"),
    pytest.param(combined(1).replace(b"+0000", b"+0130"), True, id="another zone"),
    pytest.param(combined(1).replace(b"2026", b"1969"), False, id="before 1970"),
    pytest.param(combined(1).replace(b"20/Nov", b"31/Nov"), None, id="a day that does not exist"),
    pytest.param(combined(1).replace(b"GET", b"PROPFIND"), True, id="another method"),
    pytest.param(combined(1).replace(b"GET", b"get"), False, id="no method of HTTP"),
    pytest.param(combined(1).replace(b"HTTP/1.1", b"HTTP/2.0"), True, id="another version"),
    pytest.param(combined(1, target="/" + 2000 * "a"), False, id="long"),
    pytest.param(combined(1, ip="2001:db8::1"), True, id="an IPv6 address"),
    pytest.param(b"nothing of the kind", None, id="rejected"),
    pytest.param(b"  ", None, id="blank"),
]


@pytest.mark.parametrize(("line", "is_plain"), LINES)
def test_a_line_has_the_same_row_by_both_ways(tmp_path, line, is_plain):
    assert compare(tmp_path, line + b"\n") == {True: (1, 0), False: (0, 1), None: (0, 0)}[is_plain]


def test_all_of_them_together_have(tmp_path):
    data = b"".join(line + b"\n" for line, _ in (each.values for each in LINES))
    assert compare(tmp_path, data, chunk_bytes=4096)[0] == sum(each.values[1] is True for each in LINES)


@pytest.mark.parametrize("name", ["apache:combined", "nginx", "nginx:main"])
def test_other_formats_may_have_rows(tmp_path, name):
    lines = [combined(1), combined(2).replace(b" 12 ", b" - "), combined(3).replace(b" 12 ", b" 0 ")]
    compare(tmp_path, b"".join(line + b"\n" for line in lines), parser=name)


TEXT = st.text(st.characters(codec="ascii", exclude_characters="\n"), max_size=20)
WORDS = st.sampled_from(["-", "a", "/x", "token=abc", "https://u:p@h/x", "\\x22", "%41", "%s", "Bearer abc.def", ""])


@given(
    st.lists(
        st.fixed_dictionaries(
            {},
            optional={
                "ip": WORDS | TEXT,
                "user": WORDS | TEXT,
                "target": st.builds("/{}".format, WORDS | TEXT),
                "referrer": WORDS | TEXT,
                "agent": WORDS | TEXT,
                "status": st.integers(0, 999).map("{:03d}".format),
            },
        ),
        max_size=6,
    )
)
@settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_stands_in_a_line_has(tmp_path_factory, lines):
    data = b"".join(combined(number, **fields) + b"\n" for number, fields in enumerate(lines))
    compare(tmp_path_factory.mktemp("audit"), data)


@pytest.mark.parametrize("file", sorted(DATA.rglob("*combined*")), ids=lambda file: file.name)
def test_real_lines_have(tmp_path, file):
    straight, beside = compare(tmp_path, content(file), parser="combined", chunk_bytes=64 * 1024)
    assert straight > beside


@pytest.mark.parametrize("keep_raw", ["never", "always"])
def test_the_raw_line_is_kept_as_wanted(tmp_path, keep_raw):
    assert compare(tmp_path, combined(1) + b"\n", keep_raw=keep_raw) == {"never": (0, 0), "always": (1, 0)}[keep_raw]


def test_a_file_may_have_any_name(tmp_path, monkeypatch):
    monkeypatch.setattr("deposits.Origin", lambda name, anchor: Origin('caf\udce9 \u00e9".log', anchor))
    assert compare(tmp_path, combined(1) + b"\n") == (0, 1)
    monkeypatch.setattr("deposits.Origin", lambda name, anchor: Origin('100%s \u00e9"\\\n.log', anchor))
    assert compare(tmp_path / "text", combined(1) + b"\n") == (1, 0)


def test_a_part_is_in_the_order_of_time_whatever_the_lines_are_in(tmp_path):
    numbers = [*range(500, 900), *range(300), 40_000, *range(300, 500)]
    data = b"".join(combined(number) + b"\n" for number in numbers)
    assert compare(tmp_path, data, chunk_bytes=16 * 1024) == (len(numbers), 0)
    parts = load(Layout(tmp_path / "straight")).parts
    assert {part.day for part in parts} == {"2026-11-20", "2026-11-21"}
    for part in parts:
        file = tmp_path / "straight" / "archive" / part.file
        times = duckdb.sql(f"SELECT \"time\" FROM '{file}'").fetchall()
        assert times == sorted(times)
        assert (part.first, part.last) == (times[0][0], times[-1][0])


def test_the_name_of_a_process_or_a_file_that_comes_again_brings_no_shape_of_another(tmp_path):
    data = b"".join(combined(number, status=200 + number % 7) + b"\n" for number in range(200))
    assert compare(tmp_path, data, chunk_bytes=1024) == (200, 0)
