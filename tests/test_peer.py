"""peer.py: which peers are trusted, and who the client behind them is."""

from ipaddress import ip_address

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auditmw.peer import DEFAULT_TRUSTED, Client, Proxies, _Memo, peer_address

PROXY = "10.0.0.1"
TRUSTED = ("10.0.0.0/8", "2001:db8:ffff::/48", "unix")
V6 = "2001:db8::1"


def client(value, *, peer=PROXY, trusted=TRUSTED, **options):
    return Proxies(trusted, **options).client(peer, 4711, value)


def forwarded(value, **options):
    return client(value, header="forwarded", **options)


def is_canonical(address):
    return address == "unix:" or str(ip_address(address)) == address


# --- the peer -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("raw", "address"),
    [
        pytest.param(None, "unix:", id="unix socket: uvicorn, hypercorn, daphne"),
        pytest.param("", "unix:", id="unix socket: gunicorn"),
        pytest.param("localhost", "unix:", id="unix socket: waitress"),
        pytest.param("unix:", "unix:", id="unix socket: nginx"),
        pytest.param("unix:/run/shop.sock", "unix:", id="unix socket: with its path"),
        pytest.param("127.0.0.1", "127.0.0.1", id="IPv4"),
        pytest.param("::ffff:192.0.2.7", "192.0.2.7", id="IPv4-mapped"),
        pytest.param("::FFFF:c000:0207", "192.0.2.7", id="IPv4-mapped in hexadecimal"),
        pytest.param("2001:DB8:0::0001", V6, id="IPv6"),
        pytest.param("fe80::1%eth0", "fe80::1", id="IPv6 with zone"),
        pytest.param(ip_address("192.0.2.7"), "192.0.2.7", id="an address object"),
        pytest.param("testclient", "testclient", id="no address: Starlette's test client"),
        pytest.param("192.0.2.07", "192.0.2.07", id="leading zero is no address"),
        pytest.param("a\r\nb\x00é\u202e\ud800", "a??b????", id="unsafe characters"),
        pytest.param("x" * 5000, "x" * 1024, id="very long"),
        pytest.param(5, "5", id="not a text"),
        pytest.param([], "[]", id="not hashable"),
    ],
)
def test_the_peer_is_unix_or_a_canonical_address_or_safe_text(raw, address):
    assert peer_address(raw) == address
    assert peer_address(raw) == address


def test_a_peer_that_cannot_be_shown_is_named_by_its_type():
    class Silent:
        def __str__(self):
            raise RuntimeError

    assert peer_address(Silent()) == "Silent"


@pytest.mark.parametrize(
    ("trusted", "peer", "expected"),
    [
        pytest.param(DEFAULT_TRUSTED, "127.0.0.1", True, id="default: loopback"),
        pytest.param(DEFAULT_TRUSTED, "127.255.0.1", True, id="default: all of loopback"),
        pytest.param(DEFAULT_TRUSTED, "::1", True, id="default: IPv6 loopback"),
        pytest.param(DEFAULT_TRUSTED, "unix:", True, id="default: unix socket"),
        pytest.param(DEFAULT_TRUSTED, "10.0.0.1", False, id="default: not a private network"),
        pytest.param(DEFAULT_TRUSTED, "testclient", False, id="default: not a name"),
        pytest.param(DEFAULT_TRUSTED, "", False, id="default: not the empty text"),
        pytest.param((), "127.0.0.1", False, id="nobody"),
        pytest.param((), "unix:", False, id="nobody, not even a unix socket"),
        pytest.param(("192.0.2.7",), "192.0.2.7", True, id="one address"),
        pytest.param(("192.0.2.7",), "192.0.2.8", False, id="its neighbour"),
        pytest.param(("2001:db8::/32",), V6, True, id="IPv6 network"),
        pytest.param(("0.0.0.0/0",), V6, False, id="IPv4 is not IPv6"),
        pytest.param(("::ffff:10.0.0.0/104",), "10.1.2.3", True, id="IPv4-mapped network"),
        pytest.param(("::ffff:10.0.0.0/104",), "11.1.2.3", False, id="beside the IPv4-mapped network"),
        pytest.param(("::/0",), "10.1.2.3", False, id="all of IPv6 is not IPv4"),
        pytest.param(["10.0.0.0/8"], "10.1.2.3", True, id="a list"),
    ],
)
def test_who_is_trusted(trusted, peer, expected):
    proxies = Proxies(trusted)
    assert proxies.trusts(peer) is expected
    assert proxies.trusts(peer) is expected


