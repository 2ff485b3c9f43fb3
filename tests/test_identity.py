"""Who is calling: whatever a resolver returns becomes a valid actor, safe headers, and never the session's secret."""

import base64
import enum
import hashlib
import hmac
import json
import multiprocessing
import os
import re
import stat
import string
import uuid
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

import auditmw.identity
import key_race
from auditmw.identity import Actor, Identity, Pseudonyms, decode_header, describe, encode_header, key_file

KEY = bytes(range(32))
pseudonyms = Pseudonyms(KEY)
SAFE_HEADER = re.compile(r"(?:[A-Za-z0-9._~@:+=/-]|%[0-9A-F]{2})*")
ALICE = "019a0000-0000-7000-8000-000000000001"

schema = json.loads((Path(auditmw.identity.__file__).parent / "event.schema.json").read_text("utf-8"))
validators = {
    part: Draft202012Validator({**schema["properties"][part], "$defs": schema["$defs"]})
    for part in ("actor", "session")
}


def described(identity, keyed=pseudonyms):
    """describe(), and what holds for any identity: JSON that the schema has, and headers that nothing misreads."""
    result = describe(identity, keyed)
    assert isinstance(result, Actor)
    validators["actor"].validate(result.actor)
    assert json.loads(json.dumps(result.actor, ensure_ascii=False).encode()) == result.actor
    if result.session is not None:
        assert result.session
        validators["session"].validate(result.session)
    for header in (result.user_header, result.session_header):
        assert header is None or (SAFE_HEADER.fullmatch(header) and 0 < len(header) <= 256 and header != "-")
    assert (None if result.user_header is None else decode_header(result.user_header)) == result.actor.get("id")
    assert (None if result.session_header is None else decode_header(result.session_header)) == (
        None if result.session is None else result.session.get("id")
    )
    return result


# -- what comes is what is written


def test_an_id_and_a_session_are_a_user_whose_session_is_hashed():
    actor = described(Identity("user-42", "sess-abcdef"))
    assert actor == Actor(
        actor={"id": "user-42", "type": "user"},
        session={"id": pseudonyms.session("sess-abcdef")},
        user_header="user-42",
        session_header=pseudonyms.session("sess-abcdef"),
        pseudonymised={"/session/id": "hmac-sha256:k1"},
        problems=(),
    )
    assert "sess-abcdef" not in repr(actor)


def test_everything_that_is_known_is_written():
    actor = described(
        Identity(
            id="user-42",
            session="new",
            name="Alice Ångström",
            email="alice@example.com",
            type="service",
            authenticated=True,
            provider="oidc",
            realm="staff",
            roles=["clerk", "admin"],
            on_behalf_of="user-7",
            previous_session="old",
        )
    )
    assert actor.actor == {
        "id": "user-42",
        "type": "service",
        "authenticated": True,
        "name": "Alice Ångström",
        "email": "alice@example.com",
        "provider": "oidc",
        "realm": "staff",
        "roles": ["clerk", "admin"],
        "on_behalf_of": "user-7",
    }
    assert actor.session == {"id": pseudonyms.session("new"), "previous_id": pseudonyms.session("old")}
    assert actor.pseudonymised == {"/session/id": "hmac-sha256:k1", "/session/previous_id": "hmac-sha256:k1"}
    assert actor.problems == ()


def test_nobody_is_anonymous_and_sends_no_headers():
    nobody = Actor({"type": "anonymous", "authenticated": False}, None, None, None, {}, ())
    assert described(None) == nobody
    assert described(Identity()) == nobody
    assert described(Identity(id="", session="", name="", roles=[])) == nobody


def test_an_anonymous_session_is_written_and_sent():
    actor = described(Identity(session="s"))
    assert actor.actor == {"type": "anonymous", "authenticated": False}
    assert actor.session_header == pseudonyms.session("s")
    assert actor.user_header is None


