"""What files hold, told by SHA-256. A file is read again only where something of it may have changed."""

import hashlib
import sys
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from workflow_scripts.runtime.files import read_json, write_json_if_changed
from workflow_scripts.runtime.hashing import file_hash

REMEMBERED = Path("data/settings/content_hashes.json")
"""Where the workflow remembers the hashes of files: of this machine, so neither in git nor in DVC."""

_SAMPLE_BYTES = 64 * 1024
_SHOWN_BYTES = 1 << 30
_SETTLED_SECONDS = 2.0
"""A file that was changed this recently may be changed again without a change of its times."""


def content_hashes(files: Iterable[Path], memory: Path | None = None) -> dict[Path, str]:
    """Return the SHA-256 of the content of every file.

    memory: a JSON file of hashes found before. That of a file is taken from there where path, size, times, inode and,
    of a large file, both ends are as they were; any difference has the file read whole again. Without a memory every
    file is read whole. Links count as what they point to.
    """
    known = _recall(memory) if memory else {}
    hashes, unknown = {}, {}
    for path in files:
        marks = _marks(path)
        entry = known.get(str(path.absolute()))
        if entry and entry["marks"] == marks:
            hashes[path] = entry["sha256"]
        else:
            unknown[path] = marks
    size = sum(path.stat().st_size for path in unknown)
    if memory and size > _SHOWN_BYTES:
        print(
            f"reading {len(unknown):,} new or changed files once, {size / (1 << 30):.1f} GiB", file=sys.stderr
        )
    for path in unknown:
        hashes[path] = file_hash(path)
        # What was changed while it was read, or just before, is read again next time.
        if _marks(path) == unknown[path] and _is_settled(path):
            known[str(path.absolute())] = {"marks": unknown[path], "sha256": hashes[path]}
    if memory and unknown:
        with suppress(OSError):  # Only speed is lost.
            write_json_if_changed(memory, known)
    return hashes


def inventory(folder: Path, files: Iterable[Path], memory: Path | None = None) -> dict[str, str]:
    """Return the SHA-256 of files of a folder by their relative names, sorted; of a single file by its own name.

    memory: as `content_hashes` has it.
    """
    hashes = content_hashes(sorted(files), memory)
    return {
        path.name if path == folder else path.relative_to(folder).as_posix(): digest
        for path, digest in hashes.items()
    }


def files_below(path: Path) -> list[Path]:
    """Return a file itself, or all files of a folder; none where there is neither."""
    return [path] if path.is_file() else [found for found in path.rglob("*") if found.is_file()]


def tables_fingerprint(values: Path, cohort: Path) -> str:
    """Return the SHA-256 of a table of vital signs and a cohort table; each may be a folder of files."""
    tables = {"values": values, "cohort": cohort}
    return fingerprint(
        {name: fingerprint(inventory(path, files_below(path))) for name, path in tables.items()}
    )


def fingerprint(hashes: Mapping[str, str]) -> str:
    """Return one SHA-256 for several files. hashes: name -> SHA-256 of its content; their order changes nothing."""
    lines = (f"{name}\0{digest}" for name, digest in sorted(hashes.items()))
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def _recall(memory: Path) -> dict[str, Any]:
    try:
        known = read_json(memory)
    except (OSError, ValueError):
        return {}
    entries = known.items() if isinstance(known, dict) else ()
    return {
        path: each for path, each in entries if isinstance(each, dict) and {"marks", "sha256"} <= each.keys()
    }


def _marks(path: Path) -> list[Any]:
    """What tells that a file may have changed."""
    status = path.stat()
    marks = [status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino]
    return [*marks, _ends_hash(path, status.st_size)] if status.st_size > 2 * _SAMPLE_BYTES else marks


def _ends_hash(path: Path, size: int) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        digest.update(file.read(_SAMPLE_BYTES))
        file.seek(size - _SAMPLE_BYTES)
        digest.update(file.read())
    return digest.hexdigest()


def _is_settled(path: Path) -> bool:
    status = path.stat()
    return time.time() - max(status.st_mtime, status.st_ctime) > _SETTLED_SECONDS