def test_a_peer_as_an_ipv4_mapped_address_is_the_ipv4_peer():
    assert Proxies().trusts(peer_address("::ffff:127.0.0.1"))


# --- whether the header counts --------------------------------------------------------------------------------------


def test_without_a_header_the_client_is_the_peer():
    assert client(None) == Client(PROXY, 4711, "peer", (), None, None)
    assert client(None, peer="unix:") == Client("unix:", 4711, "peer", (), None, None)
    assert client("") == Client(PROXY, 4711, "peer", (), None, None)
    assert client("192.0.2.7", header=None) == Client(PROXY, 4711, "peer", (), None, None)


def test_an_untrusted_peer_is_the_client_and_its_claim_is_kept():
    assert client("127.0.0.1, 10.0.0.9", peer="203.0.113.9") == Client(
        "203.0.113.9", 4711, "peer", ("127.0.0.1", "10.0.0.9"), None, None
    )
    assert forwarded("for=127.0.0.1;proto=https;host=a.example", peer="203.0.113.9") == Client(
        "203.0.113.9", 4711, "peer", ("127.0.0.1",), None, None
    )


def test_a_server_that_has_resolved_the_client_is_not_resolved_again():
    resolved = client("198.51.100.1, 203.0.113.9", server_already_resolved=True)
    assert resolved == Client(PROXY, 4711, "peer", ("198.51.100.1", "203.0.113.9"), None, None)


def test_one_text_means_one_thing_to_each_peer():
    proxies = Proxies(TRUSTED)
    assert proxies.client(PROXY, 1, "203.0.113.9").address == "203.0.113.9"
    assert proxies.client("198.51.100.1", 2, "203.0.113.9").address == "198.51.100.1"
    assert proxies.client("unix:", 3, "203.0.113.9").address == "203.0.113.9"
    assert proxies.client("198.51.100.1", 5, "203.0.113.9").port == 5


# --- the walk from right to left ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "address"),
    [
        pytest.param("203.0.113.9", "203.0.113.9", id="one"),
        pytest.param("198.51.100.1, 203.0.113.9", "203.0.113.9", id="what the client wrote is not believed"),
        pytest.param("203.0.113.9, 10.0.0.3, 10.0.0.2", "203.0.113.9", id="through trusted hops"),
        pytest.param("198.51.100.1,203.0.113.9,10.0.0.2", "203.0.113.9", id="stops at the first untrusted"),
        pytest.param("10.0.0.4, 203.0.113.9, 10.0.0.2", "203.0.113.9", id="a trusted address beyond it means nothing"),
        pytest.param("10.0.0.4, 10.0.0.3", "10.0.0.4", id="all trusted: the left-most"),
        pytest.param("203.0.113.9, unknown, 10.0.0.2", "10.0.0.2", id="unknown: the last good"),
        pytest.param("203.0.113.9, _hidden, 10.0.0.2", "10.0.0.2", id="obfuscated: the last good"),
        pytest.param("203.0.113.9, rubbish, 10.0.0.2", "10.0.0.2", id="garbage: the last good"),
        pytest.param("203.0.113.9, unknown", None, id="unknown at the right: the peer"),
        pytest.param("unknown", None, id="unknown alone: the peer"),
        pytest.param("rubbish, 203.0.113.9", "203.0.113.9", id="garbage beyond the client"),
        pytest.param(" \t203.0.113.9 ,\t10.0.0.2 ", "203.0.113.9", id="white space"),
        pytest.param(",203.0.113.9,, ,10.0.0.2,", "203.0.113.9", id="empty elements"),
        pytest.param(",,,", None, id="only empty elements"),
        pytest.param("203.0.113.9, unix:", "203.0.113.9", id="through a unix socket, as nginx writes it"),
        pytest.param("::ffff:203.0.113.9, ::ffff:10.0.0.2", "203.0.113.9", id="IPv4-mapped hops"),
        pytest.param("2001:db8::1, 2001:db8:ffff::2", V6, id="IPv6 hops"),
        pytest.param(", ".join(["198.51.100.1"] * 10_000 + ["203.0.113.9"]), "203.0.113.9", id="10,000 hops"),
        pytest.param("x" * 100_000 + ",203.0.113.9", "203.0.113.9", id="100,000 characters"),
        pytest.param(f"1{'203.0.113.9,':<8184}10.0.0.2", "10.0.0.2", id="what is cut through is not read"),
    ],
)
def test_the_chain_is_believed_as_far_as_trusted_proxies_wrote_it(value, address):
    found = client(value)
    assert found.address == (address or PROXY)
    assert found.origin == ("x-forwarded-for" if address else "peer")
    assert found.port == (None if address else 4711)
    assert (found.scheme, found.host) == (None, None)