def test_each_call_gives_objects_of_its_own():
    one, other = describe(None, pseudonyms), describe(None, pseudonyms)
    one.actor["changed"] = True
    assert "changed" not in other.actor


class Color(str, enum.Enum):  # noqa: UP042  # str() of it is "Color.RED"
    RED = "red"


class Lazy:
    """As lazy objects of web frameworks: claims to be a str, and is one only when asked."""

    __class__ = str

    def __init__(self, text):
        self.text = text

    def __str__(self):
        if isinstance(self.text, BaseException):
            raise self.text
        return self.text


class LibraryId:
    def __str__(self):
        return "507f1f77bcf86cd799439011"


class Careless:
    def __eq__(self, other):
        raise RuntimeError("compared")

    __hash__ = None

    def __str__(self):
        raise RuntimeError("secret inside")


LONG = "x" * 5_000
EMOJI = "👩‍🚀" * 3
# id: (given, written, sent, problems); None for a pseudonym in both
IDS = {
    "plain": ("user-42", "user-42", "user-42", ()),
    "e-mail": ("alice@example.com", "alice@example.com", "alice@example.com", ()),
    "zero": (0, "0", "0", ()),
    "int": (42, "42", "42", ()),
    "negative int": (-1, "-1", "-1", ()),
    "UUID": (uuid.UUID(ALICE), ALICE, ALICE, ()),
    "bytes": (b"user-42", "user-42", "user-42", ()),
    "lazy str": (Lazy("user-42"), "user-42", "user-42", ()),
    "str that is an Enum": (Color.RED, "red", "red", ()),
    "id of a library": (LibraryId(), "507f1f77bcf86cd799439011", "507f1f77bcf86cd799439011", ()),
    "hyphen": ("-", "-", "%2D", ()),
    "space": ("a b", "a b", "a%20b", ()),
    "CR LF": ("a\r\nX-Admin: 1", "a\r\nX-Admin: 1", "a%0D%0AX-Admin:%201", ()),
    "NUL": ("a\0b", "a\0b", "a%00b", ()),
    "quotes": ("a\"b'c,d;e\\f", "a\"b'c,d;e\\f", "a%22b%27c%2Cd%3Be%5Cf", ()),
    "percent": ("100%25", "100%25", "100%2525", ()),
    "latin": ("u\xe9", "u\xe9", "u%C3%A9", ()),
    "emoji": (EMOJI, EMOJI, encode_header(EMOJI), ()),
    "256 bytes": ("x" * 256, "x" * 256, "x" * 256, ()),
    "257 bytes": ("x" * 257, None, None, ()),
    "43 characters of 6 bytes": ("é" * 43, None, None, ()),
    "5,000 characters": (LONG, None, None, ()),
    "1 MiB": ("x" * 1_048_576, None, None, ()),
    "surrogate": ("a\ud800b", "a\\ud800b", "a%5Cud800b", ("id: not valid Unicode, written with escapes",)),
    "long surrogates": ("\udc80" * 300, None, None, ("id: not valid Unicode, written with escapes",)),
}
# id: (given, problem)
GARBAGE = {
    "bytes that are not UTF-8": (b"\xff\xfe", "id: bytes are not UTF-8"),
    "bool": (True, "id: expected a str, not bool"),
    "float": (1.5, "id: expected a str, not float"),
    "list": (["user-42"], "id: expected a str, not list"),
    "dict": ({"id": 1}, "id: expected a str, not dict"),
    "object": (object(), "id: expected a str, not object"),
    "generator": ((n for n in ()), "id: expected a str, not generator"),
    "Identity": (Identity("a"), "id: expected a str, not Identity"),
    "lazy that raises": (Lazy(ValueError("secret")), "id: ValueError when it was read"),
    "lazy that is no text": (Lazy(5), "id: TypeError when it was read"),
    "lazy with a Unicode error": (
        Lazy(UnicodeDecodeError("utf-8", b"secret", 0, 1, "x")),
        "id: UnicodeDecodeError when it was read",
    ),
    "careless object": (Careless(), "id: RuntimeError when it was read"),
    "int too long to write": (10**5_000, "id: ValueError when it was read"),
}


