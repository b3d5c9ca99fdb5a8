"""Download of the open MIMIC-III demo: checked against the publisher's hashes, and resumable."""

import urllib.request
from collections.abc import Callable
from functools import partial
from pathlib import Path

from workflow_scripts.runtime.errors import UserError
from workflow_scripts.runtime.files import write_text
from workflow_scripts.runtime.hashing import file_hash
from workflow_scripts.sources.download import TIMEOUT_SECONDS, fetch_file, patiently, require_web_address
from workflow_scripts.sources.mimic_iii.tables import TABLES

DEMO_URL = "https://physionet.org/files/mimiciii-demo/1.4/"

_HASHES = "SHA256SUMS.txt"


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
    require_web_address("--base-url", base_url)
    base_url = base_url.rstrip("/") + "/"
    folder.mkdir(parents=True, exist_ok=True)
    sums = _read_hashes(base_url, pause_seconds)
    wanted = _wanted_files(base_url, sums)
    for name, digest in wanted.items():
        target = folder / name
        if target.is_file() and file_hash(target) == digest:
            report(f"{name}: is present")
            continue
        fetch_file(base_url + name, target, partial(_has_hash, digest), f"SHA-256 {digest}", pause_seconds)
        report(f"{name}: {target.stat().st_size:,} bytes")
    write_text(folder / _HASHES, sums)


def _has_hash(digest: str, path: Path) -> bool:
    return file_hash(path) == digest


def _read_hashes(base_url: str, pause_seconds: float) -> str:
    """Return the publisher's list of SHA-256 and file name."""

    def read() -> bytes:
        with urllib.request.urlopen(base_url + _HASHES, timeout=TIMEOUT_SECONDS) as response:
            return response.read()

    return patiently(read, base_url + _HASHES, pause_seconds).decode("utf-8", errors="replace")


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
