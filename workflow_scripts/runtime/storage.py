"""A disk that refuses: one message instead of a traceback."""

import errno
import logging
import os
import shutil
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from workflow_scripts.runtime.completeness import REPAIR_COMMAND
from workflow_scripts.runtime.errors import UserError

_REMEDIES = {
    errno.ENOSPC: "delete what is not needed, or move the project to a larger disk",
    errno.EDQUOT: "delete what is not needed, or ask for a larger quota",
    errno.EROFS: "mount the disk so that it can be written",
    errno.EACCES: "correct the permissions of the folder",
    errno.EIO: "look at the system's log: the disk may be failing",
}
"""What to do about a disk that refuses. Libraries not written in Python keep the system's words only."""


def refusal_of_storage(error: Exception) -> UserError | None:
    """The message for an error of the disk, whichever library raised it; None for any other."""
    for number in _REMEDIES:
        if os.strerror(number) in str(error):
            return _refusal(str(getattr(error, "filename", None) or "the disk that a step writes to"), number)
    return None


def require_writable(folders: Iterable[Path]) -> None:
    """Raise UserError for a folder, or one below it, that cannot be written: before anything is computed for it."""
    for top in folders:
        for folder, _, _ in os.walk(top):
            if not os.access(folder, os.W_OK):
                read_only = os.statvfs(folder).f_flag & os.ST_RDONLY
                raise _refusal(folder, errno.EROFS if read_only else errno.EACCES)


CLOCK_TOLERANCE_SECONDS = 60.0
"""How far the clocks of a network folder's server and of this machine may differ."""


def future_files(folders: Iterable[Path], now: float) -> Iterator[Path]:
    """Files and folders whose time lies in the future, as they do after a clock was set back; links are left out.

    now: seconds since 1970.
    """
    for folder in folders:
        for path in folder.rglob("*"):
            if path.lstat().st_mtime > now + CLOCK_TOLERANCE_SECONDS and not path.is_symlink():
                yield path


def require_past_times(folders: Iterable[Path]) -> None:
    """Raise UserError for a file from the future: what changes now would seem older, and would not be noticed."""
    path = next(future_files(folders, time.time()), None)
    if path is not None:
        raise UserError(
            where=str(path),
            found="a time in the future: was the clock of this machine set back?",
            expected="results that are older than a setting or program that changes now",
            remedy=f"check the clock (`date`); if it is right, run `{REPAIR_COMMAND} --delete`",
        )


LEAST_ROOM = 2**20
"""Bytes that a start needs for its own log and notes."""


def require_room(folder: Path) -> None:
    """Raise UserError where a folder's disk is full, which Snakemake would meet with tracebacks only."""
    if shutil.disk_usage(folder).free < LEAST_ROOM:
        # Else each line of Snakemake's log, which is on the same disk, would print a traceback.
        logging.raiseExceptions = False
        raise _refusal(str(folder), errno.ENOSPC)


def _refusal(where: str, number: int) -> UserError:
    return UserError(
        where=where,
        found=os.strerror(number),
        expected="a disk that takes what the step writes",
        remedy=f"{_REMEDIES[number]}; then start the same command again: what is done stays",
    )
