"""MLflow's server for several machines."""

import configparser
import shlex
from ipaddress import ip_address
from pathlib import Path
from secrets import token_urlsafe
from typing import Annotated
from urllib.parse import urlsplit

from typer import Option

from workflow_scripts.runtime.errors import UserError
from workflow_scripts.runtime.parameters import holds_password
from workflow_scripts.runtime.step import run_step
from workflow_scripts.tracking.client import short
from workflow_scripts.tracking.server import become_server

ADMINISTRATOR = "admin"
CONNECTIONS_PER_WORKER = 5
"""Of each of MLflow's stores; PostgreSQL takes 100 altogether unless told otherwise."""

SIGN_IN = {
    # Who has an account may read and correct all runs; accounts are made by the administrator alone.
    "default_permission": "MANAGE",
    "admin_username": ADMINISTRATOR,
    "authorization_function": "mlflow.server.auth:authenticate_request_basic_auth",
    # Hashing a password takes longer than the request itself; a removed account is refused a minute later.
    "auth_cache_ttl_seconds": "60",
}


def serve_tracking(
    database: Annotated[
        str,
        Option(
            help="PostgreSQL's address, without password; by default on this machine, as the user of this system"
        ),
    ] = "postgresql:///vitalora",
    folder: Annotated[Path, Option(help="folder for artifacts and secrets, away from the project")] = Path(
        "~/.local/share/vitalora/tracking"
    ),
    host: Annotated[str, Option(help="address to listen on")] = "127.0.0.1",
    port: Annotated[int, Option(help="port")] = 5000,
    workers: Annotated[int, Option(help="server processes")] = 2,
    certificate: Annotated[
        Path | None, Option(help="certificate (PEM) of an address other machines reach")
    ] = None,
    key: Annotated[Path | None, Option(help="the certificate's private key (PEM)")] = None,
) -> None:
    """Serve MLflow to several machines: runs in PostgreSQL, artifacts in a folder, nobody without a password.

    The server listens on this machine only; on another address it needs a certificate. The first start makes the
    administrator's password and writes it to the folder's file `credentials`, in the form that MLflow's client reads
    as ~/.mlflow/credentials. PostgreSQL's client reads its own password from ~/.pgpass or PGPASSFILE.

    Example:
        python -m workflow_scripts.steps.serve_tracking --database postgresql:///vitalora
    """
    address = database_address(database)
    encryption = encryption_options(host, certificate, key)
    _require_database(database)
    folder = folder.expanduser()
    environment = {
        **secrets_of(folder),
        "MLFLOW_AUTH_CONFIG_PATH": str(_write_sign_in(folder, address)),
        "MLFLOW_SQLALCHEMYSTORE_POOL_SIZE": str(CONNECTIONS_PER_WORKER),
        "MLFLOW_SQLALCHEMYSTORE_MAX_OVERFLOW": str(CONNECTIONS_PER_WORKER),
    }
    print(f"the administrator's name and password: {folder / 'credentials'}", flush=True)
    become_server(
        [
            *("--app-name", "basic-auth", "--backend-store-uri", address),
            *("--artifacts-destination", str(folder / "artifacts")),
            *("--host", host, "--port", str(port), "--workers", str(workers)),
            *encryption,
        ],
        environment,
    )


def database_address(uri: str) -> str:
    """PostgreSQL's address with the driver that is pinned. Raises UserError for another kind, or with a password."""
    kind, found, rest = uri.partition("://")
    if holds_password(uri) or not found or kind.partition("+")[0] != "postgresql":
        raise UserError(
            "--database",
            "a password" if holds_password(uri) else f"an address of the kind {kind!r}",
            "postgresql://user@host/database without password",
            "write the password to ~/.pgpass (mode 600: host:port:database:user:password); leave it out here",
        )
    return f"postgresql+psycopg://{rest}"


def encryption_options(host: str, certificate: Path | None, key: Path | None) -> list[str]:
    """Options for HTTPS. Raises UserError where passwords would cross a network as plain text."""
    if certificate and key:
        names = shlex.join(
            ["--ssl-certfile", str(certificate.resolve()), "--ssl-keyfile", str(key.resolve())]
        )
        return ["--uvicorn-opts", names]
    if host == "localhost" or _is_loopback(host):
        return []
    raise UserError(
        f"--host {host}",
        "an address that other machines reach, without --certificate and --key",
        "HTTPS: passwords and runs would cross the network as plain text",
        "give a certificate and its key, or stay on 127.0.0.1 behind an SSH tunnel or a proxy with HTTPS",
    )


def secrets_of(folder: Path) -> dict[str, str]:
    """The server's secrets as MLflow's variables, made at the first start in files for their owner only."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    credentials, key = folder / "credentials", folder / "session-key"
    _create(
        credentials,
        "[mlflow]\n"
        f"mlflow_tracking_username = {ADMINISTRATOR}\n"
        f"mlflow_tracking_password = {token_urlsafe(24)}\n",
    )
    _create(key, token_urlsafe(32))
    parser = configparser.ConfigParser(interpolation=None)
    parser.read(credentials)
    return {
        "MLFLOW_AUTH_ADMIN_PASSWORD": parser["mlflow"]["mlflow_tracking_password"],
        "MLFLOW_FLASK_SERVER_SECRET_KEY": key.read_text().strip(),
    }


def _create(path: Path, text: str) -> None:
    """Write a file that nobody else can read, unless it is there. Raises UserError where others can read it."""
    if not path.exists():
        path.touch(mode=0o600, exist_ok=False)
        path.write_text(text)
    if path.stat().st_mode & 0o077:
        raise UserError(
            str(path), "a secret that others can read", "a file for its owner only", f"chmod 600 {path}"
        )


def _write_sign_in(folder: Path, database: str) -> Path:
    """MLflow's settings of accounts, which lie in the same database; they hold no secret."""
    settings = configparser.ConfigParser(interpolation=None)
    settings["mlflow"] = {**SIGN_IN, "database_uri": database.replace("%", "%%")}
    path = folder / "basic_auth.ini"
    with path.open("w", encoding="utf-8") as file:
        settings.write(file)
    return path


def _require_database(uri: str) -> None:
    """Say at once what MLflow would say after many attempts: that PostgreSQL does not let us in."""
    import psycopg

    try:
        psycopg.connect(f"postgresql://{uri.partition('://')[2]}", connect_timeout=10).close()
    except psycopg.Error as error:
        raise UserError(
            f"database {urlsplit(uri).path.lstrip('/')}",
            short(error),
            "a PostgreSQL server that lets this user in, and a database of this name",
            "start PostgreSQL, create the database (createdb), or mend the address (docs/tracking-server.md)",
        ) from None


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


if __name__ == "__main__":
    run_step(serve_tracking)