@pytest.mark.parametrize(("value", "written", "sent", "problems"), IDS.values(), ids=IDS)
def test_an_id_is_written_as_it_is_and_sent_encoded(value, written, sent, problems):
    actor = described(Identity(value, name="Alice"))
    if written is None:
        assert re.fullmatch(r"u1\.k1\.[a-z2-7]{26}", actor.actor["id"])
        assert actor.user_header == actor.actor["id"]
        assert actor.pseudonymised == {"/actor/id": "hmac-sha256:k1"}
    else:
        assert (actor.actor["id"], actor.user_header) == (written, sent)
        assert actor.pseudonymised == {}
    assert (actor.actor["type"], actor.actor["name"], actor.problems) == ("user", "Alice", problems)


@pytest.mark.parametrize(("value", "problem"), GARBAGE.values(), ids=GARBAGE)
def test_an_id_that_cannot_be_meant_is_left_out_and_the_rest_is_kept(value, problem):
    actor = described(Identity(value, "s", name="Alice"))
    assert actor.actor == {"type": "unknown", "name": "Alice"}
    assert actor.user_header is None
    assert actor.session == {"id": pseudonyms.session("s")}
    assert actor.problems == (problem,)


@pytest.mark.parametrize(("value", "problem"), GARBAGE.values(), ids=GARBAGE)
def test_a_session_that_cannot_be_meant_is_left_out_and_the_rest_is_kept(value, problem):
    actor = described(Identity("user-42", value, previous_session=value))
    assert (actor.actor, actor.user_header) == ({"id": "user-42", "type": "user"}, "user-42")
    assert (actor.session, actor.session_header) == (None, None)
    assert actor.problems == (
        problem.replace("id:", "session:", 1),
        problem.replace("id:", "previous_session:", 1),
    )


@pytest.mark.parametrize(("value", "problem"), GARBAGE.values(), ids=GARBAGE)
@pytest.mark.parametrize("name", ["name", "email", "provider", "realm", "on_behalf_of"])
def test_another_field_that_cannot_be_meant_is_left_out_and_the_rest_is_kept(name, value, problem):
    actor = described(Identity("user-42", **{name: value}))
    assert actor.actor == {"id": "user-42", "type": "user"}
    assert actor.problems == (problem.replace("id:", f"{name}:", 1),)


class Unreadable:
    @property
    def __class__(self):
        raise RuntimeError("secret")


def coroutine():
    async def who():
        return None

    made = who()
    made.close()
    return made


NOT_IDENTITIES = {
    "str": ("user-42", "str"),
    "empty str": ("", "str"),
    "int": (0, "int"),
    "bytes": (b"user-42", "bytes"),
    "dict": ({"id": "user-42"}, "dict"),
    "tuple": (("user-42", "s"), "tuple"),
    "False": (False, "bool"),
    "coroutine": (coroutine(), "coroutine"),
    "the class itself": (Identity, "type"),
    "lazy str": (Lazy("x"), "Lazy"),
}


@pytest.mark.parametrize(("value", "name"), NOT_IDENTITIES.values(), ids=NOT_IDENTITIES)
def test_what_is_no_identity_is_an_unknown_actor(value, name):
    problem = f"expected an Identity or None, not {name}"
    assert described(value) == Actor({"type": "unknown"}, None, None, None, {}, (problem,))


def test_an_object_that_cannot_even_be_looked_at_is_an_unknown_actor():
    problem = "RuntimeError when the identity was read"
    assert described(Unreadable()) == Actor({"type": "unknown"}, None, None, None, {}, (problem,))


