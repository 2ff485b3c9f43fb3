"""The page changes queries as text: what it writes means to the language what was clicked."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from auditmw.query import parse

pytestmark = pytest.mark.needs("npm")

SOURCES = Path(__file__).parent.parent / "viewer-ui"
CALLS = """
import { readFileSync } from "node:fs";
import * as querytext from "./querytext.mjs";
const calls = JSON.parse(readFileSync(0, "utf8"));
console.log(JSON.stringify(calls.map(([name, ...rest]) => querytext[name](...rest))));
"""

texts = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=30)
AWKWARD = (
    "a b",
    "*",
    "a*",
    "-x",
    "OR",
    "NOT",
    "AND",
    '"',
    "\\",
    "a,b",
    "(a)",
    "1..2",
    ">5",
    "<b>",
    "a:b",
    "x\n y",
    "\\*",
)
awkward = st.sampled_from(AWKWARD)
values = texts | awkward
known = settings(max_examples=15, suppress_health_check=[HealthCheck.too_slow])


@pytest.fixture(scope="module")
def call(tmp_path_factory):
    """A function that calls functions of querytext.ts: one list of results for a list of calls."""
    folder = tmp_path_factory.mktemp("querytext")
    for name in ("package.json", "package-lock.json", ".npmrc"):
        shutil.copy(SOURCES / name, folder)
    subprocess.run(["npm", "ci", "--ignore-scripts"], cwd=folder, check=True, capture_output=True, timeout=300)
    compiled = [
        "node_modules/.bin/esbuild",
        str(SOURCES / "src" / "querytext.ts"),
        "--outfile=querytext.mjs",
        "--format=esm",
    ]
    subprocess.run(compiled, cwd=folder, check=True, capture_output=True, timeout=60)
    (folder / "calls.mjs").write_text(CALLS)

    def called(calls):
        done = subprocess.run(
            ["node", "calls.mjs"],
            cwd=folder,
            check=True,
            capture_output=True,
            input=json.dumps(calls).encode(),
            timeout=60,
        )
        return json.loads(done.stdout)

    return called


def of(user):
    return {"actor": {"id": user}} if user is not None else {}


@known
@given(st.lists(values, min_size=1, max_size=60))
def test_a_clicked_value_is_what_the_filter_finds(call, users):
    calls = [["clause", "user", user, negated] for user in users for negated in (False, True)]
    for (_, _, user, negated), text in zip(calls, call(calls), strict=True):
        query = parse(text)
        assert query.errors == (), text
        assert query.matches(of(user)) is not negated, text
        assert query.matches(of(f"{user}x")) is negated, text


@known
@given(st.lists(st.lists(values, min_size=1, max_size=4, unique=True), min_size=1, max_size=20))
def test_several_chosen_values_are_one_or_the_other_and_are_read_back(call, choices):
    queries = call([["choose", 'status:404 (user:x OR "a b")', ["user", "actor.id"], users] for users in choices])
    for users, text, chosen in zip(
        choices, queries, call([["chosen", text, ["user"]] for text in queries]), strict=True
    ):
        query = parse(text)
        assert query.errors == (), text
        assert chosen["values"] == users
        for user in users:
            event = of(user) | {"http": {"response": {"status_code": 404}}, "message": "a b"}
            assert query.matches(event), text


QUERIES = [
    "user:alice",
    "user:alice OR user:bob",
    'NOT user:alice "user:bob carol"',
    "-(user:alice OR status:404) status:<500",
    r"user:a\ b path:/x\(y",
    'user:alice AND path:"/a b" OR -user:*',
    "",
    "   ",
    'http://example.org/a "x"',
    "user:alice,bob user:(alice OR carol)",
]
EVENTS = [
    of(user) | {"http": {"response": {"status_code": status}}}
    for user in ("alice", "bob", "carol", "a b", None)
    for status in (200, 404, 500)
]


@known
@given(st.lists(st.sampled_from(QUERIES), min_size=2, max_size=4), values)
def test_one_more_clause_narrows_all_of_the_query(call, parts, user):
    before = " ".join(parts)
    assume(not parse(before).errors)
    ((clause,), (after,)) = (
        call([["clause", "user", user]]),
        call([["and", before, call([["clause", "user", user]])[0]]]),
    )
    assert not parse(after).errors
    for event in EVENTS:
        assert parse(after).matches(event) == (parse(before).matches(event) and parse(clause).matches(event)), after


TABLE = {
    "nothing was asked": ("", [], ""),
    "the field's term goes": ("a user:x b", [], "a b"),
    "with its NOT": ("a NOT user:x b", [], "a b"),
    "texts in quotes stay as they are": ('"a  b" user:x', ["y"], '"a  b" user:y'),
    "other names of the field count": ("actor.id:x", ["y"], "user:y"),
    "absence is a value": ("user:x", [None], "-user:*"),
    "alternatives are put in parentheses": ("user:x OR status:404", ["y"], "(user:x OR status:404) user:y"),
    "what has a colon but no field is text": ("https://a.example user:x", [], "https://a.example"),
}


@pytest.mark.parametrize(("before", "users", "after"), TABLE.values(), ids=TABLE.keys())
def test_a_choice_takes_the_place_of_what_was_asked_of_the_field(call, before, users, after):
    assert call([["choose", before, ["user", "actor.id"], users]]) == [after]
