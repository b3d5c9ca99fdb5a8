"""What an earlier start of the workflow left behind when it was killed, or when the power failed."""

import fcntl
import json
import os
import shutil
import sys
import time
from base64 import urlsafe_b64decode
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

_HANDLES: list[BinaryIO] = []
"""Locks that this process holds until it ends."""

_ENDS = {
    ".parquet": (b"PAR1",),
    ".csv": (b"\n",),
    ".svg": (b"</svg>", b"</svg>\n"),
    ".html": (b"</html>", b"</html>\n"),
}
"""With what a whole file of a kind ends, as the steps write them."""


def recover(folders: Iterable[Path], memory: Path) -> None:
    """Clear away what nobody works on any more, unless another Snakemake works in this project.

    Removed are Snakemake's locks of a killed process, unfinished files (`.part`) below these folders, and results
    that are cut short, so that Snakemake runs their jobs again. Only what Snakemake has noted as made is judged.
    Times that lie in the future (the clock went back) become now: whatever changes from here on is newer.
    memory: Snakemake's own folder.

    Every Snakemake holds a shared lock (flock) until it ends, however it ends; who gets it alone is alone. On a
    file system without such locks nothing is removed.
    """
    now = time.time()
    memory.mkdir(exist_ok=True)
    handle = (memory / "in_use.lock").open("ab")
    _HANDLES.append(handle)
    with suppress(OSError):
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        for lock in (memory / "locks").glob("*.lock"):
            lock.unlink(missing_ok=True)
        for folder in folders:
            for path in folder.rglob(".*.part"):
                _remove(path)
            for path in folder.rglob("*"):
                with suppress(OSError):  # Another's file, or one that is gone.
                    if path.lstat().st_mtime > now and not path.is_symlink():
                        os.utime(path, (now, now))
        _remove_damaged(memory / "metadata")
    with suppress(OSError):
        fcntl.flock(handle, fcntl.LOCK_SH)


def _remove_damaged(records: Path) -> None:
    """Remove every result that is cut short, what its job made besides, and the last results that came of it.

    Without the last step Snakemake would not miss a result from which others were made already.
    """
    made = [_read(record, records) for record in records.rglob("*") if record.is_file()]
    damaged = {job.name for job in made if not all(map(is_whole, _files(job.result)))}
    if not damaged:
        return
    affected: set[str] = damaged
    grown: set[str] = set()
    while affected != grown:
        grown = affected
        results = {str(job.result) for job in made if job.name in grown}
        affected = grown | {job.name for job in made if not results.isdisjoint(job.inputs)}
    used = {name for job in made for name in job.inputs}
    ends = affected - {job.name for job in made if str(job.result) in used}
    for job in made:
        if job.name in damaged and not all(map(is_whole, _files(job.result))):
            print(f"{job.result} is cut short (a power failure?): its job runs again", file=sys.stderr)
        if job.name in damaged | ends:
            with suppress(OSError):  # Its neighbours are removed nonetheless.
                _remove(job.result)


@dataclass(frozen=True)
class _Made:
    """A result, the name of the job that made it, and from what."""

    result: Path
    name: str
    inputs: frozenset[str]


def _read(record: Path, records: Path) -> _Made:
    """Read one of Snakemake's records. Its path is the result's name in base 64, cut into folders."""
    name = "".join(part.removeprefix("@") for part in record.relative_to(records).parts)
    result = Path(urlsafe_b64decode(name).decode())
    try:
        content = json.loads(record.read_bytes())
        return _Made(result, f"{content['rule']} {content['log']}", frozenset(content["input"]))
    except (ValueError, LookupError, TypeError):
        return _Made(result, str(result), frozenset())


def _files(path: Path) -> list[Path]:
    """A file, or all of a folder but hidden ones; links are another's."""
    found = path.rglob("[!.]*") if path.is_dir() else [path]
    return [file for file in found if file.is_file() and not file.is_symlink()]


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def is_whole(path: Path) -> bool:
    """Whether a file is not empty and ends as its kind does. Of large files, reads a few bytes only."""
    size = path.stat().st_size
    if path.suffix == ".safetensors":
        return _is_whole_safetensors(path, size)
    if path.suffix == ".json":
        with suppress(ValueError):
            json.loads(path.read_bytes())
            return True
        return False
    with path.open("rb") as file:
        file.seek(max(0, size - 16))
        return size > 0 and file.read().endswith(_ENDS.get(path.suffix, b""))


def _is_whole_safetensors(path: Path, size: int) -> bool:
    """A header of the length that the first 8 bytes say, then as many bytes as its tensors need."""
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if size < 8 + length:
            return False
        try:
            tensors = json.loads(file.read(length))
            tensors.pop("__metadata__", None)
            return size == 8 + length + max(
                (tensor["data_offsets"][1] for tensor in tensors.values()), default=0
            )
        except (ValueError, LookupError, TypeError, AttributeError):
            return False