TOO_MANY = "roles: 128 of 10000 are written"
loop = ["a"]
loop.append(loop)
ROLES = {
    "list": (["a", "b"], ["a", "b"], ()),
    "tuple": (("a",), ["a"], ()),
    "set": ({"a"}, ["a"], ()),
    "dict keys": ({"a": 1}.keys(), ["a"], ()),
    "empty": ([], None, ()),
    "None": (None, None, ("roles: expected a list of str, not NoneType",)),
    "one str": ("admin", None, ("roles: expected a list of str, not str",)),
    "bytes": (b"admin", None, ("roles: expected a list of str, not bytes",)),
    "int": (7, None, ("roles: expected a list of str, not int",)),
    "dict": ({"a": 1}, None, ("roles: expected a list of str, not dict",)),
    "mixed": (["a", None, 3, "", 1.5, 2.5, b"b"], ["a", "3", "b"], ("roles: expected a str, not float",)),
    "10,000": ([f"r{n}" for n in range(10_000)], [f"r{n}" for n in range(128)], (TOO_MANY,)),
    "10,000 bad": ([1.5] * 10_000, None, (TOO_MANY, "roles: expected a str, not float")),
    "long": (["x" * 2_000], ["x" * 1_024], ("roles: 1024 of 2000 characters are written",)),
    "cycle": (loop, ["a"], ("roles: expected a str, not list",)),
    "careless": (Careless(), None, ("roles: expected a list of str, not Careless",)),
    "unreadable": (Unreadable(), None, ("roles: RuntimeError when they were read",)),
}


@pytest.mark.parametrize(("roles", "written", "problems"), ROLES.values(), ids=ROLES)
def test_roles_are_a_list_of_at_most_128_short_texts(roles, written, problems):
    actor = described(Identity("user-42", roles=roles))
    assert (actor.actor.get("roles"), actor.problems) == (written, problems)
    assert actor.actor["id"] == "user-42"


@pytest.mark.parametrize("kind", ["user", "service", "system", "anonymous", "unknown"])
def test_a_type_that_is_given_is_written(kind):
    assert described(Identity("user-42", type=kind)).actor["type"] == kind


@pytest.mark.parametrize("kind", ["admin", "", 5, [], {}, Careless()], ids=lambda kind: type(kind).__name__)
def test_a_type_that_is_not_known_is_replaced_and_told(kind):
    actor = described(Identity("user-42", type=kind))
    assert actor.actor["type"] == "user"
    assert actor.problems == ("type: expected one of user, service, system, anonymous, unknown",)
    assert described(Identity(type=kind)).actor["type"] == "unknown"


@pytest.mark.parametrize("value", [True, False])
def test_whether_one_is_authenticated_is_written_when_it_is_known(value):
    assert described(Identity("user-42", authenticated=value)).actor["authenticated"] is value
    assert described(Identity(authenticated=value)).actor["authenticated"] is value


@pytest.mark.parametrize("value", ["false", 1, Lazy("x")], ids=lambda value: type(value).__name__)
def test_authenticated_is_a_bool_or_left_out(value):
    actor = described(Identity("user-42", authenticated=value))
    assert "authenticated" not in actor.actor
    assert actor.problems == (f"authenticated: expected a bool, not {type(value).__name__}",)


def test_a_long_text_is_cut_to_what_the_schema_has():
    actor = described(Identity("user-42", name="é" * 1_025, email="x" * 1_024))
    assert (actor.actor["name"], actor.actor["email"]) == ("é" * 1_024, "x" * 1_024)
    assert actor.problems == ("name: 1024 of 1025 characters are written",)


class Everything(Identity):
    """A subclass is an identity."""


def test_a_subclass_of_identity_is_an_identity():
    assert described(Everything("user-42")).actor == {"id": "user-42", "type": "user"}


values = st.one_of(
    *(st.none(), st.booleans(), st.integers(), st.floats(), st.text(st.characters()), st.binary(), st.uuids()),
    *(st.lists(st.text(st.characters())), st.dictionaries(st.text(), st.integers()), st.builds(object)),
    st.builds(Careless),
)
identities = st.builds(Identity, *[values] * len(Identity._fields))


