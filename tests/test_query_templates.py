"""Paths as templates: the rule, and that Python and SQL have the same one."""

import duckdb
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from auditmw.query.language.clickhouse import CLICKHOUSE
from auditmw.query.language.dialect import DUCKDB
from auditmw.query.templates import path_template, path_template_sql

PATHS = {
    "nothing to replace": ("/products/shoes", "/products/shoes"),
    "root": ("/", "/"),
    "empty": ("", ""),
    "digits": ("/users/42/orders", "/users/{id}/orders"),
    "several": ("/a/1/2/3", "/a/{id}/{id}/{id}"),
    "slash at the end": ("/users/42/", "/users/{id}/"),
    "ending": ("/posts/42.json", "/posts/{id}.json"),
    "UUID": ("/files/0190a6e2-8f3b-7c3d-9a1e-2f5d3c4b6a79", "/files/{id}"),
    "UUID with ending": ("/files/0190A6E2-8F3B-7C3D-9A1E-2F5D3C4B6A79.tar", "/files/{id}.tar"),
    "hexadecimal": ("/commit/4f23b99c", "/commit/{id}"),
    "hexadecimal letters are a word": ("/facade/deadbeef", "/facade/deadbeef"),
    "short hexadecimal": ("/x/a1b2c3", "/x/a1b2c3"),
    "ULID": ("/orders/01ARZ3NDEKTSV4RRFFQ69G5FAV", "/orders/{id}"),
    "key": ("/keys/sk_live_51H8xyzAbCdEf", "/keys/{id}"),
    "nanoid": ("/s/V1StGXR8-Z5jdHi6B-myT", "/s/{id}"),
    "title of an article": ("/blog/10-things-about-python-3-14", "/blog/10-things-about-python-3-14"),
    "version": ("/api/v1/items", "/api/v1/items"),
    "number with a dot": ("/docs/3.14/index.html", "/docs/3.14/index.html"),
    "long word": ("/internationalization", "/internationalization"),
    "address": ("/users/ada@example.org/posts", "/users/{id}/posts"),
    "quoted address": ("/users/ada%40example.org", "/users/{id}"),
    "dot alone": ("/a1/.", "/a1/."),
    "line break": ("/12\n/12", "/12\n/{id}"),
}
CASES = [pytest.param(path, template, id=name) for name, (path, template) in PATHS.items()]


def by_duckdb(paths):
    with duckdb.connect() as connection:
        source = DUCKDB.unnested("", {"path": "$paths"})
        return connection.execute(
            f"SELECT {path_template_sql('path', DUCKDB)} FROM {source}", {"paths": paths}
        ).fetchall()


def by_clickhouse(paths):
    from clickhouse_table import ask

    source = CLICKHOUSE.unnested("", {"path": "$paths"})
    return ask(f"SELECT {path_template_sql('path', CLICKHOUSE)} FROM {source}", {"paths": paths})


@pytest.fixture(scope="module", params=["duckdb", pytest.param("clickhouse", marks=pytest.mark.needs("chdb"))])
def in_sql(request):
    """The templates of paths as a store makes them."""
    ask = {"duckdb": by_duckdb, "clickhouse": by_clickhouse}[request.param]
    return lambda paths: [template for (template,) in ask(paths)]


@pytest.mark.parametrize(("path", "template"), CASES)
def test_identifiers_in_a_path_are_replaced(path, template, in_sql):
    assert path_template(path) == template
    assert in_sql([path]) == [template]


def test_no_path_has_no_template(in_sql):
    assert in_sql([None]) == [None]


# Segments of few letters in all lengths that the rule speaks of, and any text at all.
SEGMENTS = st.one_of(
    st.text("0123456789", max_size=20),
    st.text("0af9AF", max_size=20),
    st.text("aB3_-", min_size=13, max_size=19),
    st.from_regex(r"[0-9a-f]{7,9}(-[0-9a-f]{4}){2,4}-[0-9a-f]{11,13}", fullmatch=True),
    st.text("a1@.%40\n", max_size=12),
    st.text(max_size=8).filter(lambda text: "\0" not in text),
)
ENDINGS = st.sampled_from(["", ".json", ".", ".tar.gz", ".toolong", ".7z", "\n"])
RANDOM_PATHS = st.lists(st.tuples(SEGMENTS, ENDINGS).map("".join), max_size=4).map("/".join)


@settings(max_examples=60, deadline=None)
@given(paths=st.lists(RANDOM_PATHS, min_size=1, max_size=40))
@example(paths=["/\x851", "/1\u2028", "/\u0664\u0662", "/1/\n", "/1.json\n"])
def test_python_and_sql_have_the_same_rule(in_sql, paths):
    assert in_sql(paths) == [path_template(path) for path in paths]