def test_a_unix_hop_ends_the_walk_when_unix_sockets_are_not_trusted():
    assert client("203.0.113.9, unix:", trusted=("10.0.0.0/8",)).address == "unix:"


@pytest.mark.parametrize(
    ("value", "chain"),
    [
        pytest.param("198.51.100.1, rubbish ,10.0.0.2:80", ("198.51.100.1", "rubbish", "10.0.0.2:80"), id="as it came"),
        pytest.param("unknown, _hidden", ("unknown", "_hidden"), id="not addresses"),
        pytest.param("a\x00b\r\né", ("a?b???",), id="unsafe characters"),
        pytest.param("x" * 3000, ("x" * 1024,), id="long entry"),
        pytest.param(",".join(map(str, range(40))), tuple(map(str, range(8, 40))), id="the right-most 32"),
        pytest.param(",".join(map(str, range(40))) + ",", tuple(map(str, range(9, 40))), id="one of them empty"),
    ],
)
def test_the_whole_claimed_chain_is_kept(value, chain):
    assert client(value).forwarded == chain
    assert client(value, peer="203.0.113.9").forwarded == chain
    assert client(value, server_already_resolved=True).forwarded == chain
    assert client(value, hops=1).forwarded == chain


# --- hops -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "hops", "address"),
    [
        pytest.param("203.0.113.9", 1, "203.0.113.9", id="one of one"),
        pytest.param("198.51.100.1, 203.0.113.9", 1, "203.0.113.9", id="one of two"),
        pytest.param("198.51.100.1, 203.0.113.9", 2, "198.51.100.1", id="two of two"),
        pytest.param("203.0.113.9, 10.0.0.2", 1, "10.0.0.2", id="trusted networks do not count"),
        pytest.param("203.0.113.9", 2, None, id="fewer values than hops"),
        pytest.param("", 1, None, id="no value"),
        pytest.param("unknown", 1, None, id="unknown"),
        pytest.param("203.0.113.9, unknown, 10.0.0.2", 2, None, id="garbage there"),
        pytest.param("198.51.100.1, unknown, 10.0.0.2", 3, "198.51.100.1", id="garbage elsewhere"),
        pytest.param("203.0.113.9", 33, None, id="more hops than are read"),
    ],
)
def test_hops_take_the_value_that_far_from_the_right(value, hops, address):
    found = client(value, hops=hops)
    assert found.address == (address or PROXY)
    assert found.origin == ("x-forwarded-for" if address else "peer")


def test_hops_do_not_make_an_untrusted_peer_trusted():
    assert client("198.51.100.1", peer="203.0.113.9", hops=1).address == "203.0.113.9"


def test_hops_of_forwarded_take_scheme_and_host_from_the_same_element():
    found = forwarded("for=198.51.100.1;proto=https;host=a.example, for=203.0.113.9;proto=http", hops=2)
    assert found[:3] + found[4:] == ("198.51.100.1", None, "forwarded", "https", "a.example")


# --- nodes ----------------------------------------------------------------------------------------------------------