@given(values | identities, st.booleans(), st.booleans())
def test_whatever_comes_a_valid_actor_comes_out(value, user, session):
    described(value, Pseudonyms(KEY, user=user, session=session))


@given(st.text(string.ascii_letters + string.digits, min_size=8, max_size=40))
def test_the_session_secret_never_comes_out(secret):
    assert secret not in repr(described(Identity("~", secret, previous_session=secret)))


# -- the header codec


@given(st.text(st.characters(), max_size=60))
def test_a_header_decodes_to_what_was_encoded(value):
    encoded = encode_header(value)
    assert decode_header(encoded) == value
    assert SAFE_HEADER.fullmatch(encoded)
    assert not set(encoded) & set("\r\n\0\t\"', ;\\")
    assert encoded != "-"


@given(st.text(st.characters(), max_size=60) | st.text("%0123456789abcdefABCDEF-", max_size=60))
def test_any_header_decodes_to_something(value):
    assert isinstance(decode_header(value), str)


@pytest.mark.parametrize(
    ("encoded", "value"),
    [
        ("%FF", "\\xff"),
        ("a%", "a%"),
        ("%zz", "%zz"),
        ("%2D", "-"),
        ("-", "-"),
        ("%ED%A0%80", "\ud800"),
        ("é", "é"),
        ("+", "+"),
    ],
)
def test_a_header_that_was_not_ours_is_decoded_as_far_as_it_goes(encoded, value):
    assert decode_header(encoded) == value


def test_what_need_not_be_encoded_stays_readable():
    safe = string.ascii_letters + string.digits + "-._~@:+=/"
    assert encode_header(safe) == safe
    assert [c for c in map(chr, range(128)) if encode_header(f"a{c}") == f"a{c}"] == sorted(safe)
    assert encode_header("") == ""


# -- pseudonyms


def test_a_pseudonym_is_the_keyed_hash_that_the_documentation_says():
    def expected(domain, value, tenant=""):
        message = b"\x1f".join(part.encode() for part in ("auditmw", domain, tenant, value))
        digest = hmac.new(KEY, message, hashlib.sha256).digest()[:16]
        return f"{domain[0]}1.k1.{base64.b32encode(digest).decode().lower().rstrip('=')}"

    keyed = Pseudonyms(KEY, ip="hmac")
    assert keyed.user("Ünï") == expected("user", "Ünï")
    assert keyed.session("abc") == expected("session", "abc")
    assert keyed.ip("192.0.2.1") == expected("ip", "192.0.2.1")
    assert Pseudonyms(KEY, tenant="t").user("abc") == expected("user", "abc", "t")
    assert len(keyed.user("abc")) == len("u1.k1.") + 26


def test_a_value_that_is_not_valid_unicode_has_a_pseudonym_too():
    assert pseudonyms.user("\ud800") != pseudonyms.user("\ud801")


def test_a_pseudonym_is_stable_and_differs_by_kind_key_key_id_and_tenant():
    same = {Pseudonyms(KEY).session("abc") for _ in range(3)} | {pseudonyms.session("abc")}
    assert len(same) == 1
    different = [
        *(pseudonyms.session("abc"), pseudonyms.user("abc"), pseudonyms.session("abd")),
        *(Pseudonyms(KEY, tenant="t").session("abc"), Pseudonyms(KEY, kid="k2").session("abc")),
        *(Pseudonyms(KEY[::-1]).session("abc"), Pseudonyms(KEY, tenant="t").user("abc")),
    ]
    assert len({text.split(".")[-1] for text in different}) == len(different) - 1  # the key id is beside the hash
    assert len(set(different)) == len(different)


