"""A PostgreSQL of the tests' own: Debian's programs, an empty folder, a port of its own, a password for everyone."""

import os
import pwd
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import mkdtemp

import psycopg
import pytest

PASSWORD = "not-a-secret-of-anybody"
DATABASE = "vitalora"


@dataclass(frozen=True)
class Postgres:
    """A running server.

    uri: its database's address, without password; passwords: the file that PostgreSQL's client reads it from.
    """

    uri: str
    passwords: Path
    programs: Path
    data: Path
    user: str | None

    def control(self, *arguments: str) -> None:
        """pg_ctl, as the user that owns the data: PostgreSQL refuses to run as root."""
        subprocess.run(
            [self.programs / "pg_ctl", "--pgdata", self.data, "--silent", "--wait", *arguments],
            check=True,
            user=self.user,
            cwd=self.data,
            stdout=subprocess.DEVNULL,
        )

    def crash(self) -> None:
        """End as after a power cut, and start again, which replays the log."""
        self.control("restart", "--mode", "immediate", "--log", str(self.data / "log"))

    def query(self, statement: str) -> list[tuple[object, ...]]:
        """Rows of a SQL query, without MLflow."""
        with psycopg.connect(self.uri, passfile=str(self.passwords)) as connection:
            return connection.execute(statement).fetchall()


@contextmanager
def postgres(port: int) -> Iterator[Postgres]:
    """A server for as long as the block lasts; the test is skipped where there is none to be had."""
    programs = _programs()
    user = _user()
    # Not pytest's folder, into which no other user may look.
    folder = Path(mkdtemp(prefix="vitalora-postgres-"))
    try:
        passwords = folder / "pgpass"
        passwords.write_text(f"127.0.0.1:{port}:*:owner:{PASSWORD}\n")
        passwords.chmod(0o600)
        (folder / "password").write_text(PASSWORD)
        data = folder / "data"
        data.mkdir(mode=0o700)
        if user:
            folder.chmod(0o711)
            for path in (data, folder / "password"):
                shutil.chown(path, user)
        uri = f"postgresql://owner@127.0.0.1:{port}/{DATABASE}"
        server = Postgres(uri, passwords, programs, data, user)
        initdb = [programs / "initdb", "--pgdata", data, "--username", "owner", "--auth", "scram-sha-256"]
        initdb += ["--pwfile", folder / "password", "--encoding", "UTF8", "--no-locale", "--no-sync"]
        subprocess.run(initdb, check=True, user=user, cwd=data, stdout=subprocess.DEVNULL)
        with (data / "postgresql.conf").open("a") as settings:
            settings.write(
                f"listen_addresses = '127.0.0.1'\nport = {port}\nunix_socket_directories = '{data}'\n"
            )
        server.control("start", "--log", str(data / "log"))
        try:
            maintenance = uri.removesuffix(DATABASE) + "postgres"
            with psycopg.connect(maintenance, passfile=str(passwords), autocommit=True) as connection:
                connection.execute(f"CREATE DATABASE {DATABASE}")
            yield server
        finally:
            server.control("stop", "--mode", "fast")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _programs() -> Path:
    """The folder of PostgreSQL's programs, which Debian keeps off the PATH."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    initdb = shutil.which("initdb")
    if initdb:
        found.append(Path(initdb).resolve())
    if not found:
        pytest.skip("PostgreSQL is not here: apt-get install postgresql")
    return found[-1].parent


def _user() -> str | None:
    """Whose server it is: root's may not be, another user's is his own."""
    if os.getuid():
        return None
    names = {entry.pw_name for entry in pwd.getpwall()}
    return next(name for name in ("postgres", "nobody") if name in names)
