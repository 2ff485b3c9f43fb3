"""The conformance suite over the targets that need no server, and the way from a URL to a target."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import metadata
from pathlib import Path

import pytest

from auditmw.parsing import parse_event
from auditmw.ship.address import Address, AddressError
from auditmw.ship.shipper import Shipper
from auditmw.ship.target import Target
from auditmw.ship.targets import KINDS, target_for
from ship_conformance import Place, ShipConformance, body, write_events
from ship_places import KeepingPlace, MemoryPlace


class TestMemory(ShipConformance):
    @pytest.fixture
    def place(self):
        return MemoryPlace()


class TestMemoryThatKeepsTheCursor(ShipConformance):
    @pytest.fixture
    def place(self):
        return KeepingPlace()


class TestSmallMemory(ShipConformance):
    @pytest.fixture
    def place(self):
        return MemoryPlace(limit=7)


class TestSmallMemoryThatKeepsTheCursor(ShipConformance):
    @pytest.fixture
    def place(self):
        return KeepingPlace(limit=7)


class FilePlace(Place):
    def __init__(self, folder: Path) -> None:
        self.path = folder / "out" / "events.ndjson"
        self.up()

    def target(self) -> Target:
        return target_for(f"file://{self.path}")

    def rows(self):
        if not self.path.exists():
            return []
        rows = self.path.read_bytes().split(b"\n")[:-1]
        return [(parse_event(row).get("id"), row) for row in rows]

    def down(self):
        self.path.parent.rename(self.path.parent.with_name("away"))

    def up(self):
        away = self.path.parent.with_name("away")
        if away.exists():
            away.rename(self.path.parent)
        self.path.parent.mkdir(exist_ok=True)


class TestFile(ShipConformance):
    @pytest.fixture
    def place(self, tmp_path):
        return FilePlace(tmp_path)


def test_an_unknown_scheme_is_answered_with_the_known_ones():
    with pytest.raises(AddressError, match=r"expected one of stdout:, .*not 'gopher'"):
        target_for("gopher://host/1")


@pytest.mark.parametrize("url", ["", "postgresql", "/var/log", "host:port/x y"])
def test_what_is_no_url_is_refused(url):
    with pytest.raises(AddressError):
        target_for(url)


def test_an_unknown_option_is_answered_with_the_known_ones():
    with pytest.raises(AddressError, match="stdout:// has no option 'timeuot'; it has: timeout"):
        target_for("stdout:?timeuot=3")


def test_an_option_that_is_asked_for_twice_is_known_once():
    address = Address("clickhouse://h/db?tabel=x")
    assert [address.flag("gzip", True), address.flag("gzip", False)] == [True, False]
    with pytest.raises(AddressError, match=r"it has: gzip$"):
        address.done()


def test_the_shown_url_and_the_name_have_no_secrets():
    address = Address("postgresql://shop:hunter2@db.example:5432/audit?sslmode=require&api_token=t0p")
    assert address.shown == "postgresql://shop:***@db.example:5432/audit?sslmode=require&api_token=***"
    assert address.name.startswith("postgresql-db.example-5432-audit-")
    assert address.name == Address(address.url.replace("hunter2", "other").replace("t0p", "new")).name
    assert address.name == Address(address.url.replace(":hunter2", "")).name  # which is in the environment then
    assert address.name != Address(address.url.replace("require", "disable")).name


@pytest.mark.parametrize(
    ("url", "known", "expected"),
    [
        ("clickhouse://h/db", {"USER": "env", "PASSWORD": "e"}, ("env", "e")),
        ("clickhouses://shop@h/db", {"USER": "env", "PASSWORD": "e"}, ("shop", "e")),
        ("clickhouse://shop:u@h/db", {"USER": "env", "PASSWORD": "e"}, ("shop", "u")),
        ("clickhouse://h/db", {"PASSWORD": "e"}, ("default", "e")),
        ("clickhouse://:u@h/db", {}, ("default", "u")),
        ("clickhouse://h/db", {"USER": "", "PASSWORD": ""}, (None, None)),
        ("clickhouse://h/db?token_file=/t", {"USER": "env", "PASSWORD": "e"}, (None, None)),
        ("https://h/db", {"USER": "env", "PASSWORD": "e"}, (None, None)),
    ],
    ids=["both", "the user is there", "all is there", "no user", "a password alone", "empty", "a token", "of another"],
)
def test_who_we_are_to_clickhouse_comes_from_the_environment_where_the_url_does_not_say_it(
    monkeypatch, url, known, expected
):
    for name, value in known.items():
        monkeypatch.setenv(f"CLICKHOUSE_{name}", value)
    address = Address(url)
    assert (address.user, address.password) == expected
    assert address.shown == Address(url).shown.replace(":u@", ":***@")


def test_an_alias_of_a_scheme_is_the_same_target():
    pytest.importorskip("psycopg")
    one, other = Address("postgres://shop:a@db/audit?schema=x"), Address("postgresql://shop:b@db/audit?schema=x")
    assert (one.name, one.shown, one.scheme) == (other.name, other.shown, other.scheme)
    assert type(target_for("postgres://shop@db/audit")) is type(target_for("postgresql://shop@db/audit"))


WITHOUT_EXTRAS = """
import sys
for name in {packages}:
    sys.modules[name] = None
from auditmw.ship.targets import KINDS, MissingExtraError, target_for
for scheme, kind in KINDS.items():
    try:
        target_for(f"{{scheme}}://host/place")
    except MissingExtraError as error:
        print(scheme, error)
    except ValueError:  # a host where there is none; it was loaded
        pass
"""
PACKAGES = ("psycopg", "redis", "nats", "confluent_kafka", "opentelemetry", "google", "grpc")


def test_every_target_that_misses_its_package_names_the_extra_that_brings_it():
    script = WITHOUT_EXTRAS.format(packages=PACKAGES)
    said = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    told = dict(line.split(" ", 1) for line in said.splitlines())
    assert set(told) == {scheme for scheme, kind in KINDS.items() if kind.extra}
    known = metadata("auditmw").get_all("Provides-Extra")
    for scheme, sentence in told.items():
        extra = KINDS[scheme].extra
        assert sentence.endswith(f", which is not installed: pip install 'auditmw[{extra}]'"), sentence
        assert extra in known


@pytest.mark.parametrize("url", ["file:///tmp/x.ndjson", "file:/tmp/x.ndjson", "FILE:///tmp/x.ndjson"])
def test_the_path_of_a_file_is_absolute_however_that_is_written(url):
    target_for(url).close()


def test_a_plus_in_an_option_is_a_plus():
    assert Address("https://a/?ca=/etc/a+b.pem&label=x%20y").options == {"ca": "/etc/a+b.pem", "label": "x y"}


def test_an_address_has_its_parts():
    address = Address("nats://me:p%40ss@a:4222,[::1]:4223,c/stream?replicas=3")
    assert address.hosts == [("a", 4222), ("::1", 4223), ("c", None)]
    assert (address.scheme, address.user, address.password, address.path) == ("nats", "me", "p@ss", "stream")
    assert (address.host, address.port) == ("a", 4222)
    assert address.whole("replicas", 1) == 3
    address.done()


def test_what_is_torn_in_the_file_costs_no_other_line(tmp_path):
    place = FilePlace(tmp_path)
    place.path.write_bytes(b'{"torn')
    write_events(tmp_path, [body(1)])
    assert Shipper(tmp_path, place.target(), name="file").run_once()
    assert place.path.read_bytes() == b'{"torn\n' + body(1) + b"\n"