NODES = [
    pytest.param("203.0.113.9", "203.0.113.9", None, id="v4"),
    pytest.param("203.0.113.9:8080", "203.0.113.9", 8080, id="v4:port"),
    pytest.param("203.0.113.9:0", "203.0.113.9", 0, id="port 0"),
    pytest.param("203.0.113.9:65535", "203.0.113.9", 65535, id="largest port"),
    pytest.param("203.0.113.9:_hidden", "203.0.113.9", None, id="obfuscated port"),
    pytest.param("2001:DB8::0:1", V6, None, id="v6"),
    pytest.param("[2001:db8::1]", V6, None, id="[v6]"),
    pytest.param("[2001:db8::1]:443", V6, 443, id="[v6]:port"),
    pytest.param("fe80::1%eth0", "fe80::1", None, id="v6 with zone"),
    pytest.param("[fe80::1%25eth0]:1", "fe80::1", 1, id="[v6] with zone"),
    pytest.param("::ffff:203.0.113.9", "203.0.113.9", None, id="IPv4-mapped"),
    pytest.param("[::ffff:203.0.113.9]:1", "203.0.113.9", 1, id="[IPv4-mapped]:port"),
    pytest.param("::1", "::1", None, id="shortest"),
    pytest.param("203.0.113.9:65536", None, None, id="port too large"),
    pytest.param("203.0.113.9:123456", None, None, id="port too long"),
    pytest.param("203.0.113.9:000080", None, None, id="port too long by zeros"),
    pytest.param("203.0.113.9:", None, None, id="empty port"),
    pytest.param("203.0.113.9:-1", None, None, id="negative port"),
    pytest.param("203.0.113.9:80:80", None, None, id="two ports"),
    pytest.param("203.0.113.9:٣", None, None, id="port of another script"),
    pytest.param("203.0.113.009", None, None, id="leading zero"),
    pytest.param("0313.0.113.9", None, None, id="octal"),
    pytest.param("0xcb.0.113.9", None, None, id="hexadecimal"),
    pytest.param("3405803785", None, None, id="decimal"),
    pytest.param("203.0.113", None, None, id="three octets"),
    pytest.param("203.0.113.256", None, None, id="octet too large"),
    pytest.param("２03.0.113.9", None, None, id="digit of another script"),
    pytest.param("203.0.113.9%eth0", None, None, id="v4 with zone"),
    pytest.param("[203.0.113.9]", None, None, id="v4 in brackets"),
    pytest.param("[2001:db8::1", None, None, id="bracket left open"),
    pytest.param("2001:db8::1]", None, None, id="bracket only closed"),
    pytest.param("[[2001:db8::1]]", None, None, id="two brackets"),
    pytest.param("[]", None, None, id="empty brackets"),
    pytest.param("[2001:db8::1]443", None, None, id="port without a colon"),
    pytest.param("2001:db8::g", None, None, id="not hexadecimal"),
    pytest.param("2001:db8::1::", None, None, id="two gaps"),
    pytest.param("203.0.113.9 203.0.113.8", None, None, id="two in one"),
    pytest.param("203.0.113.9\n", None, None, id="newline"),
    pytest.param("203.0.113.9\x00", None, None, id="NUL"),
    pytest.param("example.com", None, None, id="name"),
    pytest.param("localhost", None, None, id="localhost"),
    pytest.param("unknown", None, None, id="unknown"),
    pytest.param("_hidden", None, None, id="obfuscated"),
    pytest.param("\ud800", None, None, id="lone surrogate"),
    pytest.param("[" * 5000, None, None, id="5,000 brackets"),
]


@pytest.mark.parametrize("header", ["x-forwarded-for", "x-real-ip", "forwarded"])
@pytest.mark.parametrize(("node", "address", "port"), NODES)
def test_a_node_is_an_address_with_or_without_a_port(header, node, address, port):
    value = f'for="{node}"' if header == "forwarded" else node
    found = client(value, header=header)
    assert found[:3] == ((address, port, header) if address else (PROXY, 4711, "peer"))


