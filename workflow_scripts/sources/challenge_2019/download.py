"""Download of the Challenge 2019: one archive, checked by the content of its records."""

import hashlib
from collections.abc import Mapping
from pathlib import Path

from workflow_scripts.runtime.errors import UserError
from workflow_scripts.sources.challenge_2019.records import FIRST_OF_HOSPITAL_B, open_records, record_name
from workflow_scripts.sources.download import fetch_file, require_web_address

URL = "https://physionet.org/content/challenge-2019/get-zip/1.0.0/"
ARCHIVE = "challenge-2019-1.0.0.zip"

FINGERPRINTS = {
    "A": "ad23f06c4580a873871f08f635a8f02a52e538089b1dc352f576be41d949fc70",
    "B": "6ae3634d90dd3003e5c3c761d24b75afe11d3741e7803ffd1ebfe6b886869da1",
}
"""Of each hospital's records in version 1.0.0, as `fingerprints` gives them. The publisher's SHA256SUMS.txt lacks them;
others who have the data published these."""


def fetch_challenge(
    folder: Path,
    url: str = URL,
    expected: Mapping[str, str] = FINGERPRINTS,
    pause_seconds: float = 2.0,
) -> bool:
    """Download the archive into a folder, unless it is there and right; return whether it was downloaded.

    It grows as <name>.part and gets its name once its records are the expected ones; a download that was cut continues.
    pause_seconds: wait before each new attempt. Raises UserError as download.fetch_file.
    """
    require_web_address("--url", url)
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / ARCHIVE

    def is_right(path: Path) -> bool:
        try:
            return fingerprints(path) == expected
        except UserError:  # It is cut, damaged, or holds no records.
            return False

    if target.is_file() and is_right(target):
        return False
    words = f"the records of version 1.0.0 (SHA-256 over names and hashes: {', '.join(expected.values())})"
    fetch_file(url, target, is_right, words, pause_seconds)
    return True


def fingerprints(raw: Path) -> dict[str, str]:
    """Return for each hospital the SHA-256 over `name NUL hex-SHA-256 LF` of its records in the order of their names.

    Raises UserError as records.open_records.
    """
    digests = {"A": hashlib.sha256(), "B": hashlib.sha256()}
    with open_records(raw) as records:
        for record in records:
            line = f"{record_name(record.number)}.psv\0{hashlib.sha256(record.read()).hexdigest()}\n"
            digests["B" if record.number >= FIRST_OF_HOSPITAL_B else "A"].update(line.encode())
    return {hospital: digest.hexdigest() for hospital, digest in digests.items()}
