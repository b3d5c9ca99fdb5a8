"""Downloads that are continued where they broke and checked before a file gets its name."""

import http.client
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from workflow_scripts.runtime.errors import UserError

TIMEOUT_SECONDS = 60

_BLOCK_BYTES = 1 << 20
_ATTEMPTS = 5

Result = TypeVar("Result")


def require_web_address(option: str, url: str) -> None:
    """Raise UserError for an address of another kind than http and https."""
    if not url.startswith(("http://", "https://")):
        raise UserError(option, url, "an address with http:// or https://", "give the publisher's address")


def fetch_file(
    url: str, target: Path, is_right: Callable[[Path], bool], expected: str, pause_seconds: float
) -> None:
    """Download a file as <name>.part, which gets its name once its content is right.

    is_right: whether the content is the published one; expected: what it should be, in words.
    pause_seconds: wait before each new attempt.
    Raises UserError where the server cannot be reached, the file is missing, or its content is wrong.
    """
    part = target.with_name(target.name + ".part")
    continued = part.exists()
    patiently(lambda: _continue_part(url, part), url, pause_seconds)
    if continued and not is_right(part):
        # What was present may be of another version of the file: once more from the start.
        part.unlink()
        patiently(lambda: _continue_part(url, part), url, pause_seconds)
    if not is_right(part):
        part.unlink()
        raise UserError(
            url,
            "content whose SHA-256 is not the published one",
            expected,
            "try again later; if it stays, the file on the server or a proxy's copy of it is damaged",
        )
    part.replace(target)


def _continue_part(url: str, part: Path) -> None:
    """Append what is missing; an interrupted transfer raises and leaves what has arrived."""
    have = part.stat().st_size if part.exists() else 0
    request = urllib.request.Request(url, headers={"Range": f"bytes={have}-"} if have else {})
    try:
        response = urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS)
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


def patiently(action: Callable[[], Result], url: str, pause_seconds: float) -> Result:
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