# --- X-Real-IP ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "address", "chain"),
    [
        pytest.param(" 203.0.113.9\t", "203.0.113.9", ("203.0.113.9",), id="one"),
        pytest.param("198.51.100.1,203.0.113.9", None, ("198.51.100.1,203.0.113.9",), id="two fields"),
        pytest.param("  ", None, (), id="empty"),
        pytest.param("x" * 100_000, None, ("x" * 1024,), id="100,000 characters"),
    ],
)
def test_x_real_ip_is_one_address(value, address, chain):
    found = client(value, header="x-real-ip")
    assert (found.address, found.forwarded) == (address or PROXY, chain)
    assert found.origin == ("x-real-ip" if address else "peer")


# --- Forwarded ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "address", "port", "chain"),
    [
        pytest.param("for=203.0.113.9", "203.0.113.9", None, ("203.0.113.9",), id="token"),
        pytest.param("For=203.0.113.9", "203.0.113.9", None, ("203.0.113.9",), id="any case"),
        pytest.param('for="203.0.113.9:80"', "203.0.113.9", 80, ("203.0.113.9:80",), id="quoted, port"),
        pytest.param('for="[2001:db8::1]:443"', V6, 443, ("[2001:db8::1]:443",), id="quoted IPv6"),
        pytest.param(r'for="203\.0.113.\9"', "203.0.113.9", None, ("203.0.113.9",), id="escaped"),
        pytest.param("by=10.0.0.1;for=203.0.113.9", "203.0.113.9", None, ("203.0.113.9",), id="other parameters"),
        pytest.param(" by=a ; for=203.0.113.9 ;", "203.0.113.9", None, ("203.0.113.9",), id="white space, empty pair"),
        pytest.param(
            "for=203.0.113.9,for=10.0.0.2", "203.0.113.9", None, ("203.0.113.9", "10.0.0.2"), id="two elements"
        ),
        pytest.param(
            "for=203.0.113.9;,for=10.0.0.2", "203.0.113.9", None, ("203.0.113.9", "10.0.0.2"), id="both separators"
        ),
        pytest.param(", ,for=203.0.113.9,,", "203.0.113.9", None, ("203.0.113.9",), id="empty elements"),
        pytest.param(
            'for="a,b;c\\"d", for=203.0.113.9',
            "203.0.113.9",
            None,
            ('a,b;c"d', "203.0.113.9"),
            id="separators in quotes",
        ),
        pytest.param(
            'for=203.0.113.9;x="y", for=10.0.0.2', "203.0.113.9", None, ("203.0.113.9", "10.0.0.2"), id="extension"
        ),
        pytest.param(
            "for=203.0.113.9, for=unknown, for=10.0.0.2",
            "10.0.0.2",
            None,
            ("203.0.113.9", "unknown", "10.0.0.2"),
            id="unknown: the last good",
        ),
        pytest.param("for=_hidden", None, None, ("_hidden",), id="obfuscated"),
        pytest.param("for=203.0.113.9:80", None, None, ("203.0.113.9:80",), id="port not quoted"),
        pytest.param("for=[2001:db8::1]", None, None, ("[2001:db8::1]",), id="IPv6 not quoted"),
        pytest.param(
            "for=2001:db8::1, for=10.0.0.2", "10.0.0.2", None, (V6, "10.0.0.2"), id="not quoted: the last good"
        ),
        pytest.param("for=203.0.113.9, proto=https", None, None, ("203.0.113.9", ""), id="element without for"),
        pytest.param("for=", None, None, ("",), id="empty value"),
        pytest.param('for=""', None, None, ("",), id="empty quoted value"),
        pytest.param('for="203.0.113.9', None, None, ('for="203.0.113.9',), id="quote left open"),
        pytest.param(
            'for="x, for=203.0.113.9', None, None, ('for="x', "for=203.0.113.9"), id="quote left open by the client"
        ),
        pytest.param('for=203.0.113.9"', None, None, ('for=203.0.113.9"',), id="quote only closed"),
        pytest.param('for="203.0.113.9\\"', None, None, ('for="203.0.113.9\\"',), id="closing quote escaped"),
        pytest.param('for="203.0.113.9"x', None, None, ('for="203.0.113.9"x',), id="text after the quote"),
        pytest.param(
            "for=203.0.113.9;for=203.0.113.8", None, None, ("for=203.0.113.9;for=203.0.113.8",), id="for twice"
        ),
        pytest.param(
            "for=203.0.113.9;proto=http;Proto=https, for=10.0.0.2",
            None,
            None,
            ("for=203.0.113.9;proto=http;Proto=https", "for=10.0.0.2"),
            id="any parameter twice, in any element",
        ),
        pytest.param("203.0.113.9", None, None, ("203.0.113.9",), id="no name"),
        pytest.param("for =203.0.113.9", None, None, ("for =203.0.113.9",), id="space before the equals sign"),
        pytest.param('x="y, 203.0.113.9', None, None, ('x="y', "203.0.113.9"), id="an address in what is ignored"),
        pytest.param("", None, None, (), id="empty"),
        pytest.param("x=" + "y" * 9000, None, None, (), id="too long, one element"),
        pytest.param(",".join(["for=203.0.113.9"] * 1000), None, None, ("for=203.0.113.9",) * 32, id="too long"),
        pytest.param(",".join(["for=203.0.113.9"] * 40), "203.0.113.9", None, ("203.0.113.9",) * 32, id="40 elements"),
        pytest.param("for=203.0.113.9;", "203.0.113.9", None, ("203.0.113.9",), id="trailing semicolon"),
        pytest.param(" " * 8000 + "x", None, None, ("x",), id="8,000 spaces"),
    ],
)
def test_forwarded_is_read_as_rfc_7239_says(value, address, port, chain):
    found = forwarded(value)
    assert found[:4] == ((address, port, "forwarded", chain) if address else (PROXY, 4711, "peer", chain))


