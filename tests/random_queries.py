"""Strategies for events and for queries about them, from the same few values, so that most queries find something."""

import json
from datetime import UTC, datetime, timedelta

from hypothesis import strategies as st

from auditmw.query.language.fields import find
from auditmw.query.language.syntax import (
    And,
    Between,
    Compared,
    Exactly,
    Glob,
    Match,
    Or,
    Present,
    Text,
    joined,
    negated,
)
from auditmw.query.language.texts import Wildcard, print_pattern, quoted, read_pattern

NOW = datetime(2026, 11, 20, 12, 30, tzinfo=UTC)

WORDS = ["a", "A", "ab", "/api", "/api/x", "//a", "a.b", "a%b", "a_b", "a*b", "a?b", "a\\b", 'a"b', "Éé", "İ", "ΑΣ", ""]
TEXTS = st.sampled_from(WORDS) | st.text("aAb%_*?\\\"'.:-/ ,()<>éÉİıΣσςß\n\0😀", max_size=5)
ADDRESSES = [
    "10.0.0.1",
    "10.200.3.4",
    "192.168.1.77",
    "::1",
    "2001:db8::1",
    "2001:db8:8000:0:1::",
    "unix:",
    "host.example",
]
NETWORKS = [
    "10.0.0.0/8",
    "10.128.0.0/9",
    "192.168.1.64/26",
    "192.168.1.77/32",
    "0.0.0.0/0",
    "2001:db8::/33",
    "2001:db8::/112",
    "::/0",
]
NUMBERS = [0, 1, 2, 5, -5, 404, 499, 500, 1000, 1024, 2**53 + 1, 2**63 - 1, 2**64 - 1]
FRACTIONS = [0.5, 1.0, 1.5, -5.0, 9007199254740993.0]


def times():
    return st.integers(-5, 5 * 86_400).map(lambda seconds: NOW - timedelta(seconds=seconds, microseconds=seconds % 3))


def stamps():
    return times().map(lambda moment: moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ"))


SCALARS = TEXTS | st.sampled_from(NUMBERS) | st.sampled_from(FRACTIONS) | st.booleans() | st.none()
KEYS = st.sampled_from(["k", "K", "a b", "a.b", "*", "0", "", "a/b~", 'a"b'])
ANYTHING = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=6,
)


def events():
    """Events of the schema's types, in which most members are missing at times."""
    naturals = st.sampled_from([number for number in NUMBERS if 0 <= number <= 2**53])
    return st.fixed_dictionaries(
        {},
        optional={
            "id": st.sampled_from(["019abc", "ab-cd"]),
            "timestamp": stamps(),
            "start": stamps(),
            "duration_ns": naturals,
            "event": st.sampled_from(["http_request", "ab"]),
            "level": st.sampled_from(["debug", "info", "warning", "error", "critical"]),
            "message": TEXTS,
            "outcome": some(result=st.sampled_from(["success", "failure"])),
            "actor": some(id=TEXTS, roles=st.lists(TEXTS, max_size=3), authenticated=st.booleans()),
            "session": some(id=TEXTS | st.sampled_from(["abcd", "ABCD-1"]), previous_id=TEXTS),
            "client": some(
                address=st.sampled_from(ADDRESSES),
                peer_address=st.sampled_from(ADDRESSES),
                forwarded=st.lists(st.sampled_from(ADDRESSES), max_size=2),
            ),
            "http": some(
                request=some(
                    user_agent=TEXTS | st.sampled_from(["a bot", "Bot/1", "robots", "curl/8"]),
                    size=naturals,
                    body=ANYTHING,
                    headers=st.dictionaries(st.sampled_from(["origin", "*"]), st.lists(TEXTS, min_size=1, max_size=2)),
                ),
                response=some(status_code=st.sampled_from([200, 404, 499, 500, 599]), body_size=naturals),
            ),
            "url": some(path=TEXTS, query=TEXTS, full=TEXTS),
            "target": some(type=TEXTS, attributes=st.dictionaries(KEYS, ANYTHING, max_size=2)),
            "filter": some(object=TEXTS, terms=ANYTHING),
            "error": some(type=TEXTS, stacktrace=TEXTS),
            "source": some(kind=st.just("import"), fields=st.dictionaries(KEYS, TEXTS, max_size=2), raw=TEXTS),
            "upstream": st.lists(
                some(address=st.sampled_from(ADDRESSES), status_code=st.sampled_from([0, 404, 502])), max_size=2
            ),
            "results": ANYTHING,
            "data": st.dictionaries(KEYS, ANYTHING, max_size=3),
        },
    )


