"""What an operator may give wrong to `auditmw ship`: a clear error, nothing lost, and all is there once it is mended.

Against a real PostgreSQL, as the one target that can be wrong in each of these ways; what every target makes of wrong
credentials and certificates stands in its own test file.
"""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from click.testing import CliRunner

from auditmw.cli.program import program
from auditmw.journal import journal_files
from certificates import Certificates
from journal_tools import needs_root
from postgres_server import postgres
from servers import HOST
from ship_conformance import body, ident, write_events

pytestmark = [pytest.mark.needs("postgres", "psycopg", "openssl")]

HBA = "hostssl all secret all scram-sha-256\nhost all secret all scram-sha-256\n"
NAME = "target"
numbers = itertools.count(1)


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    return Certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="module")
def server(certificates):
    with postgres(hba=HBA, certificates=certificates) as started:
        started.execute("CREATE ROLE secret LOGIN PASSWORD 'hunter2' SUPERUSER")
        yield started


@dataclass
class Deployment:
    """An audit directory with one event that is shipped, and one that is not."""

    directory: Path
    server: object
    certificates: Certificates
    schema: str = field(default_factory=lambda: f"bad_{next(numbers)}")

    def url(self, **options):
        return self.server.url(schema=self.schema, **options)

    def arguments(self, url):
        return ["ship", str(self.directory), "--to", url, "--name", NAME, "--once"]

    def ship(self, url):
        done = CliRunner().invoke(program, self.arguments(url))
        return done.exit_code, done.output

    def rows(self):
        return [ident for (ident,) in self.server.execute(f"SELECT id FROM {self.schema}.events ORDER BY id")]


@pytest.fixture
def deployment(tmp_path, server, certificates):
    made = Deployment(tmp_path / "audit", server, certificates)
    made.directory.mkdir()
    write_events(made.directory, [body(1)])
    assert made.ship(made.url())[0] == 0
    write_events(made.directory, [body(2)])
    return made


def wrong_scheme(deployment):
    return deployment.ship("postgrse://db.example/audit"), lambda: None


def missing_extra(deployment):
    script = "import sys; sys.modules['psycopg'] = None\nfrom auditmw.cli import main\nsys.exit(main())"
    command = [sys.executable, "-c", script, *deployment.arguments(deployment.url())]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    return (done.returncode, done.stdout + done.stderr), lambda: None


def wrong_password(deployment):
    port = deployment.server.port
    url = f"postgresql://secret:guessed@{HOST}:{port}/postgres?schema={deployment.schema}"
    return deployment.ship(url), lambda: None


def wrong_authority(deployment):
    folder = deployment.directory.parent / "stranger"
    folder.mkdir()
    stranger = Certificates(folder)
    done = deployment.ship(deployment.url(sslmode="verify-ca", sslrootcert=str(stranger.path("ca.pem"))))
    return done, lambda: None


def newer_schema(deployment):
    table = f"{deployment.schema}.schema_versions"
    deployment.server.execute(f"INSERT INTO {table} (version) VALUES (999)")
    mend = lambda: deployment.server.execute(f"DELETE FROM {table} WHERE version = 999")  # noqa: E731
    return deployment.ship(deployment.url()), mend


def another_journal(deployment):
    path = deployment.directory / "ship" / "journal-id"
    right = path.read_text()
    path.write_text("0123456789abcdef0123456789abcdef\n")
    return deployment.ship(deployment.url()), lambda: path.write_text(right)


def read_only_cursors(deployment):
    folder = deployment.directory / "ship"
    subprocess.run(["mount", "--bind", folder, folder], check=True)
    subprocess.run(["mount", "-o", "remount,ro,bind", folder], check=True)
    try:
        return deployment.ship(deployment.url()), lambda: None
    finally:
        subprocess.run(["umount", folder], check=True)


@pytest.mark.parametrize(
    ("break_it", "code", "says"),
    [
        pytest.param(wrong_scheme, 2, "expected one of stdout:, file:, postgresql:,", id="wrong scheme"),
        pytest.param(missing_extra, 2, "postgresql: needs psycopg, which is not installed: pip install", id="no extra"),
        pytest.param(wrong_password, 3, "password authentication failed", id="wrong password"),
        pytest.param(wrong_authority, 3, "certificate verify failed", id="wrong authority"),
        pytest.param(newer_schema, 3, "a later auditmw made them. Upgrade this one", id="newer schema"),
        pytest.param(another_journal, 3, "expected the cursor of this journal", id="cursor of another journal"),
        pytest.param(read_only_cursors, 3, "Read-only file system", id="read-only cursors", marks=needs_root),
    ],
)
def test_bad_input_is_told_clearly_and_loses_nothing(deployment, break_it, code, says):
    before = {file: file.read_bytes() for file in journal_files(deployment.directory)}
    cursor = deployment.directory / "ship" / NAME / "cursor.json"
    position = cursor.read_bytes()
    (exit_code, output), mend = break_it(deployment)
    assert (exit_code, says in " ".join(output.split())) == (code, True), output
    assert "Traceback" not in output
    assert "guessed" not in output
    assert {file: file.read_bytes() for file in journal_files(deployment.directory)} == before
    assert os.path.exists(cursor)
    assert b'"shipped":1}' in position
    assert b'"shipped":1}' in cursor.read_bytes()
    mend()
    assert deployment.rows() == [ident(1)]
    assert deployment.ship(deployment.url())[0] == 0
    assert deployment.rows() == [ident(1), ident(2)]


def test_a_password_in_the_environment_lets_in_and_is_nowhere_to_be_seen(deployment):
    url = f"postgresql://secret@{HOST}:{deployment.server.port}/postgres?schema={deployment.schema}"
    reconcile = ["reconcile", str(deployment.directory), url, "--name", NAME]
    refused = CliRunner(env={"PGPASSWORD": "guessed"}).invoke(program, reconcile)
    cli = CliRunner(env={"PGPASSWORD": "hunter2"})
    status = ["ship", str(deployment.directory), "--status"]
    done = [cli.invoke(program, arguments) for arguments in (deployment.arguments(url), reconcile, status)]
    assert (refused.exit_code, [each.exit_code for each in done]) == (3, [0, 0, 0])
    assert deployment.rows() == [ident(1), ident(2)]
    folder = deployment.directory / "ship"
    written = b"".join(file.read_bytes() for file in folder.rglob("*") if file.is_file()).decode()
    for said in (refused.output, *(each.output for each in done), written):
        assert "hunter2" not in said
        assert "guessed" not in said