def test_a_mapping_of_keys_uses_the_current_one():
    keys = {"old": KEY, "new": KEY[::-1]}
    assert Pseudonyms(keys, kid="old").user("abc") == Pseudonyms(KEY, kid="old").user("abc")
    assert Pseudonyms(keys, kid="new").user("abc") == Pseudonyms(KEY[::-1], kid="new").user("abc")


def test_a_key_function_is_called_at_first_use_and_once():
    calls = []

    def key():
        calls.append(1)
        return KEY

    keyed = Pseudonyms(key)
    assert calls == []
    assert describe(Identity("user-42"), keyed).user_header == "user-42"
    assert calls == []
    assert (keyed.session("a"), keyed.session("b")) == (pseudonyms.session("a"), pseudonyms.session("b"))
    assert calls == [1]


@pytest.mark.parametrize(
    ("arguments", "error", "said"),
    [
        pytest.param({"key": KEY[:31]}, ValueError, "at least 32 bytes, not 31", id="short key"),
        pytest.param({"key": ""}, TypeError, "a key of type bytes, not str", id="str key"),
        pytest.param({"key": {"k1": b"short"}}, ValueError, "at least 32 bytes, not 5", id="short key in a mapping"),
        pytest.param({"key": {"k1": KEY, "k0": b"short"}}, ValueError, "at least 32 bytes, not 5", id="short old key"),
        pytest.param({"key": {"a": KEY}}, ValueError, "one of the key ids 'a', not 'k1'", id="kid not in the mapping"),
        pytest.param({"key": KEY, "kid": "a.b"}, ValueError, r"kid to be a key id.*'a\.b'", id="kid with a dot"),
        pytest.param({"key": KEY, "kid": ""}, ValueError, "kid to be a key id", id="empty kid"),
        pytest.param({"key": KEY, "kid": "k\n"}, ValueError, "kid to be a key id", id="kid with a line feed"),
        pytest.param({"key": KEY, "tenant": "a\x1fb"}, ValueError, "tenant to be text without", id="tenant"),
        pytest.param(
            {"key": KEY, "ip": "full"}, ValueError, "ip to be 'none', 'prefix' or 'hmac', not 'full'", id="ip"
        ),
    ],
)
def test_arguments_that_cannot_be_meant_are_refused(arguments, error, said):
    with pytest.raises(error, match=said):
        Pseudonyms(**arguments)


def test_a_message_about_a_key_does_not_hold_the_key():
    with pytest.raises(ValueError, match="at least") as raised:
        Pseudonyms(b"hunter2hunter2")
    assert "hunter2" not in str(raised.value)
    assert KEY.hex() not in repr(vars(raised.value))
    assert "\\x01" not in repr(Pseudonyms(KEY))


def test_users_are_hashed_on_request_and_their_names_are_not_written():
    keyed = Pseudonyms(KEY, user=True)
    actor = described(Identity("user-42", name="Alice", email="a@example.com", realm="r", on_behalf_of="user-7"), keyed)
    assert actor.actor == {
        "id": keyed.user("user-42"),
        "type": "user",
        "realm": "r",
        "on_behalf_of": keyed.user("user-7"),
    }
    assert actor.user_header == keyed.user("user-42")
    assert actor.pseudonymised == {"/actor/id": "hmac-sha256:k1", "/actor/on_behalf_of": "hmac-sha256:k1"}


def test_sessions_are_written_as_they_are_only_on_request():
    raw = Pseudonyms(KEY, session=False)
    actor = described(Identity("user-42", "a b", previous_session="x" * 300), raw)
    assert actor.session == {"id": "a b", "previous_id": raw.session("x" * 300)}
    assert actor.session_header == "a%20b"
    assert actor.pseudonymised == {"/session/previous_id": "hmac-sha256:k1"}


def test_without_its_key_a_session_is_left_out_and_the_user_is_not():
    def no_key():
        raise PermissionError(13, "Permission denied", "/x/pseudonym.key")

    actor = described(Identity("user-42", "secret"), Pseudonyms(no_key))
    assert (actor.user_header, actor.session, actor.session_header) == ("user-42", None, None)
    assert actor.problems == ("session: no key to hash it with: [Errno 13] Permission denied: '/x/pseudonym.key'",)
    assert actor.pseudonymised == {}