def some(**members):
    return st.fixed_dictionaries({}, optional=members)


NAMES = (
    *("time", "start", "dur", "id", "event", "level", "message", "result", "user", "actor.roles", "session"),
    *("actor.authenticated", "session.previous_id", "ip", "client.peer_address", "agent", "status", "size", "path"),
    *("http.request.size", "http.request.body", "http.request.body.k", "http.request.headers.origin", "query"),
    *('http.request.headers."*"', "upstream", "upstream.status_code", "upstream.address", "results", "results.k"),
    *("results.k.K", "data", "data.k", 'data."a b"', "data.k.k", "data.k.K.k", 'data."*"', "data.0", 'data.""'),
    *('data."a.b"', "data.a/b~", r'data."a\"b"', "http", "url", "actor.nothing.k", "bot"),
)


def patterns():
    """Patterns with a wildcard in them."""
    words = st.lists(TEXTS | st.sampled_from(["*", "?"]), min_size=1, max_size=4).map("".join)
    return words.map(read_pattern).filter(lambda pattern: any(isinstance(part, Wildcard) for part in pattern))


def comparisons(texts):
    return st.builds(Compared, st.sampled_from([">", ">=", "<", "<="]), texts)


def amounts(texts):
    ranges = st.builds(Between, texts | st.none(), texts | st.none()).filter(lambda value: value.low or value.high)
    return texts.map(Exactly) | comparisons(texts) | ranges


def moments():
    exact = times().map(lambda moment: moment.isoformat()) | stamps()
    cut = st.builds(lambda text, length: text[:length], stamps(), st.sampled_from([4, 7, 10, 13, 16, 19, 21]))
    return exact | cut | st.sampled_from(["now", "-1h", "-90m", "now-2d", "2026-11-18T12+01:00"])


NUMERALS = st.sampled_from([*map(str, NUMBERS), *map(str, FRACTIONS), "5.0", "1e3", "-0"])
GLOBS = patterns().filter(lambda pattern: pattern != (Wildcard.ANY,)).map(Glob)
EXACT_TEXTS = TEXTS.map(Exactly)
VALUES = {
    "text": EXACT_TEXTS | GLOBS,
    "address": st.sampled_from([*ADDRESSES, *NETWORKS, "2001:DB8:0::1"]).map(Exactly) | GLOBS,
    "flag": st.sampled_from(["true", "false"]).map(Exactly),
    "number": amounts(st.sampled_from(["0", "5", "404", "1000", str(2**53)])),
    "status": amounts(st.sampled_from(["200", "404", "5xx", "49X"])),
    "duration": amounts(st.sampled_from(["0", "5ns", "1us", "0.5us", "1000ns", "1.0000001us", "2h"])),
    "size": amounts(st.sampled_from(["0", "5B", "1kB", "1KiB", "0.0001kB"])),
    "time": amounts(moments()),
    "any": EXACT_TEXTS | GLOBS | NUMERALS.map(Exactly) | comparisons(TEXTS | NUMERALS) | amounts(NUMERALS),
    "group": st.nothing(),
}


