"""What files hold, told by SHA-256. A large file is read whole again only where something of it may have changed."""

import hashlib
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from workflow_scripts.runtime.files import read_json, write_json_if_changed
from workflow_scripts.runtime.hashing import file_hash
from workflow_scripts.runtime.progress import progress

REMEMBERED = Path("data/settings/content_hashes.json")
"""Where the workflow remembers the hashes of large files: of this machine, so neither in git nor in DVC."""

_SAMPLE_BYTES = 64 * 1024
_SETTLED_SECONDS = 2.0
"""A file that was changed this recently may be changed again without a change of its times."""


def content_hashes(files: Iterable[Path], memory: Path | None = None) -> dict[Path, str]:
    """Return the SHA-256 of the content of every file.

    memory: a JSON file of hashes found before. That of a large file is taken from there where path, size, times, inode
    and both ends of the file are as they were; any difference has the file read whole again. Without a memory every
    file is read whole. Links count as what they point to.
    """
    known = _recall(memory) if memory else {}
    hashes, large = {}, {}
    for path in files:
        if path.stat().st_size <= 2 * _SAMPLE_BYTES:
            hashes[path] = file_hash(path)
            continue
        marks = _marks(path)
        entry = known.get(str(path.resolve()))
        if entry and entry["marks"] == marks:
            hashes[path] = entry["sha256"]
        else:
            large[path] = marks
    for path in progress(large, "Read files from outside", unit="file") if large else ():
        hashes[path] = file_hash(path)
        # What was changed while it was read is read again next time.
        if _marks(path) == large[path] and _is_settled(path):
            known[str(path.resolve())] = {"marks": large[path], "sha256": hashes[path]}
    if memory and large:
        with suppress(OSError):  # Only speed is lost.
            write_json_if_changed(memory, known)
    return hashes


def fingerprint(hashes: Mapping[str, str]) -> str:
    """Return one SHA-256 for several files. hashes: name -> SHA-256 of its content; their order changes nothing."""
    lines = (f"{name}\0{digest}" for name, digest in sorted(hashes.items()))
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def _recall(memory: Path) -> dict[str, Any]:
    try:
        known = read_json(memory)
    except (OSError, ValueError):
        return {}
    return known if isinstance(known, dict) else {}


def _marks(path: Path) -> list[Any]:
    """What tells that a file may have changed."""
    status = path.stat()
    digest = hashlib.sha256()
    with path.open("rb") as file:
        digest.update(file.read(_SAMPLE_BYTES))
        file.seek(status.st_size - _SAMPLE_BYTES)
        digest.update(file.read())
    times = [status.st_mtime_ns, status.st_ctime_ns]
    return [status.st_size, *times, status.st_ino, digest.hexdigest()]


def _is_settled(path: Path) -> bool:
    status = path.stat()
    return time.time() - max(status.st_mtime, status.st_ctime) > _SETTLED_SECONDS