def test_a_short_key_from_a_function_is_a_problem_and_not_a_weak_hash():
    actor = described(Identity("user-42", "secret"), Pseudonyms(lambda: b"short"))
    assert actor.session is None
    assert "at least 32 bytes, not 5" in actor.problems[0]


ADDRESSES = {
    "IPv4": ("192.0.2.217", "192.0.2.0", "192.0.2.217"),
    "IPv6": ("2001:db8:1:2:3::4", "2001:db8:1::", "2001:db8:1:2:3::4"),
    "IPv6 in another spelling": ("2001:DB8:1:0002:3:0::4", "2001:db8:1::", "2001:db8:1:2:3::4"),
    "IPv4 in IPv6": ("::ffff:192.0.2.217", "192.0.2.0", "192.0.2.217"),
    "IPv6 with a zone": ("fe80::1%eth0", "fe80::", "fe80::1%eth0"),
    "host name": ("host.example", "host.example", "host.example"),
}


@pytest.mark.parametrize(("address", "network", "canonical"), ADDRESSES.values(), ids=ADDRESSES)
def test_an_address_is_kept_shortened_or_hashed(address, network, canonical):
    hashing = Pseudonyms(KEY, ip="hmac")
    assert pseudonyms.ip(address) == address
    assert Pseudonyms(KEY, ip="prefix").ip(address) == network
    assert re.fullmatch(r"i1\.k1\.[a-z2-7]{26}", hashing.ip(address))
    assert hashing.ip(address) == hashing.ip(canonical)


@pytest.mark.parametrize("address", ["", "unix:", "unix:/run/app.sock"])
@pytest.mark.parametrize("how", ["none", "prefix", "hmac"])
def test_what_is_no_address_of_anybody_is_kept(address, how):
    assert Pseudonyms(KEY, ip=how).ip(address) == address


def test_what_is_remembered_is_bounded():
    keyed = Pseudonyms(KEY)
    for n in range(5_000):
        keyed.session(f"session-{n}")
        describe(Identity(f"user-{n}"), keyed)
    assert max(len(keyed._sessions), len(keyed.described)) <= 4_096
    keyed.user("x" * 100_000)
    assert keyed._users == {}
    long = Identity("user-42", "x" * 100_000)
    assert describe(long, keyed) == describe(long, keyed)
    assert long not in keyed.described


def test_an_identity_that_is_described_again_reads_the_same():
    keyed = Pseudonyms(KEY)
    for identity in (
        Identity("user-42", "s", roles=("a",)),
        Identity("1", authenticated=True),
        Identity("1", authenticated=1),
        Identity("1", roles=["a"]),
        Identity(1),
        Identity("1"),
    ):
        assert described(identity, keyed) == described(identity, keyed) == described(identity, Pseudonyms(KEY))


# -- the key file


def test_a_key_is_made_at_the_first_call_and_read_at_the_next(tmp_path):
    load = key_file(tmp_path / "audit")
    assert list(tmp_path.iterdir()) == []
    key = load()
    path = tmp_path / "audit" / "pseudonym.key"
    assert (len(key), path.read_text().strip(), stat.S_IMODE(path.stat().st_mode)) == (32, key.hex(), 0o600)
    assert load() == key_file(str(tmp_path / "audit"))() == key
    assert [item.name for item in path.parent.iterdir()] == ["pseudonym.key"]


def test_two_directories_have_two_keys(tmp_path):
    assert key_file(tmp_path / "a")() != key_file(tmp_path / "b")()


