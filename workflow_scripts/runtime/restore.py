"""Files that came from a data cache instead of a run."""

import os
import time
from pathlib import Path


def align_restored_times(folders: list[Path], memory: Path) -> None:
    """Give all files of a restored checkout one modification time.

    A data cache restores files in any order, so an input may look newer than what was made of it. Only where
    the workflow has no memory of its own (`memory`, its metadata folder, is missing or empty) are the times
    aligned; a settings file that differs is rewritten afterwards, is newer, and re-runs what depends on it.
    """
    if memory.is_dir() and any(memory.iterdir()):
        return
    now = time.time()
    for folder in folders:
        for path in folder.rglob("*"):
            if path.is_file() and not path.is_symlink():
                os.utime(path, (now, now))