@pytest.mark.parametrize(
    ("value", "scheme", "host"),
    [
        pytest.param("for=203.0.113.9;proto=HTTPS;host=a.example", "https", "a.example", id="tokens"),
        pytest.param('for=203.0.113.9;host="a.example:8443"', None, "a.example:8443", id="host with port"),
        pytest.param('for=203.0.113.9;host="[2001:db8::1]:443"', None, "[2001:db8::1]:443", id="IPv6 host"),
        pytest.param("for=203.0.113.9;proto=http, for=10.0.0.2;proto=https", "http", None, id="the believed element"),
        pytest.param(
            "for=198.51.100.1;proto=gopher;host=evil, for=203.0.113.9", None, None, id="not the client's own element"
        ),
        pytest.param('for=203.0.113.9;proto="java script"', None, None, id="no scheme"),
        pytest.param("for=203.0.113.9;proto=1http", None, None, id="scheme starts with a digit"),
        pytest.param(f"for=203.0.113.9;proto={'h' * 33}", None, None, id="scheme too long"),
        pytest.param('for=203.0.113.9;host="<script>"', None, None, id="no host"),
        pytest.param('for=203.0.113.9;host="a@b"', None, None, id="user in the host"),
        pytest.param('for=203.0.113.9;host="a/b"', None, None, id="path in the host"),
        pytest.param("for=203.0.113.9;host=a.example:8443", None, None, id="port not quoted"),
        pytest.param("for=203.0.113.9;host=\ud800", None, None, id="lone surrogate"),
        pytest.param("proto=https;host=a.example", None, None, id="nobody is believed"),
    ],
)
def test_scheme_and_host_come_only_from_the_element_that_is_believed(value, scheme, host):
    found = forwarded(value)
    assert (found.scheme, found.host) == (scheme, host)


# --- construction ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        pytest.param({"trusted": ["*"]}, r"not '\*': .* left-most", id="everybody"),
        pytest.param({"trusted": ["10.0.0.1/8"]}, "not '10.0.0.1/8': .*host bits", id="host bits"),
        pytest.param({"trusted": ["10.0.0.0/33"]}, "such as '10.0.0.0/8'.* not '10.0.0.0/33'", id="prefix too long"),
        pytest.param({"trusted": ["proxy.example"]}, "not 'proxy.example'", id="name"),
        pytest.param({"trusted": [""]}, "not ''", id="empty"),
        pytest.param({"trusted": [5]}, "not '5'", id="number"),
        pytest.param({"trusted": "10.0.0.0/8"}, r"write \('10.0.0.0/8',\)", id="text in place of a sequence"),
        pytest.param(
            {"header": "x-client-ip"}, "x-forwarded-for, forwarded, x-real-ip, or None, not 'x-cl", id="header"
        ),
        pytest.param({"hops": 0}, "1 or more, not 0", id="no hops"),
        pytest.param({"hops": -1}, "1 or more, not -1", id="negative hops"),
        pytest.param({"hops": True}, "1 or more, not True", id="bool"),
        pytest.param({"hops": "2"}, "1 or more, not '2'", id="text"),
        pytest.param({"hops": 1, "header": "x-real-ip"}, "not with 'x-real-ip'", id="hops of one value"),
        pytest.param({"hops": 1, "header": None}, "not with None", id="hops of nothing"),
    ],
)
def test_a_wrong_option_is_refused_at_construction(options, message):
    with pytest.raises(ValueError, match=message):
        Proxies(**options)