def test_a_relative_directory_will_do(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert key_file("")() == key_file(".")() == key_file(tmp_path)()


@pytest.mark.parametrize(
    "content", [b"", b"\n", b"secret", b"ab" * 31, b"zz" * 32, b"ab" * 32 + b"c", b"\xff" * 64], ids=ascii
)
def test_a_file_that_holds_no_key_is_refused_without_showing_it(tmp_path, content):
    path = tmp_path / "pseudonym.key"
    path.write_bytes(content)
    path.chmod(0o600)
    with pytest.raises(ValueError, match=r"expected 32 bytes or more in hexadecimal in '.*pseudonym\.key'") as raised:
        key_file(tmp_path)()
    assert "secret" not in str(raised.value)
    assert path.read_bytes() == content


def test_a_key_that_others_may_read_is_refused(tmp_path):
    key_file(tmp_path)()
    (tmp_path / "pseudonym.key").chmod(0o640)
    with pytest.raises(ValueError, match="its owner's alone, not mode 0640: chmod 600"):
        key_file(tmp_path)()


def test_a_longer_key_of_ones_own_will_do(tmp_path):
    (tmp_path / "pseudonym.key").write_text("AB" * 48 + "\r\n")
    (tmp_path / "pseudonym.key").chmod(0o600)
    assert key_file(tmp_path)() == b"\xab" * 48


def test_a_link_a_pipe_and_a_directory_are_not_followed_waited_for_or_read(tmp_path):
    for name in ("link", "pipe", "directory"):
        (tmp_path / name).mkdir()
    key_file(tmp_path)()
    (tmp_path / "link" / "pseudonym.key").symlink_to(tmp_path / "pseudonym.key")
    os.mkfifo(tmp_path / "pipe" / "pseudonym.key", 0o600)
    (tmp_path / "directory" / "pseudonym.key").mkdir(0o700)
    with pytest.raises(OSError, match="symbolic link"):
        key_file(tmp_path / "link")()
    with pytest.raises(ValueError, match="expected a regular file"):
        key_file(tmp_path / "pipe")()
    with pytest.raises(OSError, match="directory"):
        key_file(tmp_path / "directory")()


def test_a_dangling_link_makes_no_key_elsewhere(tmp_path):
    (tmp_path / "pseudonym.key").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="symbolic link"):
        key_file(tmp_path)()
    assert not (tmp_path / "elsewhere").exists()


def test_a_directory_that_is_a_file_is_an_error_that_names_it(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="file"):
        key_file(tmp_path / "file")()


def test_a_file_system_without_hard_links_is_an_error_that_says_what_to_do(tmp_path, monkeypatch):
    def link(draft, path):
        raise PermissionError(1, "Operation not permitted", draft, None, path)

    monkeypatch.setattr(os, "link", link)
    with pytest.raises(PermissionError, match=r"cannot make a key here .*; give Pseudonyms one: '.*pseudonym\.key'"):
        key_file(tmp_path)()
    assert list(tmp_path.iterdir()) == []


def test_processes_that_start_together_agree_on_one_key(tmp_path):
    spawn = multiprocessing.get_context("spawn")
    start, found = spawn.Barrier(4), spawn.Queue()
    racers = [spawn.Process(target=key_race.run, args=(str(tmp_path), start, found)) for _ in range(4)]
    for racer in racers:
        racer.start()
    keys = [found.get(timeout=60) for _ in racers]
    for racer in racers:
        racer.join(30)
        racer.close()
    found.close()
    found.join_thread()
    assert len(set(keys)) == 1
    assert [item.name for item in tmp_path.iterdir()] == ["pseudonym.key"]


def test_a_loser_of_the_race_uses_the_winners_key(tmp_path, monkeypatch):
    link = os.link

    def lose(draft, path):
        Path(path).write_text("cd" * 32)
        Path(path).chmod(0o600)
        link(draft, path)

    monkeypatch.setattr(os, "link", lose)
    assert key_file(tmp_path)() == b"\xcd" * 32
    assert [item.name for item in tmp_path.iterdir()] == ["pseudonym.key"]
