"""Download of the open MIMIC-III demo: checked against the publisher's hashes, and resumable."""

import http.client
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from workflow_scripts.runtime.errors import UserError
from workflow_scripts.runtime.files import write_text
from workflow_scripts.runtime.hashing import file_hash
from workflow_scripts.sources.mimic_iii.tables import TABLES

DEMO_URL = "https://physionet.org/files/mimiciii-demo/1.4/"

_HASHES = "SHA256SUMS.txt"
_BLOCK_BYTES = 1 << 20
_TIMEOUT_SECONDS = 60
_ATTEMPTS = 5

Result = TypeVar("Result")


def fetch_demo(
    folder: Path,
    base_url: str = DEMO_URL,
    report: Callable[[str], None] = lambda _: None,
    pause_seconds: float = 2.0,
) -> None:
    """Download every table that the project reads; files that are present with the right hash stay.

    The list of hashes, SHA256SUMS.txt, is written last: where it is, every table is complete.
    A file grows as NAME.part and gets its name once its SHA-256 is right; a download that was cut continues.
    pause_seconds: wait before each new attempt. report: called with one line for each file.
    Raises UserError where the server cannot be reached, a file is missing, or a hash is wrong.
    """
    if not base_url.startswith(("http://", "https://")):
        raise UserError(
            "--base-url", base_url, "an address with http:// or https://", "give the demo's address"
        )
    base_url = base_url.rstrip("/") + "/"
    folder.mkdir(parents=True, exist_ok=True)
    sums = _read_hashes(base_url, pause_seconds)
    wanted = _wanted_files(base_url, sums)
    for name, digest in wanted.items():
        target = folder / name
        if target.is_file() and file_hash(target) == digest:
            report(f"{name}: is present")
            continue
        _fetch_file(base_url + name, target, digest, pause_seconds)
        report(f"{name}: {target.stat().st_size:,} bytes")
    write_text(folder / _HASHES, sums)


def _read_hashes(base_url: str, pause_seconds: float) -> str:
    """Return the publisher's list of SHA-256 and file name."""

    def read() -> bytes:
        with urllib.request.urlopen(base_url + _HASHES, timeout=_TIMEOUT_SECONDS) as response:
            return response.read()

    return _patiently(read, base_url + _HASHES, pause_seconds).decode("utf-8", errors="replace")


def _wanted_files(base_url: str, sums: str) -> dict[str, str]:
    """Return {file name: SHA-256} of the tables' files."""
    pairs = [line.split(maxsplit=1) for line in sums.splitlines()]
    hashes = {pair[1].strip().lstrip("*"): pair[0].lower() for pair in pairs if len(pair) == 2}
    by_lower = {name.lower(): name for name in hashes}
    found = {table: by_lower.get(f"{table}.csv") or by_lower.get(f"{table}.csv.gz") for table in TABLES}
    missing = [table.upper() for table, name in found.items() if name is None]
    if missing:
        raise UserError(
            base_url + _HASHES,
            f"no entry for {', '.join(missing)}",
            "one line with SHA-256 and name for each table, as TABLE.csv or TABLE.csv.gz",
            f"check the address; the published demo is at {DEMO_URL}",
        )
    return {name: hashes[name] for name in found.values() if name is not None}


def _fetch_file(url: str, target: Path, digest: str, pause_seconds: float) -> None:
    part = target.with_name(target.name + ".part")
    continued = part.exists()
    _patiently(lambda: _continue_part(url, part), url, pause_seconds)
    if file_hash(part) != digest and continued:
        # What was present may be of another version of the file: once more from the start.
        part.unlink()
        _patiently(lambda: _continue_part(url, part), url, pause_seconds)
    if file_hash(part) != digest:
        part.unlink()
        raise UserError(
            url,
            "content whose SHA-256 is not the published one",
            f"SHA-256 {digest}",
            "try again later; if it stays, the file on the server or a proxy's copy of it is damaged",
        )
    part.replace(target)


def _continue_part(url: str, part: Path) -> None:
    """Append what is missing; an interrupted transfer raises and leaves what has arrived."""
    have = part.stat().st_size if part.exists() else 0
    request = urllib.request.Request(url, headers={"Range": f"bytes={have}-"} if have else {})
    try:
        response = urllib.request.urlopen(request, timeout=_TIMEOUT_SECONDS)
    except urllib.error.HTTPError as error:
        if error.code == http.client.REQUESTED_RANGE_NOT_SATISFIABLE:
            return  # Nothing follows what is present; the hash tells whether it is right.
        raise
    with response:
        appended = response.status == http.client.PARTIAL_CONTENT and response.headers.get(
            "Content-Range", ""
        ).startswith(f"bytes {have}-")
        with part.open("ab" if appended else "wb") as stream:
            while block := response.read(_BLOCK_BYTES):
                stream.write(block)
        # Reading in blocks does not notice a connection that ends early.
        if response.length:
            raise http.client.IncompleteRead(b"", response.length)


def _patiently(action: Callable[[], Result], url: str, pause_seconds: float) -> Result:
    """Run an action that uses the network, up to five times; turn the last failure into a UserError."""
    found = ""
    for attempt in range(_ATTEMPTS):
        if attempt:
            time.sleep(pause_seconds)
        try:
            return action()
        except urllib.error.HTTPError as error:
            found = f"HTTP status {error.code}"
            if error.code in (403, 404, 410):
                break
        except (OSError, http.client.HTTPException) as error:
            reason = getattr(error, "reason", None) or str(error) or type(error).__name__
            found = f"the transfer failed: {reason}"
    raise UserError(
        url,
        found,
        "an answer with the file",
        "check the network connection and the address; a later run continues where this one ended",
    )