def test_the_header_to_read_is_known():
    assert Proxies().header == "x-forwarded-for"
    assert Proxies(header=None).header is None


# --- bounds ---------------------------------------------------------------------------------------------------------


def test_what_is_remembered_is_bounded_in_number_and_length():
    calls = []
    memo = _Memo(lambda key: calls.append(key) or key.upper())
    for _ in range(2):
        assert memo["a"] == "A"
        assert memo["b" * 129] == "B" * 129
    assert calls == ["a", "b" * 129, "b" * 129]
    for number in range(10_000):
        assert memo[f"k{number}"] == f"K{number}"
        assert len(memo) <= 4096


def test_a_crowd_of_clients_is_forgotten_and_still_resolved():
    proxies = Proxies(TRUSTED)
    for number in range(5000):
        address = f"198.51.{number // 250}.{number % 250}"
        assert proxies.client(PROXY, None, address).address == address
    assert all(len(memo) <= 4096 for memo in vars(proxies).values() if isinstance(memo, _Memo))


# --- properties -----------------------------------------------------------------------------------------------------

addresses = st.ip_addresses().map(str)
fragments = st.sampled_from(
    [
        "for=",
        "For=",
        "proto=https",
        "host=a",
        '"',
        "\\",
        ";",
        ",",
        ", ",
        "unknown",
        "_x",
        "unix:",
        ":80",
        "[",
        "]",
        "%e",
        " ",
    ]
)
chains = st.lists(addresses | fragments | st.text(max_size=3), max_size=50).map("".join)


@settings(deadline=None)
@given(
    st.sampled_from([PROXY, "unix:", "203.0.113.9"]),
    chains | st.text(),
    st.sampled_from(["x-forwarded-for", "forwarded", "x-real-ip"]),
    st.integers(1, 5) | st.none(),
)
def test_client_never_raises_and_its_address_is_always_canonical(peer, value, header, hops):
    found = client(value, peer=peer, header=header, hops=None if header == "x-real-ip" else hops)
    assert is_canonical(found.address)
    assert found.port is None or 0 <= found.port <= 65535
    assert len(found.forwarded) <= 32
    assert all(len(text) <= 1024 and text.isascii() and (text.isprintable() or not text) for text in found.forwarded)
    if peer == "203.0.113.9":
        assert (found.address, found.origin) == (peer, "peer")


@settings(deadline=None)
@given(st.none() | st.text() | addresses | st.integers() | st.binary() | st.lists(st.none(), max_size=2))
def test_peer_address_never_raises_and_is_safe_and_stable(raw):
    address = peer_address(raw)
    assert 0 < len(address) <= 1024
    assert address.isascii()
    assert address.isprintable()
    assert peer_address(address) == address


@settings(deadline=None)
@given(st.ip_addresses(), st.integers(0, 65535))
def test_a_formatted_node_is_read_back(address, port):
    text = f"[{address}]:{port}" if address.version == 6 else f"{address}:{port}"
    for found in (client(text), forwarded(f'for="{text}"')):
        assert (found.address, found.port) == (peer_address(str(address)), port)


@settings(deadline=None)
@given(st.text(max_size=200), addresses)
def test_whatever_the_client_writes_the_address_that_the_proxy_appends_is_found(claim, address):
    assert client(f"{claim}, {address}", hops=1).address == peer_address(address)
