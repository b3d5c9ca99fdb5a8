"""Becomes `mlflow server` for several machines: runs in PostgreSQL, artifacts in a folder, accounts with passwords."""

import configparser
import io
import os
import shlex
import sys
from pathlib import Path
from secrets import token_urlsafe
from typing import Annotated
from urllib.parse import urlsplit

from typer import Option

from workflow_scripts.runtime.errors import UserError
from workflow_scripts.runtime.files import MADE_BY, require_own_file, write_text
from workflow_scripts.runtime.parameters import holds_password
from workflow_scripts.runtime.step import run_step
from workflow_scripts.tracking.store import ENVIRONMENT, short

ACCOUNTS = "accounts.ini"
ADMINISTRATOR = "admin"
THIS_MACHINE = ("127.0.0.1", "::1", "localhost")


def serve_tracking(
    database: Annotated[
        str,
        Option(
            help="PostgreSQL's address, without password; by default on this machine, as this system's user"
        ),
    ] = "postgresql:///vitalora",
    folder: Annotated[
        Path,
        Option(help="folder to write into, outside the project: artifacts and the administrator's password"),
    ] = Path("~/.local/share/vitalora/tracking"),
    host: Annotated[str, Option(help="address to listen on")] = "127.0.0.1",
    port: Annotated[int, Option(help="port")] = 5000,
    workers: Annotated[int, Option(help="server processes")] = 2,
    certificate: Annotated[
        Path | None, Option(help="certificate (PEM) of an address that other machines reach")
    ] = None,
    key: Annotated[Path | None, Option(help="the certificate's private key (PEM)")] = None,
) -> None:
    """Serve MLflow to several machines: runs in PostgreSQL, artifacts in a folder, accounts with passwords.

    The server listens on this machine only; another address needs a certificate. The administrator's password is made
    at the first start, in the folder's file `credentials`, which has the form of ~/.mlflow/credentials. PostgreSQL's
    own password is read by its client from ~/.pgpass or PGPASSFILE.

    Example:
        python -m workflow_scripts.steps.serve_tracking --database postgresql:///vitalora
    """
    folder = folder.expanduser()
    require_own_file(folder / ACCOUNTS)
    address = database_address(database)
    encryption = encryption_options(host, certificate, key)
    _require_database(database)
    password = administrator_password(folder)
    os.environ |= ENVIRONMENT | {
        "MLFLOW_AUTH_ADMIN_PASSWORD": password,
        "MLFLOW_AUTH_CONFIG_PATH": str(_write_accounts(folder, address)),
        "MLFLOW_FLASK_SERVER_SECRET_KEY": token_urlsafe(32),
    }
    print(f"the administrator's name and password: {folder / 'credentials'}", flush=True)
    options = ["--app-name", "basic-auth", "--backend-store-uri", address]
    options += ["--artifacts-destination", str(folder / "artifacts")]
    options += ["--host", host, "--port", str(port), "--workers", str(workers)]
    os.execv(sys.executable, [sys.executable, "-m", "mlflow", "server", *options, *encryption])


def database_address(uri: str) -> str:
    """PostgreSQL's address with the driver that is pinned. Raises UserError for another kind, or with a password."""
    kind, found, rest = uri.partition("://")
    if holds_password(uri) or not found or kind.partition("+")[0] != "postgresql":
        raise UserError(
            where="--database",
            found="a password" if holds_password(uri) else f"an address of the kind {kind!r}",
            expected="postgresql://user@host/database without password",
            remedy="write the password to ~/.pgpass (mode 600: host:port:database:user:password); leave it out here",
        )
    return f"postgresql+psycopg://{rest}"


def encryption_options(host: str, certificate: Path | None, key: Path | None) -> list[str]:
    """Options for HTTPS. Raises UserError where passwords would cross a network as plain text."""
    if certificate and key:
        files = ["--ssl-certfile", str(certificate.resolve()), "--ssl-keyfile", str(key.resolve())]
        return ["--uvicorn-opts", shlex.join(files)]
    if host in THIS_MACHINE:
        return []
    raise UserError(
        where=f"--host {host}",
        found="an address that other machines reach, without --certificate and --key",
        expected="HTTPS: passwords and runs would cross the network as plain text",
        remedy="give a certificate and its key, or stay on 127.0.0.1 behind an SSH tunnel or a proxy with HTTPS",
    )


def administrator_password(folder: Path) -> str:
    """The administrator's password, made at the first start in a file that only its owner can read.

    Raises UserError where others can read the file.
    """
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    path = folder / "credentials"
    if not path.exists():
        path.touch(mode=0o600)
        text = f"mlflow_tracking_username = {ADMINISTRATOR}\nmlflow_tracking_password = {token_urlsafe(24)}\n"
        path.write_text(f"[mlflow]\n{text}")
    if path.stat().st_mode & 0o077:
        raise UserError(
            where=str(path),
            found="a password that others can read",
            expected="a file for its owner only",
            remedy=f"chmod 600 {path}",
        )
    parser = configparser.ConfigParser(interpolation=None)
    parser.read(path)
    return parser["mlflow"]["mlflow_tracking_password"]


def _write_accounts(folder: Path, database: str) -> Path:
    """MLflow's settings of accounts, which are kept in the same database. They hold no password."""
    settings = configparser.ConfigParser()
    settings["mlflow"] = {
        # Who has an account may read and correct all runs; only the administrator makes accounts.
        "default_permission": "MANAGE",
        "admin_username": ADMINISTRATOR,
        "database_uri": database.replace("%", "%%"),
        # Hashing a password takes longer than the request itself; a removed account is refused a minute later.
        "auth_cache_ttl_seconds": "60",
    }
    text = io.StringIO(f"# {MADE_BY}\n")
    text.seek(0, io.SEEK_END)
    settings.write(text)
    write_text(folder / ACCOUNTS, text.getvalue())
    return folder / ACCOUNTS


def _require_database(uri: str) -> None:
    """Say at once what MLflow would say after many attempts: that PostgreSQL refuses the connection."""
    import psycopg

    try:
        psycopg.connect(f"postgresql://{uri.partition('://')[2]}", connect_timeout=10).close()
    except psycopg.Error as error:
        raise UserError(
            where=f"database {urlsplit(uri).path.lstrip('/')}",
            found=short(error),
            expected="a PostgreSQL server that accepts this user, and a database of this name",
            remedy="start PostgreSQL, create the database (createdb), or correct the address (docs/tracking-server.md)",
        ) from None


if __name__ == "__main__":
    run_step(serve_tracking)
