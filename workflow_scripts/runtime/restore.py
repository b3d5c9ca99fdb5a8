"""Files that came from a data cache instead of a run."""

import os
import time
from pathlib import Path


def align_restored_times(folders: list[Path], memory: Path) -> None:
    """Give all files and folders of a restored checkout one modification time, once.

    A data cache restores files in any order, so an input may look newer than what was made of it. Where the
    workflow has no memory of earlier runs (`memory` is its folder), the times are aligned, and that is noted
    there. A settings file that differs is rewritten afterwards, is newer, and re-runs what depends on it.
    """
    done, metadata = memory / "restored_times_aligned", memory / "metadata"
    if done.exists() or (metadata.is_dir() and any(metadata.iterdir())):
        return
    now = time.time()
    for folder in folders:
        for path in folder.rglob("*"):
            if not path.is_symlink():
                os.utime(path, (now, now))
    memory.mkdir(exist_ok=True)
    done.touch()