def choices(field):
    words = st.sampled_from(field.choices)
    ordered = comparisons(words) if field.name == "level" else st.nothing()
    shapes = st.sampled_from(["*r*", "?*u*", "*s"]).map(read_pattern).map(Glob)
    return words.map(Exactly) | words.map(str.upper).map(Exactly) | ordered | shapes


def matches():
    def of_field(field):
        values = choices(field) if field.kind == "choice" else VALUES[field.kind]
        return st.builds(
            Match, st.just(field), st.lists(values | st.just(Present()), min_size=1, max_size=3).map(tuple)
        )

    return st.sampled_from([find(name) for name in NAMES]).flatmap(of_field)


def free_texts():
    words = TEXTS | st.sampled_from(["abcd", "019a", "cd", "b-c", "500", "error", "k"])
    literal = words.filter(bool).map(lambda text: Text((text,)))
    inside = patterns().map(without_ends).filter(bool).map(Text)
    return literal | inside


def without_ends(pattern):
    while pattern and pattern[0] is Wildcard.ANY:
        pattern = pattern[1:]
    while pattern and pattern[-1] is Wildcard.ANY:
        pattern = pattern[:-1]
    return pattern


def leaves(value, keys=()):
    """The scalars of an event, each with the name of its field."""
    if isinstance(value, dict):
        for key, member in value.items():
            yield from leaves(member, (*keys, key if key.isalnum() or "_" in key else quoted(key)))
    elif isinstance(value, list):
        for item in value:
            yield from leaves(item, keys)
    elif value is not None:
        yield ".".join(keys), value


def matches_about(leaf):
    """Matches that a leaf of an event has at least a chance of: it, or a part of it, or something beside it."""
    name, value = leaf
    field = find(name)
    text = json.dumps(value) if not isinstance(value, str) else value
    if field.kind in ("text", "address", "any", "choice") and isinstance(value, str):
        cuts = st.integers(0, len(text))
        values = st.sampled_from([Exactly(text), Present()]) | st.builds(glob_of, st.just(text), cuts, cuts)
    elif field.kind == "duration":
        values = amounts(st.just(f"{text}ns"))
    elif field.kind == "status":
        values = amounts(st.just(text.rjust(3, "0")))
    elif isinstance(value, bool):
        values = st.just(Exactly(text))
    else:
        values = amounts(st.just(text))
    return st.builds(Match, st.just(field), st.lists(values, min_size=1, max_size=2).map(tuple))


def glob_of(text, start, end):
    """A pattern that the text has: one character of it, and all of it from another one on, are left open."""
    word = f"{print_pattern((text[:start],))}?{print_pattern((text[start + 1 : end],))}*"
    return Glob(read_pattern(word if start < len(text) else f"{print_pattern((text,))}*"))


def free_text_about(leaf):
    text = str(leaf[1])
    ends = st.integers(0, len(text))
    parts = st.builds(lambda one, other: text[min(one, other) : max(one, other)], ends, ends).filter(bool)
    return st.one_of(parts, parts.map(str.upper), parts.map(str.lower)).map(lambda part: Text((part,)))


ATOMS = matches() | free_texts()


@st.composite
def questions(draw):
    """Events, and trees of queries about them."""
    about = draw(st.lists(events(), min_size=3, max_size=16))
    atoms = ATOMS
    if found := [leaf for event in about for leaf in leaves(event)]:
        known = st.sampled_from(found)
        atoms = known.flatmap(matches_about) | known.flatmap(free_text_about) | atoms
    return about, draw(st.lists(trees(atoms), min_size=3, max_size=12))


def trees(atoms):
    """Trees of queries in their normal form, without any error."""
    return st.recursive(
        atoms,
        lambda part: (
            part.map(negated)
            | st.lists(part, min_size=2, max_size=3).map(lambda parts: joined(And, parts))
            | st.lists(part, min_size=2, max_size=3).map(lambda parts: joined(Or, parts))
        ),
        max_leaves=5,
    )
